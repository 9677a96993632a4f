// SPDX-License-Identifier: Apache-2.0
// Adj-RIB-Out of all peers to which the same is advertised: one log of (destination, attributes),
// newest last, each destination alive in it once. A peer is a cursor into the log, so a slow one
// skips what was overtaken meanwhile, and messages are built once for all peers that stand at the
// same place. Must not know sessions.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bgp/rib/attribute_table.h"
#include "bgp/rib/destinations.h"
#include "bgp/wire/message.h"

namespace margay::bgp {

// What makes the bytes for two peers equal.
struct OutGroupKey {
  Family family = Family::v4;
  bool internal = false;
  bool client = false;  // of our reflector
  Asn local_as;
  Ip local_address;
  int next_hop_mode = 0;
  std::size_t filters = 0;  // identity of the filter list
  wire::EncodeContext encode;
  friend bool operator==(const OutGroupKey& a, const OutGroupKey& b);
};

struct OutCursor {
  std::uint64_t at = 0;
};

using SharedBytes = std::shared_ptr<const wire::Buffer>;

class OutGroup {
 public:
  // `released` collects destinations that nothing holds any more. All three must outlive the group.
  OutGroup(OutGroupKey key, Destinations& dests, AttributeTable& attributes,
           std::vector<DestId>& released);
  ~OutGroup();
  OutGroup(const OutGroup&) = delete;
  OutGroup& operator=(const OutGroup&) = delete;

  [[nodiscard]] const OutGroupKey& key() const { return key_; }
  // Takes over one count of `attributes`; kNoAttr withdraws. False: nothing changed.
  bool set(DestId dest, AttrId attributes, PeerId source);
  [[nodiscard]] std::uint64_t end() const { return base_ + log_.size(); }
  [[nodiscard]] std::uint64_t begin() const { return base_; }
  [[nodiscard]] std::size_t advertised() const { return advertised_; }
  [[nodiscard]] bool names(DestId dest) const {
    return dest < position_.size() && position_[dest] != 0;
  }
  // kNoAttr: not. With a cursor: as far as that has come.
  [[nodiscard]] AttrId advertised(DestId dest, PeerId to) const;
  [[nodiscard]] AttrId advertised(DestId dest, PeerId to, const OutCursor& seen) const;

  // The next messages for `peer`, moving its cursor; null when it stands at the end. The bytes may
  // be empty when there was nothing for this peer.
  [[nodiscard]] SharedBytes next(PeerId peer, OutCursor& cursor);
  // Forgets what nobody needs any more; `cursors` are those of all members.
  void compact(const std::vector<OutCursor*>& cursors);
  [[nodiscard]] bool wants_compaction() const {
    const std::size_t garbage = log_.size() - advertised_;
    return garbage > 1024 && garbage * 2 > log_.size() && log_.size() * 2 > compacted_ * 3;
  }

 private:
  struct Entry {
    DestId dest = kNone;  // kNone: overtaken
    AttrId attributes = kNoAttr;
    PeerId source = kLocalPeer;
    bool replaces = false;  // peers other than the source may hold an older advertisement
  };
  struct Chunk {
    std::uint64_t from = 0, to = 0;
    SharedBytes bytes;
    std::vector<PeerId> sources;  // sorted
  };
  [[nodiscard]] SharedBytes build(std::uint64_t from, std::uint64_t to, PeerId peer) const;
  void drop(Entry& e);

  OutGroupKey key_;
  Destinations& dests_;
  AttributeTable& attributes_;
  std::vector<DestId>& released_;
  std::vector<Entry> log_;
  std::uint64_t base_ = 0;
  std::vector<std::uint32_t> position_;  // destination -> index in log_ + 1
  std::size_t advertised_ = 0;
  std::size_t compacted_ = 0;  // size of the log after the last compaction
  std::vector<Chunk> cache_;
  std::size_t cache_next_ = 0;
};

}  // namespace margay::bgp
