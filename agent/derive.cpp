// SPDX-License-Identifier: Apache-2.0
#include "agent/derive.h"

#include <string>

namespace margay::agent {
namespace {

std::vector<std::string> strings(const std::string& list) {
  std::vector<std::string> out;
  for (const auto item : config::split_list(list)) out.emplace_back(item);
  return out;
}

std::optional<Ip> optional_ip(const std::string& text) {
  const auto ip = Ip::parse(text);
  return ip.ok() ? std::optional<Ip>(*ip) : std::nullopt;
}

std::vector<policy::FailsafePort> failsafes(const std::string& text) {
  std::vector<policy::FailsafePort> out;
  if (const auto ports = config::parse_failsafes(text); ports.ok()) {
    for (const auto& p : *ports) out.push_back({p.protocol, p.port, p.net});
  }
  return out;
}

policy::EndpointToHost endpoint_to_host(const std::string& text) {
  if (text == "ACCEPT") return policy::EndpointToHost::accept;
  if (text == "RETURN") return policy::EndpointToHost::return_;
  return policy::EndpointToHost::drop;
}

policy::LoopPrevention loop_prevention(const std::string& text) {
  if (text == "Disabled") return policy::LoopPrevention::disabled;
  return text == "Reject" ? policy::LoopPrevention::reject : policy::LoopPrevention::drop;
}

dataplane::ClusterRoutes cluster_routes(const std::string& text) {
  using enum dataplane::ClusterRoutes;
  if (text == "Enabled") return enabled;
  if (text == "EnabledNoEncapOnly") return enabled_no_encap_only;
  return text == "Disabled" ? disabled : enabled_ipip_only;
}

// Calico's first choice, for routes of workloads alone: others use it for other things.
constexpr std::uint8_t kProtocolBoot = 3;

std::chrono::milliseconds millis(config::Seconds s) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(s);
}

}  // namespace

policy::PolicyConfig policy_config(const config::Config& c) {
  policy::PolicyConfig out;
  out.interface_prefixes = strings(c.text("InterfacePrefix"));
  out.endpoint_to_host = endpoint_to_host(c.text("DefaultEndpointToHostAction"));
  out.deny = c.text("NftablesFilterDenyAction") == "REJECT" ? policy::DenyAction::reject
                                                            : policy::DenyAction::drop;
  out.drop_invalid = !c.boolean("DisableConntrackInvalidCheck");
  out.log_prefix = c.text("LogPrefix");
  out.mark_mask = c.number("NftablesMarkMask");
  out.failsafe_in = failsafes(c.text("FailsafeInboundHostPorts"));
  out.failsafe_out = failsafes(c.text("FailsafeOutboundHostPorts"));
  out.vxlan_port = static_cast<std::uint16_t>(c.number("VXLANPort"));
  out.allow_vxlan_from_workloads = c.boolean("AllowVXLANPacketsFromWorkloads");
  out.allow_ipip_from_workloads = c.boolean("AllowIPIPPacketsFromWorkloads");
  for (const auto item : config::split_list(c.text("ExternalNodesCIDRList"))) {
    if (const auto p = Prefix::parse(item); p.ok()) out.external_nodes.push_back(*p);
  }
  if (const auto ports = config::parse_port_range(c.text("NATPortRange"));
      ports.ok() && ports->last != 0) {
    out.nat_ports = model::PortRange{ports->first, ports->last};
  }
  out.nat_address = optional_ip(c.text("NATOutgoingAddress"));
  out.nat_excludes_hosts = c.text("NATOutgoingExclusions") == "IPPoolsAndHostIPs";
  out.nat_interface = c.text("IptablesNATOutgoingInterfaceFilter");
  out.loop_prevention = loop_prevention(c.text("ServiceLoopPrevention"));
  out.floating_ips = c.boolean("FloatingIPs");
  out.accept_in_foreign_chains = c.text("ForeignDropAction") == "Accept";
  out.cut_flows = c.text("ExistingConnections") == "Cut";
  out.refresh_interval =
      std::chrono::duration_cast<std::chrono::seconds>(c.seconds("NftablesRefreshInterval"));
  return out;
}

dataplane::RouteConfig route_config(const config::Config& c, bool bgp) {
  dataplane::RouteConfig out;
  out.workload_prefixes = strings(c.text("InterfacePrefix"));
  out.metric_v4 = c.number("IPv4NormalRoutePriority");
  out.metric_v6 = c.number("IPv6NormalRoutePriority");
  out.device_protocol = static_cast<std::uint8_t>(c.number("DeviceRouteProtocol"));
  if (out.device_protocol != kProtocolBoot) out.agent_protocol = out.device_protocol;
  out.bgp = bgp;
  out.device_route_source_v4 = optional_ip(c.text("DeviceRouteSourceAddress"));
  out.device_route_source_v6 = optional_ip(c.text("DeviceRouteSourceAddressIPv6"));
  out.remove_external_routes = c.boolean("RemoveExternalRoutes");
  out.program_cluster_routes = cluster_routes(c.text("ProgramClusterRoutes"));
  out.route_sync_disabled = c.boolean("RouteSyncDisabled");
  out.floating_ips = c.boolean("FloatingIPs");
  out.ip_forwarding = c.boolean("IPForwarding");
  out.vxlan_vni = c.number("VXLANVNI");
  out.vxlan_port = static_cast<std::uint16_t>(c.number("VXLANPort"));
  out.vxlan_mtu_v4 = c.number("VXLANMTU");
  out.vxlan_mtu_v6 = c.number("VXLANMTUV6");
  out.ipip_mtu = c.number("IpInIpMtu");
  out.audit_interval = millis(c.seconds("RouteRefreshInterval"));
  return out;
}

log::Level log_level(const config::Config& c) {
  log::Level level = log::Level::info;
  (void)log::parse_level(c.text("LogSeverityScreen"), level);  // the table has checked it
  return level;
}

Served served(const config::Config& c) {
  Served out;
  if (c.boolean("HealthEnabled")) {
    out.probes = {c.text("HealthHost"), static_cast<std::uint16_t>(c.number("HealthPort"))};
  }
  if (c.boolean("PrometheusMetricsEnabled")) {
    out.metrics = {c.text("PrometheusMetricsHost"),
                   static_cast<std::uint16_t>(c.number("PrometheusMetricsPort"))};
  }
  return out;
}

}  // namespace margay::agent
