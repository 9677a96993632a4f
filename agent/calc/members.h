// SPDX-License-Identifier: Apache-2.0
// The members of one IP set, counted by how many objects contribute them, and what of it the
// consumer knows: only 0 <-> 1 transitions come out, and a transition and its opposite cancel. IPv4
// members take 12 bytes of table, IPv6 ones 24. Also the packed form of an endpoint's networks.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/ip.h"
#include "model/desired.h"

namespace margay::calc {

template <typename Key>
class CountTable {
 public:
  [[nodiscard]] std::size_t size() const { return live_; }  // members with a contributor
  [[nodiscard]] std::size_t bytes() const {
    return slots_.capacity() * sizeof(Slot) + touched_.capacity() * sizeof(Key);
  }
  void add(const Key& key);
  void remove(const Key& key);
  // From now on the consumer knows what is in here; f is called for each member.
  template <typename F>
  void send_all(const F& f);
  // What changed since: f(key, added).
  template <typename F>
  void send_changes(const F& f);
  [[nodiscard]] bool changed() const { return !touched_.empty(); }

 private:
  static constexpr std::uint32_t kSent = 1U << 31;
  static constexpr std::uint32_t kTouched = 1U << 30;
  static constexpr std::uint32_t kCount = kTouched - 1;
  struct Slot {
    Key key{};
    std::uint32_t word = 0;  // flags and count; 0: the slot is free
  };
  [[nodiscard]] std::size_t mask() const { return slots_.size() - 1; }
  [[nodiscard]] std::size_t slot_of(const Key& key) const;
  void touch(Slot& slot);
  void free_slot(std::size_t at);
  void grow();

  std::vector<Slot> slots_;
  std::vector<Key> touched_;
  std::size_t used_ = 0;  // slots that are not free
  std::size_t live_ = 0;
  bool known_ = false;  // send_all has been called
};

struct MemberKey4 {
  std::uint32_t addr = 0;
  std::uint32_t meta = 0;  // a network's length, or protocol << 16 | port
  friend bool operator==(const MemberKey4&, const MemberKey4&) = default;
  [[nodiscard]] std::size_t hash() const {
    std::uint64_t h = (std::uint64_t{addr} << 32 | meta) * 0x9e3779b97f4a7c15ULL;
    // Networks differ in their upper bits only, which so far have reached no lower ones.
    h = (h ^ h >> 47) * 0xff51afd7ed558ccdULL;
    return h ^ h >> 32;
  }
};
struct MemberKey6 {
  std::array<std::uint8_t, 16> addr{};
  std::uint32_t meta = 0;
  friend bool operator==(const MemberKey6&, const MemberKey6&) = default;
  [[nodiscard]] std::size_t hash() const { return hash_bytes(addr, meta); }
};

class Members {
 public:
  void add(const model::SetMember& member, model::SetKind kind);
  void remove(const model::SetMember& member, model::SetKind kind);
  [[nodiscard]] std::size_t size() const { return v4_.size() + v6_.size(); }
  [[nodiscard]] std::size_t bytes() const { return v4_.bytes() + v6_.bytes(); }
  [[nodiscard]] bool changed() const { return v4_.changed() || v6_.changed(); }
  void send_all(model::SetUpdate& out);  // out.kind says which kind this is
  void send_changes(model::SetUpdate& out);

 private:
  CountTable<MemberKey4> v4_;
  CountTable<MemberKey6> v6_;
};

// Networks, sorted and unique, as bytes: one of length (plus 64 for IPv6), then the address.
[[nodiscard]] std::vector<std::uint8_t> pack(std::span<const Prefix> nets);
[[nodiscard]] std::vector<Prefix> unpack(std::span<const std::uint8_t> bytes);

// --- implementation --------------------------------------------------------------------------

template <typename Key>
std::size_t CountTable<Key>::slot_of(const Key& key) const {
  std::size_t i = key.hash() & mask();
  while (slots_[i].word != 0 && slots_[i].key != key) i = (i + 1) & mask();
  return i;
}

template <typename Key>
void CountTable<Key>::grow() {
  std::vector<Slot> old(slots_.empty() ? 8 : slots_.size() * 2);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.word != 0) slots_[slot_of(slot.key)] = slot;
  }
}

template <typename Key>
void CountTable<Key>::touch(Slot& slot) {
  if (!known_ || (slot.word & kTouched) != 0) return;
  slot.word |= kTouched;
  touched_.push_back(slot.key);
}

template <typename Key>
void CountTable<Key>::add(const Key& key) {
  if ((used_ + 1) * 8 > slots_.size() * 7) grow();
  Slot& slot = slots_[slot_of(key)];
  if (slot.word == 0) {
    slot.key = key;
    ++used_;
  }
  if ((slot.word & kCount) == 0) {
    touch(slot);
    ++live_;
  }
  ++slot.word;
}

template <typename Key>
void CountTable<Key>::remove(const Key& key) {
  const std::size_t at = slots_.empty() ? 0 : slot_of(key);
  MARGAY_ASSERT(!slots_.empty() && (slots_[at].word & kCount) != 0);
  Slot& slot = slots_[at];
  --slot.word;
  if ((slot.word & kCount) != 0) return;
  --live_;
  touch(slot);
  if (slot.word == 0) free_slot(at);
}

template <typename Key>
void CountTable<Key>::free_slot(std::size_t hole) {
  for (std::size_t i = (hole + 1) & mask(); slots_[i].word != 0; i = (i + 1) & mask()) {
    const std::size_t home = slots_[i].key.hash() & mask();
    if (((i - home) & mask()) < ((i - hole) & mask())) continue;
    slots_[hole] = slots_[i];
    hole = i;
  }
  slots_[hole] = Slot{};
  --used_;
}

template <typename Key>
template <typename F>
void CountTable<Key>::send_all(const F& f) {
  known_ = true;
  for (Slot& slot : slots_) {
    if (slot.word == 0) continue;
    slot.word |= kSent;
    f(slot.key);
  }
}

template <typename Key>
template <typename F>
void CountTable<Key>::send_changes(const F& f) {
  for (const Key& key : touched_) {
    const std::size_t at = slot_of(key);
    Slot& slot = slots_[at];
    const bool have = (slot.word & kSent) != 0;
    const bool want = (slot.word & kCount) != 0;
    slot.word = (slot.word & kCount) | (want ? kSent : 0);
    if (want != have) f(key, want);
    if (!want) free_slot(at);
  }
  touched_ = {};
}

}  // namespace margay::calc
