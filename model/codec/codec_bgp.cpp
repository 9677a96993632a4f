// SPDX-License-Identifier: Apache-2.0
// Tables of the BGP kinds.
#include "model/codec/codec_impl.h"

namespace margay::model::codec {

constexpr Range kPriority{1, 2147483646};

constexpr auto fields(Tag<NamedCommunity>) {
  return std::tuple{field("name", &NamedCommunity::name),
                    field("value", &NamedCommunity::value, Required{})};
}
constexpr auto fields(Tag<PrefixAdvertisement>) {
  using T = PrefixAdvertisement;
  return std::tuple{field("cidr", &T::cidr, Required{}, CidrText{}),
                    field("communities", &T::communities, MaxItems{50})};
}
constexpr auto fields(Tag<SecretKeyRef>) {
  using T = SecretKeyRef;
  return std::tuple{field("name", &T::name, Required{}), field("key", &T::key, Required{}),
                    known("optional", JsonType::boolean)};
}
constexpr auto fields(Tag<BgpPassword>) {
  return std::tuple{field("secretKeyRef", &BgpPassword::secret_key_ref)};
}
constexpr auto fields(Tag<CidrBlock>) {
  return std::tuple{field("cidr", &CidrBlock::cidr, CidrText{})};
}

struct FilledCidrs {  // entries with an empty cidr are skipped, as Calico does
  static bool read(Context& ctx, const Path& path, Element e, std::vector<CidrBlock>& out) {
    simdjson::dom::array items;
    if (e.get(items) != simdjson::SUCCESS) return ctx.fail(path, e, "must be a list");
    out.clear();
    std::size_t i = 0;
    bool good = true;
    for (const Element item : items) {
      const Path at{&path, {}, i++};
      std::string_view cidr;
      const auto found = item["cidr"].get(cidr);
      if (item.is_object() &&
          (found == simdjson::NO_SUCH_FIELD || (found == simdjson::SUCCESS && cidr.empty()))) {
        continue;
      }
      good &= codec::read(ctx, at, item, out.emplace_back());
      if (!good && !ctx.strict()) return false;
    }
    return good;
  }
  static void write(std::string& out, const std::vector<CidrBlock>& v) { codec::write(out, v); }
};

constexpr auto fields(Tag<BgpConfigurationSpec>) {
  using T = BgpConfigurationSpec;
  return std::tuple{
      field("logSeverityScreen", &T::log_severity_screen),
      field("nodeToNodeMeshEnabled", &T::node_to_node_mesh_enabled),
      field("asNumber", &T::as_number),
      field("serviceLoadBalancerIPs", &T::service_load_balancer_ips, Via<FilledCidrs>{}),
      field("serviceExternalIPs", &T::service_external_ips, Via<FilledCidrs>{}),
      field("serviceClusterIPs", &T::service_cluster_ips, Via<FilledCidrs>{}),
      field("serviceLoadBalancerAggregation", &T::service_load_balancer_aggregation,
            one_of("Enabled", "Disabled")),
      field("communities", &T::communities, MaxItems{500}),
      field("prefixAdvertisements", &T::prefix_advertisements, MaxItems{500}),
      field("listenPort", &T::listen_port, Range{1, 65535}),
      field("nodeMeshPassword", &T::node_mesh_password),
      field("nodeMeshMaxRestartTime", &T::node_mesh_max_restart_time, DurationText{}),
      field("bindMode", &T::bind_mode, one_of("None", "NodeIP")),
      field("ignoredInterfaces", &T::ignored_interfaces, Unique{}),
      field("programClusterRoutes", &T::program_cluster_routes,
            one_of("Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly")),
      field("ipv4NormalRoutePriority", &T::ipv4_normal_route_priority, kPriority),
      field("ipv6NormalRoutePriority", &T::ipv6_normal_route_priority, kPriority),
      field("holdTime", &T::hold_time, DurationText{}),
      field("keepaliveTime", &T::keepalive_time, DurationText{}),
      field("localWorkloadPeeringIPV4", &T::local_workload_peering_ipv4),
      field("localWorkloadPeeringIPV6", &T::local_workload_peering_ipv6),
  };
}

constexpr auto fields(Tag<BgpPeerSpec>) {
  using T = BgpPeerSpec;
  return std::tuple{
      field("node", &T::node, Name{}),
      field("nodeSelector", &T::node_selector, SelectorText{}),
      field("peerIP", &T::peer_ip),
      field("asNumber", &T::as_number),
      field("localASNumber", &T::local_as_number),
      field("peerSelector", &T::peer_selector, SelectorText{}),
      field("localWorkloadSelector", &T::local_workload_selector, SelectorText{}),
      field("keepOriginalNextHop", &T::keep_original_next_hop),
      field("nextHopMode", &T::next_hop_mode, one_of("Auto", "Self", "Keep")),
      field("password", &T::password),
      field("sourceAddress", &T::source_address, one_of("UseNodeIP", "None")),
      field("maxRestartTime", &T::max_restart_time, DurationText{}),
      field("keepaliveTime", &T::keepalive_time, DurationText{}),
      field("holdTime", &T::hold_time, DurationText{}),
      field("addressFamilies", &T::address_families, one_of("IPv4", "IPv6"), Unique{}),
      field("maxPrefixes", &T::max_prefixes, Range{0, 2147483647}),
      field("maxPrefixesRestartTime", &T::max_prefixes_restart_time, DurationText{}),
      field("gracefulNotification", &T::graceful_notification, one_of("Enabled", "Disabled")),
      field("numAllowedLocalASNumbers", &T::num_allowed_local_as_numbers, Range{0, 2147483647}),
      field("ttlSecurity", &T::ttl_security, Range{0, 255}),
      field("reachableBy", &T::reachable_by),
      field("filters", &T::filters, Name{}),
      field("reversePeering", &T::reverse_peering, one_of("Auto", "Manual")),
  };
}

constexpr auto fields(Tag<PrefixLengthRange>) {
  using T = PrefixLengthRange;
  return std::tuple{field("min", &T::min, Range{0, 128}), field("max", &T::max, Range{0, 128})};
}
constexpr auto fields(Tag<CommunityMatch>) {
  return std::tuple{field("values", &CommunityMatch::values, Required{})};
}
constexpr auto fields(Tag<AddCommunity>) {
  return std::tuple{field("value", &AddCommunity::value, Required{})};
}
constexpr auto fields(Tag<PrependAsPath>) {
  return std::tuple{field("prefix", &PrependAsPath::prefix, Required{}, MaxItems{10})};
}
constexpr auto fields(Tag<SetPriority>) {
  return std::tuple{field("value", &SetPriority::value, Required{}, kPriority)};
}
constexpr auto fields(Tag<BgpFilterOperation>) {
  using T = BgpFilterOperation;
  return std::tuple{field("addCommunity", &T::add_community),
                    field("prependASPath", &T::prepend_as_path),
                    field("setPriority", &T::set_priority)};
}
constexpr auto fields(Tag<BgpFilterRule>) {
  using T = BgpFilterRule;
  return std::tuple{
      field("cidr", &T::cidr, CidrText{}),
      field("prefixLength", &T::prefix_length),
      field("source", &T::source, one_of("RemotePeers")),
      field("interface", &T::interface),
      field("matchOperator", &T::match_operator, one_of("Equal", "NotEqual", "In", "NotIn")),
      field("peerType", &T::peer_type, one_of("eBGP", "iBGP")),
      field("communities", &T::communities),
      field("asPathPrefix", &T::as_path_prefix),
      field("priority", &T::priority, kPriority),
      field("action", &T::action, Required{}, one_of("Accept", "Reject")),
      field("operations", &T::operations, MaxItems{10}),
  };
}
constexpr auto fields(Tag<BgpFilterSpec>) {
  using T = BgpFilterSpec;
  return std::tuple{field("exportV4", &T::export_v4), field("importV4", &T::import_v4),
                    field("exportV6", &T::export_v6), field("importV6", &T::import_v6)};
}

template struct KindCodec<BgpConfiguration>;
template struct KindCodec<BgpPeer>;
template struct KindCodec<BgpFilter>;

}  // namespace margay::model::codec
