// SPDX-License-Identifier: Apache-2.0
// The resource kinds as plain values, in Calico's v3 shapes (spec policy-model.md, bgp.md, ipam.md,
// datastores.md). They are filled by the one codec (model/codec.h) from JSON; a value that exists
// has been validated. Only what a program reads is here: unknown fields stay in the Store's JSON
// text.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/ip.h"
#include "base/types.h"

namespace margay::model {

using Labels = std::vector<std::pair<std::string, std::string>>;  // sorted by key, keys unique
[[nodiscard]] const std::string* find_label(const Labels& labels, std::string_view key);

struct Metadata {
  std::string name;
  std::string ns;  // empty for cluster-scoped kinds
  std::string uid;
  std::string creation_timestamp;
  std::string deletion_timestamp;
  Labels labels;
  Labels annotations;
};

// --- policy ----------------------------------------------------------------------------------

struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
  friend auto operator<=>(const PortRange&, const PortRange&) = default;
};
using Port = std::variant<PortRange, std::string>;  // numeric or the name of an endpoint's port

struct Protocol {
  std::uint8_t number = 0;  // "TCP" is 6, ...; never 0 in a valid resource
  friend auto operator<=>(const Protocol&, const Protocol&) = default;
};

struct Icmp {
  std::optional<std::uint8_t> type;
  std::optional<std::uint8_t> code;  // only with type
  friend auto operator<=>(const Icmp&, const Icmp&) = default;
};

struct ServiceAccountMatch {
  std::vector<std::string> names;
  std::string selector;
};
struct ServiceMatch {
  std::string name;
  std::string ns;
};

struct EntityRule {
  std::vector<Prefix> nets;
  std::vector<Prefix> not_nets;
  std::string selector;
  std::string not_selector;
  std::string namespace_selector;
  std::vector<Port> ports;
  std::vector<Port> not_ports;
  std::optional<ServiceAccountMatch> service_accounts;
  std::optional<ServiceMatch> services;
};

enum class Action { allow, deny, log, pass };

struct HttpPath {
  std::string exact;
  std::string prefix;
};
struct HttpMatch {
  std::vector<std::string> methods;
  std::vector<HttpPath> paths;
};
struct RuleMetadata {
  Labels annotations;
};

struct Rule {
  Action action = Action::allow;
  std::optional<int> ip_version;  // 4 or 6
  std::optional<Protocol> protocol;
  std::optional<Protocol> not_protocol;
  std::optional<Icmp> icmp;
  std::optional<Icmp> not_icmp;
  EntityRule source;
  EntityRule destination;
  std::optional<HttpMatch> http;
  std::optional<RuleMetadata> metadata;
};

enum class PolicyType { ingress, egress };

struct PolicySpec {  // of NetworkPolicy, GlobalNetworkPolicy and the staged kinds
  std::string tier = "default";
  std::optional<double> order;  // absent: after every number
  std::string selector;
  std::string namespace_selector;  // global kinds only
  std::string service_account_selector;
  std::vector<PolicyType> types;  // as written; see calc for what an empty list means
  std::vector<Rule> ingress;
  std::vector<Rule> egress;
  bool do_not_track = false;
  bool pre_dnat = false;
  bool apply_on_forward = false;
  std::vector<std::string> performance_hints;
  std::string staged_action;  // staged kinds only
};

struct NetworkPolicy {
  Metadata metadata;
  PolicySpec spec;
};
struct GlobalNetworkPolicy {
  Metadata metadata;
  PolicySpec spec;
};
struct StagedNetworkPolicy {
  Metadata metadata;
  PolicySpec spec;
};
struct StagedGlobalNetworkPolicy {
  Metadata metadata;
  PolicySpec spec;
};

struct TierSpec {
  std::optional<double> order;
  bool default_pass = false;  // defaultAction: Deny (false) or Pass
};
struct Tier {
  Metadata metadata;
  TierSpec spec;
};

struct ProfileSpec {
  std::vector<Rule> ingress;
  std::vector<Rule> egress;
  Labels labels_to_apply;
};
struct Profile {
  Metadata metadata;
  ProfileSpec spec;
};

struct NetworkSetSpec {
  std::vector<Prefix> nets;
};
struct NetworkSet {
  Metadata metadata;
  NetworkSetSpec spec;
};
struct GlobalNetworkSet {
  Metadata metadata;
  NetworkSetSpec spec;
};

// --- endpoints -------------------------------------------------------------------------------

struct EndpointPort {
  std::string name;
  Protocol protocol;
  std::uint16_t port = 0;
};
struct IpNat {
  Ip internal_ip;
  Ip external_ip;
};

struct WorkloadEndpointSpec {
  std::string orchestrator;
  std::string workload;
  std::string node;
  std::string container_id;
  std::string pod;
  std::string endpoint;
  std::string service_account_name;
  std::vector<Prefix> ip_networks;
  std::vector<IpNat> ip_nats;
  Ip ipv4_gateway;  // any() when absent
  Ip ipv6_gateway;
  std::vector<std::string> profiles;
  std::string interface_name;
  std::optional<Mac> mac;
  std::vector<EndpointPort> ports;
  std::vector<Prefix> allow_spoofed_source_prefixes;
};
struct WorkloadEndpoint {
  Metadata metadata;
  WorkloadEndpointSpec spec;
};

struct HostEndpointSpec {
  std::string node;
  std::string interface_name;  // a name, "*", or empty
  std::vector<Ip> expected_ips;
  std::vector<std::string> profiles;
  std::vector<EndpointPort> ports;
};
struct HostEndpoint {
  Metadata metadata;
  HostEndpointSpec spec;
};

// --- addresses and nodes ---------------------------------------------------------------------

enum class EncapMode { never, always, cross_subnet };

struct IpPoolSpec {
  Prefix cidr;
  EncapMode ipip_mode = EncapMode::never;
  EncapMode vxlan_mode = EncapMode::never;
  bool nat_outgoing = false;
  bool disabled = false;
  bool disable_bgp_export = false;
  int block_size = 0;  // 0: the family's default, 26 or 122
  std::string node_selector;
  std::string namespace_selector;
  std::vector<std::string> allowed_uses;  // empty: Workload and Tunnel
  std::string assignment_mode;
};
struct IpPool {
  Metadata metadata;
  IpPoolSpec spec;
};

// Calico's IPAM block (spec ipam.md 1.4): the key is its CIDR.
struct IpamBlock {
  Prefix cidr;
  std::string affinity;                         // "host:node1", "virtual:...", or empty
  std::vector<std::optional<int>> allocations;  // ordinal -> index into attributes
  std::vector<Labels> attributes;  // the `secondary` map of each; "node" names the user
};
// An affinity of a block to a node; node and cidr come from the key.
struct BlockAffinity {
  std::string state;  // "" (old form) and "confirmed": owned; "pending", "pendingDeletion"
  bool deleted = false;
};

// How many addresses of which block one user holds; the key names the handle.
struct IpamHandle {
  std::map<std::string, int> blocks;  // CIDR -> count
  bool deleted = false;
};
// The allocator's settings as it reads them; IpamConfiguration is the same as a resource.
struct IpamConfig {
  bool strict_affinity = false;
  bool auto_allocate_blocks = true;
  int max_blocks_per_host = 0;  // 0: the built-in 20 per family
  int ip_cooldown_seconds = 0;
  std::string kubevirt_vm_address_persistence;
};
struct IpamConfigurationSpec {
  bool strict_affinity = false;
  bool auto_allocate_blocks = true;
  int max_blocks_per_host = 0;
  int ip_cooldown_seconds = 0;
  std::string kubevirt_vm_address_persistence;
};
struct IpamConfiguration {
  Metadata metadata;
  IpamConfigurationSpec spec;
};
struct IpReservationSpec {
  std::vector<Prefix> reserved_cidrs;
};
struct IpReservation {
  Metadata metadata;
  IpReservationSpec spec;
};

struct NodeBgpSpec {
  std::optional<Asn> as_number;
  std::optional<InterfaceAddress> ipv4_address;
  std::optional<InterfaceAddress> ipv6_address;
  std::optional<Ip> ipv4_ipip_tunnel_addr;
  std::string route_reflector_cluster_id;
};
struct NodeAddress {
  std::string address;
  std::string type;
};
struct NodeInterface {
  std::string name;
  std::vector<std::string> addresses;
};
struct OrchRef {
  std::string node_name;
  std::string orchestrator;
};
struct NodeWireguardSpec {
  std::optional<Ip> interface_ipv4_address;
  std::optional<Ip> interface_ipv6_address;
};
struct NodeSpec {
  std::optional<NodeBgpSpec> bgp;
  std::optional<Ip> ipv4_vxlan_tunnel_addr;
  std::optional<Ip> ipv6_vxlan_tunnel_addr;
  std::optional<Mac> vxlan_tunnel_mac_addr;
  std::optional<Mac> vxlan_tunnel_mac_addr_v6;
  std::vector<NodeAddress> addresses;
  std::vector<NodeInterface> interfaces;
  std::vector<OrchRef> orch_refs;
  std::optional<NodeWireguardSpec> wireguard;
};
struct NodeStatus {
  std::string wireguard_public_key;
  std::string wireguard_public_key_v6;
  std::vector<std::string> pod_cidrs;
};
struct Node {
  Metadata metadata;
  NodeSpec spec;
  NodeStatus status;
};

// --- BGP -------------------------------------------------------------------------------------

struct NamedCommunity {
  std::string name;
  std::string value;
};
struct PrefixAdvertisement {
  Prefix cidr;
  std::vector<std::string> communities;
};
struct SecretKeyRef {
  std::string name;
  std::string key;
};
struct BgpPassword {
  std::optional<SecretKeyRef> secret_key_ref;
};
struct CidrBlock {
  Prefix cidr;
};

struct BgpConfigurationSpec {
  std::string log_severity_screen;
  std::optional<bool> node_to_node_mesh_enabled;
  std::optional<Asn> as_number;
  std::optional<int> listen_port;
  std::string bind_mode;
  std::vector<CidrBlock> service_cluster_ips;
  std::vector<CidrBlock> service_external_ips;
  std::vector<CidrBlock> service_load_balancer_ips;
  std::string service_load_balancer_aggregation;
  std::vector<NamedCommunity> communities;
  std::vector<PrefixAdvertisement> prefix_advertisements;
  std::optional<BgpPassword> node_mesh_password;
  std::string node_mesh_max_restart_time;  // Go duration
  std::vector<std::string> ignored_interfaces;
  std::string program_cluster_routes;
  std::optional<int> ipv4_normal_route_priority;
  std::optional<int> ipv6_normal_route_priority;
  // Where workloads that speak BGP find their node.
  std::optional<Ip> local_workload_peering_ipv4, local_workload_peering_ipv6;
  std::string hold_time;       // ours: Go duration, "" for 240s
  std::string keepalive_time;  // ours: Go duration, "" for a third of hold_time
};
struct BgpConfiguration {
  Metadata metadata;
  BgpConfigurationSpec spec;
};

struct BgpPeerSpec {
  std::string node;
  std::string node_selector;
  std::string peer_ip;  // "ip", "v4:port", "[v6]:port"
  std::optional<Asn> as_number;
  std::optional<Asn> local_as_number;
  std::string peer_selector;
  std::string local_workload_selector;
  bool keep_original_next_hop = false;
  std::string next_hop_mode;
  std::optional<BgpPassword> password;
  std::string source_address;
  std::string max_restart_time;
  std::string keepalive_time;
  std::string hold_time;  // ours
  // Ours: whose routes the session carries ("IPv4", "IPv6"); none: those of its address's family.
  std::vector<std::string> address_families;
  std::optional<int> max_prefixes;        // ours: of each family; 0: any number
  std::string max_prefixes_restart_time;  // ours: Go duration, "": stays down until changed
  std::string graceful_notification;      // ours: "Enabled" (RFC 8538), "Disabled" or ""
  std::optional<int> num_allowed_local_as_numbers;
  std::optional<int> ttl_security;
  std::string reachable_by;
  std::vector<std::string> filters;
  std::string reverse_peering;
};
struct BgpPeer {
  Metadata metadata;
  BgpPeerSpec spec;
};

struct PrefixLengthRange {
  std::optional<int> min;
  std::optional<int> max;
};
struct CommunityMatch {
  std::vector<std::string> values;
};
struct AddCommunity {
  std::string value;
};
struct PrependAsPath {
  std::vector<Asn> prefix;
};
struct SetPriority {
  int value = 0;
};
struct BgpFilterOperation {  // exactly one is set
  std::optional<AddCommunity> add_community;
  std::optional<PrependAsPath> prepend_as_path;
  std::optional<SetPriority> set_priority;
};
struct BgpFilterRule {
  std::optional<Prefix> cidr;
  std::string match_operator;
  std::optional<PrefixLengthRange> prefix_length;
  std::string source;
  std::string interface;
  std::string peer_type;
  std::optional<CommunityMatch> communities;
  std::vector<Asn> as_path_prefix;
  std::optional<int> priority;
  std::string action;
  std::vector<BgpFilterOperation> operations;
};
struct BgpFilterSpec {
  std::vector<BgpFilterRule> export_v4, import_v4, export_v6, import_v6;
};
struct BgpFilter {
  Metadata metadata;
  BgpFilterSpec spec;
};

// --- configuration ---------------------------------------------------------------------------

// Parameter name (FelixConfiguration field, camelCase) -> value as text; typed by agent/config.
struct FelixConfiguration {
  Metadata metadata;
  std::string node_selector;
  std::map<std::string, std::string> parameters;
};

struct ClusterInformationSpec {
  std::string cluster_guid;
  std::string cluster_type;
  std::string calico_version;
  std::optional<bool> datastore_ready;
};
struct ClusterInformation {
  Metadata metadata;
  ClusterInformationSpec spec;
};

}  // namespace margay::model
