// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/speaker.h"

#include <gtest/gtest.h>

#include "tests/unit/bgp_speaker/world.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;

// Two speakers, 10.0.0.1 and 10.0.0.2; the first announces 10.65.1.0/26, the second 10.65.2.0/26.
class SpeakerTest : public testing::Test {
 protected:
  SpeakerConfig config(int n, std::uint32_t as, std::uint32_t other_as) {
    const std::string mine = "10.0.0." + std::to_string(n);
    const std::string theirs = "10.0.0." + std::to_string(3 - n);
    SpeakerConfig c;
    c.router_id = RouterId(0x0a000000U + static_cast<std::uint32_t>(n));
    c.local_as = Asn(as);
    c.peers = {sim_peer(mine, theirs, as, other_as)};
    c.originated = {{prefix("10.65." + std::to_string(n) + ".0/26"), kNormalPriority}};
    c.export_policy.pools = {prefix("10.65.0.0/16")};
    return c;
  }
  void start(std::uint32_t as1 = 64512, std::uint32_t as2 = 64512) {
    one_config_ = config(1, as1, as2);
    two_config_ = config(2, as2, as1);
    one_.speaker.set_config(one_config_);
    two_.speaker.set_config(two_config_);
    loop_.advance(10s);
  }
  [[nodiscard]] PeerStatus at_one() { return one_.peer("Node_10.0.0.2"); }
  [[nodiscard]] PeerStatus at_two() { return two_.peer("Node_10.0.0.1"); }

  SimLoop loop_;
  SimNetwork net_{loop_};
  SpeakerConfig one_config_, two_config_;
  std::vector<std::size_t> told_;  // sessions of the first, whenever it told of a change
  SimNode one_{
      loop_, net_, {ip("10.0.0.1")}, {.seed = 1, .on_summary = [this] {
                                        told_.push_back(one_.speaker.summary().established);
                                      }}};
  SimNode two_{loop_, net_, {ip("10.0.0.2")}, {.seed = 2}};
};

TEST_F(SpeakerTest, exchanges_routes_and_reports_the_end_of_the_first_sync) {
  start();
  EXPECT_EQ(at_one().info, "Established");
  EXPECT_EQ(at_one().state, "up");
  EXPECT_EQ(one_.sink.routes[prefix("10.65.2.0/26")], std::vector{ip("10.0.0.2")});
  EXPECT_EQ(two_.sink.routes[prefix("10.65.1.0/26")], std::vector{ip("10.0.0.1")});
  EXPECT_EQ(one_.sink.routes.size(), 1U);
  EXPECT_EQ(one_.sink.synced, 1);
  EXPECT_EQ(two_.sink.synced, 1);
  EXPECT_EQ(at_one().counters.prefixes_in, 1U);
}

// Who waits for readiness need not ask again and again.
TEST_F(SpeakerTest, tells_when_sessions_come_and_go) {
  start();
  EXPECT_EQ(told_, (std::vector<std::size_t>{1}));
  two_.speaker.stop(false);
  loop_.advance(1s);
  EXPECT_EQ(told_, (std::vector<std::size_t>{1, 0}));
}

TEST_F(SpeakerTest, both_dialling_end_with_one_session) {
  // Without latency differences both connect at the same instant.
  start();
  EXPECT_EQ(at_one().counters.established, 1U);
  EXPECT_EQ(at_two().counters.established, 1U);
  loop_.advance(600s);
  EXPECT_EQ(at_one().counters.established, 1U);
}

TEST_F(SpeakerTest, withdraws_what_is_no_longer_originated) {
  start();
  two_config_.originated = {{prefix("10.65.3.0/26"), kNormalPriority}};
  two_.speaker.set_config(two_config_);
  loop_.advance(1s);
  EXPECT_EQ(one_.sink.routes.size(), 1U);
  EXPECT_TRUE(one_.sink.routes.contains(prefix("10.65.3.0/26")));
  EXPECT_EQ(at_one().counters.established, 1U) << "no reset for a route";
}

TEST_F(SpeakerTest, removes_the_routes_of_a_peer_that_left) {
  start();
  one_config_.peers.clear();
  one_.speaker.set_config(one_config_);
  loop_.advance(1s);
  EXPECT_TRUE(one_.sink.routes.empty());
  // The other side is told why.
  EXPECT_EQ(at_two().last_error, "Received: Peer de-configured");
  EXPECT_TRUE(two_.sink.routes.empty());
}

TEST_F(SpeakerTest, hold_timer_takes_the_routes_of_a_peer_that_died) {
  start();
  net_.cut(ip("10.0.0.1"), ip("10.0.0.2"));
  loop_.advance(100s);
  EXPECT_EQ(one_.sink.routes.size(), 1U);
  for (int i = 0; i < 141 && at_one().state == "up"; ++i) loop_.advance(1s);
  EXPECT_TRUE(one_.sink.routes.empty());
  EXPECT_EQ(at_one().info, "Idle BGP Error: Hold timer expired");
  EXPECT_EQ(at_one().counters.lost, 1U);
  net_.mend(ip("10.0.0.1"), ip("10.0.0.2"));
  loop_.advance(60s);
  EXPECT_EQ(at_one().state, "up");
  EXPECT_EQ(one_.sink.routes.size(), 1U);
}

TEST_F(SpeakerTest, a_cut_shorter_than_the_hold_time_loses_nothing) {
  start();
  net_.cut(ip("10.0.0.1"), ip("10.0.0.2"));
  two_config_.originated = {{prefix("10.65.3.0/26"), kNormalPriority}};
  two_.speaker.set_config(two_config_);
  loop_.advance(100s);
  EXPECT_FALSE(one_.sink.routes.contains(prefix("10.65.3.0/26")));
  net_.mend(ip("10.0.0.1"), ip("10.0.0.2"));
  loop_.advance(1s);
  EXPECT_EQ(one_.sink.routes.size(), 1U);
  EXPECT_TRUE(one_.sink.routes.contains(prefix("10.65.3.0/26")));
  EXPECT_EQ(at_one().counters.established, 1U);
}

TEST_F(SpeakerTest, keeps_routes_of_a_peer_that_restarts) {
  start();
  net_.latency = 1ms;
  net_.reset(ip("10.0.0.1"), ip("10.0.0.2"));
  loop_.advance(3ms);
  EXPECT_EQ(at_one().state, "start");
  EXPECT_EQ(one_.sink.routes.size(), 1U) << "graceful restart";
  loop_.advance(10s);
  EXPECT_EQ(at_one().state, "up");
  EXPECT_EQ(one_.sink.routes.size(), 1U);
}

TEST_F(SpeakerTest, drops_routes_of_a_peer_that_does_not_come_back_in_time) {
  start();
  two_.speaker.stop(true);
  loop_.advance(119s);
  EXPECT_EQ(one_.sink.routes.size(), 1U);
  EXPECT_NE(at_one().info.find("Socket: Connection refused"), std::string::npos) << at_one().info;
  loop_.advance(2s);
  EXPECT_TRUE(one_.sink.routes.empty());
}

TEST_F(SpeakerTest, drops_at_once_what_a_restarted_peer_no_longer_announces) {
  start();
  two_.speaker.stop(true);
  loop_.advance(1s);
  SimNode again(loop_, net_, {ip("10.0.0.2")}, {.restarting = true, .seed = 3});
  two_config_.originated = {{prefix("10.65.4.0/26"), kNormalPriority}};
  again.speaker.set_config(two_config_);
  loop_.advance(20s);
  EXPECT_EQ(one_.sink.routes.size(), 1U);
  EXPECT_TRUE(one_.sink.routes.contains(prefix("10.65.4.0/26")));
}

TEST_F(SpeakerTest, stopping_for_good_says_so) {
  start();
  two_.speaker.stop(false);
  loop_.advance(100ms);
  EXPECT_TRUE(one_.sink.routes.empty());
  EXPECT_EQ(at_one().last_error,
            "Received: Administrative shutdown (the node agent has been stopped)");
}

TEST_F(SpeakerTest, a_changed_parameter_resets_only_that_session) {
  start();
  one_config_.peers[0].session.timers.hold = 30s;
  one_.speaker.set_config(one_config_);
  loop_.advance(10s);
  EXPECT_EQ(at_one().state, "up");
  EXPECT_EQ(at_two().counters.established, 2U);
}

TEST_F(SpeakerTest, a_filter_changes_what_is_sent_without_a_reset) {
  start();
  auto filter = std::make_shared<Filter>();
  FilterRule reject;
  reject.prefix = PrefixMatch{prefix("10.65.1.0/26"), MatchOperator::equal, 26, 32, false};
  filter->export_v4 = {reject};
  one_config_.peers[0].filters = {filter};
  one_.speaker.set_config(one_config_);
  loop_.advance(1s);
  EXPECT_TRUE(two_.sink.routes.empty());
  one_config_.peers[0].filters.clear();
  one_.speaker.set_config(one_config_);
  loop_.advance(1s);
  EXPECT_EQ(two_.sink.routes.size(), 1U);
  FilterRule import = reject;
  import.prefix->cidr = prefix("10.65.2.0/26");
  auto in = std::make_shared<Filter>();
  in->import_v4 = {import};
  one_config_.peers[0].filters = {in};
  one_.speaker.set_config(one_config_);
  loop_.advance(1s);
  EXPECT_TRUE(one_.sink.routes.empty());
  EXPECT_EQ(at_one().counters.prefixes_in, 1U);
  EXPECT_EQ(at_one().counters.prefixes_accepted, 0U);
  one_config_.peers[0].filters.clear();
  one_.speaker.set_config(one_config_);
  loop_.advance(1s);
  EXPECT_EQ(one_.sink.routes.size(), 1U);
  EXPECT_EQ(at_one().counters.established, 1U);
}

TEST_F(SpeakerTest, refuses_a_wrong_as_number_and_says_so) {
  one_config_ = config(1, 64512, 65009);
  two_config_ = config(2, 64513, 64512);
  one_.speaker.set_config(one_config_);
  two_.speaker.set_config(two_config_);
  loop_.advance(3s);
  EXPECT_EQ(at_one().last_error, "BGP Error: Bad peer AS");
  EXPECT_EQ(at_two().last_error, "Received: Bad peer AS");
  EXPECT_EQ(at_one().info, "Idle BGP Error: Bad peer AS");
}

TEST_F(SpeakerTest, a_wrong_password_times_out) {
  one_config_ = config(1, 64512, 64512);
  two_config_ = config(2, 64512, 64512);
  one_config_.peers[0].session.password = "a";
  two_config_.peers[0].session.password = "b";
  one_.speaker.set_config(one_config_);
  two_.speaker.set_config(two_config_);
  loop_.advance(6s);
  EXPECT_NE(at_one().last_error.find("Connection timed out"), std::string::npos)
      << at_one().last_error;
  two_config_.peers[0].session.password = "a";
  two_.speaker.set_config(two_config_);
  loop_.advance(20s);
  EXPECT_EQ(at_one().state, "up");
}

TEST_F(SpeakerTest, a_peer_that_must_stay_down_says_why) {
  one_config_ = config(1, 64512, 64512);
  one_config_.peers[0].session.down_reason = "Password not available";
  one_.speaker.set_config(one_config_);
  loop_.advance(1s);
  EXPECT_EQ(at_one().state, "down");
  EXPECT_EQ(at_one().info, "Idle Password not available");
  EXPECT_EQ(one_.sink.synced, 1) << "nobody waits for it";
}

TEST_F(SpeakerTest, passive_peers_are_shown_as_such) {
  one_config_ = config(1, 64512, 64512);
  one_config_.peers[0].session.passive = true;
  one_.speaker.set_config(one_config_);
  loop_.advance(1s);
  EXPECT_EQ(at_one().info, "Passive");
  EXPECT_EQ(net_.connections, 0U);
}

TEST_F(SpeakerTest, initial_sync_ends_without_a_dead_peer) {
  one_config_ = config(1, 64512, 64512);
  one_.speaker.set_config(one_config_);
  loop_.advance(119s);
  EXPECT_EQ(one_.sink.synced, 0);
  loop_.advance(2s);
  EXPECT_EQ(one_.sink.synced, 1);
}

TEST_F(SpeakerTest, external_sessions_prepend_and_check_for_loops) {
  start(65001, 65002);
  const auto routes = two_.speaker.routes();
  ASSERT_EQ(routes.size(), 2U);
  EXPECT_EQ(routes[0].as_path, "65001");
  EXPECT_EQ(routes[0].local_pref, 100U);
  EXPECT_TRUE(routes[0].best);
}

TEST_F(SpeakerTest, a_gateway_to_a_peer_becomes_a_route) {
  one_config_ = config(1, 64512, 64512);
  one_config_.peers[0].reachable_by = ip("10.0.0.3");
  one_.speaker.set_config(one_config_);
  EXPECT_EQ(one_.sink.routes[prefix("10.0.0.2/32")], std::vector{ip("10.0.0.3")});
  one_config_.peers.clear();
  one_.speaker.set_config(one_config_);
  EXPECT_TRUE(one_.sink.routes.empty());
}

TEST_F(SpeakerTest, sends_a_large_table_through_a_small_window) {
  net_.window = 1000;
  one_config_ = config(1, 64512, 64512);
  two_config_ = config(2, 64512, 64512);
  one_config_.originated.clear();
  for (unsigned i = 0; i < 5000; ++i) {
    one_config_.originated.push_back(
        {Prefix::host(ip("10.65.0.0").plus(i)), kNormalPriority + i % 7});
  }
  one_.speaker.set_config(one_config_);
  two_.speaker.set_config(two_config_);
  loop_.advance(60s);
  EXPECT_EQ(two_.sink.routes.size(), 5000U);
  // Each change overtakes the ones before it: a slow peer never gets a queue.
  for (int round = 0; round < 20; ++round) {
    for (auto& r : one_config_.originated) r.metric = 2000 + static_cast<unsigned>(round);
    one_.speaker.set_config(one_config_);
    loop_.advance(20ms);
  }
  const auto before = net_.bytes;
  loop_.advance(60s);
  EXPECT_LT(net_.bytes - before, 4U * 5000U * 5U);
  for (const auto& r : two_.speaker.routes()) {
    if (r.peer.empty()) continue;
    ASSERT_EQ(r.local_pref, kPreferenceBase - 2019);
  }
}

}  // namespace
}  // namespace margay::bgp
