// SPDX-License-Identifier: Apache-2.0
// Semantic checks of endpoints, nodes, pools and IPAM (spec ipam.md 1, policy-model.md 6).
#include "model/codec.h"
#include "model/codec/check.h"
#include "model/names.h"

namespace margay::model::codec {

void check_family(Context& ctx, std::string_view path, const std::optional<Ip>& ip, Family want) {
  if (!ip || ip->family() == want) return;
  ctx.fail(path, ip->to_string(),
           want == Family::v4 ? "must be an IPv4 address" : "must be an IPv6 address");
}

namespace {

std::optional<Ip> address_of(const std::optional<InterfaceAddress>& a) {
  return a ? std::optional<Ip>(a->addr) : std::nullopt;
}

void check_endpoint_ports(Context& ctx, const std::vector<EndpointPort>& ports) {
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const std::uint8_t n = ports[i].protocol.number;
    if (n != 6 && n != 17 && n != 132) {
      ctx.fail(indexed("spec.ports", i) + ".protocol", std::to_string(n),
               "must be TCP, UDP or SCTP");
    }
  }
}

void check_interface(Context& ctx, const std::string& name) {
  if (is_interface_name(name)) return;
  ctx.fail("spec.interfaceName", name, "must be the name of an interface (1 to 15 characters)");
}

bool has(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

void check_pool_cidr(Context& ctx, const IpPoolSpec& spec) {
  const bool v4 = spec.cidr.family() == Family::v4;
  const int low = v4 ? 20 : 116, high = v4 ? 32 : 128, preset = v4 ? 26 : 122;
  const int size = spec.block_size == 0 ? preset : spec.block_size;
  if (size < low || size > high) {
    ctx.fail("spec.blockSize", std::to_string(size),
             "must be from " + std::to_string(low) + " to " + std::to_string(high) +
                 (v4 ? " for IPv4" : " for IPv6"));
  } else if (!spec.disabled && static_cast<int>(spec.cidr.length()) > size) {
    ctx.fail("spec.cidr", spec.cidr.to_string(),
             "is smaller than one block of size " + std::to_string(size));
  }
  const Ip link_local = v4 ? Ip::v4(0xa9fe0000U) : Ip::v6({0xfe, 0x80});
  const auto reserved = Prefix::containing(link_local, v4 ? 16 : 10);
  if (reserved.contains(spec.cidr) || spec.cidr.contains(reserved)) {
    ctx.fail("spec.cidr", spec.cidr.to_string(),
             "overlaps the link-local addresses " + reserved.to_string());
  }
}

void check_pool_encapsulation(Context& ctx, const IpPoolSpec& spec) {
  if (spec.ipip_mode == EncapMode::never) return;
  if (spec.cidr.family() == Family::v6) {
    ctx.fail("spec.ipipMode", "", "must be Never for an IPv6 pool");
  }
  if (spec.vxlan_mode != EncapMode::never) {
    ctx.fail("spec.ipipMode", "", "excludes vxlanMode: one of them must be Never");
  }
}

void check_pool_uses(Context& ctx, const IpPoolSpec& spec) {
  const bool load_balancer = has(spec.allowed_uses, "LoadBalancer");
  const bool tunnel = spec.allowed_uses.empty() || has(spec.allowed_uses, "Tunnel");
  if (tunnel && !spec.namespace_selector.empty()) {
    ctx.fail("spec.namespaceSelector", spec.namespace_selector,
             "excludes the use Tunnel: set allowedUses to [Workload]");
  }
  if (!load_balancer) return;
  constexpr std::string_view kUses = "spec.allowedUses";
  if (spec.allowed_uses.size() > 1) ctx.fail(kUses, "LoadBalancer", "excludes other uses");
  if (spec.ipip_mode != EncapMode::never || spec.vxlan_mode != EncapMode::never) {
    ctx.fail(kUses, "LoadBalancer", "excludes ipipMode and vxlanMode");
  }
  if (!spec.node_selector.empty() && spec.node_selector != "all()") {
    ctx.fail("spec.nodeSelector", spec.node_selector, "must be all() for the use LoadBalancer");
  }
  if (spec.disable_bgp_export) {
    ctx.fail("spec.disableBGPExport", "true", "is not possible for the use LoadBalancer");
  }
}

void check_ipam(Context& ctx, bool strict, bool automatic, std::string_view field) {
  if (!automatic && !strict) ctx.fail(field, "false", "needs strict affinity");
}

void check_singleton(Context& ctx, const Metadata& m) {
  if (m.name == "default") return;
  ctx.fail("metadata.name", m.name, "must be default: there is only one");
}

}  // namespace

void check(Context& ctx, const WorkloadEndpoint& v) {
  const auto& s = v.spec;
  check_interface(ctx, s.interface_name);
  check_endpoint_ports(ctx, s.ports);
  for (std::size_t i = 0; i < s.ip_networks.size(); ++i) {
    if (s.ip_networks[i].is_host()) continue;
    ctx.fail(indexed("spec.ipNetworks", i), s.ip_networks[i].to_string(),
             "must be a single address (/32 or /128)");
  }
  for (std::size_t i = 0; i < s.ip_nats.size(); ++i) {
    const IpNat& nat = s.ip_nats[i];
    const std::string at = indexed("spec.ipNATs", i) + ".internalIP";
    if (nat.internal_ip.family() != nat.external_ip.family()) {
      ctx.fail(at, nat.internal_ip.to_string(), "must be of the same version as externalIP");
    }
    const auto own = Prefix::host(nat.internal_ip);
    if (std::find(s.ip_networks.begin(), s.ip_networks.end(), own) == s.ip_networks.end()) {
      ctx.fail(at, nat.internal_ip.to_string(), "must be one of ipNetworks");
    }
  }
  if (!s.ipv4_gateway.is_any()) {
    check_family(ctx, "spec.ipv4Gateway", s.ipv4_gateway, Family::v4);
  }
  if (!s.ipv6_gateway.is_any()) {
    check_family(ctx, "spec.ipv6Gateway", s.ipv6_gateway, Family::v6);
  }
}

void check(Context& ctx, const HostEndpoint& v) {
  if (v.spec.interface_name.empty() && v.spec.expected_ips.empty()) {
    ctx.fail("spec.interfaceName", "", "is required when there are no expectedIPs");
  }
  if (!v.spec.interface_name.empty() && v.spec.interface_name != "*") {
    check_interface(ctx, v.spec.interface_name);
  }
  check_endpoint_ports(ctx, v.spec.ports);
}

void check(Context& ctx, const IpPool& v) {
  check_pool_cidr(ctx, v.spec);
  check_pool_encapsulation(ctx, v.spec);
  check_pool_uses(ctx, v.spec);
}

void check(Context& ctx, const IpamConfiguration& v) {
  check_singleton(ctx, v.metadata);
  check_ipam(ctx, v.spec.strict_affinity, v.spec.auto_allocate_blocks, "spec.autoAllocateBlocks");
}
void check(Context& ctx, const IpamConfig& v) {
  check_ipam(ctx, v.strict_affinity, v.auto_allocate_blocks, "auto_allocate_blocks");
}

void check(Context& ctx, const IpamBlock& v) {
  const unsigned bits = max_prefix_length(v.cidr.family()) - v.cidr.length();
  if (bits > 12 || v.allocations.size() != std::size_t{1} << bits) {
    ctx.fail("allocations", std::to_string(v.allocations.size()) + " items",
             "must have one item for each address of " + v.cidr.to_string());
  }
  for (std::size_t i = 0; i < v.allocations.size(); ++i) {
    const auto& a = v.allocations[i];
    if (!a || (*a >= 0 && static_cast<std::size_t>(*a) < v.attributes.size())) continue;
    ctx.fail(indexed("allocations", i), std::to_string(*a), "must be an index into attributes");
  }
}

void check(Context& ctx, const Node& v) {
  const auto& s = v.spec;
  check_family(ctx, "spec.ipv4VXLANTunnelAddr", s.ipv4_vxlan_tunnel_addr, Family::v4);
  check_family(ctx, "spec.ipv6VXLANTunnelAddr", s.ipv6_vxlan_tunnel_addr, Family::v6);
  if (s.wireguard) {
    check_family(ctx, "spec.wireguard.interfaceIPv4Address", s.wireguard->interface_ipv4_address,
                 Family::v4);
    check_family(ctx, "spec.wireguard.interfaceIPv6Address", s.wireguard->interface_ipv6_address,
                 Family::v6);
  }
  if (!s.bgp) return;
  const auto& b = *s.bgp;
  check_family(ctx, "spec.bgp.ipv4Address", address_of(b.ipv4_address), Family::v4);
  check_family(ctx, "spec.bgp.ipv6Address", address_of(b.ipv6_address), Family::v6);
  check_family(ctx, "spec.bgp.ipv4IPIPTunnelAddr", b.ipv4_ipip_tunnel_addr, Family::v4);
  const bool empty = !b.as_number && !b.ipv4_address && !b.ipv6_address &&
                     !b.ipv4_ipip_tunnel_addr && b.route_reflector_cluster_id.empty();
  if (empty) ctx.fail("spec.bgp", "{}", "must not be empty: leave it out instead");
  if (!b.route_reflector_cluster_id.empty() &&
      !parse_router_id(b.route_reflector_cluster_id).ok()) {
    ctx.fail("spec.bgp.routeReflectorClusterID", b.route_reflector_cluster_id,
             "must have the form of an IPv4 address");
  }
}

void check(Context& ctx, const ClusterInformation& v) { check_singleton(ctx, v.metadata); }

}  // namespace margay::model::codec

namespace margay::model {

Result<void> check_pool_overlap(const std::vector<IpPool>& pools) {
  // Sorted by address and length, a pool that overlaps any earlier one is contained in the widest
  // so far, which is the last that was not itself contained.
  std::vector<const IpPool*> sorted;
  for (const auto& p : pools) sorted.push_back(&p);
  std::sort(sorted.begin(), sorted.end(),
            [](const IpPool* a, const IpPool* b) { return a->spec.cidr < b->spec.cidr; });
  const IpPool* widest = nullptr;
  for (const IpPool* p : sorted) {
    if (widest != nullptr && widest->spec.cidr.contains(p->spec.cidr)) {
      return make_error(Code::invalid, "IPPool(" + p->metadata.name + "): error with field " +
                                           "spec.cidr = '" + p->spec.cidr.to_string() +
                                           "' (overlaps IPPool(" + widest->metadata.name +
                                           ") with " + widest->spec.cidr.to_string() + ")");
    }
    widest = p;
  }
  return {};
}

}  // namespace margay::model
