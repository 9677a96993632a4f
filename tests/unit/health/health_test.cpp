// SPDX-License-Identifier: Apache-2.0
#include "agent/health/health.h"

#include <gtest/gtest.h>

#include <thread>

namespace margay::health {
namespace {

using namespace std::chrono_literals;

std::string first_line(const Verdict& v) { return v.body.substr(0, v.body.find('\n')); }

TEST(Health, starts_live_and_not_ready) {
  Health h;
  const Clock::time_point t{};
  h.add("core", kLoopLimits);
  EXPECT_TRUE(h.liveness(t).good);
  EXPECT_FALSE(h.readiness(t).good);
  EXPECT_EQ(first_line(h.readiness(t)), "not ready: core: starting");
}

TEST(Health, a_late_answer_fails_readiness_first_and_liveness_later) {
  Health h;
  const Clock::time_point t{};
  int asked = 0;
  h.add("core", kLoopLimits, [&] { ++asked; });
  h.report("core", true, "");
  EXPECT_TRUE(h.liveness(t - 1000s).good);  // nobody has asked
  h.look(t, 0s);
  h.look(t + 5s, 0s);
  EXPECT_EQ(asked, 1);  // it owes an answer already
  EXPECT_TRUE(h.readiness(t + 15s).good);
  EXPECT_FALSE(h.readiness(t + 16s).good);
  EXPECT_TRUE(first_line(h.readiness(t + 16s))
                  .starts_with("not ready: core: no answer for 16 s, since 20"));
  EXPECT_TRUE(h.liveness(t + 90s).good);
  EXPECT_FALSE(h.liveness(t + 91s).good);
  h.answered("core");
  EXPECT_TRUE(h.liveness(t + 91s).good);
  EXPECT_TRUE(h.readiness(t + 91s).good);
  h.look(t + 100s, 0s);
  EXPECT_EQ(asked, 2);
}

TEST(Health, looking_waits_for_the_answers) {
  Health h;
  std::thread answering;
  h.add("quick", kLoopLimits, [&] {
    answering = std::thread([&] {
      h.report("quick", true, "as of now");
      h.answered("quick");
    });
  });
  h.look(Clock::now(), 1h);
  EXPECT_NE(h.readiness(Clock::now()).body.find("as of now"), std::string::npos);
  answering.join();
}

TEST(Health, who_has_retired_owes_no_answer) {
  Health h;
  const Clock::time_point t{};
  int asked = 0;
  h.add("core", kLoopLimits, [&] { ++asked; });
  h.look(t, 0s);
  h.retire("core");
  h.look(t + 100s, 1h);
  EXPECT_EQ(asked, 1);
  EXPECT_TRUE(h.liveness(t + 100s).good);
}

TEST(Health, who_cannot_do_its_work_for_long_is_not_ready_but_live) {
  Health h;
  const Clock::time_point t{};
  h.add("policy", kLoopLimits);
  h.report("policy", true, "margay: EPERM", t + 80s);
  EXPECT_EQ(first_line(h.readiness(t + 95s)), "ok");
  EXPECT_NE(h.readiness(t + 95s).body.find("not up to date for 15 s, since 20"), std::string::npos);
  const Verdict late = h.readiness(t + 96s);
  EXPECT_FALSE(late.good);
  EXPECT_TRUE(first_line(late).starts_with("not ready: policy: not up to date for 16 s, since "));
  EXPECT_TRUE(first_line(late).ends_with("; margay: EPERM"));
  EXPECT_TRUE(h.liveness(t + 96s).good);
  h.report("policy", true, "");
  EXPECT_EQ(first_line(h.readiness(t + 96s)), "ok");
}

TEST(Health, what_passes_at_once_is_not_worth_a_word) {
  Health h;
  const Clock::time_point t{};
  h.add("policy", kLoopLimits);
  h.report("policy", true, "", t);
  EXPECT_EQ(h.readiness(t + 900ms).body.find("not up to date"), std::string::npos);
}

TEST(Health, names_every_subsystem_that_is_not_ready_with_its_reason) {
  Health h;
  const Clock::time_point t{};
  h.add("sync");
  h.add("bgp");
  h.report("sync", false, "typha unreachable since 10:00:00");
  h.report("bgp", true, "2 of 2 peers up");
  const Verdict v = h.readiness(t + 1000h);
  EXPECT_EQ(first_line(v), "not ready: sync: typha unreachable since 10:00:00");
  EXPECT_NE(v.body.find("bgp        live      ready      2 of 2 peers up\n"), std::string::npos)
      << v.body;
}

}  // namespace
}  // namespace margay::health
