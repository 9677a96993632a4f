// SPDX-License-Identifier: Apache-2.0
// Finds the selectors that may match given labels, without asking them all: each selector is filed
// under the requirement that the fewest classes fulfil. Candidates still have to be evaluated.
#pragma once

#include <cstdint>
#include <vector>

#include "agent/calc/classes.h"
#include "agent/calc/index_table.h"
#include "agent/calc/labels.h"

namespace margay::calc {

class SelectorIndex {
 public:
  // `selector` must be compiled already, and stay so until remove.
  void add(std::uint32_t id, const model::Selector& selector, Classes& classes);
  void remove(std::uint32_t id);
  // What `id` is filed under; key kNone: nothing, it may match anybody.
  [[nodiscard]] const Requirement& filed_under(std::uint32_t id) const { return filed_[id]; }

  // Calls f(id) once for each candidate.
  template <typename F>
  void candidates(const EffectiveLabels& labels, const F& f) const {
    for (const std::uint32_t id : anybody_.span()) f(id);
    for (const auto& label : labels.all()) {
      if (label.pair < by_pair_.size()) {
        for (const std::uint32_t id : by_pair_[label.pair].span()) f(id);
      }
      if (label.key < by_key_.size()) {
        for (const std::uint32_t id : by_key_[label.key].span()) f(id);
      }
    }
  }

 private:
  static IdList& at(std::vector<IdList>& lists, std::uint32_t i) {
    if (i >= lists.size()) lists.resize(i + 1 + i / 2);
    return lists[i];
  }
  std::vector<IdList> by_pair_;
  std::vector<IdList> by_key_;
  IdList anybody_;
  std::vector<Requirement> filed_;  // by selector id
};

}  // namespace margay::calc
