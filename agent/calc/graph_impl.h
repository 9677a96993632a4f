// SPDX-License-Identifier: Apache-2.0
// The graph's parts put together: resources in, to the part that keeps them; on a flush the parts
// in turn, and their changes into one safe order. See graph.h for the promises.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/calc/classes.h"
#include "agent/calc/endpoints.h"
#include "agent/calc/graph.h"
#include "agent/calc/ip_sets.h"
#include "agent/calc/local_endpoints.h"
#include "agent/calc/nodes.h"
#include "agent/calc/policies.h"
#include "agent/calc/profiles.h"
#include "agent/calc/routes.h"
#include "agent/calc/services.h"

namespace margay::calc {

class Graph::Impl {
 public:
  explicit Impl(Options options);

  void set(const model::Key& key, const model::NetworkPolicy& value);
  void set(const model::Key& key, const model::GlobalNetworkPolicy& value);
  void set(const model::Key& key, const model::Tier& value);
  void set(const model::Key& key, const model::Profile& value);
  void set(const model::Key& key, const model::NetworkSet& value);
  void set(const model::Key& key, const model::GlobalNetworkSet& value);
  void set(const model::Key& key, const model::WorkloadEndpoint& value);
  void set(const model::Key& key, const model::HostEndpoint& value);
  void set(const model::Key& key, const model::IpPool& value);
  void set(const model::Key& key, const model::IpamBlock& value);
  void set(const model::Key& key, const model::Node& value);
  void set(const model::Key& key, const model::BgpConfiguration& value);
  void set(const model::Key& key, const model::KubernetesNamespace& value);
  void set(const model::Key& key, const model::ServiceAccount& value);
  void set(const model::Key& key, const model::EndpointSlice& value);
  void set(const model::Key& key, const model::KubernetesNetworkPolicy& value);
  void set(const model::Key& key, const model::ClusterNetworkPolicy& value);
  void set_invalid(const model::Key& key, std::string_view json, const std::string& reason);
  // set() of a valid value; of one that is not, the error and no change. Of most kinds everything
  // that decodes is valid.
  template <typename T>
  Result<void> offer(const model::Key& key, const T& value) {
    set(key, value);
    return {};
  }
  Result<void> offer(const model::Key& key, const model::NetworkPolicy& value);
  Result<void> offer(const model::Key& key, const model::GlobalNetworkPolicy& value);
  Result<void> offer(const model::Key& key, const model::KubernetesNetworkPolicy& value);
  Result<void> offer(const model::Key& key, const model::ClusterNetworkPolicy& value);
  Result<void> offer(const model::Key& key, const model::Profile& value);
  Result<void> offer(const model::Key& key, const model::WorkloadEndpoint& value);
  Result<void> offer(const model::Key& key, const model::IpamBlock& value);
  void remove(const model::Key& key);

  void set_in_sync();
  void configure(const Options& options);
  [[nodiscard]] bool pending() const;
  [[nodiscard]] model::Batch flush(std::size_t max_new_members);
  [[nodiscard]] const std::map<model::Key, Problem>& problems() const { return problems_; }
  [[nodiscard]] Counts counts() const;

 private:
  // A workload of this node as its resource says, before options are looked at.
  struct LocalWep {
    model::LocalWorkload value;
    ClassId cls = kNone;
  };
  void accept(const model::Key& key);  // the object is valid, and something changed
  void report(const model::Key& key, std::string reason, Problem::InForce in_force);
  template <typename T>  // an invalid value is as good as none
  void set_or_drop(const model::Key& key, const T& value) {
    const auto taken = offer(key, value);
    if (taken.ok()) return;
    drop(key);
    report(key, taken.error().context, Problem::InForce::nothing);
  }
  // `problem`: what could not be converted to this form; empty: nothing.
  void set_policy(const model::Key& key, const model::PolicySpec& spec, std::string problem = {});
  Result<void> offer_policy(const model::Key& key, const model::PolicySpec& spec,
                            std::string problem = {});
  void deny(const model::Key& key, const std::optional<model::PolicySpec>& spec,
            const std::string& reason);
  void erase_policy(const model::Key& key);
  // What of a valid policy is not in effect: rules that match nothing, a tier that is missing.
  void note(const model::Key& key, const model::PolicySpec& spec, std::string reason);
  void erase_notes(const model::Key& key);
  void report_notes(const model::Key& key);
  void judge_tier(const std::string& tier);  // that came or went
  void set_endpoint(const model::Key& key, const std::string& text, const EndpointValue& value,
                    bool workload);
  void erase_endpoint(const std::string& text);
  void apply_local(const std::string& text, const LocalWep& wep);
  void judge_spoofing(const model::Key& key);
  void claim_addresses(const std::string& text, bool add);
  void drop(const model::Key& key);
  std::vector<model::Change> calculate(std::size_t max_new_members);

  Options options_;
  Classes classes_;
  IpSets sets_{classes_};
  Endpoints endpoints_{classes_, sets_};
  Services services_{sets_};
  Policies policies_{classes_, sets_};
  Profiles profiles_{classes_, sets_};
  LocalEndpoints locals_{classes_, policies_, profiles_};
  Nodes nodes_;
  Routes routes_{nodes_};

  std::map<std::string, LocalWep> local_weps_;  // by endpoint text
  std::map<std::string, model::Key> spoofers_;  // workloads that ask for spoofed sources
  std::map<model::Key, Problem> problems_;
  struct Notes {
    std::string tier;
    std::string reason;  // of rules that match nothing; may be empty
  };
  // Policies with such rules, and all in tiers that are not built in.
  std::map<model::Key, Notes> notes_;
  std::map<std::string, std::set<model::Key>> tier_users_;  // of these tiers
  std::optional<model::BgpConfiguration> bgp_config_;       // `default`
  std::optional<model::ServiceRanges> sent_ranges_;
  std::optional<model::EncapInUse> sent_encap_;
  bool in_sync_ = false, in_sync_sent_ = false, dirty_ = false;
};

}  // namespace margay::calc
