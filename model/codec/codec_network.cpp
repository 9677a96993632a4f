// SPDX-License-Identifier: Apache-2.0
// Tables of endpoints, nodes, pools and IPAM data.
#include "model/codec/codec_impl.h"

namespace margay::model::codec {

// --- endpoints -------------------------------------------------------------------------------

constexpr auto fields(Tag<EndpointPort>) {
  using T = EndpointPort;
  return std::tuple{
      field("name", &T::name),
      field("protocol", &T::protocol, Required{}),
      field("port", &T::port, Required{}, Range{1, 65535}),
      known("hostPort", JsonType::number),
      known("hostIP", JsonType::string),
  };
}
constexpr auto fields(Tag<IpNat>) {
  return std::tuple{field("internalIP", &IpNat::internal_ip, Required{}, Always{}),
                    field("externalIP", &IpNat::external_ip, Required{}, Always{})};
}

struct AddressOrEmpty {
  static bool read(Context& ctx, const Path& path, Element e, Ip& out) {
    std::string_view text;
    if (e.get(text) == simdjson::SUCCESS && text.empty()) return true;
    return codec::read(ctx, path, e, out);
  }
  static void write(std::string& out, const Ip& v) { codec::write(out, v); }
};
struct MacOrEmpty {
  static bool read(Context& ctx, const Path& path, Element e, std::optional<Mac>& out) {
    std::string_view text;
    if (e.get(text) == simdjson::SUCCESS && text.empty()) return true;
    return codec::read(ctx, path, e, out);
  }
  static void write(std::string& out, const std::optional<Mac>& v) { codec::write(out, v); }
};

constexpr auto fields(Tag<WorkloadEndpointSpec>) {
  using T = WorkloadEndpointSpec;
  return std::tuple{
      field("orchestrator", &T::orchestrator, Required{}),
      field("workload", &T::workload),
      field("node", &T::node, Required{}, Name{}),
      field("containerID", &T::container_id),
      field("pod", &T::pod),
      field("endpoint", &T::endpoint),
      field("serviceAccountName", &T::service_account_name),
      field("ipNetworks", &T::ip_networks),
      field("ipNATs", &T::ip_nats),
      field("ipv4Gateway", &T::ipv4_gateway, Via<AddressOrEmpty>{}),
      field("ipv6Gateway", &T::ipv6_gateway, Via<AddressOrEmpty>{}),
      field("profiles", &T::profiles),
      field("interfaceName", &T::interface_name),
      field("mac", &T::mac, Via<MacOrEmpty>{}),
      field("ports", &T::ports),
      field("allowSpoofedSourcePrefixes", &T::allow_spoofed_source_prefixes),
      known("qosControls", JsonType::object),
  };
}
constexpr auto fields(Tag<HostEndpointSpec>) {
  using T = HostEndpointSpec;
  return std::tuple{
      field("node", &T::node, Required{}, Name{}),
      field("interfaceName", &T::interface_name),
      field("expectedIPs", &T::expected_ips),
      field("profiles", &T::profiles),
      field("ports", &T::ports),
      known("qosControls", JsonType::object),
  };
}

// --- nodes -----------------------------------------------------------------------------------

constexpr auto fields(Tag<NodeBgpSpec>) {
  using T = NodeBgpSpec;
  return std::tuple{
      field("asNumber", &T::as_number),
      field("ipv4Address", &T::ipv4_address),
      field("ipv6Address", &T::ipv6_address),
      field("ipv4IPIPTunnelAddr", &T::ipv4_ipip_tunnel_addr),
      field("routeReflectorClusterID", &T::route_reflector_cluster_id),
  };
}
constexpr auto fields(Tag<NodeAddress>) {
  return std::tuple{field("address", &NodeAddress::address, Required{}),
                    field("type", &NodeAddress::type)};
}
constexpr auto fields(Tag<NodeInterface>) {
  return std::tuple{field("name", &NodeInterface::name),
                    field("addresses", &NodeInterface::addresses)};
}
constexpr auto fields(Tag<OrchRef>) {
  return std::tuple{field("nodeName", &OrchRef::node_name),
                    field("orchestrator", &OrchRef::orchestrator, Required{})};
}
constexpr auto fields(Tag<NodeWireguardSpec>) {
  using T = NodeWireguardSpec;
  return std::tuple{field("interfaceIPv4Address", &T::interface_ipv4_address),
                    field("interfaceIPv6Address", &T::interface_ipv6_address)};
}
constexpr auto fields(Tag<NodeSpec>) {
  using T = NodeSpec;
  return std::tuple{
      field("bgp", &T::bgp),
      field("ipv4VXLANTunnelAddr", &T::ipv4_vxlan_tunnel_addr),
      field("ipv6VXLANTunnelAddr", &T::ipv6_vxlan_tunnel_addr),
      field("vxlanTunnelMACAddr", &T::vxlan_tunnel_mac_addr, Via<MacOrEmpty>{}),
      field("vxlanTunnelMACAddrV6", &T::vxlan_tunnel_mac_addr_v6, Via<MacOrEmpty>{}),
      field("orchRefs", &T::orch_refs),
      field("wireguard", &T::wireguard),
      field("addresses", &T::addresses),
      field("interfaces", &T::interfaces),
  };
}
constexpr auto fields(Tag<NodeStatus>) {
  using T = NodeStatus;
  return std::tuple{field("wireguardPublicKey", &T::wireguard_public_key),
                    field("wireguardPublicKeyV6", &T::wireguard_public_key_v6),
                    field("podCIDRs", &T::pod_cidrs)};
}

// --- pools and IPAM --------------------------------------------------------------------------

constexpr auto enum_names(Tag<EncapMode>) {
  return std::array{
      EnumName<EncapMode>{"Never", EncapMode::never},
      EnumName<EncapMode>{"", EncapMode::never},
      EnumName<EncapMode>{"Always", EncapMode::always},
      EnumName<EncapMode>{"CrossSubnet", EncapMode::cross_subnet},
      EnumName<EncapMode>{"cross-subnet", EncapMode::cross_subnet},
  };
}
constexpr auto fields(Tag<IpPoolSpec>) {
  using T = IpPoolSpec;
  return std::tuple{
      field("cidr", &T::cidr, Required{}, CidrText{}),
      field("vxlanMode", &T::vxlan_mode, Always{}),
      field("ipipMode", &T::ipip_mode, Always{}),
      field("natOutgoing", &T::nat_outgoing),
      field("disabled", &T::disabled),
      field("disableBGPExport", &T::disable_bgp_export),
      field("blockSize", &T::block_size, Range{0, 128}),
      field("nodeSelector", &T::node_selector, SelectorText{}),
      field("namespaceSelector", &T::namespace_selector, SelectorText{}),
      field("allowedUses", &T::allowed_uses, one_of("Workload", "Tunnel", "LoadBalancer"),
            Unique{}),
      field("assignmentMode", &T::assignment_mode, one_of("Automatic", "Manual")),
  };
}
constexpr auto fields(Tag<IpReservationSpec>) {
  return std::tuple{
      field("reservedCIDRs", &IpReservationSpec::reserved_cidrs, CidrText{}),
  };
}
constexpr auto fields(Tag<IpamConfigurationSpec>) {
  using T = IpamConfigurationSpec;
  return std::tuple{
      field("strictAffinity", &T::strict_affinity, Always{}),
      field("maxBlocksPerHost", &T::max_blocks_per_host, Range{0, 2147483647}),
      field("autoAllocateBlocks", &T::auto_allocate_blocks, Always{}),
      field("kubeVirtVMAddressPersistence", &T::kubevirt_vm_address_persistence,
            one_of("Enabled", "Disabled")),
      field("ipCooldownSeconds", &T::ip_cooldown_seconds, Range{0, 1200}),
  };
}
constexpr auto fields(Tag<IpamConfig>) {
  using T = IpamConfig;
  return std::tuple{
      field("strict_affinity", &T::strict_affinity),
      field("auto_allocate_blocks", &T::auto_allocate_blocks, Always{}),
      field("maxBlocksPerHost", &T::max_blocks_per_host, Range{0, 2147483647}),
      field("kubeVirtVMAddressPersistence", &T::kubevirt_vm_address_persistence,
            one_of("Enabled", "Disabled")),
      field("ipCooldownSeconds", &T::ip_cooldown_seconds, Range{0, 1200}),
  };
}

struct TrueOrFalse {  // true, or "true" as the Kubernetes datastore writes it
  static bool read(Context& ctx, const Path& path, Element e, bool& out) {
    std::string_view text;
    if (e.get(text) == simdjson::SUCCESS && (text == "true" || text == "false")) {
      out = text == "true";
      return true;
    }
    return codec::read(ctx, path, e, out);
  }
  static void write(std::string& out, bool v) { codec::write(out, v); }
};

struct SecondaryMaps {  // [{"handle_id": ..., "secondary": {...}}] kept as the maps alone
  static bool read(Context& ctx, const Path& path, Element e, std::vector<Labels>& out) {
    simdjson::dom::array items;
    if (e.get(items) != simdjson::SUCCESS) return ctx.fail(path, e, "must be a list");
    out.clear();
    for (const Element item : items) {
      const Path at{&path, {}, out.size()};
      Labels& labels = out.emplace_back();
      Element secondary;
      if (!item.is_object()) return ctx.fail(at, item, "must be an object");
      if (item["secondary"].get(secondary) != simdjson::SUCCESS || secondary.is_null()) continue;
      if (!codec::read(ctx, Path{&at, "secondary"}, secondary, labels)) return false;
    }
    return true;
  }
  static void write(std::string& out, const std::vector<Labels>& v) {
    out += '[';
    for (const Labels& labels : v) {
      if (out.back() != '[') out += ',';
      out += "{\"secondary\":";
      codec::write(out, labels);
      out += '}';
    }
    out += ']';
  }
};

constexpr auto fields(Tag<IpamBlock>) {
  using T = IpamBlock;
  return std::tuple{
      field("cidr", &T::cidr, Required{}, CidrText{}),
      field("affinity", &T::affinity),
      field("allocations", &T::allocations),
      field("attributes", &T::attributes, Via<SecondaryMaps>{}),
      known("affinity_claim_time", JsonType::string),
      known("affinityClaimTime", JsonType::string),
      known("unallocated", JsonType::array),
      known("sequenceNumber", JsonType::number),
      known("sequenceNumberForAllocation", JsonType::object),
      known("strictAffinity", JsonType::boolean),
      known("hostAffinity", JsonType::string),
      known("deleted", JsonType::any),
  };
}
constexpr auto fields(Tag<BlockAffinity>) {
  using T = BlockAffinity;
  return std::tuple{
      field("state", &T::state, one_of("pending", "confirmed", "pendingDeletion")),
      field("deleted", &T::deleted, Via<TrueOrFalse>{}),
  };
}
constexpr auto fields(Tag<IpamHandle>) {
  return std::tuple{field("block", &IpamHandle::blocks),
                    field("deleted", &IpamHandle::deleted, Via<TrueOrFalse>{})};
}

template struct KindCodec<WorkloadEndpoint>;
template struct KindCodec<HostEndpoint>;
template struct KindCodec<Node>;
template struct KindCodec<IpPool>;
template struct KindCodec<IpReservation>;
template struct KindCodec<IpamConfiguration>;
template struct KindCodec<IpamConfig>;
template struct KindCodec<IpamBlock>;
template struct KindCodec<IpamHandle>;
template struct KindCodec<BlockAffinity>;

}  // namespace margay::model::codec
