// SPDX-License-Identifier: Apache-2.0
// One merged rule -> the expressions that match it in one family: a conjunction of choices, each
// choice a list of alternatives. Values become constant sets where there are several. Pure.
#pragma once

#include <optional>
#include <vector>

#include "dataplane/policy/matches.h"
#include "dataplane/policy/merge.h"

namespace margay::policy {

struct Match {
  std::optional<Family> family;                  // what `all` begins with, if anything
  nft::Exprs all;                                // must all match
  std::vector<std::vector<nft::Exprs>> choices;  // and of each of these, at least one (two or more)
};

class Lowering {
 public:
  Lowering(const SetShapes& shapes, ConstantSets& sets) : shapes_(shapes), sets_(sets) {}

  // Whether the rule's expressions depend on the family at all.
  [[nodiscard]] static bool needs_family(const MergedRule& m);
  // The sets it names that are not known.
  [[nodiscard]] std::vector<model::SetId> unknown_sets(const model::ActiveRule& rule) const;
  // nullopt: no packet of this family can match. Without a family: needs_family() is false.
  [[nodiscard]] std::optional<Match> lower(const MergedRule& m, std::optional<Family> f);

 private:
  bool addresses(Match& out, const model::ActiveRule::Side& side, nft::Direction dir, Family f);
  bool ports(Match& out, const model::ActiveRule& rule, const model::ActiveRule::Side& side,
             nft::Direction dir, std::optional<Family> f);
  void not_ports(Match& out, const model::ActiveRule& rule, const model::ActiveRule::Side& side,
                 nft::Direction dir, std::optional<Family> f);
  bool tuples(Match& out, const std::vector<Tuple>& rows, std::optional<Family> f);

  const SetShapes& shapes_;
  ConstantSets& sets_;
};

}  // namespace margay::policy
