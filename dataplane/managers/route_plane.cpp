// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/route_plane.h"

#include <utility>

#include "base/log.h"
#include "dataplane/managers/route_plane_impl.h"

namespace margay::dataplane {

namespace {

constexpr int kRequestQueueBytes = 4 << 20;

InterfaceState state_of(const link::Interface& i, bool workload) {
  InterfaceState s;
  s.workload = workload;
  s.index = i.link.index;
  s.name = i.link.name;
  s.up = i.link.up;
  s.running = i.link.running;
  s.mtu = i.link.mtu;
  for (const netlink::Address& a : i.addresses) s.addresses.push_back(a.address);
  return s;
}

template <typename Name>
void add_failure(RoutePlaneStatus& s, Name name, const reconcile::Failure& f) {
  ++s.failing;
  if (s.failures.size() == RoutePlaneStatus::kMaxFailures) return;
  s.failures.push_back({name(), f.sys_errno, f.reason, f.attempts});
}

}  // namespace

RoutePlane::Impl::Metrics::Metrics(metrics::Registry& r)
    : written(r.counter("margay_route_writes_total", "Routes, neighbours and settings written")),
      removed(r.counter("margay_route_removals_total", "Routes removed")),
      refused(r.counter("margay_route_refusals_total", "Route writes that the kernel refused")),
      repairs(r.counter("margay_route_repairs_total",
                        "Routes, neighbours, FDB entries and settings put back after somebody "
                        "else changed them")),
      resyncs(r.counter("margay_route_resyncs_total", "Full readings after lost notifications")),
      flows(r.counter("margay_conntrack_flows_cut_total",
                      "Connections deleted because their address changed hands")),
      routes(r.gauge("margay_routes", "Routes wanted")),
      bgp_routes(r.gauge("margay_route_bgp", "Destinations known from BGP")),
      bgp_unresolved(r.gauge("margay_route_bgp_unresolved",
                             "Destinations from BGP whose next hop no kernel route leads to")),
      failing(r.gauge("margay_route_failing", "Objects that the kernel refuses")),
      step_seconds(r.histogram("margay_route_step_seconds", "Time of one bounded step",
                               {0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1})) {}

RoutePlane::Impl::Impl(EventLoop& loop, RouteConfig config, RoutePlaneEvents events,
                       metrics::Registry& registry, netlink::Socket requests,
                       netlink::RtnlMonitor monitor)
    : loop_(loop),
      config_(std::move(config)),
      events_(std::move(events)),
      metrics_(registry),
      requests_(std::move(requests)),
      monitor_(std::move(monitor)),
      links_([this](const link::LinkChangeSeen& seen) { on_link(seen); }),
      routes_(kMainTable,
              {[this](const netlink::Route& r) { return ours(r); },
               [this](const netlink::Route& r, Clock::time_point now) { return hold(r, now); }}),
      neighbours_([this](IfIndex index) {
        const link::Interface* i = links_.by_index(index);
        return i != nullptr && (is_tunnel(i->link.name) || is_workload(i->link.name));
      }),
      chooser_(config_, links_, routes_.foreign()),
      gateways_([this](const std::string& name) { return is_workload(name); }),
      latency_(registry, "routes") {
  gateways_.want(config_.workload_gateways);
}

RoutePlaneStatus RoutePlane::Impl::status() const {
  RoutePlaneStatus s;
  s.desired_in_sync = desired_in_sync_;
  s.applied = applied_;
  s.last_apply = last_apply_;
  s.behind_since = behind_since_;
  s.last_error = last_error_;
  s.pending = routes_.pending() + neighbours_.pending() + undecided_.size() + bgp_queue_.size();
  s.routes_wanted = routes_.wanted();
  s.routes_installed = routes_.present();
  s.bgp_routes = chooser_.bgp().size();
  s.bgp_unresolved = chooser_.bgp().unresolved();
  s.neighbours = {neighbours_.neighbours(), neighbours_.neighbours_present()};
  s.fdb = {neighbours_.fdb_entries(), neighbours_.fdb_present()};
  s.sysctls = {sysctls_.wanted(), sysctls_.settled()};
  for (const link::TunnelDevice& device : tunnels_) {
    if (!device.wanted()) continue;
    ++s.tunnels.want;
    if (device.in_sync(links_)) ++s.tunnels.have;
  }
  s.interfaces = links_.all().size();
  s.repairs = repairs_ + routes_.repairs() + neighbours_.repairs();
  s.resyncs = resyncs_;
  for (const link::TunnelDevice& device : tunnels_) {
    for (const auto& [name, f] : device.retry().all())
      add_failure(
          s, [&k = name] { return "link " + k; }, f);
  }
  for (const auto& [place, f] : gateways_.failures()) {
    add_failure(
        s, [&k = place] { return "address " + k.second.to_string() + " on " + k.first; }, f);
  }
  for (const auto& [path, f] : sysctls_.failures())
    add_failure(
        s, [&k = path] { return "sysctl " + k; }, f);
  for (const auto& [key, f] : routes_.failures()) {
    add_failure(
        s, [&k = key] { return "route " + k.dst.to_string(); }, f);
  }
  for (const auto& [key, f] : neighbours_.neighbour_failures()) {
    add_failure(
        s, [&k = key] { return "neighbour " + k.address.to_string(); }, f);
  }
  for (const auto& [key, f] : neighbours_.fdb_failures()) {
    add_failure(
        s, [&k = key] { return "fdb " + k.mac.to_string(); }, f);
  }
  return s;
}

std::vector<InterfaceState> RoutePlane::Impl::interfaces() const {
  std::vector<InterfaceState> out;
  for (const auto& [index, i] : links_.all()) {
    out.push_back(state_of(i, is_workload(i.link.name)));
  }
  return out;
}

std::vector<KernelRoute> RoutePlane::Impl::kernel_routes() const {
  std::vector<KernelRoute> out;
  routes_.foreign().for_each([&](const netlink::Route& r) {
    if (r.type != netlink::RouteType::unicast) return;
    for (const netlink::NextHop& hop : r.hops) {
      const link::Interface* i = links_.by_index(hop.interface);
      if (i == nullptr) continue;
      out.push_back({r.dst, r.protocol, r.metric, hop.gateway, i->link.name});
    }
  });
  return out;
}

// Tells the others what changed since the last step.
void RoutePlane::Impl::report() {
  for (const IfIndex index : std::exchange(report_interfaces_, {})) {
    if (!events_.on_interface) continue;
    const link::Interface* i = links_.by_index(index);
    InterfaceState state;
    state.index = index;
    state.present = i != nullptr;
    if (i != nullptr) state = state_of(*i, is_workload(i->link.name));
    events_.on_interface(state);
  }
  if (reported_foreign_ != routes_.foreign_version()) {
    reported_foreign_ = routes_.foreign_version();
    if (events_.on_kernel_routes) events_.on_kernel_routes(kernel_routes());
  }
  const RoutePlaneStatus s = status();
  metrics_.routes.set(static_cast<double>(s.routes_wanted));
  metrics_.bgp_routes.set(static_cast<double>(s.bgp_routes));
  metrics_.bgp_unresolved.set(static_cast<double>(s.bgp_unresolved));
  metrics_.failing.set(static_cast<double>(s.failing));
  metrics_.repairs.add(s.repairs - std::exchange(reported_repairs_, s.repairs));
}

// --- the handle ------------------------------------------------------------------------------

Result<std::unique_ptr<RoutePlane>> RoutePlane::open(EventLoop& loop, RouteConfig config,
                                                     RoutePlaneEvents events,
                                                     metrics::Registry& registry) {
  netlink::SocketOptions options;
  options.receive_buffer = kRequestQueueBytes;
  MARGAY_TRY(netlink::Socket requests, netlink::Socket::open(0 /* NETLINK_ROUTE */, options));
  // Listening starts before the first reading, so that nothing falls between.
  MARGAY_TRY(netlink::RtnlMonitor monitor,
             netlink::RtnlMonitor::open(requests.port(), config.monitor_queue));
  auto impl = std::make_unique<Impl>(loop, std::move(config), std::move(events), registry,
                                     std::move(requests), std::move(monitor));
  MARGAY_CHECK(impl->start());
  return std::unique_ptr<RoutePlane>(new RoutePlane(std::move(impl)));
}

RoutePlane::RoutePlane(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RoutePlane::~RoutePlane() = default;
void RoutePlane::apply(const model::Batch& batch) { impl_->apply(batch); }
void RoutePlane::set_config(RouteConfig config) { impl_->set_config(std::move(config)); }
void RoutePlane::replace_bgp_routes(std::vector<BgpRoute> routes) {
  impl_->replace_bgp_routes(std::move(routes));
}
void RoutePlane::bgp_synced() { impl_->bgp_synced(); }
void RoutePlane::resync() { impl_->resync(); }
RoutePlaneStatus RoutePlane::status() const { return impl_->status(); }
std::vector<InterfaceState> RoutePlane::interfaces() const { return impl_->interfaces(); }
std::vector<KernelRoute> RoutePlane::kernel_routes() const { return impl_->kernel_routes(); }
std::vector<OwnRouteChange> RoutePlane::own_routes() const { return impl_->own_routes(); }

}  // namespace margay::dataplane
