// SPDX-License-Identifier: Apache-2.0
// Interned path attributes: equal sets are held once and named by a small number. Counted by hand,
// because the tables hold millions of references: whoever stores an id owns one count of it. Id 0
// means "none".
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "bgp/wire/attributes.h"

namespace margay::bgp {

using AttrId = std::uint32_t;
inline constexpr AttrId kNoAttr = 0;

class AttributeTable {
 public:
  AttributeTable();
  // The caller owns one count of the result.
  [[nodiscard]] AttrId intern(Attributes&& a);
  [[nodiscard]] const Attributes& get(AttrId id) const { return slots_[id].attributes; }
  void ref(AttrId id) {
    if (id != kNoAttr) ++slots_[id].refs;
  }
  void unref(AttrId id) {
    if (id != kNoAttr && --slots_[id].refs == 0) release(id);
  }
  [[nodiscard]] std::size_t size() const { return used_; }  // sets that are held

 private:
  struct Slot {
    Attributes attributes;
    std::size_t hash = 0;
    std::uint32_t refs = 0;
  };
  void release(AttrId id);
  void grow();
  [[nodiscard]] std::size_t slot_of(AttrId id) const;

  std::deque<Slot> slots_;  // [0] unused
  std::vector<AttrId> free_;
  std::vector<AttrId> index_;  // open addressing, size a power of two
  std::size_t used_ = 0;
};

}  // namespace margay::bgp
