// SPDX-License-Identifier: Apache-2.0
// The contract between calc and the dataplane: what this node should have, as tables of values, and
// the changes to them. Pure values, no kernel words (no chains, netlink or interface indexes).
// calc emits changes in an order that is safe to apply one by one: sets before the rules that name
// them, policies before endpoints, VTEPs before routes; removals in reverse. A consumer may also
// take a whole Batch and apply it as one transaction.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ip.h"
#include "base/types.h"
#include "model/resources.h"

namespace margay::model {

// --- IP sets ---------------------------------------------------------------------------------

// Calico's stable ids: "s:<hash>" selector, "n:<hash>" named port, "svc:..", "svcnoport:..".
using SetId = std::string;
enum class SetKind { nets, ip_port };  // both families in one set: the consumer splits

struct SetMember {
  Prefix prefix;              // a host prefix for kind ip_port
  std::uint8_t protocol = 0;  // kind ip_port only
  std::uint16_t port = 0;
  friend bool operator==(const SetMember&, const SetMember&) = default;
  friend auto operator<=>(const SetMember&, const SetMember&) = default;
};

// Members are unique; they may overlap (a wider and a narrower prefix): the consumer copes.
struct SetUpdate {
  SetId id;
  SetKind kind = SetKind::nets;
  bool replace = false;  // `added` is the whole content; else a delta to what was sent before
  std::vector<SetMember> added;
  std::vector<SetMember> removed;
  // The set is new, and members follow in further updates, the last of which says so by not saying
  // this: nothing that names the set comes into force before.
  bool more = false;
};
struct SetRemove {
  SetId id;
};

// --- policies --------------------------------------------------------------------------------

enum class PolicyKind {
  network_policy,
  global_network_policy,
  kubernetes_network_policy,
  cluster_network_policy,
  staged_network_policy,
  staged_global_network_policy,
  staged_kubernetes_network_policy,
};
[[nodiscard]] bool is_staged(PolicyKind kind);
[[nodiscard]] std::string_view short_code(PolicyKind kind);  // "np", "gnp", "knp", ...

struct PolicyKey {
  PolicyKind kind = PolicyKind::network_policy;
  std::string ns;
  std::string name;
  friend auto operator<=>(const PolicyKey&, const PolicyKey&) = default;
  [[nodiscard]] std::string to_string() const;  // "np/default/allow-web"
};

// A rule with every selector turned into set ids. All present matches must hold; lists are any-of,
// not_ lists none-of; ports and named-port sets of one side are any-of together. A positive list
// that is present but holds nothing of a packet's family never matches it.
struct ActiveRule {
  Action action = Action::allow;
  std::optional<Family> family;
  std::optional<Protocol> protocol, not_protocol;
  std::optional<Icmp> icmp, not_icmp;
  struct Side {
    std::vector<Prefix> nets, not_nets;
    std::vector<SetId> sets, not_sets;  // all of sets must contain; none of not_sets
    std::vector<PortRange> ports, not_ports;
    std::vector<SetId> port_sets, not_port_sets;  // named ports: (ip, proto, port)
    friend bool operator==(const Side&, const Side&) = default;
  };
  Side source, destination;
  std::vector<SetId> destination_service_sets;  // (ip, proto, port) of a service's endpoints
  bool never = false;       // needs an application-layer proxy: matches nothing (fail closed)
  std::string annotations;  // of its metadata, for people: "key=value, ..."
  friend bool operator==(const ActiveRule&, const ActiveRule&) = default;
};

struct ActivePolicy {
  PolicyKey key;
  std::string tier;
  std::vector<ActiveRule> inbound, outbound;
  friend bool operator==(const ActivePolicy&, const ActivePolicy&) = default;
};
struct PolicyRemove {
  PolicyKey key;
};
struct ActiveProfile {
  std::string name;
  std::vector<ActiveRule> inbound, outbound;
  friend bool operator==(const ActiveProfile&, const ActiveProfile&) = default;
};
struct ProfileRemove {
  std::string name;
};

// --- endpoints -------------------------------------------------------------------------------

struct EndpointTier {
  std::string name;
  bool default_pass = false;               // the end of the tier passes on instead of denying
  std::vector<PolicyKey> ingress, egress;  // in order; staged ones are left out
  friend bool operator==(const EndpointTier&, const EndpointTier&) = default;
};

struct EndpointId {
  std::string orchestrator, workload, endpoint;  // a workload; or host endpoint: only `endpoint`
  friend auto operator<=>(const EndpointId&, const EndpointId&) = default;
  [[nodiscard]] std::string to_string() const;
};

struct LocalWorkload {
  EndpointId id;
  std::string interface_name;
  bool active = true;  // false: admin down, drop everything
  std::optional<Mac> mac;
  std::vector<Prefix> addresses;  // host prefixes, both families
  std::vector<Prefix> spoofable;  // further source prefixes it may use
  std::vector<IpNat> nats;
  std::vector<EndpointTier> tiers;  // only tiers with a policy in some direction
  std::vector<std::string> profiles;
  friend bool operator==(const LocalWorkload& a, const LocalWorkload& b);
};
struct WorkloadRemove {
  EndpointId id;
};

struct LocalHostEndpoint {
  EndpointId id;
  std::string interface_name;  // "*": all, empty: by address
  std::vector<Ip> expected_ips;
  std::vector<EndpointTier> tiers, untracked_tiers, pre_dnat_tiers, forward_tiers;
  std::vector<std::string> profiles;
  friend bool operator==(const LocalHostEndpoint&, const LocalHostEndpoint&) = default;
};
struct HostEndpointRemove {
  EndpointId id;
};

// --- routing ---------------------------------------------------------------------------------

enum class Encap { none, ipip, vxlan };

struct DesiredPool {  // key: cidr
  Prefix cidr;
  Encap encap = Encap::none;
  bool cross_subnet = false;
  bool nat_outgoing = false;
  friend bool operator==(const DesiredPool&, const DesiredPool&) = default;
};
struct PoolRemove {
  Prefix cidr;
};

// What is known of one destination (spec calc-graph.md 6). Key: dst.
struct RouteTarget {
  enum class Kind {
    remote_workload,  // a block, or a borrowed address, of another node
    local_block,      // a block of ours: blackhole what no pod of ours claims
    local_workload,   // an address of a pod of ours (its /32 comes from LocalWorkload)
    remote_tunnel,    // another node's tunnel address outside its blocks
    local_tunnel,
  };
  Prefix dst;
  Kind kind = Kind::remote_workload;
  // Of the enclosing pool; none also when there is no pool. Of a tunnel address: its tunnel's.
  Encap encap = Encap::none;
  bool in_pool = false;
  bool same_subnet = false;  // cross-subnet pool, and the node shares our subnet: no tunnel
  bool nat_outgoing = false;
  bool borrowed = false;
  std::string node;
  std::optional<Ip> node_ip;  // of dst's family
  friend bool operator==(const RouteTarget&, const RouteTarget&) = default;
};
struct RouteRemove {
  Prefix dst;
};

// A remote node's VXLAN end, one per family. Key: (node, family of tunnel_ip).
struct Vtep {
  std::string node;
  Ip tunnel_ip;  // address of its vxlan device
  Mac mac;
  Ip parent_ip;  // underlay address
  friend bool operator==(const Vtep&, const Vtep&) = default;
};
struct VtepRemove {
  std::string node;
  Family family = Family::v4;
};

// Addresses of every node of the cluster, ours included. Key: name.
struct HostAddresses {
  std::string node;
  std::vector<Ip> addresses;
  friend bool operator==(const HostAddresses&, const HostAddresses&) = default;
};
struct HostRemove {
  std::string node;
};

// What this node is, from its own Node resource; sent whole whenever it changes.
struct LocalNode {
  std::string name;
  std::optional<InterfaceAddress> ipv4, ipv6;
  std::optional<Ip> vxlan_v4, vxlan_v6;  // our tunnel addresses
  Mac vxlan_mac_v4, vxlan_mac_v6;        // as given, or derived from the name
  std::optional<Ip> ipip_v4;
  friend bool operator==(const LocalNode&, const LocalNode&) = default;
};

// Service ranges, dropped when they would loop back to us (ServiceLoopPrevention). Sent whole.
struct ServiceRanges {
  std::vector<Prefix> cluster_ips, external_ips, load_balancer_ips;
  friend bool operator==(const ServiceRanges&, const ServiceRanges&) = default;
};

// Which pools' encapsulations are in use: decides which tunnel devices exist. Sent whole.
struct EncapInUse {
  bool ipip = false, vxlan_v4 = false, vxlan_v6 = false;
  friend bool operator==(const EncapInUse&, const EncapInUse&) = default;
};

using Change =
    std::variant<SetUpdate, SetRemove, ActivePolicy, PolicyRemove, ActiveProfile, ProfileRemove,
                 LocalWorkload, WorkloadRemove, LocalHostEndpoint, HostEndpointRemove, DesiredPool,
                 PoolRemove, RouteTarget, RouteRemove, Vtep, VtepRemove, HostAddresses, HostRemove,
                 LocalNode, ServiceRanges, EncapInUse>;

struct Batch {
  std::vector<Change> changes;
  bool in_sync = false;  // true once, with the batch that completes the first whole view
  // When the oldest change of the datastore that it follows from was committed, as far as is known,
  // or received. Absent: nothing of the datastore changed, or it is the first view.
  std::optional<std::chrono::steady_clock::time_point> since = std::nullopt;
};

}  // namespace margay::model
