// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/local_endpoints.h"

#include <algorithm>
#include <array>
#include <limits>

namespace margay::calc {
namespace {

struct BuiltInTier {
  std::string_view name;
  double order;
  bool default_pass;
};
constexpr std::array<BuiltInTier, 3> kBuiltIn{{
    {"kube-admin", 1e3, true},
    {"default", 1e6, false},
    {"kube-baseline", 1e7, true},
}};

std::string_view kind_name(model::PolicyKind kind) {
  switch (kind) {
    case model::PolicyKind::network_policy:
      return "NetworkPolicy";
    case model::PolicyKind::global_network_policy:
      return "GlobalNetworkPolicy";
    case model::PolicyKind::kubernetes_network_policy:
      return "KubernetesNetworkPolicy";
    case model::PolicyKind::cluster_network_policy:
      return "ClusterNetworkPolicy";
    case model::PolicyKind::staged_network_policy:
      return "StagedNetworkPolicy";
    case model::PolicyKind::staged_global_network_policy:
      return "StagedGlobalNetworkPolicy";
    case model::PolicyKind::staged_kubernetes_network_policy:
      return "StagedKubernetesNetworkPolicy";
  }
  return "";
}

// A Kubernetes policy that kube-controllers have written as one of Calico's sorts by its own name.
std::string tie_breaker(const model::PolicyKey& key) {
  std::string_view name = key.name;
  if (key.kind == model::PolicyKind::kubernetes_network_policy &&
      name.starts_with(kConvertedPrefix)) {
    name.remove_prefix(kConvertedPrefix.size());
  }
  std::string out = std::string(name) + "/" + key.ns + "/";
  out += kind_name(key.kind);
  return out;
}

}  // namespace

void Tiers::set(const std::string& name, const model::TierSpec& spec) { tiers_[name] = spec; }
void Tiers::erase(const std::string& name) { tiers_.erase(name); }

bool Tiers::built_in(std::string_view name) {
  return std::any_of(kBuiltIn.begin(), kBuiltIn.end(),
                     [name](const BuiltInTier& t) { return t.name == name; });
}

Tiers::Rank Tiers::rank(std::string_view name) const {
  constexpr double kLast = std::numeric_limits<double>::infinity();
  if (const auto it = tiers_.find(name); it != tiers_.end()) {
    return {false, it->second.order.value_or(kLast), it->first, it->second.default_pass};
  }
  for (const auto& tier : kBuiltIn) {
    if (tier.name == name) return {false, tier.order, tier.name, tier.default_pass};
  }
  return {true, kLast, name, false};
}

const model::EndpointId& LocalEndpoints::Local::id() const {
  return std::visit([](const auto& v) -> const model::EndpointId& { return v.id; }, value);
}

const std::vector<std::string>& LocalEndpoints::Local::profiles() const {
  return std::visit([](const auto& v) -> const std::vector<std::string>& { return v.profiles; },
                    value);
}

void LocalEndpoints::set(std::string_view key, ClassId cls, model::LocalWorkload value) {
  put(key, cls, std::move(value));
}
void LocalEndpoints::set(std::string_view key, ClassId cls, model::LocalHostEndpoint value) {
  put(key, cls, std::move(value));
}

void LocalEndpoints::put(std::string_view key, ClassId cls, Value value) {
  const auto [it, created] = locals_.try_emplace(std::string(key));
  Local& local = it->second;
  if (!created) {
    const ClaimKey old{local.host(), local.id()};
    claims_[old].keys.erase(it->first);
    dirty_claims_.insert(old);
    for (const auto& profile : local.profiles()) profiles_.remove_user(profile);
  }
  local.rematch |= local.cls != cls || local.value.index() != value.index();
  local.resolve = true;
  rematch_any_ = resolve_any_ = true;
  local.cls = cls;
  local.value = std::move(value);
  for (const auto& profile : local.profiles()) profiles_.add_user(profile);
  const ClaimKey now{local.host(), local.id()};
  claims_[now].keys.insert(it->first);
  dirty_claims_.insert(now);
}

void LocalEndpoints::erase(std::string_view key) {
  const auto it = locals_.find(key);
  if (it == locals_.end()) return;
  Local& local = it->second;
  for (const PolicyId policy : local.policies) policies_.count_match(policy, false);
  for (const auto& profile : local.profiles()) profiles_.remove_user(profile);
  const ClaimKey claim{local.host(), local.id()};
  claims_[claim].keys.erase(it->first);
  dirty_claims_.insert(claim);
  locals_.erase(it);
}

void LocalEndpoints::profile_relabelled(std::string_view name) {
  rematch_any_ = true;
  for (auto& [key, local] : locals_) {
    const auto& profiles = local.profiles();
    local.rematch |= std::find(profiles.begin(), profiles.end(), name) != profiles.end();
  }
}

// Untracked and pre-DNAT policies have no place where workloads are handled.
bool LocalEndpoints::concerns(PolicyId policy, const Local& local) const {
  const auto& p = policies_[policy];
  return local.host() || (!p.untracked && !p.pre_dnat);
}

void LocalEndpoints::rematch(Local& local) {
  local.rematch = false;
  classes_.effective(local.cls, labels_);
  std::vector<PolicyId> now;
  policies_.candidates(labels_, [&](PolicyId id) {
    if (concerns(id, local) && policies_.selects(id, labels_)) now.push_back(id);
  });
  std::sort(now.begin(), now.end());
  if (now == local.policies) return;
  for (const PolicyId id : now) policies_.count_match(id, true);
  for (const PolicyId id : local.policies) policies_.count_match(id, false);
  local.policies = std::move(now);
  local.resolve = true;
}

void LocalEndpoints::reselect(PolicyId policy, Local& local) {
  const auto at = std::lower_bound(local.policies.begin(), local.policies.end(), policy);
  const bool had = at != local.policies.end() && *at == policy;
  bool has = false;
  if (policies_[policy].present && concerns(policy, local)) {
    classes_.effective(local.cls, labels_);
    has = policies_.selects(policy, labels_);
  }
  if (had || has) local.resolve = true;  // its order, tier or directions may have changed
  if (had == has) return;
  policies_.count_match(policy, has);
  if (has) {
    local.policies.insert(at, policy);
  } else {
    local.policies.erase(at);
  }
}

void LocalEndpoints::match() {
  const std::vector<PolicyId> reselected = policies_.take_reselected();
  if (reselected.empty() && !std::exchange(rematch_any_, false)) return;
  resolve_any_ = true;
  for (auto& [key, local] : locals_) {
    if (local.rematch) {
      rematch(local);
      local.resolve = true;
      continue;
    }
    for (const PolicyId policy : reselected) reselect(policy, local);
  }
}

std::vector<PolicyId> LocalEndpoints::in_order(const std::vector<PolicyId>& policies) const {
  struct Entry {
    Tiers::Rank tier;
    double order;
    std::string tie;
    PolicyId id;
  };
  std::vector<Entry> entries;
  entries.reserve(policies.size());
  for (const PolicyId id : policies) {
    const auto& p = policies_[id];
    const double order = p.order.value_or(std::numeric_limits<double>::infinity());
    entries.push_back({tiers_.rank(p.tier), order, tie_breaker(p.key), id});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.tier, a.order, a.tie) < std::tie(b.tier, b.order, b.tie);
  });
  std::vector<PolicyId> out;
  out.reserve(entries.size());
  for (const auto& e : entries) out.push_back(e.id);
  return out;
}

std::vector<model::EndpointTier> LocalEndpoints::tiers_of(const std::vector<PolicyId>& ordered,
                                                          Part part) const {
  std::vector<model::EndpointTier> out;
  for (const PolicyId id : ordered) {
    const auto& p = policies_[id];
    bool in = false;
    switch (part) {
      case Part::normal:
        in = !p.untracked && !p.pre_dnat;
        break;
      case Part::untracked:
        in = p.untracked;
        break;
      case Part::pre_dnat:
        in = p.pre_dnat && !p.untracked;
        break;
      case Part::forward:
        in = p.forward && !p.untracked && !p.pre_dnat;
        break;
    }
    if (!in || (!p.ingress && !p.egress)) continue;
    if (out.empty() || out.back().name != p.tier) {
      model::EndpointTier tier;
      tier.name = p.tier;
      // Traffic that these two let through still meets normal policy.
      const bool early = part == Part::untracked || part == Part::pre_dnat;
      tier.default_pass = early || tiers_.rank(p.tier).default_pass;
      out.push_back(std::move(tier));
    }
    if (p.ingress) out.back().ingress.push_back(p.key);
    if (p.egress) out.back().egress.push_back(p.key);
  }
  return out;
}

LocalEndpoints::Value LocalEndpoints::resolved(const Local& local) const {
  Value value = local.value;
  const std::vector<PolicyId> ordered = in_order(local.policies);
  if (auto* workload = std::get_if<model::LocalWorkload>(&value)) {
    workload->tiers = tiers_of(ordered, Part::normal);
  } else {
    auto& host = std::get<model::LocalHostEndpoint>(value);
    host.tiers = tiers_of(ordered, Part::normal);
    host.untracked_tiers = tiers_of(ordered, Part::untracked);
    host.pre_dnat_tiers = tiers_of(ordered, Part::pre_dnat);
    host.forward_tiers = tiers_of(ordered, Part::forward);
  }
  return value;
}

LocalEndpoints::Changes LocalEndpoints::resolve() {
  if (resolve_any_ || resolve_all_) {
    for (auto& [key, local] : locals_) {
      if (local.resolve || resolve_all_) dirty_claims_.insert({local.host(), local.id()});
      local.resolve = false;
    }
  }
  resolve_any_ = resolve_all_ = false;
  Changes out;
  for (const ClaimKey& id : std::exchange(dirty_claims_, {})) {
    const auto it = claims_.find(id);
    if (it == claims_.end()) continue;
    Claim& claim = it->second;
    if (claim.keys.empty()) {
      if (claim.sent && id.first) out.removed.emplace_back(model::HostEndpointRemove{id.second});
      if (claim.sent && !id.first) out.removed.emplace_back(model::WorkloadRemove{id.second});
      claims_.erase(it);
      continue;
    }
    Value value = resolved(locals_.find(*claim.keys.begin())->second);
    if (claim.sent == value) continue;
    std::visit([&](const auto& v) { out.updated.emplace_back(v); }, value);
    claim.sent = std::move(value);
  }
  return out;
}

}  // namespace margay::calc
