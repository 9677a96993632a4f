// SPDX-License-Identifier: Apache-2.0
// From the hash of a record to its number, for tables whose records are numbered: open addressing
// without tombstones. Beside each number stands a byte of its hash, so that probing seldom leaves
// this index for the records, which are far apart in memory.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace margay::bgp {

class IdIndex {
 public:
  static constexpr std::uint32_t kNone = 0xffffffff;

  // equal(id): whether this is the one; asked of few others.
  template <typename Equal>
  [[nodiscard]] std::uint32_t find(std::size_t hash, Equal equal) const {
    const std::uint8_t tag = tag_of(hash);
    for (std::size_t at = home(hash); tags_[at] != kFree; at = next(at)) {
      if (tags_[at] == tag && equal(ids_[at])) return ids_[at];
    }
    return kNone;
  }
  // One that is not there. hash_of(id) tells the hashes of the others when the index grows.
  template <typename HashOf>
  void insert(std::size_t hash, std::uint32_t id, HashOf hash_of) {
    if ((used_ + 1) * 3 > ids_.size() * 2) grow(hash_of);
    place(hash, id);
    ++used_;
  }
  // One that is there.
  template <typename HashOf>
  void erase(std::size_t hash, std::uint32_t id, HashOf hash_of) {
    std::size_t gap = home(hash);
    while (tags_[gap] == kFree || ids_[gap] != id) gap = next(gap);
    tags_[gap] = kFree;
    for (std::size_t at = next(gap); tags_[at] != kFree; at = next(at)) {
      // One that stands at or after its home beyond the gap stays; others close the gap.
      const std::size_t wanted = home(hash_of(ids_[at]));
      if (((at - wanted) & mask()) < ((at - gap) & mask())) continue;
      ids_[gap] = ids_[at];
      tags_[gap] = std::exchange(tags_[at], kFree);
      gap = at;
    }
    --used_;
  }
  [[nodiscard]] std::size_t size() const { return used_; }

 private:
  static constexpr std::uint8_t kFree = 0;
  static std::uint8_t tag_of(std::size_t hash) {
    return static_cast<std::uint8_t>(hash >> 56 | 1U);
  }
  [[nodiscard]] std::size_t mask() const { return ids_.size() - 1; }
  [[nodiscard]] std::size_t home(std::size_t hash) const { return hash & mask(); }
  [[nodiscard]] std::size_t next(std::size_t at) const { return (at + 1) & mask(); }
  void place(std::size_t hash, std::uint32_t id) {
    std::size_t at = home(hash);
    while (tags_[at] != kFree) at = next(at);
    ids_[at] = id;
    tags_[at] = tag_of(hash);
  }
  template <typename HashOf>
  void grow(HashOf hash_of) {
    const std::vector<std::uint32_t> ids =
        std::exchange(ids_, std::vector<std::uint32_t>(ids_.size() * 2));
    const std::vector<std::uint8_t> tags =
        std::exchange(tags_, std::vector<std::uint8_t>(ids_.size()));
    for (std::size_t at = 0; at < ids.size(); ++at) {
      if (tags[at] != kFree) place(hash_of(ids[at]), ids[at]);
    }
  }
  std::vector<std::uint32_t> ids_ = std::vector<std::uint32_t>(64);  // size a power of two
  std::vector<std::uint8_t> tags_ = std::vector<std::uint8_t>(64);
  std::size_t used_ = 0;
};

}  // namespace margay::bgp
