// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "dataplane/managers/route_plane_impl.h"

namespace margay::dataplane {

namespace {

// Per step, so that the loop gets its turn within about 10 ms.
constexpr std::size_t kBgpPerStep = 8192;
constexpr std::size_t kChoicesPerStep = 8192;
constexpr std::size_t kWritesPerStep = 4096;
constexpr std::size_t kCutsPerStep = 4;
constexpr std::chrono::milliseconds kReadRetry{500};

std::size_t slot(Family f) { return f == Family::v4 ? 0 : 1; }

std::optional<Clock::time_point> earlier(std::optional<Clock::time_point> a,
                                         std::optional<Clock::time_point> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

}  // namespace

void RoutePlane::Impl::schedule() {
  if (scheduled_) return;
  scheduled_ = true;
  loop_.post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) step();
  });
}

void RoutePlane::Impl::step() {
  scheduled_ = false;
  const Clock::time_point now = loop_.now();
  const auto started = Clock::now();
  wake_.reset();
  wrote_ = false;
  take_bgp(kBgpPerStep);
  refresh_filter();
  read_again();
  if (bgp_synced_asked_ && bgp_queue_.empty() && !bgp_synced_) {
    bgp_synced_ = true;
    routes_.release_held();
  }
  if (reported_foreign_ != routes_.foreign_version()) chooser_.kernel_routes_changed();
  choose(kChoicesPerStep);
  refresh_interfaces();
  for (const Family f : kFamilies) refresh_vteps(f);
  // Before the whole view and our own reading nothing is written.
  bool more = !bgp_queue_.empty() || !undecided_.empty();
  if (desired_in_sync_ && !read_all_needed_) more = write(now) || more;
  settle(more);
  tell_own();
  report();
  if (desired_in_sync_ && !more && !applied_ && !read_all_needed_) {
    applied_ = true;
    log::info("routes_in_sync", kv("routes", routes_.wanted()), kv("failing", status().failing));
    if (events_.on_in_sync) events_.on_in_sync();
  }
  if (!more && !read_all_needed_ && routes_.pending() == 0) former_protocols_.clear();
  metrics_.step_seconds.observe(std::chrono::duration<double>(Clock::now() - started).count());
  more ? schedule() : arm(now);
}

void RoutePlane::Impl::choose(std::size_t max) {
  std::vector<Prefix> fresh = chooser_.take_dirty();
  if (undecided_.empty()) {
    undecided_ = std::move(fresh);
  } else {
    undecided_.insert(undecided_.end(), fresh.begin(), fresh.end());
  }
  for (; max > 0 && !undecided_.empty(); --max) {
    const Prefix dst = undecided_.back();
    undecided_.pop_back();
    auto route = chooser_.choose(dst);
    note_owner(dst, route);
    note_own(dst, route);
    if (!route) {
      const auto before = chosen_.find(dst);
      if (before == chosen_.end()) continue;
      routes_.forget({dst, before->second, 0});
      chosen_.erase(before);
      continue;
    }
    const std::uint32_t metric = route->metric;
    routes_.want(std::move(*route));
    const auto [before, first] = chosen_.try_emplace(dst, metric);
    if (first || before->second == metric) continue;
    routes_.forget({dst, before->second, 0});
    before->second = metric;
  }
}

// Connections of an address end with its owner: another interface has it now, or nobody of ours. A
// link that flaps keeps them.
void RoutePlane::Impl::note_owner(const Prefix& dst, const std::optional<netlink::Route>& route) {
  if (!dst.is_host()) return;
  const bool claimed = chooser_.workloads().claims(dst) != nullptr;
  const bool local = claimed && route && route->hops.size() == 1 && !route->hops.front().gateway;
  const auto owner = local_owner_.find(dst);
  if (owner == local_owner_.end()) {
    if (local) local_owner_.emplace(dst, route->hops.front().interface);
    return;
  }
  if (local && owner->second == route->hops.front().interface) return;
  if (!local && claimed) return;
  if (flows_) flows_->cut(dst.addr());
  if (local) {
    owner->second = route->hops.front().interface;
  } else {
    local_owner_.erase(owner);
  }
}

// --- routes of ours, for others ---

void RoutePlane::Impl::note_own(const Prefix& dst, const std::optional<netlink::Route>& route) {
  const bool own = route && route->protocol != config_.bgp_protocol;
  if (own || (!told_own_.empty() && told_own_.contains(dst))) untold_.insert(dst);
}

// Wanted, and of the kind that others are told of.
const netlink::Route* RoutePlane::Impl::own_route(const Prefix& dst) const {
  const auto chosen = chosen_.find(dst);
  if (chosen == chosen_.end() || !chooser_.in_cluster(dst)) return nullptr;
  const netlink::Route* r = routes_.wanted_at({dst, chosen->second, 0});
  const bool leads = r != nullptr && r->type == netlink::RouteType::unicast && !r->hops.empty();
  return leads && r->protocol != config_.bgp_protocol ? r : nullptr;
}

OwnRouteChange RoutePlane::Impl::describe_own(const netlink::Route& route) const {
  const netlink::NextHop& hop = route.hops.front();
  const link::Interface* i = links_.by_index(hop.interface);
  return {{route.dst, route.protocol, route.metric, hop.gateway,
           i == nullptr ? std::string() : i->link.name}};
}

// What is wanted and does not stand yet is told when it does.
void RoutePlane::Impl::tell_own() {
  std::vector<OwnRouteChange> news;
  std::erase_if(untold_, [&](const Prefix& dst) {
    const netlink::Route* route = own_route(dst);
    if (route == nullptr) {
      if (told_own_.erase(dst) != 0) news.push_back({{dst, 0, 0, {}, {}}, true});
      return true;
    }
    if (!routes_.installed(route::key_of(*route))) return false;
    told_own_.insert(dst);
    news.push_back(describe_own(*route));
    return true;
  });
  if (!news.empty() && events_.on_own_routes) events_.on_own_routes(news);
}

std::vector<OwnRouteChange> RoutePlane::Impl::own_routes() const {
  std::vector<OwnRouteChange> out;
  for (const Prefix& dst : told_own_) {
    if (const netlink::Route* route = own_route(dst)) out.push_back(describe_own(*route));
  }
  return out;
}

// --- workload interfaces ---------------------------------------------------------------------

void RoutePlane::Impl::refresh_interfaces() {
  for (const std::string& name : std::exchange(touched_interfaces_, {})) refresh_interface(name);
}

void RoutePlane::Impl::refresh_interface(const std::string& name) {
  const model::LocalWorkload* workload = chooser_.workloads().on(name);
  const link::Interface* i = links_.by_name(name);
  InterfaceWants now;
  if (workload != nullptr && i != nullptr && i->link.up) {
    want_sysctls(name, *workload, now);
    if (workload->mac) {
      for (const Prefix& p : chooser_.workloads().addresses_on(name)) {
        if (p.family() != Family::v4) continue;  // IPv6 finds its neighbour itself
        const neigh::NeighKey key{i->link.index, p.addr()};
        neighbours_.want_neighbour(key, *workload->mac);
        now.neighbours.push_back(key);
      }
    }
  }
  InterfaceWants& before = interface_wants_[name];
  for (const std::string& path : before.sysctls) {
    if (std::ranges::find(now.sysctls, path) == now.sysctls.end()) sysctls_.forget(path);
  }
  for (const neigh::NeighKey& key : before.neighbours) {
    if (std::ranges::find(now.neighbours, key) == now.neighbours.end()) {
      neighbours_.forget_neighbour(key);
    }
  }
  before = std::move(now);
  if (workload == nullptr && before.sysctls.empty()) interface_wants_.erase(name);
}

void RoutePlane::Impl::want_sysctls(const std::string& name, const model::LocalWorkload& workload,
                                    InterfaceWants& wants) {
  const auto want = [&](const std::string& path, std::string value) {
    sysctls_.want(path, std::move(value));
    wants.sysctls.push_back(path);
  };
  const std::string v4 = "ipv4/conf/" + name + "/";
  want(v4 + "route_localnet", "1");
  want("ipv4/neigh/" + name + "/proxy_delay", "0");
  want(v4 + "proxy_arp", "1");
  want(v4 + "forwarding", "1");
  const auto standard = sysctls_.read("ipv4/conf/default/rp_filter");
  want(v4 + "rp_filter",
       !workload.spoofable.empty() ? "0" : (standard.ok() ? *standard : std::string("1")));
  if (!ipv6_) return;
  const std::string v6 = "ipv6/conf/" + name + "/";
  want(v6 + "accept_ra", "0");
  want(v6 + "proxy_ndp", "1");
  want(v6 + "forwarding", "1");
}

// The host's own forwarding. An uplink whose default route came from a router advertisement would
// lose it when forwarding goes on, unless it is told to accept them still.
void RoutePlane::Impl::want_forwarding() {
  constexpr const char* kV4 = "ipv4/ip_forward";
  constexpr const char* kV6 = "ipv6/conf/all/forwarding";
  constexpr std::uint8_t kProtocolRa = 9;
  if (!config_.ip_forwarding) {
    sysctls_.forget(kV4);
    sysctls_.forget(kV6);
    return;
  }
  sysctls_.want(kV4, "1");
  if (!ipv6_) return;
  const Prefix everything = Prefix::containing(Ip::any(Family::v6), 0);
  routes_.foreign().for_each_to(everything, [&](const netlink::Route& r) {
    if (r.protocol != kProtocolRa) return;
    for (const netlink::NextHop& hop : r.hops) {
      const link::Interface* i = links_.by_index(hop.interface);
      if (i == nullptr) continue;
      const std::string path = "ipv6/conf/" + i->link.name + "/accept_ra";
      const auto value = sysctls_.read(path);
      if (value.ok() && *value == "1") sysctls_.want(path, "2");
    }
  });
  (void)sysctls_.apply(loop_.now());  // accept_ra first
  sysctls_.want(kV6, "1");
}

// --- VXLAN peers -----------------------------------------------------------------------------

void RoutePlane::Impl::refresh_vteps(Family family) {
  const link::Interface* device = links_.by_name(vxlan_device(family));
  const bool usable = device != nullptr && device->link.vxlan && device->link.up;
  vteps_[slot(family)].refresh(neighbours_, usable ? device->link.index : IfIndex{},
                               chooser_.vteps(family));
}

// --- writing ---------------------------------------------------------------------------------

bool RoutePlane::Impl::write_devices(Clock::time_point now) {
  bool written = false;
  for (link::TunnelDevice& device : tunnels_) {
    const RouteChooser::Tunnel tunnel = chooser_.tunnel(device.name());
    if (tunnel.parent_missing) continue;
    device.want(tunnel.spec);
    const link::Interface* before = links_.by_name(device.name());
    const IfIndex old = before == nullptr ? IfIndex{} : before->link.index;
    if (!device.apply(requests_, links_, now)) continue;
    written = wrote_ = true;
    const link::Interface* after = links_.by_name(device.name());
    // A device that we have not read: its entries, if it had any, are ours to compare.
    if (after != nullptr && after->link.index != old && after->link.vxlan) {
      (void)neighbours_.read_fdb(requests_, after->link.index);
    }
  }
  return written;
}

bool RoutePlane::Impl::write(Clock::time_point now) {
  routes_.wake(now);
  neighbours_.wake(now);
  if (write_devices(now)) {
    choose(SIZE_MAX);
    refresh_interfaces();
    for (const Family f : kFamilies) refresh_vteps(f);
  }
  wrote_ = gateways_.apply(requests_, links_, now) || wrote_;
  want_forwarding();
  const auto settings = sysctls_.apply(now);
  repairs_ += settings.repaired;
  metrics_.written.add(settings.written);
  const auto entries = neighbours_.apply(requests_, now);
  if (!entries.ok()) fail(entries.error());
  wrote_ = wrote_ || settings.written > 0 || (entries.ok() && *entries);
  bool more = false;
  if (flows_ && flows_->pending()) {
    // Before the route of the new owner stands.
    const auto cut = flows_->apply(kCutsPerStep);
    if (!cut.ok()) log::warn("flows_not_cut", kv("error", cut.error()));
    if (cut.ok()) metrics_.flows.add(*cut);
    more = flows_->pending();
  }
  if (config_.route_sync_disabled) return more;
  const auto done = routes_.apply(requests_, now, kWritesPerStep);
  if (!done.ok()) {
    fail(done.error());
    return more;
  }
  metrics_.written.add(done->written);
  metrics_.removed.add(done->removed);
  metrics_.refused.add(done->refused);
  wrote_ = wrote_ || done->written + done->removed > 0;
  if (done->unsure) read_all_needed_ = true;
  last_apply_ = now;
  return more || done->more || done->unsure;
}

// How far behind we are, and how long what is done has taken.
void RoutePlane::Impl::settle(bool more) {
  const Clock::time_point now = loop_.now();
  const bool stuck =
      read_all_needed_ || !last_error_.empty() || std::ranges::any_of(tunnels_, [](const auto& d) {
        return d.retry().size() > 0 && !d.impossible();
      });
  if (!desired_in_sync_ || (!more && !stuck)) {
    behind_since_.reset();
  } else if (!behind_since_ || (wrote_ && !stuck)) {
    behind_since_ = now;
  }
  written_ = written_ || wrote_;
  if (!more && !stuck) latency_.settled(std::exchange(written_, false), now);
  if (!wrote_ && !std::exchange(fresh_due_, false)) return;
  for (auto it = fresh_.begin(); it != fresh_.end();) {
    const model::LocalWorkload* workload = chooser_.workloads().find(it->first);
    if (workload != nullptr && !programmed(*workload)) {
      ++it;
      continue;
    }
    if (workload != nullptr) {
      const link::Interface* i = links_.by_name(workload->interface_name);
      latency_.endpoint(std::max(it->second, i->since), now);
    }
    it = fresh_.erase(it);
  }
}

bool RoutePlane::Impl::programmed(const model::LocalWorkload& workload) const {
  if (links_.by_name(workload.interface_name) == nullptr) return false;
  return std::ranges::all_of(workload.addresses, [this](const Prefix& address) {
    const auto chosen = chosen_.find(address);
    return chosen != chosen_.end() && routes_.installed({address, chosen->second, 0});
  });
}

// --- time ------------------------------------------------------------------------------------

void RoutePlane::Impl::arm(Clock::time_point now) {
  auto next = earlier(routes_.next_wake(now), neighbours_.next_wake(now));
  next = earlier(next, sysctls_.next_wake(now));
  next = earlier(next, gateways_.next_wake(now));
  for (const link::TunnelDevice& device : tunnels_)
    next = earlier(next, device.retry().next_after(now));
  if (read_all_needed_) next = earlier(next, now + kReadRetry);
  if (!next) return;
  wake_ = loop_.after(std::max(*next - now, Clock::duration(std::chrono::milliseconds(1))),
                      [this] { schedule(); });
}

void RoutePlane::Impl::arm_audit() {
  audit_.reset();
  if (config_.audit_interval.count() == 0) return;
  audit_ = loop_.after(config_.audit_interval, [this] {
    audit();
    arm_audit();
  });
}

}  // namespace margay::dataplane
