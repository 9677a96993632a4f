// SPDX-License-Identifier: Apache-2.0
// The part of Rib that listens to the kernel: routes that are not BGP's, offered to peers, and the
// way to next hops.
#include <algorithm>

#include "bgp/rib/rib.h"
#include "bgp/rib/rib_state.h"

namespace margay::bgp {
namespace {

bool by_interface(const std::vector<FilterRule>& rules) {
  return std::any_of(rules.begin(), rules.end(),
                     [](const FilterRule& r) { return !r.interface.empty(); });
}

}  // namespace

bool names_interfaces(const FilterList& filters) {
  return std::any_of(filters.begin(), filters.end(), [](const auto& f) {
    return by_interface(f->import_v4) || by_interface(f->import_v6) || by_interface(f->export_v4) ||
           by_interface(f->export_v6);
  });
}

void Rib::set_kernel_routes(const std::vector<LearntRoute>& routes) {
  bool moved = view_.set(routes);
  std::unordered_map<Prefix, const LearntRoute*> want;  // of several, the kernel's choice
  for (const auto& r : routes) {
    const auto [it, added] = want.try_emplace(r.prefix, &r);
    if (!added && r.metric < it->second->metric) it->second = &r;
  }
  std::vector<Prefix> gone;
  for (const auto& [prefix, learnt] : learnt_) {
    if (learnt.foreign && !want.contains(prefix)) gone.push_back(prefix);
  }
  for (const Prefix& prefix : gone) moved |= learn(prefix, &Learnt::foreign, nullptr);
  for (const auto& [prefix, route] : want) moved |= learn(prefix, &Learnt::foreign, route);
  if (moved) ways_moved();
}

void Rib::change_dataplane_routes(const std::vector<DataplaneChange>& changes) {
  bool moved = false;
  for (const auto& c : changes) {
    moved |= learn(c.route.prefix, &Learnt::ours, c.gone ? nullptr : &c.route);
  }
  if (moved) ways_moved();
}

const LearntRoute* Rib::Learnt::choice() const {
  if (!foreign || !ours) return foreign ? &*foreign : ours ? &*ours : nullptr;
  return foreign->metric < ours->metric ? &*foreign : &*ours;
}

// True: it leads through another interface now, which attributes do not show.
bool Rib::learn(const Prefix& prefix, std::optional<LearntRoute> Learnt::*whose,
                const LearntRoute* route) {
  const auto [it, added] = learnt_.try_emplace(prefix);
  Learnt& learnt = it->second;
  if (route != nullptr && learnt.*whose == *route) return false;
  const std::string before = added ? std::string() : learnt.choice()->interface;
  learnt.*whose = route == nullptr ? std::nullopt : std::optional(*route);
  const LearntRoute* now = learnt.choice();
  if (now == nullptr) {
    withdraw(peer(kKernelPeer), kKernelPeer, {prefix, 0});
    learnt_.erase(it);
    return false;
  }
  Attributes a;
  a.next_hop = now->gateway.value_or(Ip::any(prefix.family()));
  if (now->metric != 0) a.local_pref = kPreferenceBase - now->metric;
  const AttrId id = attributes_.intern(std::move(a));
  announce(peer(kKernelPeer), kKernelPeer, {prefix, 0}, id, id);
  attributes_.unref(id);
  return !before.empty() && before != now->interface;
}

// Rare, so everything that may depend on it is looked at again.
void Rib::ways_moved() {
  for (DestId d = 0; d < dests_.end(); ++d) {
    if (dests_[d].used) mark(d);
  }
  for (auto& g : groups_) refill(*g);
  for (PeerId id = kFirstPeer; id < peers_.size(); ++id) {
    if (!peers_[id] || !names_interfaces(peers_[id]->info.filters)) continue;
    peers_[id]->job.refilter = true;
    start_job(id);
  }
}

void Rib::refill(Group& g) {
  clear_memo(g);
  g.fill_at = 0;
  g.filling = true;
}

bool Rib::reachable(PeerId source, const Attributes& a) const {
  if (source < kFirstPeer) return true;
  // Its session says so: pods that speak BGP are behind routes of our own.
  return a.next_hop == peer(source).info.address || view_.reachable(a.next_hop);
}

std::string_view Rib::interface_of(const Prefix& prefix, PeerId source, const Attributes& a) const {
  if (source == kLocalPeer) return {};
  if (source != kKernelPeer) return view_.interface_to(a.next_hop);
  const auto it = learnt_.find(prefix);
  return it == learnt_.end() ? std::string_view() : it->second.choice()->interface;
}

}  // namespace margay::bgp
