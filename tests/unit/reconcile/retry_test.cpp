// SPDX-License-Identifier: Apache-2.0
#include "dataplane/reconcile/retry.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace margay::reconcile {
namespace {

using namespace std::chrono_literals;

TEST(RetryList, waits_longer_each_time_up_to_a_bound) {
  RetryList<int> list;
  Clock::time_point now{};
  Clock::duration last{};
  for (int i = 1; i <= 20; ++i) {
    EXPECT_EQ(list.failed(7, EINVAL, "no", now), static_cast<unsigned>(i));
    EXPECT_TRUE(list.waiting(7, now));
    const Clock::duration wait = *list.next_after(now) - now;
    EXPECT_GE(wait, last);
    EXPECT_LE(wait, RetryList<int>::kLongest);
    last = wait;
    now += wait;
    EXPECT_FALSE(list.waiting(7, now));
    EXPECT_EQ(list.due(now).size(), 1U);
  }
  EXPECT_EQ(last, RetryList<int>::kLongest);
}

TEST(RetryList, success_forgets) {
  RetryList<int> list;
  list.failed(1, EINVAL, "no", {});
  list.clear(1);
  EXPECT_EQ(list.size(), 0U);
  EXPECT_EQ(list.failed(1, EINVAL, "no", {}), 1U);
  EXPECT_EQ(list.next_after({}), Clock::time_point{} + 100ms);
}

}  // namespace
}  // namespace margay::reconcile
