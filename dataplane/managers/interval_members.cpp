// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/interval_members.h"

#include <algorithm>
#include <optional>

#include "dataplane/policy/matches.h"

namespace margay::managers {

namespace {

using nft::ElementTable;

Ip last_address(const Prefix& p) { return Ip::from_bytes(nft::Element::prefix(p).key_end.bytes()); }

Ip first_of(const ElementTable& ranges, std::size_t i) { return Ip::from_bytes(ranges.key(i)); }
Ip last_of(const ElementTable& ranges, std::size_t i) { return Ip::from_bytes(ranges.key_end(i)); }

// The first range that does not end before the address.
std::size_t at_or_behind(const ElementTable& ranges, const Ip& address) {
  std::size_t low = 0, high = ranges.size();
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    if (last_of(ranges, middle) < address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// Does a range that begins with `first` go on where one that ends with `last` leaves off, or begin
// within it? Neither begins before the other's first address.
bool joins(const Ip& last, const Ip& first) {
  if (first <= last) return true;
  return last.plus(1) == first;
}

}  // namespace

nft::SetType IntervalMembers::type(Family f) {
  return {{policy::address_type(f)}, true, std::nullopt};
}

bool IntervalMembers::covers(const ElementTable& ranges, const Ip& address) {
  const std::size_t i = at_or_behind(ranges, address);
  return i < ranges.size() && first_of(ranges, i) <= address;
}

IntervalMembers::Change IntervalMembers::change(Family f, const ElementTable& ranges,
                                                const std::vector<Prefix>& removed,
                                                const std::vector<Prefix>& added) {
  std::vector<Prefix> changed;
  for (const Prefix& p : removed) {
    if (members_.erase(p) == 0) continue;
    changed.push_back(p);
    if (--by_length_[p.length()] == 0) by_length_.erase(p.length());
  }
  for (const Prefix& p : added) {
    if (!members_.insert(p).second) continue;
    changed.push_back(p);
    ++by_length_[p.length()];
  }
  Change out{ElementTable(type(f)), ElementTable(type(f))};
  for (const Range& r : touched(ranges, std::move(changed))) {
    for (std::size_t i = at_or_behind(ranges, r.first);
         i < ranges.size() && first_of(ranges, i) <= r.last; ++i) {
      out.remove.append_from(ranges, i);
    }
    append_covered(r, out.add);
  }
  out.add.seal();
  out.remove.seal();
  return out;
}

// Whatever changes lies in one of these, and no range, old or new, lies across an end of one or
// joins it from outside. Ascending.
std::vector<IntervalMembers::Range> IntervalMembers::touched(const ElementTable& ranges,
                                                             std::vector<Prefix> changed) const {
  std::ranges::sort(changed);
  std::vector<Range> out;
  for (const Prefix& p : changed) {
    Range r{p.addr(), last_address(p)};
    std::size_t i = at_or_behind(ranges, r.first);
    if (i > 0 && joins(last_of(ranges, i - 1), r.first)) --i;
    for (; i < ranges.size() && joins(r.last, first_of(ranges, i)); ++i) {
      r.first = std::min(r.first, first_of(ranges, i));
      r.last = std::max(r.last, last_of(ranges, i));
    }
    if (!out.empty() && joins(out.back().last, r.first)) {
      out.back().first = std::min(out.back().first, r.first);
      out.back().last = std::max(out.back().last, r.last);
    } else {
      out.push_back(r);
    }
  }
  return out;
}

// What the members within `by` cover.
void IntervalMembers::append_covered(const Range& by, ElementTable& to) const {
  auto it = members_.lower_bound(Prefix::host(by.first));
  // Of those with one address the longest, a host, is last.
  while (it != members_.begin() && std::prev(it)->addr() == by.first) --it;
  std::optional<Range> open;
  for (; it != members_.end() && it->addr() <= by.last; ++it) {
    const Ip last = last_address(*it);
    if (open && joins(open->last, it->addr())) {
      open->last = std::max(open->last, last);
      continue;
    }
    if (open) to.append_range(open->first.bytes(), open->last.bytes());
    open = Range{it->addr(), last};
  }
  if (open) to.append_range(open->first.bytes(), open->last.bytes());
}

}  // namespace margay::managers
