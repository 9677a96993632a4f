// SPDX-License-Identifier: Apache-2.0
// Two small containers for records kept in vectors and named by 32-bit indexes: IdList, a growing
// list in one pointer, and IndexTable, a hash table of indexes whose keys stay in the records.
// They exist for memory: a hundred thousand records of a few dozen bytes each.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace margay::calc {

inline constexpr std::uint32_t kNone = 0xffffffff;

class IdList {
 public:
  [[nodiscard]] std::uint32_t size() const { return block_ ? block_[0] : 0; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] const std::uint32_t* begin() const { return block_ ? &block_[2] : nullptr; }
  [[nodiscard]] const std::uint32_t* end() const { return begin() + size(); }
  [[nodiscard]] std::span<const std::uint32_t> span() const { return {begin(), size()}; }

  void push(std::uint32_t id) {
    const std::uint32_t n = size();
    if (n == capacity()) reserve(n == 0 ? 2 : n + n / 2 + 1);
    block_[2 + n] = id;
    block_[0] = n + 1;
  }
  // The order of the others may change. Nothing happens when it is not there.
  void erase(std::uint32_t id) {
    const std::uint32_t n = size();
    for (std::uint32_t i = 0; i < n; ++i) {
      if (block_[2 + i] != id) continue;
      block_[2 + i] = block_[1 + n];
      block_[0] = n - 1;
      if (n == 1) block_.reset();
      return;
    }
  }
  void assign(std::span<const std::uint32_t> ids) {
    if (ids.empty()) return block_.reset();
    if (ids.size() > capacity() || ids.size() * 2 < capacity()) {
      block_.reset();
      reserve(static_cast<std::uint32_t>(ids.size()));
    }
    std::copy(ids.begin(), ids.end(), &block_[2]);
    block_[0] = static_cast<std::uint32_t>(ids.size());
  }

 private:
  [[nodiscard]] std::uint32_t capacity() const { return block_ ? block_[1] : 0; }
  void reserve(std::uint32_t n) {
    auto grown = std::make_unique_for_overwrite<std::uint32_t[]>(n + 2);
    std::copy(begin(), end(), &grown[2]);
    grown[0] = size();
    grown[1] = n;
    block_ = std::move(grown);
  }
  std::unique_ptr<std::uint32_t[]> block_;  // size, capacity, ids
};

// Linear probing, deletion by shifting back. Each slot has 32 bits of its hash beside the index, in
// the same cache line: a search looks at hardly any record but the one it is for, growth and
// deletion at none. Records are cold.
class IndexTable {
 public:
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t bytes() const { return slots_.capacity() * sizeof(Slot); }

  // The index for which `equal(index)` holds, or kNone.
  template <typename Equal>
  [[nodiscard]] std::uint32_t find(std::size_t hash, const Equal& equal) const {
    if (slots_.empty()) return kNone;
    const std::uint32_t mixed = mix(hash);
    for (std::size_t i = mixed & mask();; i = next(i)) {
      const Slot& slot = slots_[i];
      if (slot.index == kNone || (slot.hash == mixed && equal(slot.index))) return slot.index;
    }
  }

  void insert(std::uint32_t index, std::size_t hash) {
    if ((size_ + 1) * 8 > slots_.size() * 7) grow();
    place({index, mix(hash)});
    ++size_;
  }
  // `hash` is what it was on insertion. Nothing happens when it is not there.
  void erase(std::uint32_t index, std::size_t hash) {
    if (slots_.empty()) return;
    std::size_t hole = mix(hash) & mask();
    while (slots_[hole].index != index) {
      if (slots_[hole].index == kNone) return;
      hole = next(hole);
    }
    for (std::size_t i = next(hole); slots_[i].index != kNone; i = next(i)) {
      const std::size_t want = slots_[i].hash & mask();
      // Does the entry's home lie outside (hole, i]? Then it may move into the hole.
      if (((i - want) & mask()) < ((i - hole) & mask())) continue;
      slots_[hole] = slots_[i];
      hole = i;
    }
    slots_[hole] = Slot{};
    --size_;
  }

 private:
  struct Slot {
    std::uint32_t index = kNone;
    std::uint32_t hash = 0;
  };
  [[nodiscard]] std::size_t mask() const { return slots_.size() - 1; }
  [[nodiscard]] std::size_t next(std::size_t i) const { return (i + 1) & mask(); }
  [[nodiscard]] static std::uint32_t mix(std::size_t hash) {
    return static_cast<std::uint32_t>((hash * 0x9e3779b97f4a7c15ULL) >> 32);
  }
  void place(const Slot& slot) {
    std::size_t i = slot.hash & mask();
    while (slots_[i].index != kNone) i = next(i);
    slots_[i] = slot;
  }
  void grow() {
    std::vector<Slot> old(std::max<std::size_t>(16, slots_.size() * 2));
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.index != kNone) place(slot);
    }
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
};

// Records in a vector with their holes reused: indexes stay valid while a record lives.
template <typename Record>
class Slots {
 public:
  [[nodiscard]] std::uint32_t take() {
    if (free_.empty()) {
      records_.emplace_back();
      return static_cast<std::uint32_t>(records_.size() - 1);
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    return index;
  }
  void give_back(std::uint32_t index) {
    records_[index] = Record{};
    free_.push_back(index);
  }
  [[nodiscard]] Record& operator[](std::uint32_t i) { return records_[i]; }
  [[nodiscard]] const Record& operator[](std::uint32_t i) const { return records_[i]; }
  // Live and free ones: the bound of indexes.
  [[nodiscard]] std::uint32_t bound() const { return static_cast<std::uint32_t>(records_.size()); }
  [[nodiscard]] std::size_t live() const { return records_.size() - free_.size(); }

 private:
  std::vector<Record> records_;
  std::vector<std::uint32_t> free_;
};

}  // namespace margay::calc
