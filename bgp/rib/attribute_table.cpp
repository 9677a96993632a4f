// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/attribute_table.h"

namespace margay::bgp {

AttributeTable::AttributeTable() : slots_(1), index_(64, kNoAttr) {}

AttrId AttributeTable::intern(Attributes&& a) {
  const std::size_t hash = a.hash();
  const std::size_t mask = index_.size() - 1;
  std::size_t at = hash & mask;
  for (; index_[at] != kNoAttr; at = (at + 1) & mask) {
    Slot& slot = slots_[index_[at]];
    if (slot.hash == hash && slot.attributes == a) {
      ++slot.refs;
      return index_[at];
    }
  }
  AttrId id = 0;
  if (free_.empty()) {
    id = static_cast<AttrId>(slots_.size());
    slots_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  Slot& slot = slots_[id];
  slot.attributes = std::move(a);
  slot.hash = hash;
  slot.refs = 1;
  index_[at] = id;
  if (++used_ * 2 > index_.size()) grow();
  return id;
}

void AttributeTable::grow() {
  std::vector<AttrId> bigger(index_.size() * 2, kNoAttr);
  const std::size_t mask = bigger.size() - 1;
  for (const AttrId id : index_) {
    if (id == kNoAttr) continue;
    std::size_t at = slots_[id].hash & mask;
    while (bigger[at] != kNoAttr) at = (at + 1) & mask;
    bigger[at] = id;
  }
  index_ = std::move(bigger);
}

std::size_t AttributeTable::slot_of(AttrId id) const {
  const std::size_t mask = index_.size() - 1;
  std::size_t at = slots_[id].hash & mask;
  while (index_[at] != id) at = (at + 1) & mask;
  return at;
}

void AttributeTable::release(AttrId id) {
  // Linear probing without tombstones: close the gap.
  const std::size_t mask = index_.size() - 1;
  std::size_t gap = slot_of(id);
  index_[gap] = kNoAttr;
  for (std::size_t at = (gap + 1) & mask; index_[at] != kNoAttr; at = (at + 1) & mask) {
    const std::size_t home = slots_[index_[at]].hash & mask;
    if (((at - home) & mask) >= ((at - gap) & mask)) {
      index_[gap] = index_[at];
      index_[at] = kNoAttr;
      gap = at;
    }
  }
  slots_[id].attributes = {};
  free_.push_back(id);
  --used_;
}

}  // namespace margay::bgp
