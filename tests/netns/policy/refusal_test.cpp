// SPDX-License-Identifier: Apache-2.0
// What the kernel refuses of a policy: named, its endpoints closed, everything else programmed.
#include <gmock/gmock.h>

#include <cstdlib>

#include "lab.h"

namespace margay::test {
namespace {

using model::Action;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Refusal : public Lab {
 protected:
  void SetUp() override {
    Lab::SetUp();
    if (IsSkipped()) return;
    add_usual_stations(2);
    start_plane();
  }
  void TearDown() override {
    lack(nullptr);
    Lab::TearDown();
  }
  // From now on the kernel has no such expression (lacking_kernel.cpp).
  static void lack(const char* expression) {
    if (expression == nullptr) {
      ::unsetenv("MARGAY_TEST_LACKS");
    } else {
      ::setenv("MARGAY_TEST_LACKS", expression, 1);
    }
  }
  // Allows TCP port 80 in, and writes a line in the log before when asked to.
  static model::ActivePolicy web(bool log) {
    model::ActivePolicy p = policy("web");
    if (log) p.inbound.push_back(rule(Action::log));
    p.inbound.push_back(rule(Action::allow, [](model::ActiveRule& r) {
      r.protocol = model::Protocol{kTcp};
      r.destination.ports = {{80, 80}};
    }));
    return p;
  }
  model::LocalWorkload guarded(const std::string& interface) {
    model::LocalWorkload w = workload(interface);
    w.tiers = {{"default", false, {web(false).key}, {}}};
    return w;
  }
  const std::vector<std::string>& apply_and_see(std::vector<model::Change> changes) {
    plane_->apply({std::move(changes), true});
    bool turned = false;
    loop_.post([&] { turned = true; });
    EXPECT_TRUE(until([&] { return turned && !plane_->status().pending; }));
    return plane_->status().quarantined;
  }
  void expect_web(const char* pod, Fate want, const char* why) {
    for (const Family f : kFamilies) {
      EXPECT_EQ(to_string(send("eth0", pod, tcp(80), f)), to_string(want)) << why;
    }
  }
};

TEST_F(Refusal, a_changed_policy_closes_its_endpoints_until_it_is_mended) {
  apply({allow_profile(), web(false), guarded("calia1")});
  expect_web("calia1", Fate::pass, "as long as it is as it was");
  lack("log");
  EXPECT_THAT(apply_and_see({web(true), workload("calia2"), nets("s:other", {"192.0.2.0/24"})}),
              ElementsAre(HasSubstr("chain pi-np/default/web rule 1")));
  EXPECT_TRUE(plane_->status().applied);
  expect_web("calia1", Fate::drop, "refused: neither the old version nor none");
  expect_web("calia2", Fate::pass, "what came with it is programmed");
  EXPECT_THAT(run("nft list table inet margay"), HasSubstr("set s-other-4-24"));
  EXPECT_THAT(apply_and_see({web(false)}), IsEmpty());
  expect_web("calia1", Fate::pass, "mended");
}

TEST_F(Refusal, a_new_endpoint_of_a_refused_policy_is_closed) {
  lack("log");
  EXPECT_THAT(apply_and_see({allow_profile(), web(true), guarded("calia1"), workload("calia2")}),
              ElementsAre(HasSubstr("chain pi-np/default/web rule 1")));
  expect_web("calia1", Fate::drop, "refused from the start");
  expect_web("calia2", Fate::pass, "another endpoint");
  lack(nullptr);
  // Another agent finds what this one left, and a kernel that lacks nothing.
  stop_plane();
  start_plane();
  apply({allow_profile(), web(true), guarded("calia1"), workload("calia2")});
  expect_web("calia1", Fate::pass, "accepted");
}

}  // namespace
}  // namespace margay::test
