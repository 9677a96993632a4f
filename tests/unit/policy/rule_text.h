// SPDX-License-Identifier: Apache-2.0
// Expressions as short text for comparisons in tests, near to what nft prints.
#pragma once

#include <string>
#include <vector>

#include "dataplane/nft/objects.h"

namespace margay::test {

[[nodiscard]] std::string to_text(const std::vector<nft::Expr>& exprs);
[[nodiscard]] std::vector<std::string> to_lines(const std::vector<nft::Rule>& rules);

}  // namespace margay::test
