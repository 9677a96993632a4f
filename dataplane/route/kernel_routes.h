// SPDX-License-Identifier: Apache-2.0
// The routes of a table that are not ours, as the kernel shows them: what BGP next hops resolve
// through, and which places (destination, metric) are taken. Longest match, then lowest metric.
// Pure; fed by RouteTable.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/ip.h"
#include "base/prefix_hash.h"
#include "dataplane/netlink/rtnl.h"

namespace margay::route {

// What the kernel tells routes of one table apart by, as far as we write them.
struct RouteKey {
  Prefix dst;
  std::uint32_t metric = 0;
  std::uint8_t tos = 0;
  friend auto operator<=>(const RouteKey&, const RouteKey&) = default;
};
[[nodiscard]] inline RouteKey key_of(const netlink::Route& r) { return {r.dst, r.metric, r.tos}; }

struct RouteKeyHash {
  // Not noexcept: the tables then keep the hash (base/ip.h).
  std::size_t operator()(const RouteKey& k) const {
    return PrefixHash{}(k.dst) + (std::size_t{k.metric} << 8 | k.tos) * 0x9e3779b97f4a7c15U;
  }
};

class KernelRoutes {
 public:
  void add(const netlink::RouteMessage& message);
  // Forgets the route; of an IPv6 multipath route only the hops named.
  void remove(const netlink::Route& route);
  void clear(Family family);
  void clear(Family family, IfIndex interface);  // those with a hop through it

  // The best unicast route to `to`, of those for which `counts` holds (all); null when there is
  // none or it leads nowhere.
  [[nodiscard]] const netlink::Route* lookup(
      const Ip& to, const std::function<bool(const netlink::Route&)>& counts = {}) const;
  // A route that holds this place.
  [[nodiscard]] const netlink::Route* at(const RouteKey& key) const;
  [[nodiscard]] std::size_t size() const;
  template <typename F>
  void for_each(F f) const {
    for (const auto& [dst, routes] : table_) {
      for (const netlink::Route& r : routes) f(r);
    }
  }
  // Those to exactly this destination.
  template <typename F>
  void for_each_to(const Prefix& dst, F f) const {
    const auto it = table_.find(dst);
    if (it == table_.end()) return;
    for (const netlink::Route& r : it->second) f(r);
  }

 private:
  template <typename P>
  void erase_if(P predicate);

  std::unordered_map<Prefix, std::vector<netlink::Route>, PrefixHash> table_;
  std::array<std::size_t, 33> lengths_v4_{};  // how many destinations of each length there are
  std::array<std::size_t, 129> lengths_v6_{};
};

}  // namespace margay::route
