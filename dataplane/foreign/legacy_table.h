// SPDX-License-Identifier: Apache-2.0
// A table of iptables-legacy as the bytes that the kernel hands out and takes back whole: reads it
// as a Table, and makes the bytes with rules of ours more or less. Every reference in there is an
// offset, so that a change moves what points behind it. Pure; bytes that make no sense give an
// error.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "dataplane/foreign/filters.h"

namespace margay::foreign {

struct LegacyTable {
  static constexpr std::size_t kHooks = 5;
  Family family = Family::v4;
  std::string name;
  std::uint32_t valid_hooks = 0;  // bits
  // Offsets of each built-in chain's first rule and of its policy.
  std::array<std::uint32_t, kHooks> entry{}, policy{};
  std::vector<std::uint8_t> bytes;
  // For each rule its place among those that were read; nullopt: it is new.
  std::vector<std::optional<std::uint32_t>> origins;
  friend bool operator==(const LegacyTable&, const LegacyTable&) = default;
};

[[nodiscard]] Result<Table> read_table(const LegacyTable& t);
// `edit` as made from what read_table() gave. `t` must have its origins.
[[nodiscard]] Result<LegacyTable> with_edit(LegacyTable t, const Edit& edit);
// The number of rules, each with itself as its origin.
[[nodiscard]] Result<std::size_t> number_rules(LegacyTable& t);

}  // namespace margay::foreign
