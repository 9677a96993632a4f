// SPDX-License-Identifier: Apache-2.0
#include "agent/sync/key_table.h"

#include <cstring>
#include <functional>
#include <utility>

#include "base/result.h"

namespace margay::sync {
namespace {

constexpr std::uint32_t kFree = 0;
constexpr std::uint32_t kErased = 1;
constexpr std::uint32_t kFirst = 2;
constexpr std::size_t kLeastSlots = 64;

std::size_t hash_of(std::string_view key) { return std::hash<std::string_view>{}(key); }
std::uint32_t tag_of(std::size_t hash) { return static_cast<std::uint32_t>(hash >> 32); }

// The folder keeps its slash; a key without one has the folder "".
std::pair<std::string_view, std::string_view> split(std::string_view key) {
  const auto slash = key.rfind('/');
  const auto at = slash == std::string_view::npos ? 0 : slash + 1;
  return {key.substr(0, at), key.substr(at)};
}

}  // namespace

KeyTable::KeyTable() : slots_(kLeastSlots) {}

char* KeyTable::record(std::uint32_t place) const {
  const std::size_t offset = place - kFirst;
  return chunks_[offset / kChunk].get() + offset % kChunk;
}

KeyTable::Header KeyTable::read(const char* r) {
  Header h{};
  std::memcpy(&h.folder, r, 4);
  std::memcpy(&h.revision, r + 4, 8);
  std::memcpy(&h.generation, r + 12, 1);
  std::memcpy(&h.length, r + 13, 2);
  return h;
}

void KeyTable::write(char* r, const Header& h) {
  std::memcpy(r, &h.folder, 4);
  std::memcpy(r + 4, &h.revision, 8);
  std::memcpy(r + 12, &h.generation, 1);
  std::memcpy(r + 13, &h.length, 2);
}

std::string KeyTable::key_of(const char* r) const {
  const auto h = read(r);
  return folders_[h.folder] + std::string(r + kHeader, h.length);
}

bool KeyTable::matches(const char* r, std::string_view key) const {
  const auto h = read(r);
  const auto [folder, rest] = split(key);
  return std::string_view(r + kHeader, h.length) == rest && folders_[h.folder] == folder;
}

std::size_t KeyTable::find(std::string_view key, std::size_t hash) const {
  const auto mask = slots_.size() - 1;
  for (auto i = hash & mask; slots_[i].place != kFree; i = (i + 1) & mask) {
    if (slots_[i].place != kErased && slots_[i].tag == tag_of(hash) &&
        matches(record(slots_[i].place), key)) {
      return i;
    }
  }
  return kNone;
}

Revision KeyTable::touch(std::string_view key, Revision revision) {
  MARGAY_ASSERT(split(key).second.size() <= 0xffff);
  const auto hash = hash_of(key);
  if (const auto at = find(key, hash); at != kNone) {
    char* r = record(slots_[at].place);
    auto h = read(r);
    const auto before = std::exchange(h.revision, revision.value());
    h.generation = generation_;
    write(r, h);
    return Revision(before);
  }
  if ((filled_ + 1) * 4 > slots_.size() * 3) rebuild();
  insert(key, hash, revision, generation_);
  return Revision(0);
}

bool KeyTable::erase(std::string_view key) {
  const auto at = find(key, hash_of(key));
  if (at == kNone) return false;
  slots_[at].place = kErased;
  --live_;
  return true;
}

void KeyTable::begin_generation() {
  if (++generation_ != 0) return;
  // Wrapped around: all that is here becomes one old generation.
  for (const auto& s : slots_) {
    if (s.place < kFirst) continue;
    auto h = read(record(s.place));
    h.generation = 0;
    write(record(s.place), h);
  }
  generation_ = 1;
}

std::vector<std::string> KeyTable::take_stale() {
  std::vector<std::string> stale;
  for (auto& s : slots_) {
    if (s.place < kFirst) continue;
    const char* r = record(s.place);
    if (read(r).generation == generation_) continue;
    stale.push_back(key_of(r));
    s.place = kErased;
    --live_;
  }
  return stale;
}

std::uint32_t KeyTable::intern(std::string_view folder) {
  const auto [it, fresh] =
      folder_numbers_.try_emplace(std::string(folder), static_cast<std::uint32_t>(folders_.size()));
  if (fresh) folders_.emplace_back(folder);
  return it->second;
}

// A record never spans chunks; what is left of one is wasted (at most a key's length).
std::uint32_t KeyTable::allocate(std::size_t bytes) {
  MARGAY_ASSERT(bytes <= kChunk);
  if (used_ % kChunk + bytes > kChunk) used_ = (used_ / kChunk + 1) * kChunk;
  if (used_ + bytes > chunks_.size() * kChunk) chunks_.push_back(std::make_unique<char[]>(kChunk));
  const auto place = static_cast<std::uint32_t>(used_ + kFirst);
  used_ += bytes;
  return place;
}

void KeyTable::insert(std::string_view key, std::size_t hash, Revision revision,
                      std::uint8_t generation) {
  const auto [folder, rest] = split(key);
  const auto place = allocate(kHeader + rest.size());
  char* r = record(place);
  write(r, {intern(folder), revision.value(), generation, static_cast<std::uint16_t>(rest.size())});
  std::memcpy(r + kHeader, rest.data(), rest.size());
  const auto mask = slots_.size() - 1;
  auto i = hash & mask;
  while (slots_[i].place != kFree) i = (i + 1) & mask;
  slots_[i] = {place, tag_of(hash)};
  ++live_;
  ++filled_;
}

void KeyTable::rebuild() {
  KeyTable fresh;
  std::size_t slots = kLeastSlots;
  while ((live_ + 1) * 2 > slots) slots *= 2;
  fresh.slots_.assign(slots, Slot{});
  fresh.generation_ = generation_;
  for (const auto& s : slots_) {
    if (s.place < kFirst) continue;
    const char* r = record(s.place);
    const auto key = key_of(r);
    const auto h = read(r);
    fresh.insert(key, hash_of(key), Revision(h.revision), h.generation);
  }
  *this = std::move(fresh);
}

std::size_t KeyTable::memory() const {
  std::size_t n = slots_.capacity() * sizeof(Slot) + chunks_.size() * kChunk;
  for (const auto& f : folders_) n += 2 * f.capacity() + 96;  // list and map
  return n;
}

}  // namespace margay::sync
