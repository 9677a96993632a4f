// SPDX-License-Identifier: Apache-2.0
#include "agent/health/health.h"

#include <gtest/gtest.h>

namespace margay::health {
namespace {

using namespace std::chrono_literals;

std::string first_line(const Verdict& v) { return v.body.substr(0, v.body.find('\n')); }

TEST(Health, starts_live_and_not_ready) {
  Health h;
  const Clock::time_point t{};
  h.add("core", kLoopLimits, t);
  EXPECT_TRUE(h.liveness(t).good);
  EXPECT_FALSE(h.readiness(t).good);
  EXPECT_EQ(first_line(h.readiness(t)), "not ready: core: starting");
}

TEST(Health, a_late_beat_fails_readiness_first_and_liveness_later) {
  Health h;
  const Clock::time_point t{};
  h.add("core", kLoopLimits, t);
  h.report("core", true, "");
  EXPECT_TRUE(h.readiness(t + 15s).good);
  EXPECT_FALSE(h.readiness(t + 16s).good);
  EXPECT_EQ(first_line(h.readiness(t + 16s)), "not ready: core: no beat for 16 s");
  EXPECT_TRUE(h.liveness(t + 90s).good);
  EXPECT_FALSE(h.liveness(t + 91s).good);
  h.beat("core", t + 91s);
  EXPECT_TRUE(h.liveness(t + 91s).good);
  EXPECT_TRUE(h.readiness(t + 91s).good);
}

TEST(Health, names_every_subsystem_that_is_not_ready_with_its_reason) {
  Health h;
  const Clock::time_point t{};
  h.add("sync", {}, t);
  h.add("bgp", {}, t);
  h.report("sync", false, "typha unreachable since 10:00:00");
  h.report("bgp", true, "2 of 2 peers up");
  const Verdict v = h.readiness(t + 1000h);
  EXPECT_EQ(first_line(v), "not ready: sync: typha unreachable since 10:00:00");
  EXPECT_NE(v.body.find("bgp        live      ready      2 of 2 peers up\n"), std::string::npos)
      << v.body;
}

}  // namespace
}  // namespace margay::health
