// SPDX-License-Identifier: Apache-2.0
// The members of a set with prefixes of many lengths, and the disjoint ranges that they cover: what
// one interval set of the kernel holds. A change costs what it touches. Pure.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "base/ip.h"
#include "dataplane/nft/elements.h"

namespace margay::managers {

class IntervalMembers {
 public:
  [[nodiscard]] static nft::SetType type(Family f);  // of the set that holds the ranges

  struct Change {
    nft::ElementTable add, remove;  // of the ranges; what is in both stays
  };
  // Adding what is there and removing what is not are no errors. `ranges`: those of the members
  // before (sealed); the change makes them those of the members afterwards.
  [[nodiscard]] Change change(Family f, const nft::ElementTable& ranges,
                              const std::vector<Prefix>& removed, const std::vector<Prefix>& added);
  // Is the address in one of the ranges?
  [[nodiscard]] static bool covers(const nft::ElementTable& ranges, const Ip& address);

  [[nodiscard]] const std::set<Prefix>& all() const { return members_; }
  [[nodiscard]] std::size_t lengths() const { return by_length_.size(); }

 private:
  struct Range {
    Ip first, last;
  };
  [[nodiscard]] std::vector<Range> touched(const nft::ElementTable& ranges,
                                           std::vector<Prefix> changed) const;
  void append_covered(const Range& by, nft::ElementTable& to) const;

  std::set<Prefix> members_;
  std::map<unsigned, std::size_t> by_length_;  // how many members of each
};

}  // namespace margay::managers
