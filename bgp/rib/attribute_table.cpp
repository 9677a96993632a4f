// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/attribute_table.h"

namespace margay::bgp {
namespace {

// The index wants its high bits too.
std::size_t widened(std::uint32_t hash) { return hash * 0x9e3779b97f4a7c15ULL; }

}  // namespace

AttributeTable::AttributeTable() { slots_.emplace_back(); }

AttrId AttributeTable::intern(Attributes&& a) {
  const auto hash = static_cast<std::uint32_t>(a.hash());
  const AttrId known = index_.find(widened(hash), [&](AttrId id) {
    return slots_[id].hash == hash && slots_[id].attributes == a;
  });
  if (known != IdIndex::kNone) {
    ++slots_[known].refs;
    return known;
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
  index_.insert(widened(hash), id, [this](AttrId other) { return widened(slots_[other].hash); });
  return id;
}

void AttributeTable::release(AttrId id) {
  const auto hash_of = [this](AttrId other) { return widened(slots_[other].hash); };
  index_.erase(hash_of(id), id, hash_of);
  slots_[id].attributes = {};
  free_.push_back(id);
}

}  // namespace margay::bgp
