// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/out_group.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace margay::bgp {
namespace {

constexpr std::size_t kChunkEntries = 1024;
constexpr std::size_t kCachedChunks = 8;

}  // namespace

bool operator==(const OutGroupKey& a, const OutGroupKey& b) {
  const auto tie = [](const OutGroupKey& k) {
    return std::tuple(k.family, k.internal, k.client, k.v6_next_hops, k.local_as, k.local_address,
                      k.next_hop_mode, k.filters, k.encode.as4, k.encode.add_path,
                      k.encode.max_size);
  };
  return tie(a) == tie(b);
}

OutGroup::OutGroup(OutGroupKey key, Destinations& dests, AttributeTable& attributes,
                   std::vector<DestId>& released)
    : key_(std::move(key)), dests_(dests), attributes_(attributes), released_(released) {}

OutGroup::~OutGroup() {
  for (const auto& e : log_) {
    if (e.dest == kNone) continue;
    attributes_.unref(e.attributes);
    if (std::exchange(position_[e.dest], 0) != 0) forget(e.dest);
  }
}

void OutGroup::forget(DestId dest) {
  Destination& d = dests_[dest];
  if (--d.out_refs == 0 && d.paths == kNone) released_.push_back(dest);
}

// What holds the place of a path, or a 0 at the end of the chain.
std::uint32_t* OutGroup::link_to(DestId dest, std::uint32_t path_id) {
  std::uint32_t* link = &position_[dest];
  while (*link != 0 && path_id_of(*link) != path_id) link = &links_[*link - 1].next;
  return link;
}

void OutGroup::append(const Entry& e, std::uint32_t path_id) {
  log_.push_back(e);
  if (key_.encode.add_path) links_.push_back({path_id, position_[e.dest]});
  position_[e.dest] = static_cast<std::uint32_t>(log_.size());
}

bool OutGroup::set(DestId dest, std::uint32_t path_id, AttrId attributes, PeerId source) {
  if (dest >= position_.size()) {
    if (attributes == kNoAttr) return false;
    position_.resize(std::max<std::size_t>(dest + 1, position_.size() * 2), 0);
  }
  if (position_[dest] == 0 && attributes != kNoAttr) ++dests_[dest].out_refs;
  std::uint32_t* link = link_to(dest, path_id);
  bool replaces = false;
  if (*link != 0) {
    Entry& old = log_[*link - 1];
    if (old.attributes == attributes && (attributes == kNoAttr || old.source == source)) {
      attributes_.unref(attributes);
      return false;
    }
    if (attributes == kNoAttr) source = old.source;  // its source has nothing to be told
    // Also after a withdrawal, which a slow peer may not have seen.
    replaces = old.replaces || old.source != source;
    if (old.attributes != kNoAttr) --advertised_;
    attributes_.unref(old.attributes);
    old = Entry{};
    *link = next_of(*link);
  } else if (attributes == kNoAttr) {
    return false;
  }
  append({dest, attributes, source, replaces}, path_id);
  if (attributes != kNoAttr) ++advertised_;
  return true;
}

AttrId OutGroup::advertised(DestId dest, std::uint32_t path_id, PeerId to) const {
  AttrId out = kNoAttr;
  for_each_named(dest, to, {end()}, [&](std::uint32_t id, AttrId attributes) {
    if (id == path_id) out = attributes;
  });
  return out;
}

SharedBytes OutGroup::build(std::uint64_t from, std::uint64_t to, PeerId peer) const {
  auto out = std::make_shared<wire::Buffer>();
  wire::UpdateWriter writer(*out, key_.family, key_.encode);
  std::vector<std::uint32_t> announced;  // places
  for (auto i = from; i < to; ++i) {
    const Entry& e = log_[static_cast<std::size_t>(i - base_)];
    if (e.dest == kNone) continue;
    const auto place = static_cast<std::uint32_t>(i - base_ + 1);
    const bool own = peer != kLocalPeer && e.source == peer;
    if (e.attributes != kNoAttr && !own) {
      announced.push_back(place);
    } else if (!own || e.replaces) {
      writer.withdraw(dests_.prefix(e.dest), path_id_of(place));
    }
  }
  // Prefixes that share attributes share messages. Each path is here once, so their order is free.
  std::stable_sort(announced.begin(), announced.end(), [&](std::uint32_t a, std::uint32_t b) {
    return log_[a - 1].attributes < log_[b - 1].attributes;
  });
  AttrId current = kNoAttr;
  for (const std::uint32_t place : announced) {
    const Entry& e = log_[place - 1];
    if (e.attributes != current) {
      current = e.attributes;
      writer.set_attributes(attributes_.get(current));
    }
    writer.announce(dests_.prefix(e.dest), path_id_of(place));
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
  const std::vector<Entry> old = std::exchange(log_, {});
  const std::vector<Link> old_links = std::exchange(links_, {});
  std::vector<DestId> gone;
  std::size_t next_cursor = 0;
  const std::uint64_t new_base = end();  // numbers are not used twice
  const auto place_cursors = [&](std::uint64_t old_place) {
    while (next_cursor < order.size() && order[next_cursor]->at <= old_place) {
      order[next_cursor++]->at = new_base + log_.size();
    }
  };
  for (const Entry& e : old) {
    if (e.dest != kNone) position_[e.dest] = 0;
  }
  for (std::size_t i = 0; i < old.size(); ++i) {
    place_cursors(base_ + i);
    const Entry& e = old[i];
    if (e.dest == kNone) continue;
    if (e.attributes == kNoAttr && base_ + i < slowest) {
      gone.push_back(e.dest);
    } else {
      append(e, old_links.empty() ? 0 : old_links[i].path_id);
    }
  }
  place_cursors(~std::uint64_t{0});
  std::sort(gone.begin(), gone.end());
  gone.erase(std::unique(gone.begin(), gone.end()), gone.end());
  for (const DestId dest : gone) {
    if (position_[dest] == 0) forget(dest);
  }
  base_ = new_base;
  compacted_ = log_.size();
  cache_.clear();
}

}  // namespace margay::bgp
