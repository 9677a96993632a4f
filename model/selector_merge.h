// SPDX-License-Identifier: Apache-2.0
// From the selectors written in a policy to the ones evaluated (spec policy-model.md 3 and 4): the
// policy's own scope is merged in, namespace and service-account selectors become selectors over
// the prefixed labels that endpoints inherit from their profiles. Errors name the field.
#pragma once

#include <optional>
#include <string_view>

#include "model/resources.h"
#include "model/selector.h"

namespace margay::model {

// Which endpoints a policy selects. `ns` is the policy's namespace, empty for a global one.
[[nodiscard]] Result<Selector> policy_selector(const PolicySpec& spec, std::string_view ns);

// The endpoints and network sets that one side of a rule names. `positive` already holds the
// negative part when both are there; `negative` alone also matches addresses that nobody declared.
struct EntitySelectors {
  std::optional<Selector> positive;
  std::optional<Selector> negative;
};
[[nodiscard]] Result<EntitySelectors> entity_selectors(const EntityRule& rule, std::string_view ns);

}  // namespace margay::model
