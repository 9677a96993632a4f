// SPDX-License-Identifier: Apache-2.0
#include "dataplane/reconcile/delta.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace margay::reconcile {
namespace {

using Table = Delta<int, std::string>;

// The next dirty key; 0 when there is none.
template <typename T>
int next(T& t) {
  const auto* item = t.next_dirty();
  return item == nullptr ? 0 : item->first;
}

TEST(Delta, wanted_and_absent_is_dirty_until_done) {
  Table t;
  EXPECT_TRUE(t.want(1, "a"));
  EXPECT_FALSE(t.want(1, "a"));
  EXPECT_FALSE(t.in_sync(1));
  auto* item = t.next_dirty();
  ASSERT_NE(item, nullptr);
  EXPECT_EQ(item->first, 1);
  EXPECT_EQ(next(t), 0);
  t.done(*item);
  EXPECT_TRUE(t.in_sync(1));
  EXPECT_EQ(*t.actual(1), "a");
  EXPECT_EQ(t.present_count(), 1U);
}

TEST(Delta, what_the_kernel_has_already_is_not_dirty) {
  Table t;
  t.saw(1, "a");
  t.want(1, "a");
  EXPECT_EQ(next(t), 0);
  EXPECT_TRUE(t.in_sync(1));
}

TEST(Delta, unwanted_is_dirty_and_known_with_its_actual_value) {
  Table t;
  t.want(1, "a");
  t.done(*t.next_dirty());
  EXPECT_TRUE(t.forget(1));
  auto* item = t.next_dirty();
  ASSERT_NE(item, nullptr);
  EXPECT_EQ(item->second.wanted(), nullptr);
  EXPECT_EQ(*item->second.actual(), "a");
  t.done(*item);
  EXPECT_EQ(t.present_count(), 0U);
  EXPECT_EQ(t.actual(1), nullptr);
}

TEST(Delta, a_new_value_keeps_the_old_one_as_actual) {
  Table t;
  t.saw(1, "a");
  t.want(1, "b");
  EXPECT_EQ(*t.actual(1), "a");
  EXPECT_EQ(next(t), 1);
  t.want(1, "a");  // back before it was written
  EXPECT_TRUE(t.in_sync(1));
}

TEST(Delta, somebody_elses_change_and_removal_make_dirty) {
  Table t;
  t.saw(1, "a");
  t.want(1, "a");
  EXPECT_TRUE(t.saw(1, "x"));
  EXPECT_EQ(next(t), 1);
  EXPECT_FALSE(t.saw(1, "x"));
  EXPECT_TRUE(t.saw(1, "a"));
  EXPECT_TRUE(t.in_sync(1));
  EXPECT_TRUE(t.lost(1));
  EXPECT_FALSE(t.lost(1));
  EXPECT_EQ(next(t), 1);
}

TEST(Delta, audit_finds_what_is_gone_within_what_it_covers) {
  Table t;
  for (int k = 0; k < 4; ++k) t.saw(k, "v");
  t.want(0, "v");
  t.want(1, "v");
  t.want(3, "v");
  while (t.next_dirty()) {
  }
  t.begin_audit();
  t.saw(0, "v");
  int missing = 0;
  t.end_audit([](int key, const std::string&) { return key != 3; }, [&](int) { ++missing; });
  EXPECT_EQ(missing, 1);  // 1; 2 was not wanted, 3 not covered
  EXPECT_EQ(next(t), 1);
  EXPECT_EQ(next(t), 0);
  EXPECT_EQ(t.present_count(), 2U);
}

// Removals come first here; within a lane it is first come, first served.
struct RemovalsFirst {
  static constexpr std::size_t kLanes = 2;
  static std::size_t of(const std::string* want) { return want == nullptr ? 0 : 1; }
};
using Ordered = Delta<int, std::string, std::hash<int>, RemovalsFirst>;

TEST(Delta, hands_out_lane_by_lane_whatever_an_item_was_queued_as) {
  Ordered t;
  for (const int k : {1, 2, 3, 4}) {
    t.saw(k, "old");
    t.want(k, "old");
  }
  t.want(1, "new");
  t.forget(2);
  t.want(3, "new");
  t.forget(3);  // is in both lanes now
  t.forget(4);
  t.want(4, "new");
  t.want(5, "new");
  t.forget(5);  // nothing is left of it but its place in a queue
  EXPECT_TRUE(t.in_sync(5));
  EXPECT_EQ(next(t), 2);
  EXPECT_EQ(next(t), 3);
  EXPECT_EQ(next(t), 1);
  EXPECT_EQ(next(t), 4);
  EXPECT_EQ(next(t), 0);
  t.want(5, "again");
  EXPECT_EQ(next(t), 5);
}

// apply(diff(want, have), have) == want, whatever happens in between.
TEST(Delta, property_writes_make_the_world_as_wanted) {
  const unsigned seed = std::random_device{}();
  RecordProperty("seed", static_cast<int>(seed));
  std::mt19937 rng(seed);
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " round " + std::to_string(round));
    Ordered t;
    std::map<int, std::string> want, have;
    const auto write = [&](auto& dirty) {
      if (const auto* w = dirty.second.wanted()) {
        have[dirty.first] = *w;
      } else {
        have.erase(dirty.first);
      }
      t.done(dirty);
    };
    const auto value = [&] { return std::string(1, static_cast<char>('a' + rng() % 3)); };
    for (int step = 0; step < 200; ++step) {
      const int key = static_cast<int>(rng() % 12);
      switch (rng() % 7) {
        case 0:
        case 1: {
          const std::string v = value();
          t.want(key, v);
          want[key] = v;
          break;
        }
        case 2:
          t.forget(key);
          want.erase(key);
          break;
        case 3: {  // somebody writes, and we are told
          const std::string v = value();
          have[key] = v;
          t.saw(key, v);
          break;
        }
        case 4:
          have.erase(key);
          t.lost(key);
          break;
        case 5: {  // somebody writes and we are not told; later an audit
          if (rng() % 2) {
            have[key] = value();
          } else {
            have.erase(key);
          }
          t.begin_audit();
          for (const auto& [k, v] : have) t.saw(k, v);
          t.end_audit([](int, const std::string&) { return true; }, [](int) {});
          break;
        }
        default:
          for (int n = static_cast<int>(rng() % 4); n > 0; --n) {
            auto* dirty = t.next_dirty();
            if (dirty == nullptr) break;
            if (rng() % 5 == 0) {  // refused: tried again later
              t.touch(dirty->first);
              continue;
            }
            write(*dirty);
          }
      }
      ASSERT_EQ(t.wanted_count(), want.size());
      ASSERT_EQ(t.present_count(), have.size());
    }
    while (auto* dirty = t.next_dirty()) write(*dirty);
    ASSERT_EQ(have, want);
  }
}

}  // namespace
}  // namespace margay::reconcile
