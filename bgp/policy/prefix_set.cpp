// SPDX-License-Identifier: Apache-2.0
#include "bgp/policy/prefix_set.h"

#include <algorithm>

namespace margay::bgp {

PrefixSet::PrefixSet(std::span<const Prefix> prefixes)
    : prefixes_(prefixes.begin(), prefixes.end()) {
  for (const auto& p : prefixes_) {
    (p.family() == Family::v4 ? lengths_v4_ : lengths_v6_).push_back(p.length());
  }
  for (auto* lengths : {&lengths_v4_, &lengths_v6_}) {
    std::sort(lengths->begin(), lengths->end());
    lengths->erase(std::unique(lengths->begin(), lengths->end()), lengths->end());
  }
}

bool PrefixSet::covers(const Prefix& p) const {
  for (const unsigned length : p.family() == Family::v4 ? lengths_v4_ : lengths_v6_) {
    if (length > p.length()) return false;
    if (prefixes_.contains(Prefix::containing(p.addr(), length))) return true;
  }
  return false;
}

}  // namespace margay::bgp
