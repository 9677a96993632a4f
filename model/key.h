// SPDX-License-Identifier: Apache-2.0
// Every kind of resource, and the key of each object in a Store: Calico's etcd paths, exactly, for
// Calico's kinds and IPAM data; our own branch `/calico/resources/v3/kubernetes/<group>/<plural>/`
// (group "core" for v1) for native Kubernetes kinds, which Calico never stores in etcd. One table
// of kinds serves paths, documents, validation and the command line. Pure text: knows no JSON.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/ip.h"
#include "base/result.h"

namespace margay::model {

enum class Kind {
  bgp_configuration,
  bgp_filter,
  bgp_peer,
  calico_node_status,
  cluster_information,
  felix_configuration,
  global_network_policy,
  global_network_set,
  host_endpoint,
  ipam_configuration,
  ip_pool,
  ip_reservation,
  kube_controllers_configuration,
  network_policy,
  network_set,
  node,
  profile,
  staged_global_network_policy,
  staged_kubernetes_network_policy,
  staged_network_policy,
  tier,
  workload_endpoint,
  // IPAM data: plain JSON without kind, metadata and spec.
  ipam_block,
  block_affinity,
  ipam_handle,
  ipam_config,
  // Native Kubernetes kinds.
  kubernetes_namespace,
  service_account,
  pod,
  kubernetes_node,
  service,
  endpoint_slice,
  kubernetes_network_policy,
  cluster_network_policy,
  secret,
};
inline constexpr std::size_t kKindCount = static_cast<std::size_t>(Kind::secret) + 1;

struct KindInfo {
  Kind kind;
  std::string_view name;  // "BGPPeer"; native kinds keep Kubernetes' ("Node", "NetworkPolicy")
  std::string_view api_version;  // "projectcalico.org/v3", "v1", ...; empty for IPAM data
  std::string_view plural;       // "bgppeers"; empty for IPAM data
  bool namespaced;
  std::string_view aliases;  // further names on the command line, lower case, separated by blanks
};
[[nodiscard]] const KindInfo& info(Kind kind);
[[nodiscard]] std::span<const KindInfo> all_kinds();  // in the order of Kind

// As documents name it. nullopt: no such kind in that version.
[[nodiscard]] std::optional<Kind> find_kind(std::string_view api_version, std::string_view name);
// As people name it, in any case: the kind, its plural or an alias. Calico's kinds win over native
// ones of the same name; those are also reachable as "kubernetesnode", "kubernetesnetworkpolicy".
[[nodiscard]] std::optional<Kind> kind_by_alias(std::string_view text);

// For IPAM data: a block is named by its CIDR ("10.65.1.0/26"); an affinity also, and `ns` is its
// owner as blocks write it ("host:node1", "virtual:load-balancer"); the config is "default".
struct Key {
  Kind kind = Kind::network_policy;
  std::string ns;
  std::string name;
  friend auto operator<=>(const Key&, const Key&) = default;
};
[[nodiscard]] std::string path(const Key& key);
[[nodiscard]] Result<Key> parse_key(std::string_view path);  // not_found: not a path of a kind
// "BGPPeer(rack1)", "NetworkPolicy(default/web)": for messages.
[[nodiscard]] std::string describe(const Key& key);

// Below this lie all objects of a kind, and of no other kind, except that IPAM blocks and handles,
// and affinities of both families, share their common roots. Ends with "/".
[[nodiscard]] std::string path_prefix(Kind kind);
inline constexpr std::string_view kRootPrefix = "/calico/";
inline constexpr std::string_view kResourcePrefix = "/calico/resources/v3/";
inline constexpr std::string_view kIpamPrefix = "/calico/ipam/v2/";

[[nodiscard]] Key block_key(const Prefix& cidr);
[[nodiscard]] Key affinity_key(std::string_view node, const Prefix& cidr);
// The CIDR of an IpamBlock's or a BlockAffinity's key.
[[nodiscard]] Result<Prefix> cidr_of(const Key& key);
// The node that owns a block ("host:node1" -> "node1"), of a key's `ns` or a block's `affinity`;
// empty when it is not a node's.
[[nodiscard]] std::string_view affinity_node(std::string_view affinity);

}  // namespace margay::model
