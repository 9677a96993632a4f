// SPDX-License-Identifier: Apache-2.0
// Interned path attributes: equal sets are held once and named by a small number. Counted by hand,
// because the tables hold millions of references: whoever stores an id owns one count of it. Id 0
// means "none".
#pragma once

#include <cstdint>
#include <vector>

#include "bgp/rib/id_index.h"
#include "bgp/rib/slabs.h"
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
  [[nodiscard]] std::size_t size() const { return index_.size(); }  // sets that are held

 private:
  struct Slot {
    Attributes attributes;
    std::uint32_t hash = 0;
    std::uint32_t refs = 0;
  };
  void release(AttrId id);

  Slabs<Slot> slots_;  // [0] unused
  std::vector<AttrId> free_;
  IdIndex index_;
};

}  // namespace margay::bgp
