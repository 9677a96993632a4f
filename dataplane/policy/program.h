// SPDX-License-Identifier: Apache-2.0
// An endpoint's ordered tiers, policies and profiles in one direction -> chains. Three layers, each
// shared by whoever has the same list: a policy's rules; a tier, which jumps to its policies (those
// that can pass stand in the tier itself, as pass leaves the tier); a program, which jumps to its
// tiers and profiles and drops at the end. What cannot be reached is left out, so that endpoints
// that differ only there still share. Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/policy/rules.h"

namespace margay::policy {

struct TierSpec {
  std::string name;
  bool default_pass = false;
  std::vector<model::PolicyKey> policies;  // of this way, in order, never empty
  Way way = Way::ingress;
  Stage stage = Stage::filter;
  friend bool operator==(const TierSpec&, const TierSpec&) = default;
};

enum class ProgramEnd { deny, fall_through };  // what a packet gets that nothing has decided

struct ProgramSpec {
  Way way = Way::ingress;
  Stage stage = Stage::filter;
  std::vector<TierSpec> tiers;
  std::vector<std::string> profiles;
  ProgramEnd end = ProgramEnd::deny;
  bool drop_invalid = false;  // host endpoints: connection tracking's invalid packets
  friend bool operator==(const ProgramSpec&, const ProgramSpec&) = default;
};

// Known policies and profiles; nullptr for an unknown one, which denies.
struct PolicySource {
  std::function<const model::ActivePolicy*(const model::PolicyKey&)> policy;
  std::function<const model::ActiveProfile*(const std::string&)> profile;
};

struct CompileEnv {
  const PolicySource& source;
  const SetShapes& shapes;
  const PolicyConfig& config;
};

// Chains that stand and fall together, and what they need. The first chain is the unit's entry.
struct Unit {
  std::vector<nft::Chain> chains;
  ConstantSets sets;
  std::vector<model::SetId> unknown;
};

[[nodiscard]] ProgramSpec program_spec(const std::vector<model::EndpointTier>& tiers,
                                       const std::vector<std::string>& profiles, Way way,
                                       Stage stage, const PolicySource& source);

[[nodiscard]] std::string policy_chain_name(const model::PolicyKey& key, Way way, Stage stage);
[[nodiscard]] std::string profile_chain_name(std::string_view name, Way way, Stage stage);
[[nodiscard]] std::string tier_chain_name(const TierSpec& spec);
// The chain that runs the program: its own, or that of its only tier.
[[nodiscard]] std::string program_entry(const ProgramSpec& spec, const PolicySource& source);
[[nodiscard]] bool program_is_its_tier(const ProgramSpec& spec, const PolicySource& source);

[[nodiscard]] Unit compile_policy(const model::PolicyKey& key, Way way, Stage stage,
                                  const CompileEnv& env);
[[nodiscard]] Unit compile_profile(const std::string& name, Way way, Stage stage,
                                   const CompileEnv& env);
[[nodiscard]] Unit compile_tier(const TierSpec& spec, const CompileEnv& env);
[[nodiscard]] Unit compile_program(const ProgramSpec& spec, const CompileEnv& env);

// Whether the tier jumps to the policy's chain (else it holds the rules itself, or there are none).
[[nodiscard]] bool tier_jumps_to(const model::PolicyKey& key, Way way, const PolicySource& source);

}  // namespace margay::policy
