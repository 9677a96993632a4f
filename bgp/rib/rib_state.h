// SPDX-License-Identifier: Apache-2.0
// Inner records of Rib, shared by its two source files and included by nobody else.
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "bgp/rib/rib.h"

namespace margay::bgp {

[[nodiscard]] bool names_interfaces(const FilterList& filters);

struct Told {
  Prefix prefix;
  std::uint32_t path_id = 0;
  friend bool operator==(const Told&, const Told&) = default;
};
struct ToldHash {
  std::size_t operator()(const Told& t) const {
    return std::hash<Prefix>{}(t.prefix) + t.path_id * 0x9e3779b97f4a7c15ULL;
  }
};

struct Rib::Peer {
  RibPeer info;
  RibSession session;  // the last one, kept while its routes are
  bool up = false;
  bool removing = false;
  std::uint16_t epoch = 0;
  std::uint16_t kept = 0;   // the epoch whose paths are held as stale; equal to `epoch`: none
  std::size_t filters = 0;  // equal numbers, equal filters

  std::uint64_t paths = 0, accepted = 0, fresh = 0;

  // One pass over all destinations, so far up to `at`.
  struct Job {
    bool active = false, again = false;
    bool purge = false;     // drop what is neither fresh nor kept
    bool refilter = false;  // apply the import filters once more
    DestId at = 0;
  } job;

  Group* group = nullptr;
  OutCursor cursor;
  bool end_of_rib_due = false;
  // After a change of group: what the peer was told before, counted. It is sent the difference.
  std::optional<std::unordered_map<Told, AttrId, ToldHash>> told;
  bool refresh_begins = false, refresh_ends = false;  // RFC 7313 marks to be sent
};

struct Rib::Group {
  Group(OutGroupKey key, Destinations& dests, AttributeTable& attributes,
        std::vector<DestId>& released)
      : out(std::move(key), dests, attributes, released) {}
  OutGroup out;
  FilterList filters;
  NextHopMode next_hop = NextHopMode::automatic;
  bool by_interface = false;  // a filter asks through which interface a route leads
  std::vector<PeerId> members;
  DestId fill_at = 0;  // while filling: destinations before it are up to date
  bool filling = true;
  bool filled = false;  // once filled, it stays a complete view

  // Results of the usual case, by received attributes and source; an entry counts both ids.
  struct Memo {
    AttrId in = kNoAttr;
    PeerId source = kLocalPeer;
    AttrId out = kNoAttr;
  };
  std::vector<Memo> memo;
};

// Next hops, and the metric where it is not the usual one.
using KernelWay = std::pair<std::vector<Ip>, std::optional<std::uint32_t>>;
struct KernelWayHash {
  std::size_t operator()(const KernelWay& way) const {
    std::size_t h = way.first.size() + way.second.value_or(0);
    for (const auto& ip : way.first) h = h * 0x9e3779b97f4a7c15ULL + std::hash<Ip>{}(ip);
    return h;
  }
};

// Interned ways, counted like attributes; id 0: none.
struct Rib::KernelWays {
  struct Slot {
    NextHops hops;
    std::optional<std::uint32_t> metric;
    std::uint32_t refs = 0;
  };
  std::vector<Slot> slots{1};
  std::vector<std::uint32_t> free;
  std::unordered_map<KernelWay, std::uint32_t, KernelWayHash> index;

  [[nodiscard]] RouteChange change(const Prefix& prefix, std::uint32_t id) const {
    return {prefix, slots[id].hops, slots[id].metric};
  }
  [[nodiscard]] std::uint32_t intern(const KernelWay& way) {
    if (const auto it = index.find(way); it != index.end()) {
      ++slots[it->second].refs;
      return it->second;
    }
    std::uint32_t id = 0;
    if (free.empty()) {
      id = static_cast<std::uint32_t>(slots.size());
      slots.emplace_back();
    } else {
      id = free.back();
      free.pop_back();
    }
    slots[id] = {std::make_shared<const std::vector<Ip>>(way.first), way.second, 1};
    index.emplace(way, id);
    return id;
  }
  void unref(std::uint32_t id) {
    if (id == 0 || --slots[id].refs != 0) return;
    index.erase({*slots[id].hops, slots[id].metric});
    slots[id] = {};
    free.push_back(id);
  }
};

}  // namespace margay::bgp
