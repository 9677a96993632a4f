// SPDX-License-Identifier: Apache-2.0
// The one codec: JSON text <-> the structs of model/resources.h and model/kubernetes.h, driven by
// one field table per struct. decode is lenient: unknown fields are ignored (they stay in the
// Store's text), null means absent, and Calico's own older spellings are understood; a value that
// cannot mean anything is Code::invalid, naming kind, object, field path, value and what is
// allowed. Instantiated for every kind in codec_*.cpp: an includer pays for declarations only.
// Knows no store, file or YAML (model/document.h).
#pragma once

#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "model/controllers.h"
#include "model/key.h"
#include "model/kubernetes.h"
#include "model/resources.h"

namespace margay::model {

namespace codec {
// Defined, for every kind, in model/codec/codec_*.cpp.
template <typename T>
struct KindCodec {
  static Result<T> decode(std::string_view json);
  static std::string encode(const T& value);
  static Result<void> validate(const Key& key, std::string_view json);
  static Result<void> judge(const Key& key, const T& value);
};
}  // namespace codec

template <typename T>
[[nodiscard]] Result<T> decode(std::string_view json) {
  return codec::KindCodec<T>::decode(json);
}

// Compact JSON of what the struct holds; absent and default values are left out.
// decode(encode(x)) == x.
template <typename T>
[[nodiscard]] std::string encode(const T& value) {
  return codec::KindCodec<T>::encode(value);
}

// Everything that decode does, and: unknown fields are mistakes, as are values and combinations
// that the specification rules out, names against RFC 1123, and a document that contradicts its
// key. The error lists all problems (up to 20), each with field path, value and what is allowed.
[[nodiscard]] Result<void> validate_strict(const Key& key, std::string_view json);

// Of a decoded value: the combinations of fields that the specification rules out, which decode
// lets pass. The error lists them, as validate_strict does.
template <typename T>
[[nodiscard]] Result<void> judge(const Key& key, const T& value) {
  return codec::KindCodec<T>::judge(key, value);
}

// Pools must not overlap, whether disabled or not. The error names both.
[[nodiscard]] Result<void> check_pool_overlap(const std::vector<IpPool>& pools);

// Which struct stands for which kind.
template <Kind K, typename T>
struct KindType {
  static constexpr Kind kind = K;
  using Type = T;
};
using KindTypes = std::tuple<
    KindType<Kind::bgp_configuration, BgpConfiguration>, KindType<Kind::bgp_filter, BgpFilter>,
    KindType<Kind::bgp_peer, BgpPeer>, KindType<Kind::calico_node_status, CalicoNodeStatus>,
    KindType<Kind::cluster_information, ClusterInformation>,
    KindType<Kind::felix_configuration, FelixConfiguration>,
    KindType<Kind::global_network_policy, GlobalNetworkPolicy>,
    KindType<Kind::global_network_set, GlobalNetworkSet>,
    KindType<Kind::host_endpoint, HostEndpoint>,
    KindType<Kind::ipam_configuration, IpamConfiguration>, KindType<Kind::ip_pool, IpPool>,
    KindType<Kind::ip_reservation, IpReservation>,
    KindType<Kind::kube_controllers_configuration, KubeControllersConfiguration>,
    KindType<Kind::network_policy, NetworkPolicy>, KindType<Kind::network_set, NetworkSet>,
    KindType<Kind::node, Node>, KindType<Kind::profile, Profile>,
    KindType<Kind::staged_global_network_policy, StagedGlobalNetworkPolicy>,
    KindType<Kind::staged_kubernetes_network_policy, StagedKubernetesNetworkPolicy>,
    KindType<Kind::staged_network_policy, StagedNetworkPolicy>, KindType<Kind::tier, Tier>,
    KindType<Kind::workload_endpoint, WorkloadEndpoint>, KindType<Kind::ipam_block, IpamBlock>,
    KindType<Kind::block_affinity, BlockAffinity>, KindType<Kind::ipam_handle, IpamHandle>,
    KindType<Kind::ipam_config, IpamConfig>,
    KindType<Kind::kubernetes_namespace, KubernetesNamespace>,
    KindType<Kind::service_account, ServiceAccount>, KindType<Kind::pod, Pod>,
    KindType<Kind::kubernetes_node, KubernetesNode>, KindType<Kind::service, Service>,
    KindType<Kind::endpoint_slice, EndpointSlice>,
    KindType<Kind::kubernetes_network_policy, KubernetesNetworkPolicy>,
    KindType<Kind::cluster_network_policy, ClusterNetworkPolicy>, KindType<Kind::secret, Secret>>;
static_assert(std::tuple_size_v<KindTypes> == kKindCount);

namespace detail {
template <typename T, std::size_t I = 0>
constexpr Kind kind_of() {
  static_assert(I < std::tuple_size_v<KindTypes>, "T is not the struct of a kind");
  using Entry = std::tuple_element_t<I, KindTypes>;
  if constexpr (std::is_same_v<typename Entry::Type, T>) {
    return Entry::kind;
  } else {
    return kind_of<T, I + 1>();
  }
}
}  // namespace detail
template <typename T>
inline constexpr Kind kKindOf = detail::kind_of<T>();

}  // namespace margay::model
