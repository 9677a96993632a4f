// SPDX-License-Identifier: Apache-2.0
#include "agent/derive.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

namespace margay::agent {
namespace {

config::Config with(config::Texts texts) {
  config::Layers layers;
  layers.set(config::Source::environment, std::move(texts));
  config::Config c = layers.resolve();
  EXPECT_TRUE(c.problems().empty()) << c.problems()[0].message;
  return c;
}

TEST(Derive, the_defaults_are_the_modules_defaults) {
  const config::Config c = with({});
  policy::PolicyConfig got = policy_config(c), want;
  for (auto* list : {&got.failsafe_in, &got.failsafe_out, &want.failsafe_in, &want.failsafe_out}) {
    std::sort(list->begin(), list->end(), [](const auto& a, const auto& b) {
      return std::tie(a.protocol, a.port) < std::tie(b.protocol, b.port);
    });
  }
  EXPECT_EQ(got, want);
  EXPECT_EQ(route_config(c, true), dataplane::RouteConfig{});
  EXPECT_FALSE(served(c).probes.has_value());
  EXPECT_FALSE(served(c).metrics.has_value());
}

TEST(Derive, every_policy_parameter_arrives) {
  const auto p = policy_config(with({{"InterfacePrefix", "cali,tap"},
                                     {"DefaultEndpointToHostAction", "Return"},
                                     {"NftablesFilterDenyAction", "Reject"},
                                     {"DisableConntrackInvalidCheck", "true"},
                                     {"LogPrefix", "x"},
                                     {"NftablesMarkMask", "0xf0000"},
                                     {"FailsafeInboundHostPorts", "udp:10.0.0.0/8:5"},
                                     {"FailsafeOutboundHostPorts", "none"},
                                     {"VXLANPort", "1"},
                                     {"AllowVXLANPacketsFromWorkloads", "true"},
                                     {"AllowIPIPPacketsFromWorkloads", "true"},
                                     {"ExternalNodesCIDRList", "10.9.0.0/16"},
                                     {"NATPortRange", "5:6"},
                                     {"NATOutgoingAddress", "192.0.2.1"},
                                     {"NATOutgoingExclusions", "IPPoolsAndHostIPs"},
                                     {"IptablesNATOutgoingInterfaceFilter", "eth0"},
                                     {"ServiceLoopPrevention", "Reject"},
                                     {"ExistingConnections", "cut"},
                                     {"FloatingIPs", "Enabled"},
                                     {"NftablesRefreshInterval", "7"}}));
  policy::PolicyConfig want;
  want.interface_prefixes = {"cali", "tap"};
  want.endpoint_to_host = policy::EndpointToHost::return_;
  want.deny = policy::DenyAction::reject;
  want.drop_invalid = false;
  want.log_prefix = "x";
  want.mark_mask = 0xf0000;
  want.failsafe_in = {{17, 5, *Prefix::parse("10.0.0.0/8")}};
  want.failsafe_out = {};
  want.vxlan_port = 1;
  want.allow_vxlan_from_workloads = want.allow_ipip_from_workloads = true;
  want.external_nodes = {*Prefix::parse("10.9.0.0/16")};
  want.nat_ports = model::PortRange{5, 6};
  want.nat_address = *Ip::parse("192.0.2.1");
  want.nat_excludes_hosts = true;
  want.nat_interface = "eth0";
  want.loop_prevention = policy::LoopPrevention::reject;
  want.floating_ips = true;
  want.cut_flows = true;
  want.refresh_interval = std::chrono::seconds(7);
  EXPECT_EQ(p, want);
}

TEST(Derive, every_route_parameter_arrives) {
  const auto r = route_config(with({{"InterfacePrefix", "tap"},
                                    {"IPv4NormalRoutePriority", "1"},
                                    {"IPv6NormalRoutePriority", "2"},
                                    {"DeviceRouteProtocol", "3"},
                                    {"DeviceRouteSourceAddress", "10.0.0.1"},
                                    {"DeviceRouteSourceAddressIPv6", "fd00::1"},
                                    {"RemoveExternalRoutes", "false"},
                                    {"ProgramClusterRoutes", "Enabled"},
                                    {"RouteSyncDisabled", "true"},
                                    {"FloatingIPs", "Enabled"},
                                    {"IPForwarding", "Disabled"},
                                    {"VXLANVNI", "7"},
                                    {"VXLANPort", "8"},
                                    {"VXLANMTU", "9"},
                                    {"VXLANMTUV6", "10"},
                                    {"IpInIpMtu", "12"},
                                    {"RouteRefreshInterval", "11"}}),
                              false);
  dataplane::RouteConfig want;
  want.workload_prefixes = {"tap"};
  want.metric_v4 = 1;
  want.metric_v6 = 2;
  want.device_protocol = 3;
  want.bgp = false;
  want.device_route_source_v4 = *Ip::parse("10.0.0.1");
  want.device_route_source_v6 = *Ip::parse("fd00::1");
  want.remove_external_routes = false;
  want.program_cluster_routes = dataplane::ClusterRoutes::enabled;
  want.route_sync_disabled = true;
  want.floating_ips = true;
  want.ip_forwarding = false;
  want.vxlan_vni = 7;
  want.vxlan_port = 8;
  want.vxlan_mtu_v4 = 9;
  want.vxlan_mtu_v6 = 10;
  want.ipip_mtu = 12;
  want.audit_interval = std::chrono::seconds(11);
  EXPECT_EQ(r, want);
}

TEST(Derive, a_route_protocol_that_is_no_fallback_is_that_of_all_routes) {
  EXPECT_EQ(route_config(with({{"DeviceRouteProtocol", "3"}}), true).agent_protocol, 80);
  EXPECT_EQ(route_config(with({{"DeviceRouteProtocol", "99"}}), true).agent_protocol, 99);
}

}  // namespace
}  // namespace margay::agent
