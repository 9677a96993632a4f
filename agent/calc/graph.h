// SPDX-License-Identifier: Apache-2.0
// The calculation: what the cluster's resources mean for this node. Updates in, changes to the
// node's desired tables (model/desired.h) out. A pure, deterministic value: no I/O, clock, threads
// or logs; the tables that its batches build depend only on the set of inputs, never on their
// order. One thread at a time. Nothing comes out before set_in_sync(); afterwards flush() brings
// what changed, coalesced per object, in an order that is safe to apply change by change.
#pragma once

#include <cstddef>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/desired.h"
#include "model/key.h"
#include "model/kubernetes.h"
#include "model/resources.h"

namespace margay::calc {

enum class RouteSource { calico_ipam, workload_ips };

struct Options {
  std::string node;                    // our own name
  bool allow_source_spoofing = false;  // WorkloadSourceSpoofing=Any
  bool floating_ips = false;           // FloatingIPs=Enabled: ipNATs of every workload take effect
  RouteSource route_source = RouteSource::calico_ipam;
  // IpInIpEnabled and VXLANEnabled; unset: as the pools say.
  std::optional<bool> ipip_enabled;
  std::optional<bool> vxlan_enabled;
  friend bool operator==(const Options&, const Options&) = default;
};

// An object that is not in effect as written, for status, metrics and readiness detail.
struct Problem {
  enum class InForce {
    nothing,  // it counts as absent
    denial,   // an invalid policy: what it selects is denied
    rest,     // all of it but what `reason` names
  };
  std::string reason;
  InForce in_force = InForce::nothing;
  friend bool operator==(const Problem&, const Problem&) = default;
};

struct Counts {
  std::size_t policies = 0, active_policies = 0, active_profiles = 0, tiers = 0;
  std::size_t endpoints = 0, local_endpoints = 0, active_sets = 0, set_members = 0;
  std::size_t labels = 0;  // distinct keys and (key, value) pairs held
};

class Graph {
 public:
  explicit Graph(Options options);
  ~Graph();
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;

  // The object's current value, as JSON of its kind. A kind that calculation has no use for is
  // passed over. An invalid value becomes a Problem.
  void update(const model::Key& key, std::string_view json);
  // The same, but an invalid value changes nothing: the error says what is wrong with it.
  [[nodiscard]] Result<void> offer(const model::Key& key, std::string_view json);
  // The same for values that are decoded already; the key is the identity, not the metadata.
  void update(const model::Key& key, const model::NetworkPolicy& value);
  void update(const model::Key& key, const model::GlobalNetworkPolicy& value);
  void update(const model::Key& key, const model::Tier& value);
  void update(const model::Key& key, const model::Profile& value);
  void update(const model::Key& key, const model::NetworkSet& value);
  void update(const model::Key& key, const model::GlobalNetworkSet& value);
  void update(const model::Key& key, const model::WorkloadEndpoint& value);
  void update(const model::Key& key, const model::HostEndpoint& value);
  void update(const model::Key& key, const model::IpPool& value);
  void update(const model::Key& key, const model::IpamBlock& value);
  void update(const model::Key& key, const model::Node& value);
  void update(const model::Key& key, const model::BgpConfiguration& value);
  void update(const model::Key& key, const model::KubernetesNamespace& value);
  void update(const model::Key& key, const model::ServiceAccount& value);
  void update(const model::Key& key, const model::EndpointSlice& value);
  void update(const model::Key& key, const model::KubernetesNetworkPolicy& value);
  void update(const model::Key& key, const model::ClusterNetworkPolicy& value);
  // Nothing happens when there is no such object.
  void remove(const model::Key& key);

  // The first complete view has been given. Again: no effect.
  void set_in_sync();
  // Takes effect with the next flush; the node's name never changes.
  void configure(const Options& options);

  // Is there anything that the next flush may bring?
  [[nodiscard]] bool pending() const;
  // All changes, but for members of large sets that are new: of those, after the first batch, about
  // so many are gathered at a time (SetUpdate::more), and pending() says whether any are left.
  // Batches are to be applied in order.
  [[nodiscard]] model::Batch flush(
      std::size_t max_new_members = std::numeric_limits<std::size_t>::max());

  [[nodiscard]] const std::map<model::Key, Problem>& problems() const;
  [[nodiscard]] Counts counts() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace margay::calc
