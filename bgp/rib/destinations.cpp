// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/destinations.h"

namespace margay::bgp {

Destinations::Destinations() : index_(64, kNone) {}

DestId Destinations::find(const Prefix& prefix) const {
  const std::size_t mask = index_.size() - 1;
  for (std::size_t at = std::hash<Prefix>{}(prefix)&mask; index_[at] != kNone;
       at = (at + 1) & mask) {
    if (dests_[index_[at]].prefix == prefix) return index_[at];
  }
  return kNone;
}

DestId Destinations::find_or_add(const Prefix& prefix) {
  const std::size_t mask = index_.size() - 1;
  std::size_t at = std::hash<Prefix>{}(prefix)&mask;
  for (; index_[at] != kNone; at = (at + 1) & mask) {
    if (dests_[index_[at]].prefix == prefix) return index_[at];
  }
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
  index_[at] = id;
  if (++used_ * 3 > index_.size() * 2) grow();
  return id;
}

void Destinations::grow() {
  std::vector<DestId> bigger(index_.size() * 2, kNone);
  const std::size_t mask = bigger.size() - 1;
  for (const DestId id : index_) {
    if (id == kNone) continue;
    std::size_t at = std::hash<Prefix>{}(dests_[id].prefix) & mask;
    while (bigger[at] != kNone) at = (at + 1) & mask;
    bigger[at] = id;
  }
  index_ = std::move(bigger);
}

void Destinations::remove(DestId id) {
  MARGAY_ASSERT(dests_[id].paths == kNone && dests_[id].out_refs == 0);
  const std::size_t mask = index_.size() - 1;
  std::size_t gap = std::hash<Prefix>{}(dests_[id].prefix) & mask;
  while (index_[gap] != id) gap = (gap + 1) & mask;
  index_[gap] = kNone;
  for (std::size_t at = (gap + 1) & mask; index_[at] != kNone; at = (at + 1) & mask) {
    const std::size_t home = std::hash<Prefix>{}(dests_[index_[at]].prefix) & mask;
    if (((at - home) & mask) >= ((at - gap) & mask)) {
      index_[gap] = index_[at];
      index_[at] = kNone;
      gap = at;
    }
  }
  dests_[id] = Destination{};
  free_dests_.push_back(id);
  --used_;
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
