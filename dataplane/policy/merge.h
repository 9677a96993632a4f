// SPDX-License-Identifier: Apache-2.0
// Adjacent rules of one action are one disjunction, so their order does not matter: rules that
// differ in one list of values become one rule with the longer list, and rules of one shape that
// differ in several single values become one lookup of a concatenated key. What comes out decides
// every packet as the rules that went in. Pure.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "model/desired.h"

namespace margay::policy {

// A row of a concatenated lookup; a field is used by every row of a table or by none.
struct Tuple {
  std::optional<std::uint8_t> protocol;
  std::optional<Prefix> source, destination;
  std::optional<std::uint16_t> source_port, destination_port;
  friend auto operator<=>(const Tuple&, const Tuple&) = default;
};

struct MergedRule {
  model::ActiveRule rule;         // what all of them share; fields that are in `tuples` are empty
  std::vector<Tuple> tuples;      // besides, one of these must match; empty: no such demand
  std::vector<unsigned> numbers;  // of the rules that went in, from 1, ascending
};

[[nodiscard]] std::vector<MergedRule> merge_rules(std::span<const model::ActiveRule> rules);

}  // namespace margay::policy
