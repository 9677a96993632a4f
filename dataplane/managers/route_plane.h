// SPDX-License-Identifier: Apache-2.0
// Everything that rtnetlink and /proc/sys hold of ours: routes, tunnel devices and their addresses,
// neighbours, FDB entries, sysctls of workload interfaces. One owner per prefix: local workload,
// then what the agent programs (VXLAN, IPIP, no encapsulation), BGP, blackhole. Nothing is
// written before the first in_sync batch and our own reading of the kernel; what stands already is
// left alone; whatever somebody else takes away is put back at once. Destruction leaves the kernel
// as it is. Lives on one EventLoop's thread, all members are called there. Must not know policy,
// BGP or the datastore.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ip.h"
#include "base/loop/event_loop.h"
#include "base/metrics.h"
#include "base/result.h"
#include "base/types.h"
#include "model/desired.h"

namespace margay::dataplane {

// Which cluster routes the agent programs itself (FelixConfiguration programClusterRoutes); the
// rest comes through BGP. VXLAN is always ours.
enum class ClusterRoutes { enabled_ipip_only, enabled, enabled_no_encap_only, disabled };

struct RouteConfig {
  std::vector<std::string> workload_prefixes{"cali"};  // interface name prefixes of workloads
  std::uint32_t metric_v4 = 1024;
  std::uint32_t metric_v6 = 1024;
  std::uint8_t agent_protocol = 80;   // of routes to other nodes
  std::uint8_t device_protocol = 80;  // of /32 and /128 of local workloads
  std::uint8_t bgp_protocol = 12;
  bool bgp = true;  // false: routes of bgp_protocol belong to another daemon, never touched
  // Globs: in the connected networks of these interfaces no BGP next hop is found.
  std::vector<std::string> bgp_ignored_interfaces;
  // By workload interface: addresses that it carries on our side, where the workload's BGP finds
  // us.
  std::map<std::string, std::set<Ip>> workload_gateways;
  std::optional<Ip> device_route_source_v4, device_route_source_v6;
  bool remove_external_routes = true;  // on workload interfaces any protocol but the kernel's
  ClusterRoutes program_cluster_routes = ClusterRoutes::enabled_ipip_only;
  bool route_sync_disabled = false;  // no route writes at all
  bool floating_ips = false;         // a route for each external address of IpNat too
  bool ip_forwarding = true;         // sets net.ipv4.ip_forward and ipv6 all.forwarding
  std::uint32_t vxlan_vni = 4096;
  std::uint16_t vxlan_port = 4789;
  std::uint32_t vxlan_mtu_v4 = 0;  // 0: the parent interface's less the overhead
  std::uint32_t vxlan_mtu_v6 = 0;
  std::uint32_t ipip_mtu = 0;
  std::chrono::milliseconds audit_interval{90'000};  // full re-read; 0: never
  std::chrono::milliseconds external_grace{10'000};  // unexpected routes on a new workload link
  int monitor_queue = 16 << 20;  // bytes of notifications the kernel may hold for us; at open()
  friend bool operator==(const RouteConfig&, const RouteConfig&) = default;

  // Whether the cluster's routes in pools of this kind are the agent's, not BGP's.
  [[nodiscard]] bool programs(model::Encap encap) const {
    const bool all = program_cluster_routes == ClusterRoutes::enabled;
    switch (encap) {
      case model::Encap::none:
        return all || program_cluster_routes == ClusterRoutes::enabled_no_encap_only;
      case model::Encap::ipip:
        return all || program_cluster_routes == ClusterRoutes::enabled_ipip_only;
      case model::Encap::vxlan:
        return true;
    }
    return false;
  }
};

// A best route of BGP: next hops as BGP knows them, resolved here through the kernel's own routes.
// Neither next hops nor blackhole: withdrawn. A link-local next hop needs its interface.
struct BgpNextHop {
  Ip address;
  std::string interface;
  friend auto operator<=>(const BgpNextHop&, const BgpNextHop&) = default;
};
// Shared by the routes that have the same, so that no route costs an allocation on its way here.
using BgpNextHops = std::shared_ptr<const std::vector<BgpNextHop>>;
struct BgpRoute {
  Prefix dst;
  BgpNextHops next_hops;  // null: none
  bool blackhole = false;
  std::optional<std::uint32_t> metric;  // absent: the configured one; lower: wins over workloads
};

// A link of this node as the kernel shows it.
struct InterfaceState {
  IfIndex index;
  std::string name;
  bool present = true;    // false: it is gone, and so is its name
  bool workload = false;  // its name has a workload's prefix
  bool up = false;        // administratively
  bool running = false;   // carrier too
  std::uint32_t mtu = 0;
  std::vector<InterfaceAddress> addresses;  // link-local ones included
  friend bool operator==(const InterfaceState&, const InterfaceState&) = default;
};

// A unicast route of the main table that is not ours: connected, default, static. A routing
// daemon's only where it overlaps pools, the node's subnets or what next hops lie in.
struct KernelRoute {
  Prefix dst;
  std::uint8_t protocol = 0;
  std::uint32_t metric = 0;
  std::optional<Ip> gateway;  // absent: connected
  std::string interface;
  friend bool operator==(const KernelRoute&, const KernelRoute&) = default;
};

// A route of ours that leads somewhere in the cluster (to a workload, a remote block or tunnel
// address, not one of BGP's) stands in the kernel now, maybe in place of another; or has gone.
struct OwnRouteChange {
  KernelRoute route;
  bool gone = false;
  friend bool operator==(const OwnRouteChange&, const OwnRouteChange&) = default;
};

// Called on the plane's loop; each may be empty.
struct RoutePlaneEvents {
  std::function<void(const InterfaceState&)> on_interface;  // appeared, changed, renamed, gone
  // The whole set of foreign routes, after a change (coalesced).
  std::function<void(const std::vector<KernelRoute>&)> on_kernel_routes;
  std::function<void(const std::vector<OwnRouteChange>&)> on_own_routes;
  std::function<void()> on_in_sync;                  // once: everything wanted has been tried once
  std::function<void(std::string reason)> on_fatal;  // the monitor cannot be kept: restart
};

struct RouteFailure {
  std::string object;  // "route 10.0.0.0/26", "link vxlan.calico", ...
  int sys_errno = 0;   // 0: not the kernel's refusal, see reason
  std::string reason;
  unsigned attempts = 0;
};

struct RoutePlaneStatus {
  bool desired_in_sync = false;  // the first in_sync batch has come
  bool applied = false;          // all of it has been tried once
  std::optional<Clock::time_point> last_apply;
  // Since when a tunnel device, or the reading of the kernel, has been failing, or a long write has
  // been getting nowhere; absent: all is well. Single routes that are refused, and devices that this
  // kernel does not know, are only `failures`.
  std::optional<Clock::time_point> behind_since;
  std::string last_error;   // of the last reading or writing as a whole; empty after a good one
  std::size_t pending = 0;  // objects that differ and are neither failing nor waiting
  std::size_t routes_wanted = 0;
  std::size_t routes_installed = 0;
  std::size_t bgp_routes = 0;
  std::size_t bgp_unresolved = 0;  // no kernel route leads to the next hop
  struct Pair {
    std::size_t want = 0, have = 0;
  };
  Pair neighbours, fdb, tunnels, sysctls;
  std::size_t interfaces = 0;
  std::uint64_t repairs = 0;           // objects of ours that somebody changed or removed
  std::uint64_t resyncs = 0;           // full re-reads after lost notifications
  std::vector<RouteFailure> failures;  // at most kMaxFailures, by name
  std::size_t failing = 0;             // all of them
  static constexpr std::size_t kMaxFailures = 100;
};

class RoutePlane {
 public:
  // Opens the sockets in the calling thread's network namespace, subscribes and reads links and
  // addresses. The references must outlive the plane.
  [[nodiscard]] static Result<std::unique_ptr<RoutePlane>> open(EventLoop& loop, RouteConfig config,
                                                                RoutePlaneEvents events,
                                                                metrics::Registry& registry);
  ~RoutePlane();
  RoutePlane(const RoutePlane&) = delete;
  RoutePlane& operator=(const RoutePlane&) = delete;

  void apply(const model::Batch& batch);
  void set_config(RouteConfig config);
  // A later entry for the same prefix replaces the earlier one.
  void replace_bgp_routes(std::vector<BgpRoute> routes);
  // The speaker's first exchange is over: what stands in the kernel from before and has not been
  // named since is stale and goes. Until then it stays.
  void bgp_synced();
  // Reads everything again and repairs. The periodic audit does the same, but for settings under
  // /proc/sys, of which it reads 200 at a time: the kernel tells of most.
  void resync();

  [[nodiscard]] RoutePlaneStatus status() const;
  [[nodiscard]] std::vector<InterfaceState> interfaces() const;
  [[nodiscard]] std::vector<KernelRoute> kernel_routes() const;
  [[nodiscard]] std::vector<OwnRouteChange> own_routes() const;  // what was told and stands

 private:
  class Impl;
  explicit RoutePlane(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace margay::dataplane
