// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/selector_index.h"

namespace margay::calc {

void SelectorIndex::add(std::uint32_t id, const model::Selector& selector, Classes& classes) {
  Requirement best;
  std::size_t best_cost = 0;
  for (auto& r : CompiledSelector::requirements(selector, classes.labels())) {
    const std::size_t cost = classes.cost(r);
    if (best.key != kNone && cost >= best_cost) continue;
    best = std::move(r);
    best_cost = cost;
  }
  if (best.key == kNone) {
    anybody_.push(id);
  } else if (best.any_value) {
    at(by_key_, best.key).push(id);
  } else {
    for (const PairId pair : best.pairs) at(by_pair_, pair).push(id);
  }
  if (id >= filed_.size()) filed_.resize(id + 1);
  filed_[id] = std::move(best);
}

void SelectorIndex::remove(std::uint32_t id) {
  Requirement& r = filed_[id];
  if (r.key == kNone) {
    anybody_.erase(id);
  } else if (r.any_value) {
    by_key_[r.key].erase(id);
  } else {
    for (const PairId pair : r.pairs) by_pair_[pair].erase(id);
  }
  r = Requirement{};
}

}  // namespace margay::calc
