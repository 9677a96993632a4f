// SPDX-License-Identifier: Apache-2.0
// Recursive-descent parser of the selector language; the grammar is in spec policy-model.md 8.
// Nesting is bounded, so hostile text cannot exhaust the stack. Used through Selector::parse.
#pragma once

#include <string_view>

#include "base/result.h"
#include "model/selector.h"

namespace margay::model {

[[nodiscard]] Result<SelectorNode> parse_selector(std::string_view text);

}  // namespace margay::model
