// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/graph.h"

#include <type_traits>
#include <utility>
#include <variant>

#include "agent/calc/graph_impl.h"
#include "model/codec.h"

namespace margay::calc {

Graph::Graph(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;

namespace {

template <typename T>
struct Tag {
  using Type = T;
};

// Calls f(Tag<T>) with the struct of each kind that calculation reads.
template <typename F>
void with_type(model::Kind kind, const F& f) {
  using model::Kind;
  switch (kind) {
    case Kind::network_policy:
      return f(Tag<model::NetworkPolicy>{});
    case Kind::global_network_policy:
      return f(Tag<model::GlobalNetworkPolicy>{});
    case Kind::tier:
      return f(Tag<model::Tier>{});
    case Kind::profile:
      return f(Tag<model::Profile>{});
    case Kind::network_set:
      return f(Tag<model::NetworkSet>{});
    case Kind::global_network_set:
      return f(Tag<model::GlobalNetworkSet>{});
    case Kind::workload_endpoint:
      return f(Tag<model::WorkloadEndpoint>{});
    case Kind::host_endpoint:
      return f(Tag<model::HostEndpoint>{});
    case Kind::ip_pool:
      return f(Tag<model::IpPool>{});
    case Kind::ipam_block:
      return f(Tag<model::IpamBlock>{});
    case Kind::node:
      return f(Tag<model::Node>{});
    case Kind::bgp_configuration:
      return f(Tag<model::BgpConfiguration>{});
    case Kind::kubernetes_namespace:
      return f(Tag<model::KubernetesNamespace>{});
    case Kind::service_account:
      return f(Tag<model::ServiceAccount>{});
    case Kind::endpoint_slice:
      return f(Tag<model::EndpointSlice>{});
    case Kind::kubernetes_network_policy:
      return f(Tag<model::KubernetesNetworkPolicy>{});
    case Kind::cluster_network_policy:
      return f(Tag<model::ClusterNetworkPolicy>{});
    case Kind::bgp_filter:
    case Kind::bgp_peer:
    case Kind::calico_node_status:
    case Kind::cluster_information:
    case Kind::felix_configuration:
    case Kind::ipam_configuration:
    case Kind::ip_reservation:
    case Kind::kube_controllers_configuration:
    // Staged policies have no effect on packets.
    case Kind::staged_global_network_policy:
    case Kind::staged_kubernetes_network_policy:
    case Kind::staged_network_policy:
    // An affinity repeats what its block says.
    case Kind::block_affinity:
    case Kind::ipam_handle:
    case Kind::ipam_config:
    case Kind::pod:
    case Kind::kubernetes_node:
    case Kind::service:
    case Kind::secret:
      return;
  }
}

// Kinds whose values must also make sense as a whole. Of policies in Kubernetes' forms single rules
// may fail (conversion.h); of the others calculation uses single fields.
template <typename T>
constexpr bool kJudged =
    std::is_same_v<T, model::NetworkPolicy> || std::is_same_v<T, model::GlobalNetworkPolicy> ||
    std::is_same_v<T, model::Profile> || std::is_same_v<T, model::Tier> ||
    std::is_same_v<T, model::WorkloadEndpoint> || std::is_same_v<T, model::HostEndpoint>;

template <typename T>
Result<T> valid(const model::Key& key, std::string_view json) {
  MARGAY_TRY(T value, model::decode<T>(json));
  if constexpr (kJudged<T>) MARGAY_CHECK(model::judge(key, value));
  return value;
}

}  // namespace

void Graph::update(const model::Key& key, std::string_view json) {
  with_type(key.kind, [&](auto tag) {
    const auto value = valid<typename decltype(tag)::Type>(key, json);
    if (value.ok()) {
      impl_->set(key, *value);
    } else {
      impl_->set_invalid(key, json, value.error().context);
    }
  });
}

Result<void> Graph::offer(const model::Key& key, std::string_view json) {
  Result<void> out;
  with_type(key.kind, [&](auto tag) {
    const auto value = valid<typename decltype(tag)::Type>(key, json);
    out = value.ok() ? impl_->offer(key, *value) : Result<void>(value.error());
  });
  return out;
}

void Graph::update(const model::Key& k, const model::NetworkPolicy& v) { impl_->set(k, v); }
void Graph::update(const model::Key& k, const model::GlobalNetworkPolicy& v) { impl_->set(k, v); }
void Graph::update(const model::Key& k, const model::Tier& v) { impl_->set(k, v); }
void Graph::update(const model::Key& k, const model::Profile& v) { impl_->set(k, v); }
void Graph::update(const model::Key& k, const model::NetworkSet& v) { impl_->set(k, v); }
void Graph::update(const model::Key& k, const model::GlobalNetworkSet& v) { impl_->set(k, v); }
void Graph::update(const model::Key& k, const model::WorkloadEndpoint& v) { impl_->set(k, v); }
void Graph::update(const model::Key& k, const model::HostEndpoint& v) { impl_->set(k, v); }
void Graph::update(const model::Key& k, const model::IpPool& v) { impl_->set(k, v); }
void Graph::update(const model::Key& k, const model::IpamBlock& v) { impl_->set(k, v); }
void Graph::update(const model::Key& k, const model::Node& v) { impl_->set(k, v); }
void Graph::update(const model::Key& k, const model::BgpConfiguration& v) { impl_->set(k, v); }
void Graph::update(const model::Key& k, const model::KubernetesNamespace& v) { impl_->set(k, v); }
void Graph::update(const model::Key& k, const model::ServiceAccount& v) { impl_->set(k, v); }
void Graph::update(const model::Key& k, const model::EndpointSlice& v) { impl_->set(k, v); }
void Graph::update(const model::Key& k, const model::KubernetesNetworkPolicy& v) {
  impl_->set(k, v);
}
void Graph::update(const model::Key& k, const model::ClusterNetworkPolicy& v) { impl_->set(k, v); }

void Graph::remove(const model::Key& key) { impl_->remove(key); }
void Graph::set_in_sync() { impl_->set_in_sync(); }
void Graph::configure(const Options& options) { impl_->configure(options); }
bool Graph::pending() const { return impl_->pending(); }
model::Batch Graph::flush(std::size_t max_new_members) { return impl_->flush(max_new_members); }
const std::map<model::Key, Problem>& Graph::problems() const { return impl_->problems(); }
Counts Graph::counts() const { return impl_->counts(); }

}  // namespace margay::calc
