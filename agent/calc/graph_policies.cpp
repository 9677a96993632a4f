// SPDX-License-Identifier: Apache-2.0
// The graph's side of policies, tiers and profiles: what is taken from a resource, what stands for
// one that is invalid, and what is said about it.
#include <algorithm>
#include <utility>

#include "agent/calc/conversion.h"
#include "agent/calc/graph_impl.h"

namespace margay::calc {
namespace {

using model::Key;
using model::Kind;

model::PolicyKey policy_key(const Key& key) {
  using model::PolicyKind;
  switch (key.kind) {
    case Kind::network_policy:
      return {key.name.starts_with(kConvertedPrefix) ? PolicyKind::kubernetes_network_policy
                                                     : PolicyKind::network_policy,
              key.ns, key.name};
    case Kind::kubernetes_network_policy:
      return {PolicyKind::kubernetes_network_policy, key.ns, key.name};
    case Kind::cluster_network_policy:
      return {PolicyKind::cluster_network_policy, "", key.name};
    default:
      return {PolicyKind::global_network_policy, "", key.name};
  }
}

// Names the first rule that only an application-layer proxy could match; empty: there is none.
std::string http_note(const model::PolicySpec& spec) {
  for (const auto& [list, name] : {std::pair(&spec.ingress, "ingress"), {&spec.egress, "egress"}}) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      if (!(*list)[i].http) continue;
      return "spec." + std::string(name) + "[" + std::to_string(i) +
             "].http: application-layer matches are not supported; the rule matches nothing";
    }
  }
  return "";
}

std::string first_of(const std::vector<std::string>& problems) {
  return problems.empty() ? std::string() : problems.front();
}

}  // namespace

// --- policies, tiers, profiles ---------------------------------------------------------------

Result<void> Graph::Impl::offer_policy(const Key& key, const model::PolicySpec& spec,
                                       std::string problem) {
  const auto value = policy_value(spec, key.ns);
  if (!value.ok()) return make_error(Code::invalid, "spec." + value.error().context);
  policies_.set(policy_key(key), *value);
  accept(key);
  note(key, spec, problem.empty() ? http_note(spec) : std::move(problem));
  return {};
}

// Of a policy that is invalid. Without its selectors there is nothing to deny.
void Graph::Impl::deny(const Key& key, const std::optional<model::PolicySpec>& spec,
                       const std::string& reason) {
  erase_notes(key);
  if (spec) {
    if (const auto denying = denying_value(*spec, key.ns); denying.ok()) {
      policies_.set(policy_key(key), *denying);
      return report(key, reason, Problem::InForce::denial);
    }
  }
  policies_.erase(policy_key(key));
  report(key, reason, Problem::InForce::nothing);
}

void Graph::Impl::set_policy(const Key& key, const model::PolicySpec& spec, std::string problem) {
  const auto taken = offer_policy(key, spec, std::move(problem));
  if (!taken.ok()) deny(key, spec, taken.error().context);
}

void Graph::Impl::erase_policy(const Key& key) {
  erase_notes(key);
  policies_.erase(policy_key(key));
}

void Graph::Impl::note(const Key& key, const model::PolicySpec& spec, std::string reason) {
  erase_notes(key);
  const bool may_miss_tier = !Tiers::built_in(spec.tier);
  if (reason.empty() && !may_miss_tier) return;
  notes_[key] = {spec.tier, std::move(reason)};
  if (may_miss_tier) tier_users_[spec.tier].insert(key);
  report_notes(key);
}

void Graph::Impl::erase_notes(const Key& key) {
  const auto it = notes_.find(key);
  if (it == notes_.end()) return;
  if (const auto users = tier_users_.find(it->second.tier); users != tier_users_.end()) {
    users->second.erase(key);
    if (users->second.empty()) tier_users_.erase(users);
  }
  notes_.erase(it);
}

void Graph::Impl::report_notes(const Key& key) {
  const Notes& notes = notes_.at(key);
  std::string reason = notes.reason;
  // Which tiers there are is known when everything is.
  if (in_sync_ && locals_.tiers().rank(notes.tier).unknown) {
    reason += (reason.empty() ? "" : "; ") + ("spec.tier: there is no tier '" + notes.tier) +
              "'; its policies are asked after all others, and end in a denial";
  }
  if (reason.empty()) {
    problems_.erase(key);
  } else {
    report(key, std::move(reason), Problem::InForce::rest);
  }
}

void Graph::Impl::judge_tier(const std::string& tier) {
  const auto users = tier_users_.find(tier);
  if (users == tier_users_.end()) return;
  for (const Key& key : users->second) report_notes(key);
}

void Graph::Impl::set(const Key& key, const model::NetworkPolicy& value) {
  set_policy(key, value.spec);
}
void Graph::Impl::set(const Key& key, const model::GlobalNetworkPolicy& value) {
  set_policy(key, value.spec);
}
Result<void> Graph::Impl::offer(const Key& key, const model::NetworkPolicy& value) {
  return offer_policy(key, value.spec);
}
Result<void> Graph::Impl::offer(const Key& key, const model::GlobalNetworkPolicy& value) {
  return offer_policy(key, value.spec);
}

void Graph::Impl::set(const Key& key, const model::KubernetesNetworkPolicy& value) {
  const Converted converted = convert(value);
  set_policy(key, converted.spec, first_of(converted.problems));
}
void Graph::Impl::set(const Key& key, const model::ClusterNetworkPolicy& value) {
  const Converted converted = convert(value);
  set_policy(key, converted.spec, first_of(converted.problems));
}
Result<void> Graph::Impl::offer(const Key& key, const model::KubernetesNetworkPolicy& value) {
  const Converted converted = convert(value);
  if (!converted.problems.empty()) return make_error(Code::invalid, converted.problems.front());
  return offer_policy(key, converted.spec);
}
Result<void> Graph::Impl::offer(const Key& key, const model::ClusterNetworkPolicy& value) {
  const Converted converted = convert(value);
  if (!converted.problems.empty()) return make_error(Code::invalid, converted.problems.front());
  return offer_policy(key, converted.spec);
}

void Graph::Impl::set(const Key& key, const model::Tier& value) {
  locals_.tiers().set(key.name, value.spec);
  locals_.tiers_changed();
  accept(key);
  judge_tier(key.name);
}

Result<void> Graph::Impl::offer(const Key& key, const model::Profile& value) {
  auto profile = profile_value(value.spec);
  if (!profile.ok()) return make_error(Code::invalid, "spec." + profile.error().context);
  profiles_.set(key.name, Profiles::Origin::resource, std::move(profile).value());
  accept(key);
  return {};
}
void Graph::Impl::set(const Key& key, const model::Profile& value) { set_or_drop(key, value); }

void Graph::Impl::set(const Key& key, const model::KubernetesNamespace& value) {
  profiles_.set("kns." + key.name, Profiles::Origin::native,
                namespace_profile(key.name, value.metadata.labels));
  accept(key);
}

void Graph::Impl::set(const Key& key, const model::ServiceAccount& value) {
  profiles_.set("ksa." + key.ns + "." + key.name, Profiles::Origin::native,
                account_profile(key.name, value.metadata.labels));
  accept(key);
}

void Graph::Impl::set_invalid(const Key& key, std::string_view json, const std::string& reason) {
  switch (key.kind) {
    case Kind::network_policy:
    case Kind::global_network_policy:
      return deny(key, salvage_policy(json), reason);
    case Kind::kubernetes_network_policy:
      return deny(key, salvage_kubernetes_policy(json), reason);
    default:
      drop(key);
      report(key, reason, Problem::InForce::nothing);
  }
}

}  // namespace margay::calc
