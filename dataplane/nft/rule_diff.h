// SPDX-License-Identifier: Apache-2.0
// Which rules of a chain stay when it changes: a longest common subsequence of fingerprints, so
// that only what differs is inserted or deleted and counters of the rest live on. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace margay::nft {

// For every wanted rule the index of the rule in `have` that it keeps (ascending), or nothing.
[[nodiscard]] std::vector<std::optional<std::size_t>> match_rules(
    std::span<const std::uint64_t> have, std::span<const std::uint64_t> want);

}  // namespace margay::nft
