// SPDX-License-Identifier: Apache-2.0
#include "agent/sync/key_table.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <random>

namespace margay::sync {
namespace {

TEST(KeyTable, remembers_revisions) {
  KeyTable t;
  EXPECT_EQ(t.touch("/a/b", Revision(3)), Revision(0));
  EXPECT_EQ(t.touch("/a/b", Revision(5)), Revision(3));
  EXPECT_EQ(t.touch("/a/b", Revision(5)), Revision(5));
  EXPECT_EQ(t.size(), 1U);
  EXPECT_TRUE(t.erase("/a/b"));
  EXPECT_FALSE(t.erase("/a/b"));
  EXPECT_EQ(t.touch("/a/b", Revision(6)), Revision(0));
}

TEST(KeyTable, tells_apart_keys_that_share_parts) {
  KeyTable t;
  for (const char* key : {"a", "/a", "/a/", "/a/a", "a/a", "/", "a/"}) {
    EXPECT_EQ(t.touch(key, Revision(1)), Revision(0)) << key;
  }
  EXPECT_EQ(t.size(), 7U);
}

TEST(KeyTable, gives_back_exactly_the_stale_keys) {
  KeyTable t;
  for (const char* key : {"/x/1", "/x/2", "/y/1", "plain"}) t.touch(key, Revision(1));
  t.begin_generation();
  t.touch("/x/2", Revision(1));
  auto stale = t.take_stale();
  EXPECT_THAT(stale, ::testing::UnorderedElementsAre("/x/1", "/y/1", "plain"));
  EXPECT_EQ(t.size(), 1U);
  EXPECT_TRUE(t.take_stale().empty());
}

TEST(KeyTable, a_generation_counter_that_wraps_confuses_nothing) {
  for (int skipped : {1, 254, 255, 256, 257, 600}) {
    KeyTable t;
    t.touch("/old", Revision(1));
    for (int i = 0; i < skipped; ++i) t.begin_generation();  // snapshots that were cut short
    t.touch("/new", Revision(2));
    EXPECT_THAT(t.take_stale(), ::testing::ElementsAre("/old")) << skipped;
  }
}

TEST(KeyTable, equals_a_map_under_random_use) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  KeyTable t;
  std::map<std::string, std::uint64_t> want;
  for (std::uint64_t step = 1; step < 60'000; ++step) {
    const auto n = random() % 3000;
    const auto key = "/folder" + std::to_string(n % 7) + "/key" + std::to_string(n);
    if (random() % 3 == 0) {
      EXPECT_EQ(t.erase(key), want.erase(key) == 1);
    } else {
      const auto it = want.find(key);
      EXPECT_EQ(t.touch(key, Revision(step)).value(), it == want.end() ? 0 : it->second);
      want[key] = step;
    }
  }
  EXPECT_EQ(t.size(), want.size());
  t.begin_generation();
  auto stale = t.take_stale();
  std::sort(stale.begin(), stale.end());
  ASSERT_EQ(stale.size(), want.size());
  auto it = want.begin();
  for (const auto& key : stale) EXPECT_EQ(key, it++->first);
}

TEST(KeyTable, is_compact) {
  KeyTable t;
  std::size_t text = 0;
  for (int i = 0; i < 23'000; ++i) {
    const auto key = "/calico/resources/v3/projectcalico.org/workloadendpoints/ns" +
                     std::to_string(i % 500) + "/node" + std::to_string(i % 1000) + "-k8s-r" +
                     std::to_string(i) + "-eth0";
    text += key.size();
    t.touch(key, Revision(static_cast<std::uint64_t>(i)));
  }
  EXPECT_LT(t.memory(), text);  // less than the bare text alone
  EXPECT_LT(t.memory(), 2U << 20);
}

}  // namespace
}  // namespace margay::sync
