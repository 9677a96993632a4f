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

// Linear probing, deletion by shifting back. `hash_of(index)` must be what it was on insertion.
// Each slot has eight bits of its hash beside it, so that a search looks at hardly any record but
// the one it is for: records are cold.
class IndexTable {
 public:
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t bytes() const {
    return slots_.capacity() * (sizeof(std::uint32_t) + sizeof(std::uint8_t));
  }

  // The index for which `equal(index)` holds, or kNone.
  template <typename Equal>
  [[nodiscard]] std::uint32_t find(std::size_t hash, const Equal& equal) const {
    if (slots_.empty()) return kNone;
    const std::uint8_t tag = tag_of(hash);
    for (std::size_t i = home(hash);; i = next(i)) {
      if (slots_[i] == kNone || (tags_[i] == tag && equal(slots_[i]))) return slots_[i];
    }
  }

  template <typename HashOf>
  void insert(std::uint32_t index, const HashOf& hash_of) {
    if ((size_ + 1) * 8 > slots_.size() * 7) grow(hash_of);
    place(index, hash_of(index));
    ++size_;
  }

  template <typename HashOf>
  void erase(std::uint32_t index, const HashOf& hash_of) {
    std::size_t hole = home(hash_of(index));
    while (slots_[hole] != index) {
      if (slots_[hole] == kNone) return;
      hole = next(hole);
    }
    for (std::size_t i = next(hole); slots_[i] != kNone; i = next(i)) {
      const std::size_t want = home(hash_of(slots_[i]));
      // Does the entry's home lie outside (hole, i]? Then it may move into the hole.
      if (((i - want) & mask()) < ((i - hole) & mask())) continue;
      slots_[hole] = slots_[i];
      tags_[hole] = tags_[i];
      hole = i;
    }
    slots_[hole] = kNone;
    --size_;
  }

 private:
  [[nodiscard]] std::size_t mask() const { return slots_.size() - 1; }
  [[nodiscard]] std::size_t next(std::size_t i) const { return (i + 1) & mask(); }
  [[nodiscard]] std::size_t home(std::size_t hash) const {
    return ((hash * 0x9e3779b97f4a7c15ULL) >> 20) & mask();
  }
  // Bits that home() leaves alone.
  [[nodiscard]] static std::uint8_t tag_of(std::size_t hash) {
    return static_cast<std::uint8_t>((hash * 0x9e3779b97f4a7c15ULL) >> 56);
  }
  void place(std::uint32_t index, std::size_t hash) {
    std::size_t i = home(hash);
    while (slots_[i] != kNone) i = next(i);
    slots_[i] = index;
    tags_[i] = tag_of(hash);
  }
  template <typename HashOf>
  void grow(const HashOf& hash_of) {
    std::vector<std::uint32_t> old(std::max<std::size_t>(16, slots_.size() * 2), kNone);
    old.swap(slots_);
    tags_.assign(slots_.size(), 0);
    for (const std::uint32_t index : old) {
      if (index != kNone) place(index, hash_of(index));
    }
  }

  std::vector<std::uint32_t> slots_;
  std::vector<std::uint8_t> tags_;
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
