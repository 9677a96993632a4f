// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "dataplane/managers/route_plane_impl.h"

namespace margay::dataplane {

namespace {

constexpr std::uint8_t kProtocolKernel = 2, kProtocolBoot = 3, kProtocolRa = 9;
constexpr std::size_t kWatchedPlaces = 8;
constexpr unsigned kLeastWatchedLength = 8;
constexpr std::size_t kSettingsAtOnce = 200;  // of an audit: with eight a pod, 25 pods

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};

}  // namespace

Result<void> RoutePlane::Impl::start() {
  ipv6_ = sysctls_.read("ipv6/conf/all/forwarding").ok();
  MARGAY_CHECK(read_all());
  if (auto flows = conntrack::Flows::open(); flows.ok()) flows_ = std::move(*flows);
  listen();
  arm_audit();
  schedule();
  return {};
}

void RoutePlane::Impl::listen() {
  listener_.link = [this](const netlink::LinkMessage& m) { links_.notice(m, loop_.now()); };
  listener_.address = [this](const netlink::AddressMessage& m) { links_.notice(m); };
  listener_.route = [this](const netlink::RouteMessage& m) { routes_.notice(m, loop_.now()); };
  listener_.neighbour = [this](const netlink::NeighbourMessage& m) { neighbours_.notice(m); };
  listener_.fdb = [this](const netlink::FdbMessage& m) { neighbours_.notice(m); };
  listener_.settings = [this](IfIndex index) { on_settings(index); };
  watch_ = loop_.readable(monitor_.fd(), [this] { drain(); });
}

void RoutePlane::Impl::drain() {
  const auto more = monitor_.drain(listener_);
  if (!more.ok() && more.error().code == Code::overrun) {
    ++resyncs_;
    metrics_.resyncs.add();
    log::warn("route_monitor_overrun");
    read_all_needed_ = true;
    auditing_ = false;
  } else if (!more.ok()) {
    watch_.reset();
    if (events_.on_fatal) events_.on_fatal("route monitor: " + more.error().message());
    return;
  }
  schedule();
}

// --- desired state ---------------------------------------------------------------------------

void RoutePlane::Impl::apply(const model::Batch& batch) {
  latency_.arrived(batch.since);
  for (const model::Change& change : batch.changes) {
    if (const auto* w = std::get_if<model::LocalWorkload>(&change)) note_endpoint(*w, batch.since);
    take(change);
  }
  if (batch.in_sync) desired_in_sync_ = true;
  schedule();
}

void RoutePlane::Impl::take(const model::Change& change) {
  std::visit(
      Overloaded{
          [&](const model::LocalWorkload& w) { touched_interfaces_.merge(chooser_.set(w)); },
          [&](const model::WorkloadRemove& r) { touched_interfaces_.merge(chooser_.remove(r.id)); },
          [&](const model::RouteTarget& t) { chooser_.set(t); },
          [&](const model::RouteRemove& r) { chooser_.remove_target(r.dst); },
          [&](const model::Vtep& v) { change_vtep(v.node, v.tunnel_ip.family(), &v); },
          [&](const model::VtepRemove& r) { change_vtep(r.node, r.family, nullptr); },
          [&](const model::LocalNode& n) { chooser_.set(n); },
          [&](const model::DesiredPool& p) { chooser_.set(p); },
          [&](const model::PoolRemove& r) { chooser_.remove_pool(r.cidr); },
          [&](const model::EncapInUse& e) { chooser_.set(e); },
          [](const auto&) {}},  // policy, sets, host endpoints, services: not about routes
      change);
}

void RoutePlane::Impl::change_vtep(const std::string& node, Family family, const model::Vtep* now) {
  const auto& all = chooser_.vteps(family);
  const auto before = all.find(node);
  vteps_[family == Family::v4 ? 0 : 1].change(before == all.end() ? nullptr : &before->second, now);
  now == nullptr ? chooser_.remove_vtep(node, family) : chooser_.set(*now);
}

void RoutePlane::Impl::note_endpoint(const model::LocalWorkload& workload,
                                     std::optional<Clock::time_point> since) {
  if (!since || chooser_.workloads().find(workload.id) != nullptr) return;
  fresh_.emplace(workload.id, *since);
  fresh_due_ = true;
}

void RoutePlane::Impl::set_config(RouteConfig config) {
  if (config == config_) return;
  gateways_.want(config.workload_gateways);
  config_.workload_gateways = config.workload_gateways;
  schedule();
  if (config == config_) return;  // only those have changed: there is nothing to read again
  const bool audit = config.audit_interval != config_.audit_interval;
  if (config.workload_prefixes != config_.workload_prefixes) {
    for (const auto& [index, interface] : links_.all()) report_interfaces_.insert(index);
  }
  for (const std::uint8_t p : {config_.agent_protocol, config_.device_protocol}) {
    if (p != kProtocolBoot) former_protocols_.insert(p);
  }
  config_ = std::move(config);
  chooser_.config_changed();
  filtered_interest_.reset();
  for (const auto& [name, wants] : interface_wants_) touched_interfaces_.insert(name);
  gateways_.suspect();      // other interfaces may be workloads'
  read_all_needed_ = true;  // what counts as ours may be other routes now
  auditing_ = false;
  if (audit) arm_audit();
}

void RoutePlane::Impl::replace_bgp_routes(std::vector<BgpRoute> routes) {
  bgp_queue_.insert(bgp_queue_.end(), std::make_move_iterator(routes.begin()),
                    std::make_move_iterator(routes.end()));
  schedule();
}

void RoutePlane::Impl::take_bgp(std::size_t max) {
  while (max-- > 0 && !bgp_queue_.empty()) {
    chooser_.set_bgp(bgp_queue_.front());
    bgp_queue_.pop_front();
  }
}

void RoutePlane::Impl::bgp_synced() {
  bgp_synced_asked_ = true;  // takes effect behind what is queued
  schedule();
}

void RoutePlane::Impl::resync() {
  read_all_needed_ = true;
  auditing_ = false;
  schedule();
}

void RoutePlane::Impl::audit() {
  if (read_all_needed_) return;  // that reads more
  resync();
  auditing_ = true;
}

// --- the kernel ------------------------------------------------------------------------------

void RoutePlane::Impl::on_link(const link::LinkChangeSeen& seen) {
  const bool was_up = seen.before && seen.before->up;
  const bool is_up = seen.after != nullptr && seen.after->link.up;
  report_interfaces_.insert(seen.index);
  gateways_.suspect();
  if (seen.after == nullptr) {
    rescan_.erase(seen.index);
    refresh_interface(seen.before->name);  // a successor of that name starts with no settings
    routes_.flushed(seen.index);
    neighbours_.flushed(seen.index);
  } else if (was_up && !is_up) {
    rescan_.insert(seen.index);  // the kernel drops its routes without telling of IPv4's
    neighbours_.flushed(seen.index);
  }
  if (seen.address_gone) rescan_.insert(seen.index);
  const auto touch = [this](const std::string& name) {
    chooser_.interface_changed(name);
    touched_interfaces_.insert(name);
  };
  if (seen.after != nullptr) {
    touch(seen.after->link.name);
    if (seen.before && seen.before->name != seen.after->link.name) {
      rescan_.insert(seen.index);  // other routes on it are ours, or no longer ours
      touch(seen.before->name);
    }
  } else {
    touch(seen.before->name);
  }
  if (is_up && !was_up) routes_.retry_refused();
  // Before the kernel's own removals arrive: they must not look like somebody else's.
  if (!is_up) choose(SIZE_MAX);
}

void RoutePlane::Impl::on_settings(IfIndex interface) {
  const link::Interface* i = links_.by_index(interface);
  if (i == nullptr) {
    sysctls_.suspect_all();
    return;
  }
  const auto wants = interface_wants_.find(i->link.name);
  if (wants == interface_wants_.end()) return;
  for (const std::string& path : wants->second.sysctls) sysctls_.suspect(path);
}

Result<void> RoutePlane::Impl::read_all() {
  MARGAY_CHECK(set_filter());
  MARGAY_CHECK(links_.read(requests_, loop_.now()));
  MARGAY_CHECK(read_routes());
  MARGAY_CHECK(neighbours_.read_neighbours(requests_));
  for (const Family f : kFamilies) {
    const link::Interface* device = links_.by_name(vxlan_device(f));
    if (device != nullptr && device->link.vxlan) {
      MARGAY_CHECK(neighbours_.read_fdb(requests_, device->link.index));
    }
  }
  if (std::exchange(auditing_, false)) {
    sysctls_.suspect_some(kSettingsAtOnce);
  } else {
    sysctls_.suspect_all();
  }
  rescan_.clear();
  return {};
}

Result<void> RoutePlane::Impl::read_routes() {
  read_routes_needed_ = false;
  for (const Family f : kFamilies) {
    if (f == Family::v6 && !ipv6_) continue;
    MARGAY_CHECK(routes_.read(requests_, f));
  }
  return {};
}

// Places that others hold are watched, so that ours comes when theirs goes; but not many, and none
// that has half the world in it: what is heard costs. The periodic audit does for the rest.
std::vector<Prefix> RoutePlane::Impl::interest() const {
  std::vector<Prefix> out = chooser_.interest();
  std::size_t watched = 0;
  for (const Prefix& dst : routes_.taken()) {
    if (dst.length() < kLeastWatchedLength) continue;
    if (watched++ == kWatchedPlaces) break;
    out.push_back(dst);
  }
  return out;
}

// Until the first whole view tells what we have to do with, everything is heard and only counted.
Result<void> RoutePlane::Impl::set_filter() {
  filtered_interest_ = interest_version();
  std::vector<std::uint8_t> own{config_.agent_protocol, config_.device_protocol};
  if (config_.bgp) own.push_back(config_.bgp_protocol);
  routes_.set_filter({own, {config_.metric_v4, config_.metric_v6}, interest()});
  filtering_ = desired_in_sync_;
  return filtering_ ? monitor_.hear(routes_.filter()) : Result<void>();
}

// Other foreign routes matter now: the kernel is told first, then what it kept from us is read.
void RoutePlane::Impl::refresh_filter() {
  if (!desired_in_sync_ || filtered_interest_ == interest_version()) return;
  const std::vector<Prefix> wanted = interest();
  const bool enough = filtering_ && std::ranges::all_of(wanted, [this](const Prefix& p) {
                        return routes_.filter().covers(p);
                      });
  if (enough) {
    filtered_interest_ = interest_version();
    return;
  }
  const bool unheard = std::exchange(filtering_, false);
  if (const auto done = set_filter(); !done.ok()) return fail(done.error());
  read_routes_needed_ = routes_.take_disregarded() || unheard;
}

// Whatever must be read before the next write: everything, or some interfaces' routes.
void RoutePlane::Impl::read_again() {
  if (read_all_needed_) {
    read_all_needed_ = false;
    if (const auto done = read_all(); !done.ok()) {
      fail(done.error());
      return;
    }
    read_failures_ = 0;
    last_error_.clear();
  }
  if (read_routes_needed_) {
    if (const auto done = read_routes(); !done.ok()) fail(done.error());
  }
  for (const IfIndex index : std::exchange(rescan_, {})) {
    for (const Family f : kFamilies) {
      if (f == Family::v6 && !ipv6_) continue;
      const auto done = routes_.read(requests_, f, index);
      if (!done.ok() && done.error().sys_errno != ENODEV) fail(done.error());
    }
  }
}

void RoutePlane::Impl::fail(const Error& error) {
  constexpr unsigned kTooMany = 5;
  log::warn("route_read_failed", kv("error", error));
  last_error_ = error.message();
  if (++read_failures_ == kTooMany && events_.on_fatal) {
    events_.on_fatal("reading the kernel: " + error.message());
  }
  read_all_needed_ = true;  // with the next wake-up
}

bool RoutePlane::Impl::is_workload(const std::string& name) const {
  return std::ranges::any_of(config_.workload_prefixes, [&](const std::string& prefix) {
    return !prefix.empty() && name.starts_with(prefix);
  });
}

bool RoutePlane::Impl::is_tunnel(const std::string& name) const {
  return name == kVxlanDevice || name == kVxlanDeviceV6;
}

bool RoutePlane::Impl::ours(const netlink::Route& route) const {
  const std::uint8_t p = route.protocol;
  if (p == kProtocolKernel || p == kProtocolRa) return false;
  if (p == config_.agent_protocol || former_protocols_.contains(p)) return true;
  if (p == config_.bgp_protocol && config_.bgp) return true;
  if (p == config_.device_protocol && p != kProtocolBoot) return true;
  if (route.hops.empty()) return false;
  bool workload = true, tunnel = true, ipip = true;
  for (const netlink::NextHop& hop : route.hops) {
    const link::Interface* i = links_.by_index(hop.interface);
    workload = workload && i != nullptr && is_workload(i->link.name);
    tunnel = tunnel && i != nullptr && is_tunnel(i->link.name);
    ipip = ipip && i != nullptr && i->link.name == kIpipDevice;
  }
  // Another daemon's; but what BIRD left in the tunnel whose routes are the agent's holds its
  // place.
  if (p == config_.bgp_protocol) return ipip && config_.programs(model::Encap::ipip);
  return tunnel || (workload && (p == kProtocolBoot || config_.remove_external_routes));
}

std::optional<Clock::time_point> RoutePlane::Impl::hold(const netlink::Route& route,
                                                        Clock::time_point now) const {
  if (config_.bgp && route.protocol == config_.bgp_protocol && !bgp_synced_)
    return Clock::time_point::max();
  if (route.hops.size() != 1 || route.protocol == config_.agent_protocol) return std::nullopt;
  const bool like_ours = route.protocol == config_.device_protocol && route.metric != 0;
  const link::Interface* i = links_.by_index(route.hops.front().interface);
  if (i == nullptr || like_ours || !is_workload(i->link.name)) return std::nullopt;
  // A plugin's route for an endpoint that we have not heard of yet. When ours stands for the same
  // address the plugin's has served its purpose.
  const auto chosen = chosen_.find(route.dst);
  if (chosen != chosen_.end() && routes_.installed({route.dst, chosen->second, 0})) {
    return std::nullopt;
  }
  if (i->since == Clock::time_point{}) return std::nullopt;
  const Clock::time_point until = i->since + config_.external_grace;
  return until > now ? std::optional(until) : std::nullopt;
}

}  // namespace margay::dataplane
