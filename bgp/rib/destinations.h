// SPDX-License-Identifier: Apache-2.0
// The prefixes of both families that have a path or are still named by an output group, each with
// its paths, as numbered records: compact, no allocation per prefix. Bytes: 24 for a prefix (IPv6:
// 40), 20 for each of its paths, 8 to 15 in the index. Knows nothing of selection.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/ip.h"
#include "bgp/rib/attribute_table.h"
#include "bgp/rib/id_index.h"
#include "bgp/rib/slabs.h"

namespace margay::bgp {

using DestId = std::uint32_t;
using PathId = std::uint32_t;  // index of a record, not the identifier of RFC 7911
using PeerId = std::uint16_t;
inline constexpr std::uint32_t kNone = IdIndex::kNone;
inline constexpr PeerId kLocalPeer = 0;   // routes of our own
inline constexpr PeerId kKernelPeer = 1;  // learnt from the kernel
inline constexpr PeerId kFirstPeer = 2;

struct Path {
  PathId next = kNone;
  AttrId received = kNoAttr;    // as the peer sent it
  AttrId attributes = kNoAttr;  // after the import filters; kNoAttr: they rejected it
  std::uint32_t path_id = 0;    // of RFC 7911
  PeerId peer = kLocalPeer;
  std::uint16_t epoch = 0;  // older than its peer's: stale
};

struct Destination {
  // The prefix, which Destinations::prefix() puts together.
  std::uint32_t address = 0;  // IPv4: in host order; IPv6: the number of a record
  std::uint8_t length = 0;
  Family family = Family::v4;
  bool dirty = false;
  bool used = false;
  PathId paths = kNone;
  // The outcome of the last selection.
  AttrId best = kNoAttr;   // counted
  std::uint32_t hops = 0;  // set of next hops in the kernel; 0: none
  PeerId best_peer = kLocalPeer;
  std::uint16_t out_refs = 0;  // output groups that name it
};
// What a million of them cost counts.
static_assert(sizeof(Destination) == 24 && sizeof(Path) == 20);

class Destinations {
 public:
  [[nodiscard]] DestId find(const Prefix& prefix) const;  // kNone: not there
  [[nodiscard]] DestId find_or_add(const Prefix& prefix);
  [[nodiscard]] Prefix prefix(DestId id) const;
  void remove(DestId id);  // without paths, not named by a group
  [[nodiscard]] Destination& operator[](DestId id) { return dests_[id]; }
  [[nodiscard]] const Destination& operator[](DestId id) const { return dests_[id]; }
  [[nodiscard]] DestId end() const { return static_cast<DestId>(dests_.size()); }
  [[nodiscard]] std::size_t size() const { return index_.size(); }

  [[nodiscard]] Path& path(PathId id) { return paths_[id]; }
  [[nodiscard]] const Path& path(PathId id) const { return paths_[id]; }
  [[nodiscard]] PathId add_path(DestId dest, const Path& path);
  void remove_path(DestId dest, PathId id);
  [[nodiscard]] PathId find_path(DestId dest, PeerId peer, std::uint32_t path_id) const;
  template <typename F>  // f(PathId, const Path&)
  void for_each_path(DestId dest, F&& f) const {
    for (PathId p = dests_[dest].paths; p != kNone; p = paths_[p].next) f(p, paths_[p]);
  }

 private:
  using Address6 = std::array<std::uint8_t, 16>;
  [[nodiscard]] std::size_t hash_of(DestId id) const;
  [[nodiscard]] DestId look(std::size_t hash, const Prefix& prefix) const;
  void set_prefix(Destination& d, const Prefix& prefix);

  Slabs<Destination> dests_;
  Slabs<Address6> addresses6_;
  std::vector<std::uint32_t> free_addresses6_;
  std::vector<DestId> free_dests_;
  Slabs<Path> paths_;
  std::vector<PathId> free_paths_;
  IdIndex index_;
};

}  // namespace margay::bgp
