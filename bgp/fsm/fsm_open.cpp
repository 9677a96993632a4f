// SPDX-License-Identifier: Apache-2.0
// The OPEN that we send, and what follows from the peer's (RFC 4271 4.2 and 6.2, RFC 5492).
#include <algorithm>

#include "bgp/fsm/fsm.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;
using wire::Notification;
namespace code = wire::code;
namespace subcode = wire::subcode;

template <typename T>
bool contains(const std::vector<T>& list, const T& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

}  // namespace

wire::DecodeContext Negotiated::decode_context() const {
  wire::DecodeContext c;
  c.as4 = as4;
  c.internal = internal;
  c.add_path_v4 = contains(add_path_in, Family::v4);
  c.add_path_v6 = contains(add_path_in, Family::v6);
  return c;
}

wire::Open Fsm::our_open() const {
  wire::Open o;
  o.asn = config_.local_as;
  o.hold_time = static_cast<std::uint16_t>(
      std::clamp<std::chrono::seconds::rep>(config_.timers.hold.count(), 0, 0xffff));
  o.id = config_.router_id;
  auto& caps = o.capabilities;
  for (const Family f : config_.families) {
    caps.multiprotocol.push_back(wire::unicast(f));
    caps.add_path.push_back({wire::unicast(f), true, true});
    if (f == Family::v4 && config_.v6_next_hops) {
      caps.extended_next_hop.push_back({wire::unicast(f), wire::unicast(Family::v6).afi});
    }
  }
  caps.route_refresh = true;
  caps.enhanced_refresh = true;
  caps.extended_messages = true;
  caps.as4 = config_.local_as;
  if (config_.timers.restart != 0s) {
    auto& gr = caps.graceful_restart.emplace();
    gr.restarting = config_.restarting;
    gr.notification = config_.timers.graceful_notification;
    gr.time = static_cast<std::uint16_t>(
        std::min<std::chrono::seconds::rep>(config_.timers.restart.count(), 0x0fff));
    for (const Family f : config_.families) {
      gr.families.push_back({wire::unicast(f), config_.forwarding_preserved});
    }
  }
  return o;
}

std::optional<Notification> Fsm::check(const wire::Open& open) const {
  if (open.asn != config_.remote_as) {
    wire::Buffer data;
    wire::put_u16(data, open.asn.value() > 0xffff ? wire::kAsTrans.value() : open.asn.value());
    return Notification{code::open, subcode::bad_peer_as, data};
  }
  if (open.id == config_.router_id && open.asn == config_.local_as) {
    wire::Buffer data;
    wire::put_u32(data, open.id.value());
    return Notification{code::open, subcode::bad_identifier, data};
  }
  const auto& theirs = open.capabilities.multiprotocol;
  const bool shared = std::any_of(config_.families.begin(), config_.families.end(), [&](Family f) {
    if (theirs.empty()) return f == Family::v4;
    return std::find(theirs.begin(), theirs.end(), wire::unicast(f)) != theirs.end();
  });
  if (!shared) {
    wire::Buffer data;  // RFC 5492 5: the capabilities that are missing
    for (const Family f : config_.families) {
      wire::put_u16(data, 0x0104);
      wire::put_u16(data, wire::unicast(f).afi);
      wire::put_u16(data, wire::unicast(f).safi);
    }
    return Notification{code::open, subcode::capability, data};
  }
  return std::nullopt;
}

void Fsm::negotiate(const wire::Open& open) {
  Negotiated n;
  const auto& caps = open.capabilities;
  n.remote_as = open.asn;
  n.remote_id = open.id;
  n.internal = open.asn == config_.local_as;
  n.hold = std::min(config_.timers.hold, std::chrono::seconds(open.hold_time));
  if (n.hold != 0s) {
    n.keepalive = std::max<std::chrono::seconds>(n.hold / 3, 1s);
    if (config_.timers.keepalive != 0s)
      n.keepalive = std::min(n.keepalive, config_.timers.keepalive);
  }
  for (const Family f : config_.families) {
    const bool theirs = caps.multiprotocol.empty() ? f == Family::v4
                                                   : contains(caps.multiprotocol, wire::unicast(f));
    if (theirs) n.families.push_back(f);
  }
  n.as4 = caps.as4.has_value();
  n.route_refresh = caps.route_refresh;
  n.enhanced_refresh = caps.enhanced_refresh;
  if (caps.extended_messages) n.max_message = wire::kMaxExtendedMessage;
  for (const auto& a : caps.add_path) {  // RFC 7911 4: each direction for itself
    const auto f = wire::unicast_family(a.family);
    if (!f || !contains(n.families, *f)) continue;
    if (a.send && !contains(n.add_path_in, *f)) n.add_path_in.push_back(*f);
    if (a.receive && !contains(n.add_path_out, *f)) n.add_path_out.push_back(*f);
  }
  const wire::ExtendedNextHop v6_for_v4{wire::unicast(Family::v4), wire::unicast(Family::v6).afi};
  n.v6_next_hops = config_.v6_next_hops && contains(caps.extended_next_hop, v6_for_v4);
  negotiate_restart(caps, n);
  negotiated_ = std::move(n);
}

void Fsm::negotiate_restart(const wire::Capabilities& theirs, Negotiated& n) const {
  if (!theirs.graceful_restart || config_.timers.restart == 0s) return;
  const auto& gr = *theirs.graceful_restart;
  n.graceful = true;
  n.graceful_notification = gr.notification && config_.timers.graceful_notification;
  n.peer_restarting = gr.restarting;
  n.restart_time = std::chrono::seconds(gr.time);
  for (const auto& e : gr.families) {
    const auto f = wire::unicast_family(e.family);
    if (!f || !contains(n.families, *f)) continue;
    n.graceful_families.push_back(*f);
    if (e.forwarding) n.forwarding_preserved.push_back(*f);
  }
}

}  // namespace margay::bgp
