// SPDX-License-Identifier: Apache-2.0
// The same conversations with each daemon of Debian, as ToR (eBGP) and as reflector, and as client
// of ours.
#include "tests/interop/daemon_fixture.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;
using test::Kind;
using test::Plan;

// What not all of them can do, or where only our side matters.
class RestartingOriginTest : public DaemonTest {};
class RestartingReflectorTest : public DaemonTest {};
class ExtendedNextHopTest : public DaemonTest {};
class GracefulNotificationTest : public DaemonTest {};

// Both dial, both families, routes with communities both ways, withdrawals both ways.
TEST_P(DaemonTest, exchanges_routes_as_tor) {
  start(tor_plan());
  OurSide us(loop_);
  auto c = node_config();
  us.speaker.set_config(c);
  ASSERT_TRUE(meets(us, [&] { return us.sink.routes.size() == 2; }));
  EXPECT_EQ(us.hops("203.0.113.0/24"), std::vector{ip("10.99.0.2")});
  EXPECT_EQ(us.hops("2001:db8:1::/48"), std::vector{ip("fd99::2")});
  for (const auto& r : us.speaker.routes()) {
    // FRR sends us our own routes back.
    if (r.prefix != prefix("203.0.113.0/24") && r.prefix != prefix("2001:db8:1::/48")) continue;
    EXPECT_EQ(r.as_path, "65001");
    EXPECT_EQ(r.communities, (std::vector<std::string>{"65001:7", "65001:1:2"}));
  }
  EXPECT_TRUE(knows("10.65.1.0/26", {"10.99.0.1", "64512"}));
  EXPECT_TRUE(knows("fd65:0:0:1::/122", {"fd99::1", "64512"}));
  const bool bird = GetParam() == Kind::bird;
  EXPECT_TRUE(knows("10.65.1.0/26", {bird ? "64512,300" : "64512:300",
                                     bird ? "64512, 300, 100" : "64512:300:100"}));
  daemon_->withdraw("203.0.113.0/24");
  EXPECT_TRUE(until([&] { return us.sink.routes.size() == 1; }));
  c.originated.erase(c.originated.begin());
  us.speaker.set_config(c);
  EXPECT_TRUE(forgets("10.65.1.0/26", "10.99.0.1"));
  EXPECT_TRUE(us.all_up());
}

// Two of our nodes announce one prefix to a reflector; the third hears both paths (RFC 7911).
TEST_P(DaemonTest, reflects_all_paths_to_us) {
  Plan plan;
  plan.as = kOurs;
  plan.peers = {"10.99.0.1", "10.99.0.3", "10.99.0.4"};
  start(plan);
  OurSide one(loop_), three(loop_), four(loop_);
  for (auto* us : {&one, &three, &four}) {
    const int n = us == &one ? 1 : us == &three ? 3 : 4;
    auto c = config(n);
    c.peers = {peer("10.99.0." + std::to_string(n), "10.99.0.2", kOurs)};
    if (us != &four) c.originated = {{prefix("10.65.0.0/24"), kNormalPriority}};
    us->speaker.set_config(c);
  }
  const auto both = std::vector{ip("10.99.0.1"), ip("10.99.0.3")};
  EXPECT_TRUE(until([&] { return four.hops("10.65.0.0/24") == both; }))
      << four.states() << daemon_->log() << daemon_->paths("10.65.0.0/24");
  three.speaker.stop(false);
  EXPECT_TRUE(until([&] { return four.hops("10.65.0.0/24") == std::vector{ip("10.99.0.1")}; }));
}

// The other way round: we reflect, and the daemon hears both paths.
TEST_P(DaemonTest, hears_all_paths_from_our_reflector) {
  Plan plan;
  plan.as = kOurs;
  plan.peers = {"10.99.0.1"};
  start(plan);
  OurSide one(loop_), three(loop_), four(loop_);
  auto reflector = config(1);
  reflector.cluster_id = RouterId(0x01000001);
  for (const char* client : {"10.99.0.2", "10.99.0.3", "10.99.0.4"}) {
    reflector.peers.push_back(peer("10.99.0.1", client, kOurs));
    reflector.peers.back().session.route_reflector_client = true;
  }
  one.speaker.set_config(reflector);
  for (auto* us : {&three, &four}) {
    const int n = us == &three ? 3 : 4;
    auto c = config(n);
    c.peers = {peer("10.99.0." + std::to_string(n), "10.99.0.1", kOurs)};
    c.originated = {{prefix("10.65.0.0/24"), kNormalPriority}};
    us->speaker.set_config(c);
  }
  EXPECT_TRUE(knows("10.65.0.0/24", {"10.99.0.3", "10.99.0.4"}));
  three.speaker.stop(false);
  EXPECT_TRUE(forgets("10.65.0.0/24", "10.99.0.3"));
}

// The daemon and one of ours reflect for the same two clients; the daemon goes, and comes back.
TEST_P(DaemonTest, a_client_loses_one_of_two_reflectors) {
  Plan plan;
  plan.as = kOurs;
  plan.peers = {"10.99.0.1", "10.99.0.4"};
  start(plan);
  OurSide one(loop_), three(loop_), four(loop_);
  auto reflector = config(3);
  reflector.cluster_id = RouterId(0x0a630002);  // that of the daemon
  for (const char* client : {"10.99.0.1", "10.99.0.4"}) {
    reflector.peers.push_back(peer("10.99.0.3", client, kOurs));
    reflector.peers.back().session.route_reflector_client = true;
  }
  three.speaker.set_config(reflector);
  auto c = config(1);
  for (auto* us : {&one, &four}) {
    const std::string own = us == &one ? "10.99.0.1" : "10.99.0.4";
    auto client = config(us == &one ? 1 : 4);
    for (const char* r : {"10.99.0.2", "10.99.0.3"}) client.peers.push_back(peer(own, r, kOurs));
    if (us == &one) c = client;
    us->speaker.set_config(client);
  }
  c.originated = {{prefix("10.65.0.0/24"), kNormalPriority}};
  one.speaker.set_config(c);
  const auto hops = std::vector{ip("10.99.0.1")};
  ASSERT_TRUE(until([&] {
    const auto paths = four.speaker.routes();
    return four.hops("10.65.0.0/24") == hops && paths.size() == 2;
  })) << four.states()
      << daemon_->log();
  daemon_->kill();
  bool kept = true;  // what the kernel would have
  EXPECT_TRUE(until([&] {
    kept = kept && four.hops("10.65.0.0/24") == hops;
    return !four.all_up() && !one.all_up();
  })) << four.states();
  EXPECT_TRUE(kept);
  c.originated.push_back({prefix("10.65.7.0/24"), kNormalPriority});
  one.speaker.set_config(c);
  EXPECT_TRUE(until([&] { return four.hops("10.65.7.0/24") == hops; })) << four.states();
  daemon_->restart();
  EXPECT_TRUE(until([&] {
    kept = kept && four.hops("10.65.0.0/24") == hops && four.hops("10.65.7.0/24") == hops;
    return four.all_up() && one.all_up() && four.speaker.routes().size() == 4;
  })) << four.states()
      << daemon_->log();
  EXPECT_TRUE(kept);
}

TEST_P(DaemonTest, signs_its_segments) {  // RFC 2385
  Plan plan = tor_plan();
  plan.password = "sesame";
  start(plan);
  OurSide us(loop_);
  auto c = node_config();
  for (auto& p : c.peers) p.session.password = "sesame";
  us.speaker.set_config(c);
  EXPECT_TRUE(meets(us, [&] { return us.sink.routes.size() == 2; }));
}

TEST_P(DaemonTest, limits_end_the_session_on_either_side) {  // RFC 4486
  Plan plan = tor_plan();
  plan.peers = {"10.99.0.1"};
  plan.announce = {"203.0.113.0/24", "198.51.100.0/24"};
  start(plan);
  OurSide us(loop_);
  auto c = node_config();
  c.peers = {c.peers[0]};
  c.peers[0].prefix_limit.count = 1;
  us.speaker.set_config(c);
  const auto said = [&](const std::string& words) {
    return meets(us, [&] { return us.states().find(words) != std::string::npos; });
  };
  EXPECT_TRUE(said("Idle BGP Error: Maximum number of prefixes reached"));
  EXPECT_TRUE(us.sink.routes.empty());
  // Another one, as it might rest for a while now.
  plan.limit = 2;
  start(plan);
  c.peers[0].prefix_limit.count = 0;  // FRR sends us our own routes back
  us.speaker.set_config(c);
  // BIRD would close the connection without a word while it still comes up.
  ASSERT_TRUE(meets(us, [&] { return us.sink.routes.size() == 2; }));
  for (int n = 2; n < 6; ++n) {  // FRR looks before it counts the next one
    c.originated.push_back({prefix("10.65." + std::to_string(n) + ".0/26"), kNormalPriority});
  }
  us.speaker.set_config(c);
  EXPECT_TRUE(said("Received: Maximum number of prefixes reached"))
      << us.states() << daemon_->log();
}

TEST_P(DaemonTest, keeps_our_routes_while_we_restart) {  // RFC 4724
  start(tor_plan());
  auto us = std::make_unique<OurSide>(loop_);
  us->speaker.set_config(node_config());
  ASSERT_TRUE(meets(*us, [&] { return us->sink.synced && us->sink.routes.size() == 2; }));
  ASSERT_TRUE(knows("10.65.1.0/26", {"10.99.0.1"}));
  bool kept = true;
  us->speaker.stop(true);
  us = std::make_unique<OurSide>(loop_, SpeakerOptions{.restarting = true});
  auto again = node_config();
  // OpenBGPD accepts and at once closes a connection that comes right after the loss; the OPEN
  // meant for it then precedes the one of its own connection, which is an FSM error and ends its
  // help.
  for (auto& p : again.peers) p.session.passive = GetParam() == Kind::openbgpd;
  us->speaker.set_config(again);
  EXPECT_TRUE(until([&] {
    kept = kept && daemon_->paths("10.65.1.0/26").find("10.99.0.1") != std::string::npos;
    return us->all_up() && us->sink.synced && us->sink.routes.size() == 2;
  })) << us->states()
      << daemon_->log();
  EXPECT_TRUE(kept) << daemon_->paths("10.65.1.0/26");
}

TEST_P(RestartingOriginTest, is_helped_by_us) {  // RFC 4724
  start(tor_plan());
  OurSide us(loop_);
  us.speaker.set_config(node_config());
  ASSERT_TRUE(meets(us, [&] { return us.all_up() && us.sink.routes.size() == 2; }));
  daemon_->kill();
  ASSERT_TRUE(until([&] { return !us.all_up(); }));
  daemon_->restart();
  std::size_t least = 2;
  EXPECT_TRUE(meets(us, [&] {
    least = std::min(least, us.sink.routes.size());
    return us.all_up();
  }));
  EXPECT_EQ(least, 2U);
}

// A reflector that is killed and says that it kept its forwarding state costs neither of its
// clients a route; and what it has not heard of again when it is back goes then.
TEST_P(RestartingReflectorTest, is_helped_by_us) {  // RFC 4724
  Plan plan;
  plan.as = kOurs;
  plan.peers = {"10.99.0.1", "10.99.0.3"};
  start(plan);
  OurSide one(loop_), three(loop_);
  SpeakerConfig configs[2];
  for (auto* us : {&one, &three}) {
    const int n = us == &one ? 1 : 3;
    auto& c = configs[us == &one ? 0 : 1] = config(n);
    c.peers = {peer("10.99.0." + std::to_string(n), "10.99.0.2", kOurs)};
    for (const char* block : {".0/26", ".64/26"}) {
      c.originated.push_back({prefix("10.65." + std::to_string(n) + block), kNormalPriority});
    }
    us->speaker.set_config(c);
  }
  const auto both = [&] {
    return one.hops("10.65.3.0/26") == std::vector{ip("10.99.0.3")} &&
           three.hops("10.65.1.0/26") == std::vector{ip("10.99.0.1")};
  };
  ASSERT_TRUE(until([&] { return both() && one.sink.routes.size() == 2; }))
      << one.states() << three.states() << daemon_->log();
  daemon_->kill();
  ASSERT_TRUE(until([&] { return !one.all_up() && !three.all_up(); }));
  configs[1].originated.pop_back();
  three.speaker.set_config(configs[1]);
  EXPECT_TRUE(one.sink.routes.contains(prefix("10.65.3.64/26"))) << "nobody has said otherwise";
  daemon_->restart();
  bool kept = true;
  EXPECT_TRUE(until([&] {
    kept = kept && both();
    return one.all_up() && three.all_up() && one.sink.routes.size() == 1;
  })) << one.states()
      << three.states() << daemon_->log();
  EXPECT_TRUE(kept);
}

TEST_P(ExtendedNextHopTest, exchanges_ipv4_over_an_ipv6_session) {  // RFC 8950
  Plan plan = tor_plan();
  plan.peers = {"fd99::1"};
  plan.v4_over_v6 = true;
  start(plan);
  OurSide us(loop_);
  auto c = node_config();
  c.peers = {c.peers[1]};
  c.peers[0].session.families = {Family::v4, Family::v6};
  us.speaker.set_config(c);
  ASSERT_TRUE(until([&] {
    (void)daemon_->session("fd99::1");
    return us.sink.routes.size() == 2;
  })) << us.states()
      << daemon_->log();
  EXPECT_EQ(us.hops("203.0.113.0/24"), std::vector{ip("fd99::2")});
  EXPECT_TRUE(knows("10.65.1.0/26", {"fd99::1"}));
}

// A session that is reset for a changed parameter leaves the routes at the peer (RFC 8538).
TEST_P(GracefulNotificationTest, keeps_our_routes_over_a_notification) {
  Plan plan = tor_plan();
  plan.peers = {"10.99.0.1"};
  plan.notification = true;
  start(plan);
  OurSide us(loop_);
  auto c = node_config();
  c.peers = {c.peers[0]};
  c.peers[0].session.timers.graceful_notification = true;
  us.speaker.set_config(c);
  ASSERT_TRUE(meets(us, [&] { return us.sink.routes.size() == 1 && us.all_up(); }));
  ASSERT_TRUE(knows("10.65.1.0/26", {"10.99.0.1"}));
  c.peers[0].session.timers.hold = 12s;
  us.speaker.set_config(c);
  bool kept = true;
  EXPECT_TRUE(until([&] {
    kept = kept && daemon_->paths("10.65.1.0/26").find("10.99.0.1") != std::string::npos;
    return us.all_up();
  })) << us.states();
  EXPECT_TRUE(kept) << daemon_->session("10.99.0.1");
  // Taken out for good: a Hard Reset.
  c.peers.clear();
  us.speaker.set_config(c);
  EXPECT_TRUE(forgets("10.65.1.0/26", "10.99.0.1"));
}

INSTANTIATE_TEST_SUITE_P(With, DaemonTest,
                         testing::Values(Kind::bird, Kind::frr, Kind::gobgp, Kind::openbgpd),
                         kind_name);
// OpenBGPD's capability speaks of the End-of-RIB marker only (bgpd.conf(5), "announce restart"): it
// never says that it kept anything. GoBGP is given its own routes by command when it runs again,
// after its End-of-RIB. FRR ends its own with the last of those that are up, be that the first.
INSTANTIATE_TEST_SUITE_P(With, RestartingOriginTest, testing::Values(Kind::bird, Kind::frr),
                         kind_name);
INSTANTIATE_TEST_SUITE_P(With, RestartingReflectorTest, testing::Values(Kind::bird, Kind::gobgp),
                         kind_name);
INSTANTIATE_TEST_SUITE_P(With, ExtendedNextHopTest,
                         testing::Values(Kind::bird, Kind::frr, Kind::gobgp), kind_name);
INSTANTIATE_TEST_SUITE_P(With, GracefulNotificationTest, testing::Values(Kind::frr, Kind::gobgp),
                         kind_name);

}  // namespace
}  // namespace margay::bgp
