// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/bgp_routes.h"

#include <fnmatch.h>

#include <algorithm>

namespace margay::dataplane {

namespace {

constexpr std::uint8_t kProtocolKernel = 2;
// Next hops that lie close together are one network for those who ask where they are.
constexpr unsigned kNetworkV4 = 24, kNetworkV6 = 64;

}  // namespace

bool BgpRoutes::set(const BgpRoute& route) {
  const bool none = !route.next_hops || route.next_hops->empty();
  if (none && !route.blackhole) {
    const auto it = routes_.find(route.dst);
    if (it == routes_.end()) return false;
    release(it->second.hops);
    routes_.erase(it);
    return true;
  }
  const SetId hops = none || route.blackhole ? intern({}) : intern_again(route.next_hops);
  const Entry entry{hops, route.blackhole, route.metric};
  const auto [it, fresh] = routes_.try_emplace(route.dst, entry);
  if (fresh) return true;
  const bool changed = it->second != entry;
  release(it->second.hops);
  it->second = entry;
  return changed;
}

BgpRoutes::SetId BgpRoutes::intern_again(const BgpNextHops& hops) {
  if (hops != last_) {
    const SetId id = intern(*hops);
    last_ = hops;
    last_id_ = id;
    return id;
  }
  ++sets_[last_id_].users;
  return last_id_;
}

BgpRoutes::SetId BgpRoutes::intern(std::vector<BgpNextHop> hops) {
  std::ranges::sort(hops);
  hops.erase(std::unique(hops.begin(), hops.end()), hops.end());
  const auto it = ids_.find(hops);
  if (it != ids_.end()) {
    ++sets_[it->second].users;
    return it->second;
  }
  SetId id = static_cast<SetId>(sets_.size());
  if (free_.empty()) {
    sets_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  sets_[id] = HopSet{hops, resolve(hops), 1};
  count_networks(hops, true);
  ids_.emplace(std::move(hops), id);
  return id;
}

void BgpRoutes::release(SetId id) {
  HopSet& set = sets_[id];
  if (--set.users != 0) return;
  if (id == last_id_) last_.reset();
  ids_.erase(set.hops);
  count_networks(set.hops, false);
  set = {};
  free_.push_back(id);
}

void BgpRoutes::count_networks(const std::vector<BgpNextHop>& hops, bool add) {
  for (const BgpNextHop& hop : hops) {
    if (!hop.interface.empty()) continue;
    const auto network =
        Prefix::containing(hop.address, hop.address.is_v4() ? kNetworkV4 : kNetworkV6);
    if (add) {
      if (networks_[network]++ == 0) ++networks_version_;
    } else if (const auto it = networks_.find(network); --it->second == 0) {
      networks_.erase(it);
      ++networks_version_;
    }
  }
}

std::vector<Prefix> BgpRoutes::next_hop_networks() const {
  std::vector<Prefix> out;
  out.reserve(networks_.size());
  for (const auto& [network, users] : networks_) out.push_back(network);
  return out;
}

std::vector<Prefix> BgpRoutes::refresh() {
  std::vector<bool> changed(sets_.size());
  bool any = false;
  for (SetId id = 0; id < sets_.size(); ++id) {
    if (sets_[id].users == 0) continue;
    std::vector<Leg> now = resolve(sets_[id].hops);
    if (now == sets_[id].resolved) continue;
    sets_[id].resolved = std::move(now);
    changed[id] = any = true;
  }
  std::vector<Prefix> out;
  if (!any) return out;
  for (const auto& [dst, entry] : routes_) {
    if (changed[entry.hops]) out.push_back(dst);
  }
  return out;
}

std::optional<BgpRoutes::Way> BgpRoutes::find(const Prefix& dst) const {
  const auto it = routes_.find(dst);
  if (it == routes_.end()) return std::nullopt;
  const Entry& e = it->second;
  return Way{&sets_[e.hops].resolved, e.blackhole, e.metric};
}

std::size_t BgpRoutes::unresolved() const {
  std::size_t n = 0;
  for (const HopSet& set : sets_) {
    if (set.resolved.empty() && !set.hops.empty()) n += set.users;
  }
  return n;
}

std::vector<Prefix> BgpRoutes::all() const {
  std::vector<Prefix> out;
  out.reserve(routes_.size());
  for (const auto& [dst, entry] : routes_) out.push_back(dst);
  return out;
}

// --- resolution ------------------------------------------------------------------------------

std::vector<BgpRoutes::Leg> BgpRoutes::resolve(const std::vector<BgpNextHop>& hops) const {
  std::vector<Leg> out;
  for (const BgpNextHop& hop : hops) resolve(hop, out);
  return out;
}

void BgpRoutes::resolve(const BgpNextHop& hop, std::vector<Leg>& out) const {
  const auto add = [&](netlink::NextHop way) { out.push_back({hop.address, std::move(way)}); };
  if (!hop.interface.empty()) {
    const link::Interface* i = links_.by_name(hop.interface);
    if (i != nullptr && i->link.up) add({hop.address, i->link.index, 1, false});
    return;
  }
  if (links_.is_local(hop.address)) return;  // ourselves: leads nowhere
  if (const auto* claims = workloads_.claims(Prefix::host(hop.address))) {
    for (const std::string& name : *claims) {
      const link::Interface* i = links_.by_name(name);
      // onlink: our own host route may not stand yet
      if (i != nullptr && i->link.up) add({hop.address, i->link.index, 1, true});
    }
    return;
  }
  const netlink::Route* route =
      foreign_.lookup(hop.address, [this](const netlink::Route& r) { return !ignored(r); });
  if (route == nullptr) return;
  for (const netlink::NextHop& way : route->hops) {
    if (!usable(way.interface)) continue;
    add({way.gateway ? *way.gateway : hop.address, way.interface, way.weight, way.onlink});
  }
}

// As if no routing daemon had ever learnt it.
bool BgpRoutes::ignored(const netlink::Route& route) const {
  if (route.protocol != kProtocolKernel || route.hops.empty()) return false;
  const link::Interface* i = links_.by_index(route.hops.front().interface);
  return i != nullptr &&
         std::ranges::any_of(config_.bgp_ignored_interfaces, [&](const std::string& glob) {
           return fnmatch(glob.c_str(), i->link.name.c_str(), 0) == 0;
         });
}

bool BgpRoutes::usable(IfIndex index) const {
  const link::Interface* i = links_.by_index(index);
  return i != nullptr && i->link.up && !i->link.loopback;
}

}  // namespace margay::dataplane
