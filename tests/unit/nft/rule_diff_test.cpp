// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/rule_diff.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace margay::nft {
namespace {

using List = std::vector<std::uint64_t>;

std::size_t kept(const std::vector<std::optional<std::size_t>>& m) {
  return static_cast<std::size_t>(std::ranges::count_if(m, [](auto& x) { return x.has_value(); }));
}

void expect_valid(const List& have, const List& want,
                  const std::vector<std::optional<std::size_t>>& m) {
  ASSERT_EQ(m.size(), want.size());
  std::optional<std::size_t> last;
  for (std::size_t i = 0; i < m.size(); ++i) {
    if (!m[i]) continue;
    ASSERT_LT(*m[i], have.size());
    EXPECT_EQ(have[*m[i]], want[i]);
    if (last) {
      EXPECT_GT(*m[i], *last);
    }
    last = m[i];
  }
}

TEST(RuleDiff, keeps_as_many_as_possible) {
  struct Row {
    const char* name;
    List have, want;
    std::size_t kept;
  };
  for (const Row& row :
       {Row{"same", {1, 2, 3}, {1, 2, 3}, 3}, Row{"empty have", {}, {1, 2}, 0},
        Row{"empty want", {1, 2}, {}, 0}, Row{"inserted", {1, 3}, {1, 2, 3}, 2},
        Row{"deleted", {1, 2, 3}, {1, 3}, 2}, Row{"replaced", {1, 2, 3}, {1, 9, 3}, 2},
        Row{"swapped", {1, 2, 3, 4}, {1, 3, 2, 4}, 3},
        Row{"moved to the end", {9, 1, 2, 3}, {1, 2, 3, 9}, 3},
        Row{"repeated", {1, 1, 1}, {1, 1}, 2}, Row{"all different", {1, 2}, {3, 4}, 0}}) {
    SCOPED_TRACE(row.name);
    const auto m = match_rules(row.have, row.want);
    expect_valid(row.have, row.want, m);
    EXPECT_EQ(kept(m), row.kept);
  }
}

TEST(RuleDiff, is_valid_for_random_lists_and_for_very_long_ones) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    List have(random() % 20), want(random() % 20);
    for (auto* l : {&have, &want}) std::ranges::generate(*l, [&] { return random() % 6; });
    expect_valid(have, want, match_rules(have, want));
  }
  List have(3000), want(3000);  // beyond the table of lengths
  for (auto* l : {&have, &want}) std::ranges::generate(*l, [&] { return random() % 4000; });
  want.insert(want.begin(), have.begin(), have.begin() + 100);
  const auto m = match_rules(have, want);
  expect_valid(have, want, m);
  EXPECT_GE(kept(m), 100U);
}

}  // namespace
}  // namespace margay::nft
