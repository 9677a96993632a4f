// SPDX-License-Identifier: Apache-2.0
// Routes of BGP with their next hops resolved through what the kernel can reach: connected and
// other foreign routes, workloads of our own. Equal sets of next hops are kept and resolved once,
// so that a change of one connected route costs what depends on it. Pure.
#pragma once

#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/ip.h"
#include "base/prefix_hash.h"
#include "dataplane/link/link_view.h"
#include "dataplane/managers/route_plane.h"
#include "dataplane/managers/workloads.h"
#include "dataplane/route/kernel_routes.h"

namespace margay::dataplane {

class BgpRoutes {
 public:
  BgpRoutes(const RouteConfig& config, const link::LinkView& links,
            const route::KernelRoutes& foreign, const Workloads& workloads)
      : config_(config), links_(links), foreign_(foreign), workloads_(workloads) {}

  // True when that changed something.
  bool set(const BgpRoute& route);
  // The kernel changed: resolves again, and returns the destinations whose way is another now.
  [[nodiscard]] std::vector<Prefix> refresh();

  // One way to one of the route's next hops.
  struct Leg {
    Ip next_hop;
    netlink::NextHop way;
    friend bool operator==(const Leg&, const Leg&) = default;
  };
  struct Way {
    const std::vector<Leg>* legs = nullptr;  // empty: unresolved
    bool blackhole = false;
    std::optional<std::uint32_t> metric;
  };
  [[nodiscard]] std::optional<Way> find(const Prefix& dst) const;
  [[nodiscard]] std::size_t size() const { return routes_.size(); }
  [[nodiscard]] std::size_t unresolved() const;
  [[nodiscard]] std::vector<Prefix> all() const;
  // Networks that next hops lie in; the number tells when there are others.
  [[nodiscard]] std::vector<Prefix> next_hop_networks() const;
  [[nodiscard]] std::uint64_t networks_version() const { return networks_version_; }

 private:
  using SetId = std::uint32_t;
  struct HopSet {
    std::vector<BgpNextHop> hops;
    std::vector<Leg> resolved;
    std::size_t users = 0;
  };
  struct Entry {
    SetId hops = 0;
    bool blackhole = false;
    std::optional<std::uint32_t> metric;
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  [[nodiscard]] SetId intern(std::vector<BgpNextHop> hops);
  // Most routes have the very next hops of the one before.
  [[nodiscard]] SetId intern_again(const BgpNextHops& hops);
  void count_networks(const std::vector<BgpNextHop>& hops, bool add);
  void release(SetId id);
  [[nodiscard]] std::vector<Leg> resolve(const std::vector<BgpNextHop>& hops) const;
  void resolve(const BgpNextHop& hop, std::vector<Leg>& out) const;
  [[nodiscard]] bool usable(IfIndex index) const;
  [[nodiscard]] bool ignored(const netlink::Route& route) const;

  const RouteConfig& config_;
  const link::LinkView& links_;
  const route::KernelRoutes& foreign_;
  const Workloads& workloads_;
  std::unordered_map<Prefix, Entry, PrefixHash> routes_;
  std::map<std::vector<BgpNextHop>, SetId> ids_;
  std::vector<HopSet> sets_;
  std::vector<SetId> free_;
  BgpNextHops last_;  // null: last_id_ means nothing
  SetId last_id_ = 0;
  std::map<Prefix, std::size_t> networks_;  // how many sets lead through each
  std::uint64_t networks_version_ = 0;
};

}  // namespace margay::dataplane
