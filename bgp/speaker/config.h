// SPDX-License-Identifier: Apache-2.0
// The whole wanted configuration of the speaker as one value: made by bgp/intent from resources (or
// by a test by hand), handed to Speaker::set_config, which works out the difference. Knows no
// Kubernetes and no sockets.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ip.h"
#include "base/log.h"
#include "base/types.h"
#include "bgp/fsm/fsm.h"
#include "bgp/policy/policy.h"
#include "bgp/rib/rib_types.h"

namespace margay::bgp {

inline constexpr std::uint16_t kBgpPort = 179;

enum class PeerType { mesh, node, global, local_workload };

// Everything that, when changed, needs a new session is in here; filters are not.
struct SessionConfig {
  Ip address;
  std::uint16_t port = kBgpPort;
  Asn remote_as;
  Asn local_as;
  std::optional<Ip> source;
  std::vector<Family> families;  // whose routes it carries; empty: that of `address`
  // Our address of the family that `address` is not of: the next hop of that family's routes. IPv4
  // over an IPv6 session does without where the peer knows RFC 8950; otherwise, without it, none of
  // them are exchanged.
  std::optional<Ip> other_next_hop;
  bool passive = false;
  std::string password;                  // TCP-MD5; empty: none
  std::optional<unsigned> ttl_security;  // hops; absent: TTL 64, no check (multihop)
  PeerTimers timers;
  bool route_reflector_client = false;  // iBGP, and this node reflects
  std::string down_reason;              // not empty: stays down, and says so
  friend bool operator==(const SessionConfig&, const SessionConfig&) = default;
};

// How many prefixes (paths, where they have identifiers) of one family a peer may send. One more
// ends the session (RFC 4486, subcode 1).
struct PrefixLimit {
  std::uint32_t count = 0;  // 0: any number
  // Until the next attempt; absent: until the limit or the session is configured anew.
  std::optional<std::chrono::seconds> restart;
  friend bool operator==(const PrefixLimit&, const PrefixLimit&) = default;
};

struct PeerConfig {
  std::string name;  // "Mesh_10_0_0_1": unique, stable
  PeerType type = PeerType::mesh;
  SessionConfig session;
  NextHopMode next_hop = NextHopMode::automatic;
  unsigned allowed_local_as = 0;  // how often our AS may stand in a received path
  PrefixLimit prefix_limit;
  FilterList filters;
  std::optional<Ip> reachable_by;  // a gateway through which `address` is reached
};

// By interface of a workload that speaks BGP: addresses of this node for it alone.
using WorkloadGateways = std::map<std::string, std::set<Ip>>;

struct SpeakerConfig {
  RouterId router_id;
  Asn local_as;
  std::uint16_t listen_port = kBgpPort;
  std::vector<Ip> listen_addresses;    // empty: all, both families
  std::optional<RouterId> cluster_id;  // set: this node reflects routes
  std::vector<PeerConfig> peers;
  std::vector<OriginatedRoute> originated;
  ExportPolicy export_policy;
  KernelPolicy kernel_policy;
  unsigned max_paths = 16;  // next hops of one route in the kernel
  // For whoever runs the speaker: the least severe of its events to log, the interfaces (globs)
  // whose connected networks no next hop is looked for in, and addresses to put on interfaces.
  log::Level log_level = log::Level::info;
  std::vector<std::string> ignored_interfaces;
  WorkloadGateways workload_gateways;
};

}  // namespace margay::bgp
