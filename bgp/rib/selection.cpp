// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/selection.h"

#include <algorithm>
#include <tuple>

namespace margay::bgp {
namespace {

constexpr std::uint32_t kDefaultLocalPref = 100;

int protocol_rank(const Candidate& c) {  // smaller is better
  if (c.elevated && !c.local) return 0;
  return c.local ? 1 : 2;
}

// Keeps the candidates for which key(c) is smallest.
template <typename Key>
void keep_least(std::vector<Candidate>& list, std::size_t& n, Key key) {
  if (n < 2) return;
  auto least = key(list[0]);
  for (std::size_t i = 1; i < n; ++i) least = std::min(least, key(list[i]));
  const auto middle =
      std::stable_partition(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(n),
                            [&](const Candidate& c) { return key(c) == least; });
  n = static_cast<std::size_t>(middle - list.begin());
}

// Step c): MED counts only among routes of the same neighbouring AS.
void drop_worse_med(std::vector<Candidate>& list, std::size_t& n) {
  if (n < 2) return;
  const auto beaten = [&](const Candidate& c) {
    const auto neighbour = c.attributes->as_path.neighbour();
    return std::any_of(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(n),
                       [&](const Candidate& o) {
                         return o.attributes->as_path.neighbour() == neighbour &&
                                o.attributes->med.value_or(0) < c.attributes->med.value_or(0);
                       });
  };
  std::vector<char> keep(n);
  for (std::size_t i = 0; i < n; ++i) keep[i] = beaten(list[i]) ? 0 : 1;
  std::size_t out = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (keep[i] != 0) std::swap(list[out++], list[i]);
  }
  n = out;
}

bool any_med(const std::vector<Candidate>& list, std::size_t n) {
  return std::any_of(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(n),
                     [](const Candidate& c) { return c.attributes->med.has_value(); });
}

// The same steps for two, in words.
struct Step {
  std::string_view words;
  bool (*worse)(const Candidate& a, const Candidate& b);
};

template <auto key>
bool larger(const Candidate& a, const Candidate& b) {
  return key(a) > key(b);
}
std::uint32_t local_pref(const Candidate& c) {
  return c.attributes->local_pref.value_or(kDefaultLocalPref);
}
RouterId originator(const Candidate& c) { return c.attributes->originator_id.value_or(c.peer_id); }
bool higher_med(const Candidate& a, const Candidate& b) {
  return a.attributes->as_path.neighbour() == b.attributes->as_path.neighbour() &&
         a.attributes->med.value_or(0) > b.attributes->med.value_or(0);
}

constexpr Step kSteps[] = {
    {"no route leads to the next hop", larger<[](const Candidate& c) { return c.unreachable; }>},
    {"a route of this node comes first", larger<protocol_rank>},
    {"stale: its session restarts", larger<[](const Candidate& c) { return c.stale; }>},
    {"lower LOCAL_PREF", larger<[](const Candidate& c) { return ~local_pref(c); }>},
    {"longer AS_PATH", larger<[](const Candidate& c) { return c.attributes->as_path.length(); }>},
    {"worse ORIGIN", larger<[](const Candidate& c) { return c.attributes->origin; }>},
    {"higher MED", higher_med},
    {"learnt over iBGP, not eBGP", larger<[](const Candidate& c) { return !c.external; }>},
    {"farther next hop", larger<[](const Candidate& c) { return c.cost; }>},
    {"higher router id", larger<originator>},
    {"longer cluster list",
     larger<[](const Candidate& c) { return c.attributes->cluster_list.size(); }>},
    {"higher peer address", larger<[](const Candidate& c) { return c.peer_address; }>},
    {"higher path identifier", larger<[](const Candidate& c) { return c.path_id; }>},
};

}  // namespace

std::string_view deciding_step(const Candidate& winner, const Candidate& loser) {
  for (const Step& step : kSteps) {
    if (step.worse(loser, winner)) return step.words;
    // The winner was worse in this and won: MED counts among neighbours, of which another beat it.
    if (step.worse(winner, loser)) return "higher MED";
  }
  return {};
}

std::size_t select_best(std::vector<Candidate>& list) {
  std::size_t n = list.size();
  if (n == 1) return 1;
  keep_least(list, n, [](const Candidate& c) { return c.unreachable; });
  keep_least(list, n, protocol_rank);
  keep_least(list, n, [](const Candidate& c) { return c.stale; });
  keep_least(list, n, [](const Candidate& c) {
    return ~c.attributes->local_pref.value_or(kDefaultLocalPref);
  });
  keep_least(list, n, [](const Candidate& c) { return c.attributes->as_path.length(); });
  keep_least(list, n, [](const Candidate& c) { return c.attributes->origin; });
  if (any_med(list, n)) drop_worse_med(list, n);
  keep_least(list, n, [](const Candidate& c) { return !c.external; });
  keep_least(list, n, [](const Candidate& c) { return c.cost; });
  const auto key = [](const Candidate& c) {
    return std::tuple(c.attributes->originator_id.value_or(c.peer_id),
                      c.attributes->cluster_list.size(), c.peer_address, c.path_id, c.tag);
  };
  std::sort(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(n),
            [&](const Candidate& a, const Candidate& b) { return key(a) < key(b); });
  return n;
}

}  // namespace margay::bgp
