// SPDX-License-Identifier: Apache-2.0
// Speakers on one simulated network, each with a table of what it would program.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bgp/speaker/speaker.h"
#include "tests/support/sim_network.h"

namespace margay::bgp {

class MapSink : public RouteSink {
 public:
  void apply(std::vector<RouteChange> changes) override {
    ++batches;
    for (auto& c : changes) {
      if (c.next_hops) {
        routes[c.prefix] = *c.next_hops;
      } else {
        routes.erase(c.prefix);
      }
    }
  }
  void initial_sync_done() override { ++synced; }
  std::map<Prefix, std::vector<Ip>> routes;
  int synced = 0;
  int batches = 0;
};

inline Ip ip(const std::string& text) { return *Ip::parse(text); }
inline Prefix prefix(const std::string& text) { return *Prefix::parse(text); }

struct SimNode {
  SimNode(SimLoop& loop, SimNetwork& net, const std::vector<Ip>& addresses,
          SpeakerOptions options = {.seed = 1})
      : transport(net, addresses), speaker(loop, transport, sink, registry, options) {}

  [[nodiscard]] PeerStatus peer(const std::string& name) const {
    for (auto& p : speaker.status().peers) {
      if (p.name == name) return p;
    }
    return {};
  }
  [[nodiscard]] std::size_t up() const {
    std::size_t n = 0;
    for (const auto& p : speaker.status().peers) n += p.state == "up" ? 1U : 0U;
    EXPECT_EQ(speaker.summary().established, n);
    return n;
  }

  MapSink sink;
  metrics::Registry registry;
  SimTransport transport;
  Speaker speaker;
};

inline PeerConfig sim_peer(const std::string& local, const std::string& remote,
                           std::uint32_t local_as = 64512, std::uint32_t remote_as = 64512) {
  PeerConfig p;
  p.name = "Node_" + remote;
  p.type = PeerType::node;
  p.session.address = ip(remote);
  p.session.source = ip(local);
  p.session.local_as = Asn(local_as);
  p.session.remote_as = Asn(remote_as);
  return p;
}

}  // namespace margay::bgp
