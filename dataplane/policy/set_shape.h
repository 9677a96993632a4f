// SPDX-License-Identifier: Apache-2.0
// How a model set stands in the kernel, without its members: which prefix lengths of which family
// have a kernel set of their own. Rules depend on shapes only, so a member that comes or goes
// within the shape touches no rule. Pure.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/ip.h"
#include "model/desired.h"

namespace margay::policy {

// Beyond this many lengths one interval set is cheaper for every packet than so many lookups.
inline constexpr std::size_t kMaxLengths = 8;

struct FamilyShape {
  bool interval = false;          // all lengths in one interval set; `lengths` is empty then
  std::vector<unsigned> lengths;  // descending, of a set of nets
  bool ports = false;             // a set of addresses with ports holds this family
  [[nodiscard]] bool empty() const { return !interval && lengths.empty() && !ports; }
  friend bool operator==(const FamilyShape&, const FamilyShape&) = default;
};

struct SetShape {
  model::SetKind kind = model::SetKind::nets;
  FamilyShape v4, v6;
  [[nodiscard]] const FamilyShape& of(Family f) const { return f == Family::v4 ? v4 : v6; }
  [[nodiscard]] FamilyShape& of(Family f) { return f == Family::v4 ? v4 : v6; }
  friend bool operator==(const SetShape&, const SetShape&) = default;
};

// Every set that is known; a rule that names another one makes its policy fail closed.
using SetShapes = std::map<model::SetId, SetShape, std::less<>>;

}  // namespace margay::policy
