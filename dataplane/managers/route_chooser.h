// SPDX-License-Identifier: Apache-2.0
// Which route, if any, a destination gets: the one owner table. Keeps what calc wants (targets,
// VTEPs, pools, this node) beside the workloads and BGP, and answers per destination with the best
// class that can be installed now. Also says how the tunnel devices should look. Every input marks
// the destinations it may change. Pure: the kernel is seen through LinkView and KernelRoutes.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "dataplane/link/link_view.h"
#include "dataplane/link/tunnel_device.h"
#include "dataplane/managers/bgp_routes.h"
#include "dataplane/managers/route_plane.h"
#include "dataplane/managers/workloads.h"
#include "model/desired.h"

namespace margay::dataplane {

inline constexpr const char* kVxlanDevice = "vxlan.calico";
inline constexpr const char* kVxlanDeviceV6 = "vxlan-v6.calico";
inline constexpr const char* kIpipDevice = "tunl0";
[[nodiscard]] inline const char* vxlan_device(Family f) {
  return f == Family::v4 ? kVxlanDevice : kVxlanDeviceV6;
}

class RouteChooser {
 public:
  RouteChooser(const RouteConfig& config, const link::LinkView& links,
               const route::KernelRoutes& foreign);

  // Inputs. The workload ones answer with the interfaces whose sysctls and neighbours may change.
  [[nodiscard]] std::set<std::string> set(const model::LocalWorkload& workload);
  [[nodiscard]] std::set<std::string> remove(const model::EndpointId& id);
  void set(const model::RouteTarget& target);
  void remove_target(const Prefix& dst);
  void set(const model::Vtep& vtep);
  void remove_vtep(const std::string& node, Family family);
  void set(const model::LocalNode& node);
  void set(const model::DesiredPool& pool);
  void remove_pool(const Prefix& cidr);
  void set(const model::EncapInUse& encap);
  void set_bgp(const BgpRoute& route);

  // The outside changed.
  void interface_changed(const std::string& name);
  void kernel_routes_changed();
  void config_changed();  // the referenced RouteConfig has other values now

  [[nodiscard]] std::vector<Prefix> take_dirty();
  [[nodiscard]] std::optional<netlink::Route> choose(const Prefix& dst) const;
  // A workload of ours, or a destination that calc named.
  [[nodiscard]] bool in_cluster(const Prefix& dst) const {
    return targets_.contains(dst) || workloads_.claims(dst) != nullptr;
  }

  // The wanted shape of one of the three devices; nothing when there is no use for it.
  // `parent_missing`: there is, but no interface holds the node's address (a standing device is
  // then left alone).
  struct Tunnel {
    std::optional<link::TunnelSpec> spec;
    bool parent_missing = false;
  };
  [[nodiscard]] Tunnel tunnel(const std::string& device) const;
  [[nodiscard]] const std::map<std::string, model::Vtep>& vteps(Family family) const {
    return vteps_[index(family)];
  }
  // Prefixes in which others' routes may touch ours or lead to next hops; the number tells when
  // there are others.
  [[nodiscard]] std::vector<Prefix> interest() const;
  [[nodiscard]] std::uint64_t interest_version() const {
    return interest_version_ + bgp_.networks_version();
  }
  [[nodiscard]] const Workloads& workloads() const { return workloads_; }
  [[nodiscard]] const BgpRoutes& bgp() const { return bgp_; }

 private:
  static std::size_t index(Family f) { return f == Family::v4 ? 0 : 1; }
  void mark(const std::vector<Prefix>& dsts);
  void mark_targets(Family family);
  void mark_tunnelled();
  void unlink(const model::RouteTarget& target);
  void drop_gateway(const Ip& tunnel_ip);
  [[nodiscard]] const InterfaceAddress* node_address(Family family) const;
  [[nodiscard]] const link::Interface* parent(Family family) const;
  [[nodiscard]] netlink::Route blank(const Prefix& dst) const;
  [[nodiscard]] std::optional<netlink::Route> workload_route(const Prefix& dst) const;
  [[nodiscard]] std::optional<netlink::Route> target_route(const model::RouteTarget& t) const;
  [[nodiscard]] std::optional<netlink::Route> vxlan_route(const model::RouteTarget& t) const;
  [[nodiscard]] std::optional<netlink::Route> ipip_route(const model::RouteTarget& t) const;
  [[nodiscard]] std::optional<netlink::Route> gateway_route(const Prefix& dst) const;
  [[nodiscard]] std::optional<netlink::Route> direct_route(const model::RouteTarget& t) const;
  [[nodiscard]] std::optional<netlink::Route> bgp_route(const Prefix& dst) const;
  [[nodiscard]] const model::DesiredPool* pool_of(const Prefix& dst) const;  // the most specific
  [[nodiscard]] bool tunnels(const model::DesiredPool* pool, const Ip& next_hop) const;
  [[nodiscard]] std::optional<netlink::NextHop> into_ipip(const Ip& end) const;
  [[nodiscard]] const link::Interface* ipip_device() const;  // null: it cannot be used
  [[nodiscard]] Tunnel vxlan_tunnel(Family family) const;
  [[nodiscard]] Tunnel ipip_tunnel() const;

  const RouteConfig& config_;
  const link::LinkView& links_;
  Workloads workloads_;
  BgpRoutes bgp_;
  std::unordered_map<Prefix, model::RouteTarget, PrefixHash> targets_;
  std::unordered_map<std::string, std::set<Prefix>> targets_of_node_;
  std::map<std::string, model::Vtep> vteps_[2];
  std::multiset<Prefix> gateways_;  // tunnel addresses; two nodes may claim one for a while
  std::map<Prefix, model::DesiredPool> pools_;
  model::LocalNode node_;
  model::EncapInUse encap_;
  std::vector<Prefix> dirty_;
  std::uint64_t interest_version_ = 0;
};

}  // namespace margay::dataplane
