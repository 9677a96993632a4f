// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/destinations.h"

#include <algorithm>

#include "base/prefix_hash.h"

namespace margay::bgp {
namespace {

// With tags of their own, neighbours differ in the index without a look at their records.
std::size_t tagged(std::size_t hash) { return hash ^ hash << (64 - PrefixHash::kNearBits); }

}  // namespace

Prefix Destinations::prefix(DestId id) const {
  const Destination& d = dests_[id];
  const Ip ip = d.family == Family::v4 ? Ip::v4(d.address) : Ip::v6(addresses6_[d.address]);
  return Prefix::containing(ip, d.length);
}

std::size_t Destinations::hash_of(DestId id) const {
  const Destination& d = dests_[id];
  if (d.family == Family::v4 && d.length >= PrefixHash::kNearBits) {
    return tagged(PrefixHash::of_v4(d.address, d.length));
  }
  return tagged(PrefixHash{}(prefix(id)));
}

DestId Destinations::look(std::size_t hash, const Prefix& p) const {
  if (p.family() == Family::v6) {
    return index_.find(hash, [&](DestId id) {
      const Destination& d = dests_[id];
      return d.family == Family::v6 && d.length == p.length() &&
             std::ranges::equal(addresses6_[d.address], p.addr().bytes());
    });
  }
  const std::uint32_t address = p.addr().v4_host_order();
  return index_.find(hash, [&](DestId id) {
    const Destination& d = dests_[id];
    return d.address == address && d.length == p.length() && d.family == Family::v4;
  });
}

DestId Destinations::find(const Prefix& prefix) const {
  return look(tagged(PrefixHash{}(prefix)), prefix);
}

void Destinations::set_prefix(Destination& d, const Prefix& prefix) {
  d.family = prefix.family();
  d.length = static_cast<std::uint8_t>(prefix.length());
  if (d.family == Family::v4) {
    d.address = prefix.addr().v4_host_order();
    return;
  }
  if (free_addresses6_.empty()) {
    d.address = static_cast<std::uint32_t>(addresses6_.size());
    addresses6_.emplace_back();
  } else {
    d.address = free_addresses6_.back();
    free_addresses6_.pop_back();
  }
  std::ranges::copy(prefix.addr().bytes(), addresses6_[d.address].begin());
}

DestId Destinations::find_or_add(const Prefix& prefix) {
  const std::size_t hash = tagged(PrefixHash{}(prefix));
  if (const DestId known = look(hash, prefix); known != kNone) return known;
  DestId id = 0;
  if (free_dests_.empty()) {
    id = static_cast<DestId>(dests_.size());
    dests_.emplace_back();
  } else {
    id = free_dests_.back();
    free_dests_.pop_back();
  }
  dests_[id] = Destination{};
  dests_[id].used = true;
  set_prefix(dests_[id], prefix);
  index_.insert(hash, id, [this](DestId other) { return hash_of(other); });
  return id;
}

void Destinations::remove(DestId id) {
  Destination& d = dests_[id];
  MARGAY_ASSERT(d.paths == kNone && d.out_refs == 0);
  index_.erase(hash_of(id), id, [this](DestId other) { return hash_of(other); });
  if (d.family == Family::v6) free_addresses6_.push_back(d.address);
  d = Destination{};
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
