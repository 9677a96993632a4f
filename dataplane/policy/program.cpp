// SPDX-License-Identifier: Apache-2.0
#include "dataplane/policy/program.h"

#include <algorithm>

#include "dataplane/policy/names.h"

namespace margay::policy {

namespace {

using model::ActiveRule;
using model::PolicyKey;

const std::vector<ActiveRule>& rules_of(const model::ActivePolicy& p, Way way) {
  return way == Way::ingress ? p.inbound : p.outbound;
}

// Letters of chain names: what, then the way, as in "pi-np/default/web".
std::string prefix(char what, Way way, Stage stage) {
  std::string out(1, what);
  out += way == Way::ingress ? "i" : "o";
  switch (stage) {
    case Stage::filter:
      return out + "-";
    case Stage::post_nat:
      return out + "-postnat-";
    case Stage::pre_nat:
      return out + "-prenat-";
    case Stage::untracked:
      return out + "-raw-";
  }
  return out;
}

bool ends_in_deny(const TierSpec& t) {
  return !t.default_pass && (t.stage == Stage::filter || t.stage == Stage::post_nat);
}

bool tier_can_pass(const TierSpec& t, const PolicySource& source) {
  return std::ranges::any_of(t.policies, [&](const PolicyKey& k) {
    const auto* policy = source.policy(k);
    return policy != nullptr && can_pass(rules_of(*policy, t.way));
  });
}

// No packet gets past it.
bool is_final(const TierSpec& t, const PolicySource& source) {
  return ends_in_deny(t) && !tier_can_pass(t, source);
}

std::string identity(const TierSpec& t) {
  std::string out = t.name + (t.default_pass ? "|pass" : "|deny");
  for (const PolicyKey& k : t.policies) out += "|" + k.to_string();
  return out;
}

RuleContext context(std::string owner, std::string chain, Stage stage, const CompileEnv& env) {
  return {std::move(owner), std::move(chain), {}, {}, {}, {}, stage, env.shapes, env.config};
}

RuleContext policy_context(const model::ActivePolicy& p, std::string chain, Stage stage,
                           const CompileEnv& env) {
  RuleContext c = context(p.key.to_string(), std::move(chain), stage, env);
  c.tier = p.tier;
  c.kind = std::string(model::short_code(p.key.kind));
  c.name = p.key.name;
  c.ns = p.key.ns;
  return c;
}

Unit unit_of(CompiledRules compiled, std::string chain) {
  Unit u;
  u.chains.push_back({std::move(chain), std::nullopt, std::move(compiled.rules)});
  std::move(compiled.chains.begin(), compiled.chains.end(), std::back_inserter(u.chains));
  u.sets = std::move(compiled.sets);
  u.unknown = std::move(compiled.unknown);
  return u;
}

void add_inline(Unit& into, CompiledRules compiled) {
  auto& rules = into.chains.front().rules;
  std::move(compiled.rules.begin(), compiled.rules.end(), std::back_inserter(rules));
  std::move(compiled.chains.begin(), compiled.chains.end(), std::back_inserter(into.chains));
  into.sets.add_all(std::move(compiled.sets));
  into.unknown.insert(into.unknown.end(), compiled.unknown.begin(), compiled.unknown.end());
}

Unit deny_all(std::string chain, Stage stage, std::string why, const CompileEnv& env) {
  Unit u;
  u.chains.push_back(
      {std::move(chain), std::nullopt, {{deny_verdict(stage, env.config), std::move(why)}}});
  return u;
}

}  // namespace

ProgramSpec program_spec(const std::vector<model::EndpointTier>& tiers,
                         const std::vector<std::string>& profiles, Way way, Stage stage,
                         const PolicySource& source) {
  ProgramSpec out;
  out.way = way;
  out.stage = stage;
  for (const model::EndpointTier& t : tiers) {
    const auto& policies = way == Way::ingress ? t.ingress : t.egress;
    if (policies.empty()) continue;
    out.tiers.push_back({t.name, t.default_pass, policies, way, stage});
    if (is_final(out.tiers.back(), source)) return out;  // nothing after it can be reached
  }
  out.profiles = profiles;
  return out;
}

std::string policy_chain_name(const PolicyKey& key, Way way, Stage stage) {
  return bounded_name(prefix('p', way, stage), key.to_string());
}

std::string profile_chain_name(std::string_view name, Way way, Stage stage) {
  return bounded_name(prefix('p', way, stage), "pro/" + std::string(name));
}

std::string tier_chain_name(const TierSpec& t) {
  return bounded_name(prefix('t', t.way, t.stage), t.name) + "-" + digest(identity(t), 12);
}

bool program_is_its_tier(const ProgramSpec& spec, const PolicySource& source) {
  return !spec.drop_invalid && spec.tiers.size() == 1 && is_final(spec.tiers.front(), source);
}

std::string program_entry(const ProgramSpec& spec, const PolicySource& source) {
  if (program_is_its_tier(spec, source)) return tier_chain_name(spec.tiers.front());
  std::string text = spec.end == ProgramEnd::deny ? "deny" : "fall through";
  if (spec.drop_invalid) text += "|invalid";
  for (const TierSpec& t : spec.tiers) text += "\n" + identity(t);
  for (const std::string& p : spec.profiles) text += "\nprofile " + p;
  const char what = spec.way == Way::ingress ? 't' : 'f';  // to, from, as people know them
  std::string name(1, what);
  switch (spec.stage) {
    case Stage::filter:
      name += "w-";
      break;
    case Stage::post_nat:
      name += "-postnat-";
      break;
    case Stage::pre_nat:
      name += "-prenat-";
      break;
    case Stage::untracked:
      name += "-raw-";
      break;
  }
  return name + digest(text);
}

bool tier_jumps_to(const PolicyKey& key, Way way, const PolicySource& source) {
  const auto* policy = source.policy(key);
  if (policy == nullptr) return false;
  const auto& rules = rules_of(*policy, way);
  return !rules.empty() && !can_pass(rules);
}

Unit compile_policy(const PolicyKey& key, Way way, Stage stage, const CompileEnv& env) {
  const std::string chain = policy_chain_name(key, way, stage);
  const auto* policy = env.source.policy(key);
  if (policy == nullptr) return deny_all(chain, stage, key.to_string() + " is unknown", env);
  const RuleContext c = policy_context(*policy, chain, stage, env);
  return unit_of(compile_rules(rules_of(*policy, way), c), chain);
}

Unit compile_profile(const std::string& name, Way way, Stage stage, const CompileEnv& env) {
  const std::string chain = profile_chain_name(name, way, stage);
  const auto* profile = env.source.profile(name);
  if (profile == nullptr) {
    return deny_all(chain, stage, "profile " + name + " is unknown", env);
  }
  RuleContext c = context("pro/" + name, chain, stage, env);
  c.kind = "pro";
  c.name = name;
  return unit_of(compile_rules(way == Way::ingress ? profile->inbound : profile->outbound, c),
                 chain);
}

Unit compile_tier(const TierSpec& spec, const CompileEnv& env) {
  Unit u;
  const std::string chain = tier_chain_name(spec);
  u.chains.push_back({chain, std::nullopt, {}});
  const auto add = [&](nft::Exprs exprs, std::string comment) {
    u.chains.front().rules.push_back({std::move(exprs), std::move(comment)});
  };
  for (std::size_t i = 0; i < spec.policies.size(); ++i) {
    const PolicyKey& key = spec.policies[i];
    const auto* policy = env.source.policy(key);
    if (policy == nullptr) {
      add(deny_verdict(spec.stage, env.config), key.to_string() + " is unknown");
    } else if (tier_jumps_to(key, spec.way, env.source)) {
      add(nft::jump(policy_chain_name(key, spec.way, spec.stage)), {});
    } else {
      const RuleContext c =
          policy_context(*policy, chain + "/" + std::to_string(i + 1), spec.stage, env);
      add_inline(u, compile_rules(rules_of(*policy, spec.way), c));
    }
  }
  if (ends_in_deny(spec)) {
    add(deny_verdict(spec.stage, env.config), "end of tier " + spec.name);
  }
  return u;
}

Unit compile_program(const ProgramSpec& spec, const CompileEnv& env) {
  Unit u;
  u.chains.push_back({program_entry(spec, env.source), std::nullopt, {}});
  auto& rules = u.chains.front().rules;
  if (spec.drop_invalid && env.config.drop_invalid) {
    rules.push_back({nft::join({nft::ct_state(nft::kCtInvalid), nft::drop()}), {}});
  }
  for (const TierSpec& t : spec.tiers) {
    const std::string chain = tier_chain_name(t);
    if (is_final(t, env.source)) {
      rules.push_back({nft::goto_(chain), {}});
      return u;
    }
    rules.push_back({nft::jump(chain), {}});
  }
  for (const std::string& p : spec.profiles) {
    rules.push_back({nft::jump(profile_chain_name(p, spec.way, spec.stage)), {}});
  }
  if (spec.end == ProgramEnd::deny) {
    rules.push_back({deny_verdict(spec.stage, env.config), "no profile matched"});
  }
  return u;
}

}  // namespace margay::policy
