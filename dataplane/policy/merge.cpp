// SPDX-License-Identifier: Apache-2.0
#include "dataplane/policy/merge.h"

#include <algorithm>
#include <map>

namespace margay::policy {

namespace {

using model::ActiveRule;
using model::PortRange;

// A table pays from this many rules on; fewer are as quick one by one, and easier to read.
constexpr std::size_t kMinRows = 3;
// Of one rule; longer lists are better as a set of their own. A port range counts by its ports.
constexpr std::size_t kMaxRows = 64, kMaxRange = 16;

template <typename T>
void unite(std::vector<T>& into, const std::vector<T>& from) {
  // Both are short, or `from` is: a run of thousands of rules grows `into` one value at a time.
  for (const T& v : from) {
    const auto at = std::ranges::lower_bound(into, v);
    if (at == into.end() || *at != v) into.insert(at, v);
  }
}

// Lists as they come from a resource are in no order; united ones are.
void sort_values(ActiveRule& r) {
  for (ActiveRule::Side* side : {&r.source, &r.destination}) {
    std::ranges::sort(side->nets);
    std::ranges::sort(side->ports);
  }
}

// The four lists in which two rules may differ and still be united.
using NetList = std::vector<Prefix> ActiveRule::Side::*;
using PortList = std::vector<PortRange> ActiveRule::Side::*;
using SideOf = ActiveRule::Side ActiveRule::*;

// If the rules are equal but for `list` of `side`, and both have such a list, `a` takes both.
template <typename T>
bool unite_if_only(ActiveRule& a, const ActiveRule& b, SideOf side,
                   std::vector<T> ActiveRule::Side::*list) {
  auto& mine = (a.*side).*list;
  const auto& theirs = (b.*side).*list;
  if (mine.empty() || theirs.empty()) return false;
  auto saved = std::move(mine);
  mine = theirs;
  const bool same_but_for_it = a == b;
  mine = std::move(saved);
  if (same_but_for_it) unite(mine, theirs);
  return same_but_for_it;
}

bool unite_rules(ActiveRule& a, const ActiveRule& b) {
  if (a == b) return true;
  for (const SideOf side : {&ActiveRule::source, &ActiveRule::destination}) {
    if (unite_if_only(a, b, side, &ActiveRule::Side::nets)) return true;
    if (unite_if_only(a, b, side, &ActiveRule::Side::ports)) return true;
  }
  return false;
}

// Which fields vary in a table, as the group's key; nullopt for a rule that cannot be a row.
struct Shape {
  bool protocol = false, source = false, destination = false;
  bool source_port = false, destination_port = false;
  friend auto operator<=>(const Shape&, const Shape&) = default;
};

std::size_t width(const PortRange& p) { return std::size_t{p.last} - p.first + 1; }

bool narrow(const std::vector<PortRange>& ports) {
  return std::ranges::all_of(ports, [](const PortRange& p) { return width(p) <= kMaxRange; });
}

std::vector<std::uint16_t> single_ports(const std::vector<PortRange>& ranges) {
  std::vector<std::uint16_t> out;
  for (const PortRange& p : ranges) {
    for (std::size_t i = 0; i < width(p); ++i) {
      out.push_back(static_cast<std::uint16_t>(p.first + i));
    }
  }
  return out;
}

std::size_t rows_of(const ActiveRule& r) {
  const auto n = [](std::size_t size) { return std::max<std::size_t>(size, 1); };
  return n(r.source.nets.size()) * n(r.destination.nets.size()) *
         n(single_ports(r.source.ports).size()) * n(single_ports(r.destination.ports).size());
}

std::optional<Shape> shape_of(const ActiveRule& r) {
  if (r.action == model::Action::log || r.icmp || r.not_icmp || !r.protocol) return std::nullopt;
  if (!r.source.port_sets.empty() || !r.destination.port_sets.empty()) return std::nullopt;
  if (!narrow(r.source.ports) || !narrow(r.destination.ports)) return std::nullopt;
  if (rows_of(r) > kMaxRows) return std::nullopt;
  // All five fields of IPv6 are more than a key may hold here.
  if (!r.source.nets.empty() && !r.destination.nets.empty() && !r.source.ports.empty() &&
      !r.destination.ports.empty()) {
    return std::nullopt;
  }
  const Shape s{true, !r.source.nets.empty(), !r.destination.nets.empty(), !r.source.ports.empty(),
                !r.destination.ports.empty()};
  if (!s.source && !s.destination && !s.source_port && !s.destination_port) return std::nullopt;
  return s;
}

ActiveRule frame_of(const ActiveRule& r) {
  ActiveRule frame = r;
  frame.protocol.reset();
  frame.source.nets.clear();
  frame.source.ports.clear();
  frame.destination.nets.clear();
  frame.destination.ports.clear();
  return frame;
}

// Calls `f` with every value of `list` as an optional, or once with nothing.
template <typename T, typename F>
void each(const std::vector<T>& list, F f) {
  if (list.empty()) return f(std::optional<T>{});
  for (const T& v : list) f(std::optional<T>{v});
}

void add_rows(std::vector<Tuple>& out, const ActiveRule& r) {
  const auto source_ports = single_ports(r.source.ports);
  const auto destination_ports = single_ports(r.destination.ports);
  each(r.source.nets, [&](auto source) {
    each(r.destination.nets, [&](auto destination) {
      if (source && destination && source->family() != destination->family()) return;
      each(source_ports, [&](auto sport) {
        each(destination_ports, [&](auto dport) {
          out.push_back({r.protocol->number, source, destination, sport, dport});
        });
      });
    });
  });
}

void take_numbers(MergedRule& into, const MergedRule& from) { unite(into.numbers, from.numbers); }

std::vector<MergedRule> unite_all(std::vector<MergedRule> segment) {
  std::vector<MergedRule> out;
  for (MergedRule& m : segment) {
    // Against the last few only: a run of like rules is adjacent in practice, and a policy of ten
    // thousand unlike ones must not cost their square.
    constexpr std::size_t kLookBack = 16;
    bool united = false;
    const std::size_t from = out.size() > kLookBack ? out.size() - kLookBack : 0;
    for (std::size_t i = out.size(); i-- > from && !united;) {
      united = unite_rules(out[i].rule, m.rule);
      if (united) take_numbers(out[i], m);
    }
    if (!united) out.push_back(std::move(m));
  }
  return out;
}

std::vector<MergedRule> tabulate(std::vector<MergedRule> segment) {
  // Groups by frame would need an order on rules; a scan over the few frames there are does.
  struct Group {
    Shape shape;
    ActiveRule frame;
    std::vector<std::size_t> members;
  };
  std::vector<Group> groups;
  constexpr std::size_t kMaxGroups = 16;
  for (std::size_t i = 0; i < segment.size(); ++i) {
    const auto shape = shape_of(segment[i].rule);
    if (!shape) continue;
    ActiveRule frame = frame_of(segment[i].rule);
    const auto it = std::ranges::find_if(
        groups, [&](const Group& g) { return g.shape == *shape && g.frame == frame; });
    if (it != groups.end()) {
      it->members.push_back(i);
    } else if (groups.size() < kMaxGroups) {
      groups.push_back({*shape, std::move(frame), {i}});
    }
  }
  std::vector<bool> gone(segment.size(), false);
  for (const Group& g : groups) {
    if (g.members.size() < kMinRows) continue;
    MergedRule table{g.frame, {}, {}};
    std::vector<Tuple> rows;
    for (const std::size_t i : g.members) {
      add_rows(rows, segment[i].rule);
      take_numbers(table, segment[i]);
      gone[i] = true;
    }
    std::ranges::sort(rows);
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    if (rows.empty()) continue;  // addresses of two families in every row: nothing can match
    table.tuples = std::move(rows);
    gone[g.members.front()] = false;
    segment[g.members.front()] = std::move(table);
  }
  std::vector<MergedRule> out;
  for (std::size_t i = 0; i < segment.size(); ++i) {
    if (!gone[i]) out.push_back(std::move(segment[i]));
  }
  return out;
}

}  // namespace

std::vector<MergedRule> merge_rules(std::span<const ActiveRule> rules) {
  std::vector<MergedRule> out;
  std::vector<MergedRule> segment;
  const auto flush = [&] {
    std::vector<MergedRule> done = tabulate(unite_all(std::move(segment)));
    std::move(done.begin(), done.end(), std::back_inserter(out));
    segment.clear();
  };
  for (unsigned i = 0; i < rules.size(); ++i) {
    if (rules[i].never) continue;
    MergedRule m{rules[i], {}, {i + 1}};
    m.rule.annotations.clear();
    sort_values(m.rule);
    if (m.rule.action == model::Action::log) {  // never merged: each packet is logged by each rule
      flush();
      out.push_back(std::move(m));
      continue;
    }
    if (!segment.empty() && segment.front().rule.action != m.rule.action) flush();
    segment.push_back(std::move(m));
  }
  flush();
  return out;
}

}  // namespace margay::policy
