// SPDX-License-Identifier: Apache-2.0
// Adj-RIB-Out of all peers to which the same is advertised: one log of (destination, attributes),
// newest last, each destination alive in it once; with path identifiers (RFC 7911) each path of it
// once. A peer is a cursor into the log, so a slow one skips what was overtaken meanwhile, and
// messages are built once for all peers that stand at the same place. Must not know sessions.
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
  bool client = false;        // of our reflector
  bool v6_next_hops = false;  // RFC 8950
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
  // Takes over one count of `attributes`; kNoAttr withdraws. False: nothing changed. `path_id` is
  // what peers are told with path identifiers, and 0 without.
  bool set(DestId dest, std::uint32_t path_id, AttrId attributes, PeerId source);
  [[nodiscard]] std::uint64_t end() const { return base_ + log_.size(); }
  [[nodiscard]] std::uint64_t begin() const { return base_; }
  [[nodiscard]] std::size_t advertised() const { return advertised_; }
  [[nodiscard]] bool names(DestId dest) const {
    return dest < position_.size() && position_[dest] != 0;
  }
  // What `to` is told of one path; kNoAttr: nothing.
  [[nodiscard]] AttrId advertised(DestId dest, std::uint32_t path_id, PeerId to) const;
  // f(path_id, attributes) for every path of the destination that was ever named; kNoAttr: the peer
  // is not told of it, or its cursor has not come so far.
  template <typename F>
  void for_each_named(DestId dest, PeerId to, const OutCursor& seen, F&& f) const {
    if (dest >= position_.size()) return;
    for (std::uint32_t at = position_[dest]; at != 0; at = next_of(at)) {
      const Entry& e = log_[at - 1];
      const bool told = base_ + at - 1 < seen.at && (e.source != to || to == kLocalPeer);
      f(path_id_of(at), told ? e.attributes : kNoAttr);
    }
  }

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
  // Beside each entry, with path identifiers only. Places count from 1; 0 is none.
  struct Link {
    std::uint32_t path_id = 0;
    std::uint32_t next = 0;  // place of another path of the same destination
  };
  [[nodiscard]] std::uint32_t path_id_of(std::uint32_t place) const {
    return links_.empty() ? 0 : links_[place - 1].path_id;
  }
  [[nodiscard]] std::uint32_t next_of(std::uint32_t place) const {
    return links_.empty() ? 0 : links_[place - 1].next;
  }
  [[nodiscard]] std::uint32_t* link_to(DestId dest, std::uint32_t path_id);
  void append(const Entry& e, std::uint32_t path_id);
  void forget(DestId dest);
  [[nodiscard]] SharedBytes build(std::uint64_t from, std::uint64_t to, PeerId peer) const;

  OutGroupKey key_;
  Destinations& dests_;
  AttributeTable& attributes_;
  std::vector<DestId>& released_;
  std::vector<Entry> log_;
  std::vector<Link> links_;
  std::uint64_t base_ = 0;
  std::vector<std::uint32_t> position_;  // destination -> place in log_ of its newest path
  std::size_t advertised_ = 0;
  std::size_t compacted_ = 0;  // size of the log after the last compaction
  std::vector<Chunk> cache_;
  std::size_t cache_next_ = 0;
};

}  // namespace margay::bgp
