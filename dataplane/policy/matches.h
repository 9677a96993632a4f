// SPDX-License-Identifier: Apache-2.0
// Matches on lists of values and on model sets, shared by policy rules and the static table. Lists
// of several values become constant sets, named by what they hold. All expect the family to have
// been matched before. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/nft/builder.h"
#include "dataplane/policy/set_shape.h"

namespace margay::policy {

struct ConstantSet {
  nft::SetDef def;
  std::vector<nft::Element> elements;
};

class ConstantSets {
 public:
  // Adds the set unless an equal one is there; returns its name, "c-<stem>-<hash of content>".
  std::string add(std::string_view stem, nft::SetType type, std::vector<nft::Element> elements);
  [[nodiscard]] const std::map<std::string, ConstantSet>& all() const { return sets_; }
  void add_all(ConstantSets other) { sets_.merge(other.sets_); }

 private:
  std::map<std::string, ConstantSet> sets_;
};

[[nodiscard]] nft::Datatype address_type(Family f);

// The prefixes of one family, without those that lie inside another; sorted.
[[nodiscard]] std::vector<Prefix> outermost(const std::vector<Prefix>& nets, Family f);
// Disjoint sorted prefixes as ranges, neighbours joined.
[[nodiscard]] std::vector<nft::Element> ranges_of(const std::vector<Prefix>& nets);

// In (or, inverted, outside) at least one of the prefixes; nullopt: no packet of the family is.
[[nodiscard]] std::optional<nft::Exprs> nets_match(ConstantSets& sets,
                                                   const std::vector<Prefix>& nets,
                                                   nft::Direction dir, Family f,
                                                   bool inverted = false);
[[nodiscard]] nft::Exprs ports_match(ConstantSets& sets, std::vector<model::PortRange> ranges,
                                     nft::Direction dir, bool inverted = false);

// A member of the model set: alternatives, one for each prefix length; none: nobody is.
[[nodiscard]] std::vector<nft::Exprs> member_of(const model::SetId& id, const FamilyShape& shape,
                                                nft::Direction dir, Family f);
// Not a member: all of it must hold.
[[nodiscard]] nft::Exprs not_member_of(const model::SetId& id, const FamilyShape& shape,
                                       nft::Direction dir, Family f);

}  // namespace margay::policy
