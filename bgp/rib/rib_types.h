// SPDX-License-Identifier: Apache-2.0
// The values that pass between the tables and their users: next-hop modes, originated routes, and
// what goes to the kernel.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ip.h"
#include "bgp/policy/policy.h"

namespace margay::bgp {

// How the next hop of what we send is chosen (spec bgp.md 8). keep_external: keep on eBGP sessions,
// automatic on iBGP (keepOriginalNextHop).
enum class NextHopMode { automatic, self, keep, keep_external };

// Gateways of one route, sorted, without duplicates; shared by all routes that use the same ones.
using NextHops = std::shared_ptr<const std::vector<Ip>>;

struct RouteChange {
  Prefix prefix;
  NextHops next_hops;  // null: the route is gone
  // Of a route that is to win over others in the kernel, those of our own workloads among them: it
  // came with a LOCAL_PREF above the normal one (a workload that moves). Absent: the usual.
  std::optional<std::uint32_t> metric = {};
};

// A prefix that this node announces by itself; its next hop is the session's own address.
struct OriginatedRoute {
  Prefix prefix;
  std::uint32_t metric = kNormalPriority;  // LOCAL_PREF is kPreferenceBase less this
  friend bool operator==(const OriginatedRoute&, const OriginatedRoute&) = default;
};

// A route of the kernel that is not BGP's: connected, or somebody else's.
struct LearntRoute {
  Prefix prefix;
  std::optional<Ip> gateway;  // absent: directly
  std::string interface;
  std::uint32_t metric = 0;  // 0: none
  friend bool operator==(const LearntRoute&, const LearntRoute&) = default;
};

// A route of our own dataplane's (to remote blocks, to workloads) stands in the kernel now, or not
// any more.
struct DataplaneChange {
  LearntRoute route;
  bool gone = false;
  friend bool operator==(const DataplaneChange&, const DataplaneChange&) = default;
};

}  // namespace margay::bgp
