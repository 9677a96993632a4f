// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/program_book.h"

#include <algorithm>
#include <array>

namespace margay::managers {

namespace {

using model::ActiveRule;
using model::PolicyKey;
using policy::Way;

bool passes(const model::ActivePolicy* p) {
  return p != nullptr && (policy::can_pass(p->inbound) || policy::can_pass(p->outbound));
}

bool uses_any(const std::vector<ActiveRule>& rules, const std::set<model::SetId>& ids) {
  const auto any = [&](const std::vector<model::SetId>& list) {
    return std::ranges::any_of(list, [&](const model::SetId& id) { return ids.contains(id); });
  };
  return std::ranges::any_of(rules, [&](const ActiveRule& r) {
    if (any(r.destination_service_sets)) return true;
    return std::ranges::any_of(
        std::array{&r.source, &r.destination}, [&](const ActiveRule::Side* s) {
          return any(s->sets) || any(s->not_sets) || any(s->port_sets) || any(s->not_port_sets);
        });
  });
}

template <typename K>
void erase_user(std::map<K, std::set<std::string>>& index, const K& key, const std::string& user) {
  const auto it = index.find(key);
  if (it == index.end()) return;
  it->second.erase(user);
  if (it->second.empty()) index.erase(it);
}

}  // namespace

ProgramBook::ProgramBook(UnitStore& units, const policy::SetShapes& shapes,
                         const policy::PolicyConfig& config)
    : units_(units), shapes_(shapes), config_(config) {
  source_.policy = [this](const PolicyKey& k) {
    const auto it = policies_.find(k);
    return it == policies_.end() ? nullptr : &it->second;
  };
  source_.profile = [this](const std::string& n) {
    const auto it = profiles_.find(n);
    return it == profiles_.end() ? nullptr : &it->second;
  };
}

void ProgramBook::set_policy(model::ActivePolicy policy) {
  const PolicyKey key = policy.key;
  const model::ActivePolicy* old = source_.policy(key);
  if (old != nullptr && *old == policy) return;
  if (passes(old) || passes(&policy)) pass_changed_.insert(key);
  policies_.insert_or_assign(key, std::move(policy));
  due_.insert(key);
}

void ProgramBook::remove_policy(const PolicyKey& key) {
  const model::ActivePolicy* old = source_.policy(key);
  if (old == nullptr) return;
  if (passes(old)) pass_changed_.insert(key);
  policies_.erase(key);
  due_.insert(key);
}

void ProgramBook::set_profile(model::ActiveProfile profile) {
  due_profiles_.insert(profile.name);
  profiles_.insert_or_assign(profile.name, std::move(profile));
}

void ProgramBook::remove_profile(const std::string& name) {
  if (profiles_.erase(name) > 0) due_profiles_.insert(name);
}

void ProgramBook::shapes_changed(const std::set<model::SetId>& ids) {
  if (ids.empty()) return;
  for (const auto& [key, p] : policies_) {
    if (uses_any(p.inbound, ids) || uses_any(p.outbound, ids)) due_.insert(key);
  }
  for (const auto& [name, p] : profiles_) {
    if (uses_any(p.inbound, ids) || uses_any(p.outbound, ids)) due_profiles_.insert(name);
  }
}

void ProgramBook::config_changed() {
  for (const auto& [chain, use] : policy_uses_) compile(chain, use);
  for (auto& [chain, use] : tiers_) compile_tier(chain, use);
  for (const auto& [entry, use] : programs_) {
    put(entry, policy::compile_program(use.spec, env()));
  }
}

std::set<PolicyKey> ProgramBook::refresh() {
  for (const PolicyKey& key : std::exchange(due_, {})) {
    // Tiers first: a policy that begins or ceases to be jumped to enters or leaves the uses.
    if (const auto it = tiers_of_.find(key); it != tiers_of_.end()) {
      const std::set<std::string> tiers = it->second;
      for (const std::string& chain : tiers) compile_tier(chain, tiers_.at(chain));
    }
    if (const auto it = chains_of_.find(key); it != chains_of_.end()) {
      for (const std::string& chain : it->second) compile(chain, policy_uses_.at(chain));
    }
  }
  for (const std::string& name : std::exchange(due_profiles_, {})) {
    const auto it = profile_chains_.find(name);
    if (it == profile_chains_.end()) continue;
    for (const std::string& chain : it->second) compile(chain, policy_uses_.at(chain));
  }
  return std::exchange(pass_changed_, {});
}

std::string ProgramBook::acquire(const policy::ProgramSpec& spec) {
  std::string entry = policy::program_entry(spec, source_);
  if (policy::program_is_its_tier(spec, source_)) return acquire_tier(spec.tiers.front());
  ProgramUse& use = programs_[entry];
  if (use.users++ > 0) return entry;
  use.spec = spec;
  for (const policy::TierSpec& t : spec.tiers) use.tiers.push_back(acquire_tier(t));
  for (const std::string& p : spec.profiles) {
    use.profiles.push_back(acquire_policy({{}, p, spec.way, spec.stage, 0}));
  }
  put(entry, policy::compile_program(spec, env()));
  return entry;
}

void ProgramBook::release(const std::string& entry) {
  const auto it = programs_.find(entry);
  if (it == programs_.end()) return release_tier(entry);
  if (--it->second.users > 0) return;
  const ProgramUse use = std::move(it->second);
  programs_.erase(it);
  units_.remove(entry);
  for (const std::string& t : use.tiers) release_tier(t);
  for (const std::string& p : use.profiles) release_policy(p);
}

std::string ProgramBook::acquire_policy(const PolicyUse& use) {
  const bool profile = !use.profile.empty();
  std::string chain = profile ? policy::profile_chain_name(use.profile, use.way, use.stage)
                              : policy::policy_chain_name(use.key, use.way, use.stage);
  const auto [it, fresh] = policy_uses_.try_emplace(chain, use);
  if (fresh) {
    if (profile) {
      profile_chains_[use.profile].insert(chain);
    } else {
      chains_of_[use.key].insert(chain);
    }
    compile(chain, it->second);
  }
  ++it->second.users;
  return chain;
}

void ProgramBook::release_policy(const std::string& chain) {
  const auto it = policy_uses_.find(chain);
  if (--it->second.users > 0) return;
  const PolicyUse use = it->second;
  policy_uses_.erase(it);
  units_.remove(chain);
  closed_.erase(chain);
  if (use.profile.empty()) {
    erase_user(chains_of_, use.key, chain);
  } else {
    erase_user(profile_chains_, use.profile, chain);
  }
}

void ProgramBook::compile(const std::string& chain, const PolicyUse& use) {
  policy::Unit u = use.profile.empty()
                       ? policy::compile_policy(use.key, use.way, use.stage, env())
                       : policy::compile_profile(use.profile, use.way, use.stage, env());
  note_unknown(chain, u.unknown);
  put(chain, std::move(u));
}

// What the kernel refuses of a policy must not let anybody through.
void ProgramBook::put(const std::string& name, policy::Unit unit) {
  for (nft::Chain& c : unit.chains) c.fails_closed = true;
  units_.put(name, unit.chains, unit.sets);
}

std::string ProgramBook::acquire_tier(const policy::TierSpec& spec) {
  std::string chain = policy::tier_chain_name(spec);
  TierUse& use = tiers_[chain];
  if (use.users++ > 0) return chain;
  use.spec = spec;
  for (const PolicyKey& key : spec.policies) tiers_of_[key].insert(chain);
  compile_tier(chain, use);
  return chain;
}

void ProgramBook::release_tier(const std::string& chain) {
  const auto it = tiers_.find(chain);
  if (--it->second.users > 0) return;
  const TierUse use = std::move(it->second);
  tiers_.erase(it);
  units_.remove(chain);
  closed_.erase(chain);
  for (const PolicyKey& key : use.spec.policies) erase_user(tiers_of_, key, chain);
  for (const std::string& p : use.jumps) release_policy(p);
}

void ProgramBook::compile_tier(const std::string& chain, TierUse& use) {
  std::vector<std::string> jumps;
  for (const PolicyKey& key : use.spec.policies) {
    if (policy::tier_jumps_to(key, use.spec.way, source_)) {
      jumps.push_back(acquire_policy({key, {}, use.spec.way, use.spec.stage, 0}));
    }
  }
  policy::Unit u = policy::compile_tier(use.spec, env());
  note_unknown(chain, u.unknown);
  put(chain, std::move(u));
  for (const std::string& old : std::exchange(use.jumps, std::move(jumps))) release_policy(old);
}

void ProgramBook::note_unknown(const std::string& unit, const std::vector<model::SetId>& unknown) {
  if (unknown.empty()) {
    closed_.erase(unit);
  } else {
    closed_[unit] = unknown.front();
  }
}

}  // namespace margay::managers
