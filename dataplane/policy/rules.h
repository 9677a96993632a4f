// SPDX-License-Identifier: Apache-2.0
// The rules of one policy or profile in one direction -> nftables rules, with the constant sets
// they look up. Constant sets are named by what they hold, so equal ones are shared between
// policies and survive a restart. Every verdict ends the base chain (accept, drop, or return for
// pass): no mark carries a result from rule to rule. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "dataplane/policy/config.h"
#include "dataplane/policy/matches.h"
#include "model/desired.h"

namespace margay::policy {

enum class Way { ingress, egress };

// Where a chain of rules is entered from: the same policy may stand in several, because what
// "allow" and "deny" do differs.
enum class Stage {
  filter,     // forward, input and output: accept, drop (or reject)
  post_nat,   // postrouting: like filter, but reject is not available there
  pre_nat,    // prerouting: accept, and mark the packet as settled for later stages
  untracked,  // raw: notrack besides
};

struct CompiledRules {
  std::vector<nft::Rule> rules;    // of the chain itself
  std::vector<nft::Chain> chains;  // further ones, named "<chain>/..."
  ConstantSets sets;
  std::vector<model::SetId> unknown;  // sets named but not known: the rules deny everything
};

struct RuleContext {
  std::string owner;  // for comments: "np/default/allow-web"
  std::string chain;  // name of the chain that the rules go into
  std::string tier;   // for LogPrefix
  std::string kind, name, ns;
  Stage stage = Stage::filter;
  const SetShapes& shapes;
  const PolicyConfig& config;
};

// "return" is what pass does: right when the chain is the tier's own (see program.h).
[[nodiscard]] CompiledRules compile_rules(std::span<const model::ActiveRule> rules,
                                          const RuleContext& context);

// Whether some rule can pass the packet on to the next tier.
[[nodiscard]] bool can_pass(std::span<const model::ActiveRule> rules);

[[nodiscard]] nft::Exprs allow_verdict(Stage stage, const PolicyConfig& config);
[[nodiscard]] nft::Exprs deny_verdict(Stage stage, const PolicyConfig& config);
// The lowest bit of the configured mask: "settled before DNAT".
[[nodiscard]] std::uint32_t settled_mark(const PolicyConfig& config);

// The LogPrefix parameter with its %t %k %n %p replaced, as the kernel's log wants it.
[[nodiscard]] std::string log_prefix(const RuleContext& context);

}  // namespace margay::policy
