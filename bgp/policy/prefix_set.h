// SPDX-License-Identifier: Apache-2.0
// A set of prefixes that answers "is this one in it" and "does one of them contain it" in a few
// lookups: one for each prefix length that occurs.
#pragma once

#include <span>
#include <unordered_set>
#include <vector>

#include "base/ip.h"

namespace margay::bgp {

class PrefixSet {
 public:
  PrefixSet() = default;
  explicit PrefixSet(std::span<const Prefix> prefixes);
  [[nodiscard]] bool empty() const { return prefixes_.empty(); }
  [[nodiscard]] bool has(const Prefix& p) const { return prefixes_.contains(p); }
  [[nodiscard]] bool covers(const Prefix& p) const;  // equal counts

 private:
  std::unordered_set<Prefix> prefixes_;
  std::vector<unsigned> lengths_v4_, lengths_v6_;  // ascending
};

}  // namespace margay::bgp
