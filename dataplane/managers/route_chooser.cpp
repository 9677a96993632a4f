// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/route_chooser.h"

#include <algorithm>
#include <utility>

namespace margay::dataplane {

namespace {

// Outer headers: Ethernet inside is counted by the kernel's device MTU, so IP, UDP, VXLAN and the
// inner Ethernet header.
constexpr std::uint32_t kOverheadV4 = 50;
constexpr std::uint32_t kOverheadV6 = 70;
constexpr std::uint32_t kOverheadIpip = 20;
constexpr std::uint32_t kLeastMtuV4 = 576;
constexpr std::uint32_t kLeastMtuV6 = 1280;
constexpr std::size_t kMaxHops = 64;  // as many as one kernel route may reasonably hold

using netlink::Route;
using netlink::RouteScope;
using netlink::RouteType;

// Several next hops may share a way.
void merge(std::vector<netlink::NextHop>& hops) {
  std::ranges::sort(hops);
  hops.erase(std::unique(hops.begin(), hops.end()), hops.end());
  if (hops.size() > kMaxHops) hops.resize(kMaxHops);
}

// What is left of the uplink's MTU.
std::uint32_t tunnel_mtu(std::uint32_t uplink, std::uint32_t overhead, std::uint32_t least) {
  return std::max(uplink > overhead ? uplink - overhead : 0, least);
}

}  // namespace

RouteChooser::RouteChooser(const RouteConfig& config, const link::LinkView& links,
                           const route::KernelRoutes& foreign)
    : config_(config),
      links_(links),
      workloads_(config.floating_ips),
      bgp_(config, links, foreign, workloads_) {}

// --- inputs ----------------------------------------------------------------------------------

void RouteChooser::mark(const std::vector<Prefix>& dsts) {
  dirty_.insert(dirty_.end(), dsts.begin(), dsts.end());
}

std::set<std::string> RouteChooser::set(const model::LocalWorkload& workload) {
  Workloads::Touched touched = workloads_.set(workload);
  mark(touched.addresses);
  if (!touched.addresses.empty()) kernel_routes_changed();
  return std::move(touched.interfaces);
}

std::set<std::string> RouteChooser::remove(const model::EndpointId& id) {
  Workloads::Touched touched = workloads_.remove(id);
  mark(touched.addresses);
  if (!touched.addresses.empty()) kernel_routes_changed();
  return std::move(touched.interfaces);
}

void RouteChooser::set(const model::RouteTarget& target) {
  const auto it = targets_.find(target.dst);
  if (it != targets_.end()) {
    if (it->second == target) return;
    unlink(it->second);
  }
  targets_.insert_or_assign(target.dst, target);
  targets_of_node_[target.node].insert(target.dst);
  dirty_.push_back(target.dst);
}

void RouteChooser::remove_target(const Prefix& dst) {
  const auto it = targets_.find(dst);
  if (it == targets_.end()) return;
  unlink(it->second);
  targets_.erase(it);
  dirty_.push_back(dst);
}

void RouteChooser::unlink(const model::RouteTarget& target) {
  const auto it = targets_of_node_.find(target.node);
  if (it == targets_of_node_.end()) return;
  it->second.erase(target.dst);
  if (it->second.empty()) targets_of_node_.erase(it);
}

void RouteChooser::set(const model::Vtep& vtep) {
  auto& table = vteps_[index(vtep.tunnel_ip.family())];
  const auto it = table.find(vtep.node);
  if (it != table.end() && it->second == vtep) return;
  if (it != table.end()) drop_gateway(it->second.tunnel_ip);
  table.insert_or_assign(vtep.node, vtep);
  gateways_.insert(Prefix::host(vtep.tunnel_ip));
  dirty_.push_back(Prefix::host(vtep.tunnel_ip));  // before the routes through it
  const auto dsts = targets_of_node_.find(vtep.node);
  if (dsts != targets_of_node_.end()) {
    dirty_.insert(dirty_.end(), dsts->second.begin(), dsts->second.end());
  }
}

void RouteChooser::remove_vtep(const std::string& node, Family family) {
  auto& table = vteps_[index(family)];
  const auto it = table.find(node);
  if (it == table.end()) return;
  drop_gateway(it->second.tunnel_ip);
  table.erase(it);
  const auto dsts = targets_of_node_.find(node);
  if (dsts == targets_of_node_.end()) return;
  dirty_.insert(dirty_.end(), dsts->second.begin(), dsts->second.end());
}

void RouteChooser::drop_gateway(const Ip& tunnel_ip) {
  const Prefix host = Prefix::host(tunnel_ip);
  if (const auto it = gateways_.find(host); it != gateways_.end()) gateways_.erase(it);
  dirty_.push_back(host);
}

void RouteChooser::set(const model::LocalNode& node) {
  if (node == node_) return;
  node_ = node;
  ++interest_version_;
  for (const Family f : kFamilies) mark_targets(f);
  mark_tunnelled();  // which next hops are on our subnet
}

void RouteChooser::set(const model::EncapInUse& encap) {
  if (encap == encap_) return;
  mark_tunnelled();
  encap_ = encap;
  mark_tunnelled();
}

void RouteChooser::set(const model::DesiredPool& pool) {
  pools_.insert_or_assign(pool.cidr, pool);
  ++interest_version_;
  mark(bgp_.all());
}

void RouteChooser::remove_pool(const Prefix& cidr) {
  pools_.erase(cidr);
  ++interest_version_;
  mark(bgp_.all());
}

void RouteChooser::set_bgp(const BgpRoute& route) {
  if (bgp_.set(route)) dirty_.push_back(route.dst);
}

void RouteChooser::mark_targets(Family family) {
  for (const auto& [node, vtep] : vteps_[index(family)])
    dirty_.push_back(Prefix::host(vtep.tunnel_ip));
  for (const auto& [dst, target] : targets_) {
    if (dst.family() == family) dirty_.push_back(dst);
  }
}

// What may lead through the IPIP device.
void RouteChooser::mark_tunnelled() {
  if (!encap_.ipip) return;
  mark_targets(Family::v4);
  mark(bgp_.all());
}

void RouteChooser::interface_changed(const std::string& name) {
  mark(workloads_.addresses_on(name));
  for (const Family f : kFamilies) {
    const link::Interface* p = parent(f);
    const bool uplink = p == nullptr || p->link.name == name;
    if (uplink || name == vxlan_device(f)) mark_targets(f);
  }
  if (name == kIpipDevice) mark_tunnelled();
  kernel_routes_changed();
}

void RouteChooser::kernel_routes_changed() { mark(bgp_.refresh()); }

void RouteChooser::config_changed() {
  mark(workloads_.set_floating_ips(config_.floating_ips).addresses);
  for (const std::string& name : workloads_.interfaces()) mark(workloads_.addresses_on(name));
  for (const Family f : kFamilies) mark_targets(f);
  kernel_routes_changed();  // which interfaces count may have changed
  mark(bgp_.all());
}

std::vector<Prefix> RouteChooser::interest() const {
  std::vector<Prefix> out = bgp_.next_hop_networks();
  for (const auto& [cidr, pool] : pools_) out.push_back(cidr);
  for (const Family f : kFamilies) {
    if (const InterfaceAddress* own = node_address(f)) out.push_back(own->subnet());
  }
  return out;
}

std::vector<Prefix> RouteChooser::take_dirty() { return std::exchange(dirty_, {}); }

// --- choice ----------------------------------------------------------------------------------

std::optional<Route> RouteChooser::choose(const Prefix& dst) const {
  if (auto route = workload_route(dst)) {
    // It moves: where it says that it is now wins, for as long as it says so.
    auto elsewhere = bgp_route(dst);
    return elsewhere && elsewhere->metric < route->metric ? elsewhere : route;
  }
  const auto it = targets_.find(dst);
  const model::RouteTarget* target = it == targets_.end() ? nullptr : &it->second;
  if (target != nullptr) {
    if (auto route = target_route(*target)) return route;
  }
  if (auto route = gateway_route(dst)) return route;
  if (auto route = bgp_route(dst)) return route;
  const bool hole =
      target != nullptr && target->kind == model::RouteTarget::Kind::local_block && !dst.is_host();
  if (!hole) return std::nullopt;
  Route route = blank(dst);
  route.type = RouteType::blackhole;
  return route;
}

Route RouteChooser::blank(const Prefix& dst) const {
  Route route;
  route.dst = dst;
  route.metric = dst.family() == Family::v4 ? config_.metric_v4 : config_.metric_v6;
  route.protocol = config_.agent_protocol;
  return route;
}

std::optional<Route> RouteChooser::workload_route(const Prefix& dst) const {
  const auto* claims = workloads_.claims(dst);
  if (claims == nullptr) return std::nullopt;
  // Of several that claim the address the newest interface is the right one: a pod that took over
  // a name and address comes up before its predecessor is gone.
  const link::Interface* best = nullptr;
  for (const std::string& name : *claims) {
    const link::Interface* i = links_.by_name(name);
    if (i == nullptr || !i->link.up) continue;
    if (best == nullptr || i->link.index > best->link.index) best = i;
  }
  if (best == nullptr) return std::nullopt;
  Route route = blank(dst);
  const bool v4 = dst.family() == Family::v4;
  route.protocol = config_.device_protocol;
  route.scope = v4 ? RouteScope::link : RouteScope::universe;
  route.src = v4 ? config_.device_route_source_v4 : config_.device_route_source_v6;
  route.hops.push_back({std::nullopt, best->link.index, 1, false});
  return route;
}

std::optional<Route> RouteChooser::target_route(const model::RouteTarget& t) const {
  using Kind = model::RouteTarget::Kind;
  switch (t.kind) {
    case Kind::remote_workload:
      break;
    case Kind::remote_tunnel:
      if (t.encap == model::Encap::vxlan) return vxlan_route(t);
      if (t.encap == model::Encap::none) return std::nullopt;  // BGP carries it
      break;
    case Kind::local_block:
    case Kind::local_workload:
    case Kind::local_tunnel:
      return std::nullopt;
  }
  switch (t.encap) {
    case model::Encap::vxlan:
      return t.same_subnet ? direct_route(t) : vxlan_route(t);
    case model::Encap::none:
      if (!t.in_pool || !config_.programs(t.encap)) return std::nullopt;
      return direct_route(t);
    case model::Encap::ipip:
      if (!t.in_pool || !config_.programs(t.encap)) return std::nullopt;
      return t.same_subnet ? direct_route(t) : ipip_route(t);
  }
  return std::nullopt;
}

std::optional<Route> RouteChooser::vxlan_route(const model::RouteTarget& t) const {
  const Family family = t.dst.family();
  const link::Interface* device = links_.by_name(vxlan_device(family));
  if (device == nullptr || !device->link.vxlan || !device->link.up) return std::nullopt;
  const auto vtep = vteps_[index(family)].find(t.node);
  if (vtep == vteps_[index(family)].end()) return std::nullopt;
  Route route = blank(t.dst);
  const Ip& via = vtep->second.tunnel_ip;
  if (t.kind == model::RouteTarget::Kind::remote_tunnel || t.dst == Prefix::host(via)) {
    // The tunnel's own address: directly, its neighbour entry says where.
    route.scope = family == Family::v4 ? RouteScope::link : RouteScope::universe;
    route.hops.push_back({std::nullopt, device->link.index, 1, false});
    return route;
  }
  route.mtu = device->link.mtu;
  route.hops.push_back({via, device->link.index, 1, true});
  return route;
}

const link::Interface* RouteChooser::ipip_device() const {
  const link::Interface* device = encap_.ipip ? links_.by_name(kIpipDevice) : nullptr;
  return device != nullptr && device->link.up ? device : nullptr;
}

std::optional<Route> RouteChooser::ipip_route(const model::RouteTarget& t) const {
  const auto hop = t.node_ip ? into_ipip(*t.node_ip) : std::nullopt;
  if (!hop) return std::nullopt;
  Route route = blank(t.dst);
  route.mtu = ipip_device()->link.mtu;
  route.hops.push_back(*hop);
  return route;
}

// IPv6 refuses even an on-link gateway that another device's route leads to (a block of a
// cross-subnet pool, or one learnt by BGP a moment ago): each tunnel address has its own route.
std::optional<Route> RouteChooser::gateway_route(const Prefix& dst) const {
  if (dst.family() != Family::v6 || !dst.is_host()) return std::nullopt;
  const link::Interface* device = links_.by_name(vxlan_device(Family::v6));
  if (device == nullptr || !device->link.vxlan || !device->link.up) return std::nullopt;
  if (!gateways_.contains(dst)) return std::nullopt;
  Route route = blank(dst);
  route.hops.push_back({std::nullopt, device->link.index, 1, false});
  return route;
}

// To the other node itself, over the network both are on.
std::optional<Route> RouteChooser::direct_route(const model::RouteTarget& t) const {
  const link::Interface* uplink = parent(t.dst.family());
  if (uplink == nullptr || !uplink->link.up || !t.node_ip) return std::nullopt;
  Route route = blank(t.dst);
  route.hops.push_back({*t.node_ip, uplink->link.index, 1, true});
  return route;
}

std::optional<Route> RouteChooser::bgp_route(const Prefix& dst) const {
  if (!config_.bgp) return std::nullopt;
  const auto way = bgp_.find(dst);
  if (!way) return std::nullopt;
  // Inside a pool whose routes the agent programs BGP has no say.
  const model::DesiredPool* pool = pool_of(dst);
  if (pool != nullptr && config_.programs(pool->encap)) return std::nullopt;
  Route route = blank(dst);
  route.protocol = config_.bgp_protocol;
  if (way->metric) route.metric = *way->metric;
  if (way->blackhole) {
    route.type = RouteType::blackhole;
    return route;
  }
  for (const BgpRoutes::Leg& leg : *way->legs) {
    const auto hop = tunnels(pool, leg.next_hop) ? into_ipip(leg.next_hop) : leg.way;
    // IPv4 over an IPv6 next hop is possible, the reverse is not.
    if (hop && (dst.family() == Family::v4 || hop->gateway->is_v6())) route.hops.push_back(*hop);
  }
  if (route.hops.empty()) return std::nullopt;
  if (route.hops.size() > 1) merge(route.hops);
  if (route.hops.size() == 1) route.hops.front().weight = 1;
  return route;
}

const model::DesiredPool* RouteChooser::pool_of(const Prefix& dst) const {
  const model::DesiredPool* pool = nullptr;
  for (const auto& [cidr, p] : pools_) {
    if (cidr.contains(dst) && (pool == nullptr || cidr.length() > pool->cidr.length())) pool = &p;
  }
  return pool;
}

// Whether what BGP brings of a pool's routes goes to this next hop through the IPIP device.
bool RouteChooser::tunnels(const model::DesiredPool* pool, const Ip& next_hop) const {
  if (pool == nullptr || pool->encap != model::Encap::ipip) return false;
  if (workloads_.claims(Prefix::host(next_hop)) != nullptr) return false;  // one of ours
  const InterfaceAddress* own = node_address(Family::v4);
  return !(pool->cross_subnet && own != nullptr && own->subnet().contains(next_hop));
}

// The gateway is the end of the tunnel: the device asks nobody who that is.
std::optional<netlink::NextHop> RouteChooser::into_ipip(const Ip& end) const {
  const link::Interface* device = ipip_device();
  if (device == nullptr || !end.is_v4()) return std::nullopt;
  return netlink::NextHop{end, device->link.index, 1, true};
}

// --- tunnels ---------------------------------------------------------------------------------

const InterfaceAddress* RouteChooser::node_address(Family family) const {
  const auto& a = family == Family::v4 ? node_.ipv4 : node_.ipv6;
  return a ? &*a : nullptr;
}

const link::Interface* RouteChooser::parent(Family family) const {
  const InterfaceAddress* address = node_address(family);
  return address == nullptr ? nullptr : links_.owner_of(address->addr);
}

RouteChooser::Tunnel RouteChooser::tunnel(const std::string& device) const {
  if (device == kIpipDevice) return ipip_tunnel();
  return vxlan_tunnel(device == kVxlanDevice ? Family::v4 : Family::v6);
}

RouteChooser::Tunnel RouteChooser::ipip_tunnel() const {
  const InterfaceAddress* local = node_address(Family::v4);
  if (!encap_.ipip || local == nullptr) return {};
  const link::Interface* uplink = parent(Family::v4);
  if (uplink == nullptr) return {std::nullopt, true};
  link::TunnelSpec spec;
  spec.address = node_.ipip_v4;
  spec.mtu = config_.ipip_mtu != 0 ? config_.ipip_mtu
                                   : tunnel_mtu(uplink->link.mtu, kOverheadIpip, kLeastMtuV4);
  return {spec, false};
}

RouteChooser::Tunnel RouteChooser::vxlan_tunnel(Family family) const {
  const bool v4 = family == Family::v4;
  const bool in_use = v4 ? encap_.vxlan_v4 : encap_.vxlan_v6;
  const std::optional<Ip>& address = v4 ? node_.vxlan_v4 : node_.vxlan_v6;
  const InterfaceAddress* local = node_address(family);
  if (!in_use || !address || local == nullptr) return {};
  const link::Interface* uplink = parent(family);
  if (uplink == nullptr) return {std::nullopt, true};
  link::TunnelSpec spec;
  spec.vxlan.vni = Vni(config_.vxlan_vni);
  spec.vxlan.port = config_.vxlan_port;
  spec.vxlan.local = local->addr;
  spec.vxlan.parent = uplink->link.index;
  spec.vxlan.mac = v4 ? node_.vxlan_mac_v4 : node_.vxlan_mac_v6;
  spec.address = *address;
  const std::uint32_t fixed = v4 ? config_.vxlan_mtu_v4 : config_.vxlan_mtu_v6;
  spec.mtu = fixed != 0 ? fixed
                        : tunnel_mtu(uplink->link.mtu, v4 ? kOverheadV4 : kOverheadV6,
                                     v4 ? kLeastMtuV4 : kLeastMtuV6);
  return {spec, false};
}

}  // namespace margay::dataplane
