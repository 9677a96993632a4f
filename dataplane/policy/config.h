// SPDX-License-Identifier: Apache-2.0
// The parameters that shape the rules of this node (spec configuration names in comments). Plain
// values with the defaults of the spec; all may change while running: the rules follow.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ip.h"
#include "model/resources.h"

namespace margay::policy {

enum class EndpointToHost { drop, return_, accept };
enum class DenyAction { drop, reject };
enum class LoopPrevention { disabled, drop, reject };

struct FailsafePort {
  std::uint8_t protocol = 6;
  std::uint16_t port = 0;
  std::optional<Prefix> net;  // only from (to) these addresses
  friend bool operator==(const FailsafePort&, const FailsafePort&) = default;
};
[[nodiscard]] std::vector<FailsafePort> default_failsafe_in();
[[nodiscard]] std::vector<FailsafePort> default_failsafe_out();

struct PolicyConfig {
  std::vector<std::string> interface_prefixes{"cali"};     // InterfacePrefix
  EndpointToHost endpoint_to_host = EndpointToHost::drop;  // DefaultEndpointToHostAction
  DenyAction deny = DenyAction::drop;                      // NftablesFilterDenyAction
  bool drop_invalid = true;                                // not DisableConntrackInvalidCheck
  std::string log_prefix = "calico-packet";                // LogPrefix: %t %k %n %p
  std::uint32_t mark_mask = 0xffff0000;                    // NftablesMarkMask
  std::vector<FailsafePort> failsafe_in = default_failsafe_in();
  std::vector<FailsafePort> failsafe_out = default_failsafe_out();

  std::uint16_t vxlan_port = 4789;  // VXLANPort
  bool allow_vxlan_from_workloads = false;
  bool allow_ipip_from_workloads = false;
  std::vector<Prefix> external_nodes;  // ExternalNodesCIDRList
  std::string vxlan_device_v4 = "vxlan.calico";
  std::string vxlan_device_v6 = "vxlan-v6.calico";
  std::string ipip_device = "tunl0";

  std::optional<model::PortRange> nat_ports;  // NATPortRange
  std::optional<Ip> nat_address;              // NATOutgoingAddress (v4)
  bool nat_excludes_hosts = false;            // NATOutgoingExclusions IPPoolsAndHostIPs
  std::string nat_interface;                  // ...NATOutgoingInterfaceFilter; empty: every
  LoopPrevention loop_prevention = LoopPrevention::drop;  // ServiceLoopPrevention
  std::chrono::seconds refresh_interval{180};  // NftablesRefreshInterval: full audits; 0: none
  bool floating_ips = false;                   // FloatingIPs
  bool accept_in_foreign_chains = false;       // ForeignDropAction Accept
  bool cut_flows = false;  // ExistingConnections Cut: what policy denies now does not live on
  friend bool operator==(const PolicyConfig&, const PolicyConfig&) = default;
};

}  // namespace margay::policy
