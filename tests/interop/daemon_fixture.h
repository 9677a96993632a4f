// SPDX-License-Identifier: Apache-2.0
// Conversations with the daemons of Debian: our configuration against each, and waiting for what
// they know.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tests/interop/daemons.h"
#include "tests/interop/our_side.h"

namespace margay::bgp {

inline constexpr std::uint32_t kTor = 65001, kOurs = 64512;

inline PeerConfig peer(const std::string& source, const std::string& address, std::uint32_t as) {
  PeerConfig p;
  p.name = "to_" + address;
  p.type = PeerType::global;
  p.session.address = ip(address);
  p.session.source = ip(source);
  p.session.remote_as = Asn(as);
  p.session.local_as = Asn(kOurs);
  p.session.timers.hold = std::chrono::seconds(9);
  p.session.timers.connect_delay = std::chrono::seconds(1);
  return p;
}

// One speaker at 10.99.0.n and fd99::n.
inline SpeakerConfig config(int n) {
  SpeakerConfig c;
  c.router_id = RouterId(0x0a630000U + static_cast<std::uint32_t>(n));
  c.local_as = Asn(kOurs);
  c.listen_addresses = {ip("10.99.0." + std::to_string(n)), ip("fd99::" + std::to_string(n))};
  c.export_policy.pools = {prefix("10.65.0.0/16"), prefix("fd65::/48")};
  return c;
}

class DaemonTest : public testing::TestWithParam<test::Kind> {
 protected:
  void SetUp() override {
    if (!test::enter_own_namespace()) GTEST_SKIP() << "needs root: no network namespaces";
  }
  // It listens then: what we dial next is not refused.
  void start(const test::Plan& plan) {
    daemon_.reset();
    daemon_ = test::make_daemon(GetParam(), plan);
    EXPECT_TRUE(until([&] { return daemon_->listens(); })) << daemon_->log();
  }
  template <typename F>
  [[nodiscard]] bool until(F done) {
    return run_until(loop_, done);
  }
  // Waits until `done` holds of our side; the daemon is asked for its own view meanwhile, as an
  // operator would.
  template <typename F>
  [[nodiscard]] testing::AssertionResult meets(const OurSide& us, F done) {
    const bool ok = until([&] {
      (void)daemon_->session("10.99.0.1");
      return done();
    });
    return ok ? testing::AssertionSuccess()
              : testing::AssertionFailure() << us.states() << daemon_->log();
  }
  // Waits until what the daemon knows of a prefix contains all of `words`; the last answer.
  [[nodiscard]] testing::AssertionResult knows(const std::string& prefix,
                                               const std::vector<std::string>& words) {
    std::string text;
    const bool ok = until([&] {
      text = daemon_->paths(prefix);
      return std::all_of(words.begin(), words.end(),
                         [&](const std::string& w) { return text.find(w) != text.npos; });
    });
    return ok ? testing::AssertionSuccess() : testing::AssertionFailure() << text << daemon_->log();
  }
  [[nodiscard]] testing::AssertionResult forgets(const std::string& prefix,
                                                 const std::string& word) {
    std::string text;
    const bool ok = until([&] {
      text = daemon_->paths(prefix);
      return text.find(word) == text.npos;
    });
    return ok ? testing::AssertionSuccess() : testing::AssertionFailure() << text;
  }

  AsioLoop loop_{"test"};
  std::unique_ptr<test::Daemon> daemon_;
};

inline test::Plan tor_plan() {
  test::Plan plan;
  plan.peers = {"10.99.0.1", "fd99::1"};
  plan.announce = {"203.0.113.0/24", "2001:db8:1::/48"};
  return plan;
}

inline SpeakerConfig node_config() {
  SpeakerConfig c = config(1);
  c.peers = {peer("10.99.0.1", "10.99.0.2", kTor), peer("fd99::1", "fd99::2", kTor)};
  c.originated = {{prefix("10.65.1.0/26"), kNormalPriority},
                  {prefix("fd65:0:0:1::/122"), kNormalPriority}};
  c.export_policy.communities = {
      {prefix("10.65.0.0/16"), {*parse_community("64512:300"), *parse_community("64512:300:100")}}};
  return c;
}

inline std::string kind_name(const testing::TestParamInfo<test::Kind>& with) {
  return test::name_of(with.param);
}

}  // namespace margay::bgp
