// SPDX-License-Identifier: Apache-2.0
// The inside of RoutePlane: drivers, views and the step that brings them together. One step: take
// in what is queued (BGP, kernel re-reads), choose routes for what is dirty, then write in the
// order devices, settings, neighbours, routes; a bounded amount, then the loop gets its turn.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "dataplane/conntrack/flows.h"
#include "dataplane/link/link_addresses.h"
#include "dataplane/link/link_view.h"
#include "dataplane/link/tunnel_device.h"
#include "dataplane/managers/latency.h"
#include "dataplane/managers/route_chooser.h"
#include "dataplane/managers/route_plane.h"
#include "dataplane/managers/vtep_book.h"
#include "dataplane/neigh/neigh_table.h"
#include "dataplane/netlink/rtnl_monitor.h"
#include "dataplane/netlink/socket.h"
#include "dataplane/route/route_table.h"
#include "dataplane/sysctl/sysctl_table.h"

namespace margay::dataplane {

class RoutePlane::Impl {
 public:
  Impl(EventLoop& loop, RouteConfig config, RoutePlaneEvents events, metrics::Registry& registry,
       netlink::Socket requests, netlink::RtnlMonitor monitor);
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  [[nodiscard]] Result<void> start();
  void apply(const model::Batch& batch);
  void set_config(RouteConfig config);
  void replace_bgp_routes(std::vector<BgpRoute> routes);
  void bgp_synced();
  void resync();
  void audit();
  [[nodiscard]] RoutePlaneStatus status() const;
  [[nodiscard]] std::vector<InterfaceState> interfaces() const;
  [[nodiscard]] std::vector<KernelRoute> kernel_routes() const;
  [[nodiscard]] std::vector<OwnRouteChange> own_routes() const;

 private:
  struct Metrics {
    explicit Metrics(metrics::Registry& r);
    metrics::Counter &written, &removed, &refused, &repairs, &resyncs, &flows;
    metrics::Gauge &routes, &bgp_routes, &bgp_unresolved, &failing;
    metrics::Histogram& step_seconds;
  };
  // What the drivers hold for one workload interface, to be let go with it.
  struct InterfaceWants {
    std::vector<std::string> sysctls;
    std::vector<neigh::NeighKey> neighbours;
  };

  // Inputs (route_plane_inputs.cpp).
  void take(const model::Change& change);
  void change_vtep(const std::string& node, Family family, const model::Vtep* now);
  void take_bgp(std::size_t max);
  void listen();
  void drain();
  void on_settings(IfIndex interface);
  void on_link(const link::LinkChangeSeen& seen);
  [[nodiscard]] Result<void> read_all();
  [[nodiscard]] Result<void> read_routes();
  [[nodiscard]] std::vector<Prefix> interest() const;
  [[nodiscard]] std::uint64_t interest_version() const {
    return chooser_.interest_version() + routes_.taken_version();
  }
  void refresh_filter();
  [[nodiscard]] Result<void> set_filter();
  void read_again();
  [[nodiscard]] bool is_workload(const std::string& name) const;
  [[nodiscard]] bool is_tunnel(const std::string& name) const;
  [[nodiscard]] bool ours(const netlink::Route& route) const;
  [[nodiscard]] std::optional<Clock::time_point> hold(const netlink::Route& route,
                                                      Clock::time_point now) const;

  // The step (route_plane_step.cpp).
  void schedule();
  void step();
  void choose(std::size_t max);
  void note_owner(const Prefix& dst, const std::optional<netlink::Route>& route);
  void note_own(const Prefix& dst, const std::optional<netlink::Route>& route);
  void tell_own();
  [[nodiscard]] const netlink::Route* own_route(const Prefix& dst) const;
  [[nodiscard]] OwnRouteChange describe_own(const netlink::Route& route) const;
  void refresh_interfaces();
  void refresh_interface(const std::string& name);
  void refresh_vteps(Family family);
  void want_sysctls(const std::string& name, const model::LocalWorkload& workload,
                    InterfaceWants& wants);
  void want_forwarding();
  [[nodiscard]] bool write(Clock::time_point now);
  [[nodiscard]] bool write_devices(Clock::time_point now);
  void report();
  void settle(bool more);
  void note_endpoint(const model::LocalWorkload& workload, std::optional<Clock::time_point> since);
  [[nodiscard]] bool programmed(const model::LocalWorkload& workload) const;
  void arm(Clock::time_point now);
  void arm_audit();
  void fail(const Error& error);

  EventLoop& loop_;
  RouteConfig config_;
  RoutePlaneEvents events_;
  Metrics metrics_;
  netlink::Socket requests_;
  netlink::RtnlMonitor monitor_;
  netlink::RtnlListener listener_;
  link::LinkView links_;
  route::RouteTable routes_;
  neigh::NeighTable neighbours_;
  sysctl::SysctlTable sysctls_;
  RouteChooser chooser_;
  std::optional<conntrack::Flows> flows_;  // absent: this kernel has no connection tracking
  link::LinkAddresses gateways_;
  link::TunnelDevice tunnels_[3]{{link::TunnelKind::vxlan, kVxlanDevice},
                                 {link::TunnelKind::vxlan, kVxlanDeviceV6},
                                 {link::TunnelKind::ipip, kIpipDevice}};

  std::deque<BgpRoute> bgp_queue_;
  std::set<std::uint8_t> former_protocols_;  // of ours, until all routes have the new ones
  std::vector<Prefix> undecided_;            // destinations to choose for
  std::unordered_map<Prefix, std::uint32_t, PrefixHash> chosen_;  // and the metric they have
  std::unordered_map<Prefix, IfIndex, PrefixHash>
      local_owner_;                      // the interface that last had the address
  std::unordered_set<Prefix> told_own_;  // routes of ours that others know to stand
  std::unordered_set<Prefix> untold_;    // and what may have changed of them
  std::set<std::string> touched_interfaces_;
  std::map<std::string, InterfaceWants> interface_wants_;
  VtepBook vteps_[2];
  std::set<IfIndex> rescan_;  // routes through these may be gone
  std::set<IfIndex> report_interfaces_;
  std::uint64_t reported_foreign_ = 0;
  bool ipv6_ = true;
  bool desired_in_sync_ = false;
  bool bgp_synced_ = false, bgp_synced_asked_ = false;
  bool filtering_ = false;  // the kernel keeps from us what the table's filter does not want
  std::optional<std::uint64_t> filtered_interest_;
  bool read_all_needed_ = false, read_routes_needed_ = false;
  bool auditing_ = false;  // nothing is known to be missing: settings are read in turns
  bool applied_ = false;
  unsigned read_failures_ = 0;
  std::uint64_t repairs_ = 0;  // of devices and sysctls; the tables count their own
  std::uint64_t reported_repairs_ = 0;
  std::uint64_t resyncs_ = 0;
  std::optional<Clock::time_point> last_apply_, behind_since_;
  std::string last_error_;
  Latency latency_;
  bool wrote_ = false;    // in this step
  bool written_ = false;  // since latency_ last settled
  bool fresh_due_ = false;
  std::map<model::EndpointId, Clock::time_point> fresh_;  // endpoints not programmed yet
  bool scheduled_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted steps look at it
  EventLoop::Watch watch_;
  EventLoop::Timer wake_, audit_;
};

}  // namespace margay::dataplane
