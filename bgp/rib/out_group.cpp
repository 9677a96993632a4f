// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/out_group.h"

#include <algorithm>
#include <tuple>

namespace margay::bgp {
namespace {

constexpr std::size_t kChunkEntries = 1024;
constexpr std::size_t kCachedChunks = 8;

}  // namespace

bool operator==(const OutGroupKey& a, const OutGroupKey& b) {
  const auto tie = [](const OutGroupKey& k) {
    return std::tuple(k.family, k.internal, k.client, k.local_as, k.local_address, k.next_hop_mode,
                      k.filters, k.encode.as4, k.encode.add_path, k.encode.max_size);
  };
  return tie(a) == tie(b);
}

OutGroup::OutGroup(OutGroupKey key, Destinations& dests, AttributeTable& attributes,
                   std::vector<DestId>& released)
    : key_(std::move(key)), dests_(dests), attributes_(attributes), released_(released) {}

OutGroup::~OutGroup() {
  for (auto& e : log_) {
    if (e.dest != kNone) drop(e);
  }
}

void OutGroup::drop(Entry& e) {
  attributes_.unref(e.attributes);
  Destination& dest = dests_[e.dest];
  if (--dest.out_refs == 0 && dest.paths == kNone) released_.push_back(e.dest);
  e = Entry{};
}

bool OutGroup::set(DestId dest, AttrId attributes, PeerId source) {
  if (dest >= position_.size()) {
    if (attributes == kNoAttr) return false;
    position_.resize(std::max<std::size_t>(dest + 1, position_.size() * 2), 0);
  }
  std::uint32_t& position = position_[dest];
  bool replaces = false;
  if (position != 0) {
    Entry& old = log_[position - 1];
    if (old.attributes == attributes && (attributes == kNoAttr || old.source == source)) {
      attributes_.unref(attributes);
      return false;
    }
    if (attributes == kNoAttr) source = old.source;  // its source has nothing to be told
    // Also after a withdrawal, which a slow peer may not have seen.
    replaces = old.replaces || old.source != source;
    if (old.attributes != kNoAttr) --advertised_;
    drop(old);
  } else if (attributes == kNoAttr) {
    return false;
  }
  log_.push_back({dest, attributes, source, replaces});
  position = static_cast<std::uint32_t>(log_.size());
  ++dests_[dest].out_refs;
  if (attributes != kNoAttr) ++advertised_;
  return true;
}

AttrId OutGroup::advertised(DestId dest, PeerId to) const {
  if (dest >= position_.size() || position_[dest] == 0) return kNoAttr;
  const Entry& e = log_[position_[dest] - 1];
  return e.source == to && to != kLocalPeer ? kNoAttr : e.attributes;
}

AttrId OutGroup::advertised(DestId dest, PeerId to, const OutCursor& seen) const {
  if (dest >= position_.size() || position_[dest] == 0) return kNoAttr;
  return base_ + position_[dest] - 1 < seen.at ? advertised(dest, to) : kNoAttr;
}

SharedBytes OutGroup::build(std::uint64_t from, std::uint64_t to, PeerId peer) const {
  auto out = std::make_shared<wire::Buffer>();
  wire::UpdateWriter writer(*out, key_.family, key_.encode);
  std::vector<const Entry*> announced;
  for (auto i = from; i < to; ++i) {
    const Entry& e = log_[static_cast<std::size_t>(i - base_)];
    if (e.dest == kNone) continue;
    const bool own = peer != kLocalPeer && e.source == peer;
    if (e.attributes != kNoAttr && !own) {
      announced.push_back(&e);
    } else if (!own || e.replaces) {
      writer.withdraw(dests_[e.dest].prefix);
    }
  }
  // Prefixes that share attributes share messages. Each destination is here once, so their order
  // is free.
  std::stable_sort(announced.begin(), announced.end(),
                   [](const Entry* a, const Entry* b) { return a->attributes < b->attributes; });
  AttrId current = kNoAttr;
  for (const Entry* e : announced) {
    if (e->attributes != current) {
      current = e->attributes;
      writer.set_attributes(attributes_.get(current));
    }
    writer.announce(dests_[e->dest].prefix);
  }
  writer.finish();
  return out;
}

SharedBytes OutGroup::next(PeerId peer, OutCursor& cursor) {
  cursor.at = std::max(cursor.at, base_);
  const std::uint64_t from = cursor.at;
  if (from >= end()) return nullptr;
  const auto has_own = [&](const Chunk& c) {
    return std::binary_search(c.sources.begin(), c.sources.end(), peer);
  };
  for (const auto& c : cache_) {
    if (c.from != from || c.bytes == nullptr) continue;
    cursor.at = c.to;
    return has_own(c) ? build(from, c.to, peer) : c.bytes;
  }
  Chunk c;
  c.from = from;
  c.to = std::min(end(), from + kChunkEntries);
  for (auto i = c.from; i < c.to; ++i) {
    const Entry& e = log_[static_cast<std::size_t>(i - base_)];
    if (e.dest != kNone && e.source != kLocalPeer) c.sources.push_back(e.source);
  }
  std::sort(c.sources.begin(), c.sources.end());
  c.sources.erase(std::unique(c.sources.begin(), c.sources.end()), c.sources.end());
  c.bytes = build(c.from, c.to, kLocalPeer);
  cursor.at = c.to;
  const SharedBytes out = has_own(c) ? build(c.from, c.to, peer) : c.bytes;
  if (cache_.size() < kCachedChunks) {
    cache_.push_back(std::move(c));
  } else {
    cache_[cache_next_++ % kCachedChunks] = std::move(c);
  }
  return out;
}

void OutGroup::compact(const std::vector<OutCursor*>& cursors) {
  std::uint64_t slowest = end();
  for (const auto* c : cursors) slowest = std::min(slowest, std::max(c->at, base_));
  // Cursors in the order of their places, to be moved along.
  std::vector<OutCursor*> order = cursors;
  std::sort(order.begin(), order.end(),
            [](const OutCursor* a, const OutCursor* b) { return a->at < b->at; });
  std::vector<Entry> kept;
  std::size_t next_cursor = 0;
  const std::uint64_t new_base = end();  // numbers are not used twice
  const auto place_cursors = [&](std::uint64_t old_place) {
    while (next_cursor < order.size() && order[next_cursor]->at <= old_place) {
      order[next_cursor++]->at = new_base + kept.size();
    }
  };
  for (std::size_t i = 0; i < log_.size(); ++i) {
    place_cursors(base_ + i);
    Entry& e = log_[i];
    if (e.dest == kNone) continue;
    if (e.attributes == kNoAttr && base_ + i < slowest) {
      position_[e.dest] = 0;
      drop(e);
      continue;
    }
    kept.push_back(e);
    position_[e.dest] = static_cast<std::uint32_t>(kept.size());
  }
  place_cursors(~std::uint64_t{0});
  log_ = std::move(kept);
  base_ = new_base;
  compacted_ = log_.size();
  cache_.clear();
}

}  // namespace margay::bgp
