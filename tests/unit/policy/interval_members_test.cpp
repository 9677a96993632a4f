// SPDX-License-Identifier: Apache-2.0
// Ranges that are changed step by step equal those of all members at once.
#include "dataplane/managers/interval_members.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "dataplane/policy/matches.h"

namespace margay::managers {
namespace {

using nft::ElementTable;

std::vector<std::string> texts(const ElementTable& ranges) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    out.push_back(Ip::from_bytes(ranges.key(i)).to_string() + "-" +
                  Ip::from_bytes(ranges.key_end(i)).to_string());
  }
  return out;
}

ElementTable all_at_once(const std::set<Prefix>& members, Family f) {
  ElementTable out(IntervalMembers::type(f));
  const std::vector<Prefix> list(members.begin(), members.end());
  for (const nft::Element& e : policy::ranges_of(policy::outermost(list, f))) out.append(e);
  out.seal();
  return out;
}

// Few addresses, so that members touch, nest and reach the ends of the address space.
Prefix random_member(std::mt19937_64& random, Family f) {
  const auto pick = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
  const char* const v4[] = {"0.0.0.0", "10.0.0.0", "10.0.0.128", "255.255.255.192"};
  const char* const v6[] = {"::", "fd00::", "fd00::80", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffc0"};
  const Ip base = Ip::parse((f == Family::v4 ? v4 : v6)[pick(4)]).value();
  const unsigned most = max_prefix_length(f);
  const unsigned length = pick(40) == 0 ? pick(most + 1) : most - pick(7);
  return Prefix::containing(base.plus(pick(64)), length);
}

TEST(IntervalMembers, a_changed_set_of_ranges_is_that_of_all_members) {
  for (const Family f : kFamilies) {
    std::mt19937_64 random(f == Family::v4 ? 4 : 6);
    IntervalMembers intervals;
    std::set<Prefix> members;
    ElementTable ranges(IntervalMembers::type(f));
    for (int step = 0; step < 3000; ++step) {
      SCOPED_TRACE(step);
      std::vector<Prefix> removed, added;
      for (std::size_t n = random() % 6; n > 0; --n) added.push_back(random_member(random, f));
      for (std::size_t n = random() % 8; n > 0; --n) {
        const auto member = members.lower_bound(random_member(random, f));
        if (member != members.end()) removed.push_back(*member);
      }
      for (const Prefix& p : removed) members.erase(p);
      members.insert(added.begin(), added.end());
      const auto change = intervals.change(f, ranges, removed, added);
      ranges.merge(change.add, change.remove);
      ASSERT_EQ(intervals.all(), members);
      ASSERT_EQ(texts(ranges), texts(all_at_once(members, f)));
      const Ip address = random_member(random, f).addr();
      ASSERT_EQ(IntervalMembers::covers(ranges, address),
                std::ranges::any_of(members, [&](const Prefix& p) { return p.contains(address); }));
      std::set<unsigned> lengths;
      for (const Prefix& p : members) lengths.insert(p.length());
      ASSERT_EQ(intervals.lengths(), lengths.size());
    }
  }
}

// A member more or less is a matter of its neighbours, however many others there are.
TEST(IntervalMembers, a_change_names_only_what_it_touches) {
  IntervalMembers intervals;
  std::vector<Prefix> many;
  for (unsigned i = 0; i < 1000; ++i) {
    many.push_back(Prefix::containing(Ip::v4(0x0a000000U + i * 512), 24 + i % 9));
  }
  const auto first =
      intervals.change(Family::v4, ElementTable(IntervalMembers::type(Family::v4)), {}, many);
  ASSERT_EQ(first.add.size(), many.size());
  const Prefix between = Prefix::parse("10.0.1.0/24").value();  // joins two
  const auto joined = intervals.change(Family::v4, first.add, {}, {between});
  EXPECT_EQ(texts(joined.remove),
            (std::vector<std::string>{"10.0.0.0-10.0.0.255", "10.0.2.0-10.0.2.127"}));
  EXPECT_EQ(texts(joined.add), (std::vector<std::string>{"10.0.0.0-10.0.2.127"}));
}

}  // namespace
}  // namespace margay::managers
