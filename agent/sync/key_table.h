// SPDX-License-Identifier: Apache-2.0
// Which keys the receiver has, and at which revision, in as little memory as will still give the
// keys back (deletes after a new snapshot need them): the folder part of a key is interned, the
// rest packed into chunks; about 15 bytes and the key's last part for each, no allocation per key.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/types.h"

namespace margay::sync {

class KeyTable {
 public:
  KeyTable();
  // Remembers the key at this revision, in the present generation. The revision it had before; 0
  // when it is new.
  Revision touch(std::string_view key, Revision revision);
  bool erase(std::string_view key);  // false: there was none
  // From here on, keys that are not touched are stale.
  void begin_generation();
  // Removes the stale keys and returns them.
  [[nodiscard]] std::vector<std::string> take_stale();

  [[nodiscard]] std::size_t size() const { return live_; }
  [[nodiscard]] std::size_t memory() const;  // bytes, about

 private:
  // A record in a chunk: folder u32, revision u64, generation u8, length u16, the key's last part.
  struct Header {
    std::uint32_t folder;
    std::uint64_t revision;
    std::uint8_t generation;
    std::uint16_t length;
  };
  struct Slot {
    std::uint32_t place = 0;  // 0: never used, 1: erased, else 2 + offset in the pool
    std::uint32_t tag = 0;    // of the hash; saves most comparisons
  };
  static constexpr std::size_t kHeader = 4 + 8 + 1 + 2;
  static constexpr std::size_t kChunk = 64 * 1024;

  [[nodiscard]] char* record(std::uint32_t place) const;
  [[nodiscard]] static Header read(const char* record);
  static void write(char* record, const Header& h);
  [[nodiscard]] std::string key_of(const char* record) const;
  [[nodiscard]] bool matches(const char* record, std::string_view key) const;
  [[nodiscard]] std::size_t find(std::string_view key, std::size_t hash) const;  // or kNone
  void insert(std::string_view key, std::size_t hash, Revision revision, std::uint8_t generation);
  std::uint32_t allocate(std::size_t bytes);
  std::uint32_t intern(std::string_view folder);
  void rebuild();  // without the erased, with room to grow

  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::vector<Slot> slots_;
  std::vector<std::unique_ptr<char[]>> chunks_;
  std::size_t used_ = 0;  // bytes of the pool given out, holes included
  std::size_t live_ = 0;
  std::size_t filled_ = 0;  // slots not free: live and erased
  std::uint8_t generation_ = 1;
  std::vector<std::string> folders_;
  std::unordered_map<std::string, std::uint32_t> folder_numbers_;
};

}  // namespace margay::sync
