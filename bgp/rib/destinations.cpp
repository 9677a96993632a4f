// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/destinations.h"

namespace margay::bgp {
namespace {

constexpr unsigned kNearBits = 6;

// Prefixes come in runs of neighbours: up to 64 of them lie side by side in the index, so that a
// run does not miss the cache with each. Their tags differ all the same.
std::size_t hash_of(const Prefix& p) {
  if (p.addr().is_v6() || p.length() < kNearBits) return std::hash<Prefix>{}(p);
  const std::uint32_t number = p.addr().v4_host_order() >> (32 - p.length());
  const std::uint32_t near = number & ((1U << kNearBits) - 1);
  std::size_t h = (std::size_t{number >> kNearBits} << 6 | p.length()) * 0x9e3779b97f4a7c15ULL;
  h ^= h >> 32;
  h = h >> kNearBits << kNearBits | near;
  return h ^ std::size_t{near} << 58;
}

}  // namespace

DestId Destinations::find(const Prefix& prefix) const {
  return index_.find(hash_of(prefix), [&](DestId id) { return dests_[id].prefix == prefix; });
}

DestId Destinations::find_or_add(const Prefix& prefix) {
  const std::size_t hash = hash_of(prefix);
  const DestId known =
      index_.find(hash, [&](DestId other) { return dests_[other].prefix == prefix; });
  if (known != kNone) return known;
  DestId id = 0;
  if (free_dests_.empty()) {
    id = static_cast<DestId>(dests_.size());
    dests_.emplace_back();
  } else {
    id = free_dests_.back();
    free_dests_.pop_back();
  }
  dests_[id] = Destination{};
  dests_[id].prefix = prefix;
  dests_[id].used = true;
  index_.insert(hash, id, [this](DestId other) { return hash_of(dests_[other].prefix); });
  return id;
}

void Destinations::remove(DestId id) {
  MARGAY_ASSERT(dests_[id].paths == kNone && dests_[id].out_refs == 0);
  index_.erase(hash_of(dests_[id].prefix), id,
               [this](DestId other) { return hash_of(dests_[other].prefix); });
  dests_[id] = Destination{};
  free_dests_.push_back(id);
}

PathId Destinations::add_path(DestId dest, const Path& path) {
  PathId id = 0;
  if (free_paths_.empty()) {
    id = static_cast<PathId>(paths_.size());
    paths_.emplace_back();
  } else {
    id = free_paths_.back();
    free_paths_.pop_back();
  }
  paths_[id] = path;
  paths_[id].next = dests_[dest].paths;
  dests_[dest].paths = id;
  return id;
}

void Destinations::remove_path(DestId dest, PathId id) {
  PathId* link = &dests_[dest].paths;
  while (*link != id) link = &paths_[*link].next;
  *link = paths_[id].next;
  free_paths_.push_back(id);
}

PathId Destinations::find_path(DestId dest, PeerId peer, std::uint32_t path_id) const {
  for (PathId p = dests_[dest].paths; p != kNone; p = paths_[p].next) {
    if (paths_[p].peer == peer && paths_[p].path_id == path_id) return p;
  }
  return kNone;
}

}  // namespace margay::bgp
