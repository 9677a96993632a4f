// SPDX-License-Identifier: Apache-2.0
#include "dataplane/route/kernel_routes.h"

#include <algorithm>

namespace margay::route {

namespace {

bool uses(const netlink::Route& r, IfIndex interface) {
  return std::ranges::any_of(r.hops,
                             [&](const netlink::NextHop& h) { return h.interface == interface; });
}

// Takes the hops of `gone` out of `r`; true when none is left.
bool take_hops(netlink::Route& r, const netlink::Route& gone) {
  std::erase_if(r.hops, [&](const netlink::NextHop& h) {
    return std::ranges::any_of(gone.hops, [&](const netlink::NextHop& g) {
      return g.gateway == h.gateway && g.interface == h.interface;
    });
  });
  return r.hops.empty();
}

}  // namespace

void KernelRoutes::add(const netlink::RouteMessage& message) {
  const netlink::Route& route = message.route;
  auto [it, fresh] = table_.try_emplace(route.dst);
  if (fresh) {
    ++(route.dst.family() == Family::v4 ? lengths_v4_[route.dst.length()]
                                        : lengths_v6_[route.dst.length()]);
  }
  std::vector<netlink::Route>& routes = it->second;
  const RouteKey key = key_of(route);
  // IPv6 tells of a new sibling by sending the whole multipath route again.
  const bool whole =
      message.replaced || (route.dst.family() == Family::v6 && route.hops.size() > 1);
  if (whole) std::erase_if(routes, [&](const netlink::Route& r) { return key_of(r) == key; });
  if (std::ranges::find(routes, route) != routes.end()) return;
  const auto at = std::ranges::upper_bound(routes, route.metric, {}, &netlink::Route::metric);
  routes.insert(at, route);
}

void KernelRoutes::remove(const netlink::Route& route) {
  const auto it = table_.find(route.dst);
  if (it == table_.end()) return;
  std::vector<netlink::Route>& routes = it->second;
  const auto same = [&](const netlink::Route& r) {
    return key_of(r) == key_of(route) && r.protocol == route.protocol;
  };
  auto found = std::ranges::find(routes, route);
  if (found == routes.end()) found = std::ranges::find_if(routes, same);
  if (found != routes.end() && (*found == route || take_hops(*found, route))) routes.erase(found);
  if (!routes.empty()) return;
  --(route.dst.family() == Family::v4 ? lengths_v4_[route.dst.length()]
                                      : lengths_v6_[route.dst.length()]);
  table_.erase(it);
}

template <typename P>
void KernelRoutes::erase_if(P predicate) {
  for (auto it = table_.begin(); it != table_.end();) {
    std::erase_if(it->second, predicate);
    if (!it->second.empty()) {
      ++it;
      continue;
    }
    const Prefix& dst = it->first;
    --(dst.family() == Family::v4 ? lengths_v4_[dst.length()] : lengths_v6_[dst.length()]);
    it = table_.erase(it);
  }
}

void KernelRoutes::clear(Family family) {
  erase_if([&](const netlink::Route& r) { return r.dst.family() == family; });
}

void KernelRoutes::clear(Family family, IfIndex interface) {
  erase_if([&](const netlink::Route& r) { return r.dst.family() == family && uses(r, interface); });
}

const netlink::Route* KernelRoutes::lookup(
    const Ip& to, const std::function<bool(const netlink::Route&)>& counts) const {
  for (unsigned length = max_prefix_length(to.family()) + 1; length-- > 0;) {
    if ((to.is_v4() ? lengths_v4_[length] : lengths_v6_[length]) == 0) continue;
    const auto it = table_.find(Prefix::containing(to, length));
    if (it == table_.end()) continue;
    const auto best = std::ranges::find_if(
        it->second, [&](const netlink::Route& r) { return !counts || counts(r); });
    if (best == it->second.end()) continue;
    const bool leads = best->type == netlink::RouteType::unicast && !best->hops.empty();
    return leads ? &*best : nullptr;
  }
  return nullptr;
}

const netlink::Route* KernelRoutes::at(const RouteKey& key) const {
  const auto it = table_.find(key.dst);
  if (it == table_.end()) return nullptr;
  const auto found =
      std::ranges::find_if(it->second, [&](const netlink::Route& r) { return key_of(r) == key; });
  return found == it->second.end() ? nullptr : &*found;
}

std::size_t KernelRoutes::size() const {
  std::size_t n = 0;
  for (const auto& [dst, routes] : table_) n += routes.size();
  return n;
}

}  // namespace margay::route
