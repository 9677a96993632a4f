// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/rule_diff.h"

#include <algorithm>
#include <unordered_map>

namespace margay::nft {

namespace {

using Fingerprints = std::span<const std::uint64_t>;
using Matches = std::vector<std::optional<std::size_t>>;

// Table of (rows + 1) * (columns + 1) lengths: beyond this the greedy match has to do.
constexpr std::size_t kMaxTable = 1'000'000;

void longest(Fingerprints have, Fingerprints want, std::size_t offset, std::size_t first,
             Matches& out) {
  const std::size_t columns = want.size() + 1;
  std::vector<std::uint32_t> length((have.size() + 1) * columns);
  for (std::size_t i = have.size(); i-- > 0;) {
    for (std::size_t j = want.size(); j-- > 0;) {
      length[i * columns + j] =
          have[i] == want[j] ? length[(i + 1) * columns + j + 1] + 1
                             : std::max(length[(i + 1) * columns + j], length[i * columns + j + 1]);
    }
  }
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < have.size() && j < want.size()) {
    if (have[i] == want[j]) {
      out[first + j++] = offset + i++;
    } else if (length[(i + 1) * columns + j] >= length[i * columns + j + 1]) {
      ++i;
    } else {
      ++j;
    }
  }
}

// Takes for each wanted rule the next of its kind; not always the most that could stay.
void greedy(Fingerprints have, Fingerprints want, std::size_t offset, std::size_t first,
            Matches& out) {
  std::unordered_map<std::uint64_t, std::vector<std::size_t>> places;
  for (std::size_t i = 0; i < have.size(); ++i) places[have[i]].push_back(i);
  std::size_t next = 0;
  for (std::size_t j = 0; j < want.size(); ++j) {
    const auto found = places.find(want[j]);
    if (found == places.end()) continue;
    const auto at = std::lower_bound(found->second.begin(), found->second.end(), next);
    if (at == found->second.end()) continue;
    out[first + j] = offset + *at;
    next = *at + 1;
  }
}

}  // namespace

Matches match_rules(Fingerprints have, Fingerprints want) {
  Matches out(want.size());
  const std::size_t shorter = std::min(have.size(), want.size());
  std::size_t head = 0;
  while (head < shorter && have[head] == want[head]) {
    out[head] = head;
    ++head;
  }
  std::size_t tail = 0;
  while (tail < shorter - head && have[have.size() - 1 - tail] == want[want.size() - 1 - tail]) {
    ++tail;
    out[want.size() - tail] = have.size() - tail;
  }
  const Fingerprints have_middle = have.subspan(head, have.size() - head - tail);
  const Fingerprints want_middle = want.subspan(head, want.size() - head - tail);
  if (have_middle.empty() || want_middle.empty()) return out;
  if ((have_middle.size() + 1) * (want_middle.size() + 1) <= kMaxTable) {
    longest(have_middle, want_middle, head, head, out);
  } else {
    greedy(have_middle, want_middle, head, head, out);
  }
  return out;
}

}  // namespace margay::nft
