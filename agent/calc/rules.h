// SPDX-License-Identifier: Apache-2.0
// Rules as written -> rules as active: selectors merged with the policy's scope and replaced by
// set specs (agent/calc/ip_sets.h) in the places where an active rule has set ids. Translated rules
// are kept packed as bytes, because most policies of a cluster are not active on this node.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/desired.h"
#include "model/resources.h"

namespace margay::calc {

enum class Direction { ingress, egress };

// `ns` is the policy's namespace, empty for global ones and profiles. An error names the rule.
[[nodiscard]] Result<std::vector<model::ActiveRule>> translate(
    const std::vector<model::Rule>& rules, std::string_view ns, Direction direction);

[[nodiscard]] std::string pack_rules(std::span<const model::ActiveRule> rules);
[[nodiscard]] std::vector<model::ActiveRule> unpack_rules(std::string_view packed);

// Every set (spec or id) that a rule mentions, to be read or replaced.
template <typename F>
void for_each_set(model::ActiveRule& rule, const F& f) {
  for (auto* side : {&rule.source, &rule.destination}) {
    for (auto* list : {&side->sets, &side->not_sets, &side->port_sets, &side->not_port_sets}) {
      for (auto& set : *list) f(set);
    }
  }
  for (auto& set : rule.destination_service_sets) f(set);
}

}  // namespace margay::calc
