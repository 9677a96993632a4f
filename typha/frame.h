// SPDX-License-Identifier: Apache-2.0
// The sync stream's bytes, made once and shared by all clients. A message is a small head (kind,
// revision, store) followed by any number of bodies; a body is a run of encoded entries, and runs
// can be joined and cut between entries without encoding anything again, because that is what a
// repeated protobuf field is on the wire. Entries here are always of our own making. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "datastore/store.h"

namespace margay::typha {

using Body = std::shared_ptr<const std::string>;

inline constexpr std::size_t kMaxMessage = 256 * 1024;
inline constexpr std::size_t kMaxHead = 128;
inline constexpr std::size_t kMaxBody = kMaxMessage - kMaxHead;
inline constexpr std::size_t kMaxEntries = 1000;  // in one message: what a client takes in one turn

enum class Kind : std::uint8_t {  // as in sync.proto
  snapshot_begin = 1,
  snapshot = 2,
  snapshot_end = 3,
  delta = 4,
  in_sync = 5,
  heartbeat = 6,
};

struct Message {
  std::string head;
  std::vector<Body> bodies;
};

struct Staleness {  // of the server's own view, as in sync.proto
  std::uint64_t ms = 0;
  std::string reason;
};

[[nodiscard]] std::string encode_head(Kind kind, Revision revision, std::string_view store_id = {},
                                      const Staleness& stale = {});
// `age`: of the oldest entry; zero when it is not known.
[[nodiscard]] std::string encode_delta_head(Revision upto, std::chrono::microseconds age);

// One entry; a value that is too long for one message becomes several pieces, each for a message of
// its own.
[[nodiscard]] std::vector<std::string> encode_entry(const datastore::Event& event);

struct Piece {  // views into a body
  std::string_view key;
  std::string_view bytes;  // with its field's head: append it anywhere
  Revision revision;
};
[[nodiscard]] std::vector<Piece> pieces_of(std::string_view body);

// The entries of `body` after `revision`.
[[nodiscard]] Body after(const Body& body, Revision revision);

}  // namespace margay::typha
