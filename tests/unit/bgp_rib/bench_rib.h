// SPDX-License-Identifier: Apache-2.0
// A Rib with peers that speak to it in whole UPDATE messages, and the tables that its peers and the
// kernel end up with.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "bgp/rib/rib.h"

namespace margay::bgp {

inline Prefix prefix(const std::string& text) { return *Prefix::parse(text); }
inline Ip ip(const std::string& text) { return *Ip::parse(text); }

inline AsPath as_path(std::vector<std::uint32_t> numbers) {
  AsPath p;
  p.append(AsPath::Segment::sequence, numbers);
  return p;
}

inline Attributes attributes(const std::string& next_hop, std::vector<std::uint32_t> path = {}) {
  Attributes a;
  a.next_hop = ip(next_hop);
  a.as_path = as_path(std::move(path));
  return a;
}

class RibBench {
 public:
  RibBench() {
    config.router_id = RouterId(0x0a000001);
    config.export_policy.pools = {prefix("10.0.0.0/8"), prefix("fd00::/8")};
    rib.set_config(config);
  }

  struct PeerOptions {
    bool internal = true;
    bool client = false;
    NextHopMode next_hop = NextHopMode::automatic;
    Asn local_as{64512};
    FilterList filters = {};
    unsigned allowed_local_as = 0;
    bool add_path = false;  // in both directions
  };
  // A peer 10.1.0.n with an established session; ours is 10.1.0.1.
  PeerId peer(std::uint32_t n, const PeerOptions& o) {
    RibPeer p;
    p.local_as = o.local_as;
    p.address = ip("10.1.0.0").plus(n);
    p.next_hop = o.next_hop;
    p.client = o.client;
    p.filters = o.filters;
    p.allowed_local_as = o.allowed_local_as;
    const PeerId id = rib.add_peer(p);
    internal[id] = o.internal;
    if (o.add_path) with_path_ids.insert(id);
    addresses[id] = p.address;
    up(id);
    return id;
  }
  PeerId peer(std::uint32_t n) { return peer(n, PeerOptions{}); }
  void up(PeerId id) {
    RibSession s;
    s.internal = internal[id];
    s.peer_id = RouterId(addresses[id].v4_host_order());
    s.local_address = ip("10.1.0.1");
    s.encode = encode_for(id);
    received[id].clear();
    paths[id].clear();
    rib.session_up(id, s);
    settle();
  }

  [[nodiscard]] wire::EncodeContext encode_for(PeerId id) const {
    wire::EncodeContext c = encode;
    c.add_path = with_path_ids.contains(id);
    return c;
  }
  [[nodiscard]] wire::DecodeContext decode_for(PeerId id) const {
    wire::DecodeContext c;
    c.add_path_v4 = with_path_ids.contains(id);
    return c;
  }

  void announce(PeerId from, const std::vector<std::string>& prefixes, const Attributes& a,
                std::uint32_t path_id = 0) {
    wire::Buffer b;
    wire::UpdateWriter w(b, Family::v4, encode_for(from));
    w.set_attributes(a);
    for (const auto& p : prefixes) w.announce(prefix(p), path_id);
    w.finish();
    feed(from, b);
  }
  void withdraw(PeerId from, const std::vector<std::string>& prefixes, std::uint32_t path_id = 0) {
    wire::Buffer b;
    wire::UpdateWriter w(b, Family::v4, encode_for(from));
    for (const auto& p : prefixes) w.withdraw(prefix(p), path_id);
    w.finish();
    feed(from, b);
  }
  void feed(PeerId from, const wire::Buffer& stream) {
    for (wire::Bytes left = stream; !left.empty();) {
      const auto f = wire::next_frame(left, encode.max_size);
      left = left.subspan(f.size);
      wire::DecodeContext c = decode_for(from);
      c.internal = internal[from];
      rib.update(from, wire::decode_update(f.body, c));
    }
  }

  // Does all pending work and lets every peer in `pull` (all by default) read.
  void settle() {
    std::vector<RouteChange> changes;
    while (rib.step(work, changes)) {
    }
    for (auto& c : changes) {
      if (c.next_hops) {
        kernel[c.prefix] = *c.next_hops;
        metrics[c.prefix] = c.metric;
      } else {
        kernel.erase(c.prefix);
      }
    }
    for (auto& [id, table] : received) {
      if (!asleep.contains(id)) pull(id);
    }
  }
  void pull(PeerId id) {
    while (const SharedBytes bytes = rib.next_output(id)) {
      for (wire::Bytes left = *bytes; !left.empty();) {
        const auto f = wire::next_frame(left, encode.max_size);
        left = left.subspan(f.size);
        read(id, f);
      }
    }
  }
  void read(PeerId id, const wire::Frame& f) {
    if (f.type != wire::MessageType::update) {
      ++marks[id];
      return;
    }
    wire::DecodeContext c = decode_for(id);
    c.internal = true;
    const auto u = wire::decode_update(f.body, c);
    if (u.end_of_rib) {
      ++ends[id];
      return;
    }
    auto& table = received[id];
    u.withdrawn.for_each([&](const wire::NlriEntry& e) {
      ++withdrawals[id];
      table.erase(e.prefix);
      paths[id].erase({e.prefix, e.path_id});
    });
    u.announced.for_each([&](const wire::NlriEntry& e) {
      ++announcements[id];
      table[e.prefix] = u.attributes;
      paths[id][{e.prefix, e.path_id}] = u.attributes;
    });
  }
  [[nodiscard]] std::set<std::string> told(PeerId id) const {
    std::set<std::string> out;
    for (const auto& [p, a] : received.at(id)) out.insert(p.to_string());
    return out;
  }
  [[nodiscard]] const Attributes& told(PeerId id, const std::string& p) {
    return received[id].at(prefix(p));
  }

  // The next hops of the paths that a peer knows, sorted.
  [[nodiscard]] std::multiset<std::string> hops_told(PeerId id, const std::string& p) const {
    std::multiset<std::string> out;
    for (const auto& [path, a] : paths.at(id)) {
      if (path.first == prefix(p)) out.insert(a.next_hop.to_string());
    }
    return out;
  }

  RibConfig config;
  wire::EncodeContext encode;
  Rib rib;
  std::size_t work = 100000;
  std::map<PeerId, bool> internal;
  std::map<PeerId, Ip> addresses;
  std::map<PeerId, std::map<Prefix, Attributes>> received;
  std::map<PeerId, std::map<std::pair<Prefix, std::uint32_t>, Attributes>> paths;
  std::set<PeerId> with_path_ids;
  std::map<PeerId, int> ends, marks, withdrawals, announcements;
  std::set<PeerId> asleep;
  std::map<Prefix, std::vector<Ip>> kernel;
  std::map<Prefix, std::optional<std::uint32_t>> metrics;  // of what was or is in it
};

using Set = std::set<std::string>;
using Hops = std::vector<Ip>;

}  // namespace margay::bgp
