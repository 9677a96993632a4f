// SPDX-License-Identifier: Apache-2.0
// Graceful restart of ourselves (RFC 4724 4.1), sessions that end gracefully (RFC 8538), prefix
// limits, and sessions that carry the other family (RFC 4760, 8950).
#include <gtest/gtest.h>

#include "tests/unit/bgp_speaker/world.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;

std::string address(int n) { return "10.0.0." + std::to_string(n); }

// Nodes 1 to 3 in a mesh; node n announces 10.65.n.0/26. Node 1 is the one that restarts.
class RestartTest : public testing::Test {
 protected:
  static SpeakerConfig config(int n) {
    SpeakerConfig c;
    c.router_id = RouterId(0x0a000000U + static_cast<std::uint32_t>(n));
    c.local_as = Asn(64512);
    for (int other = 1; other <= 3; ++other) {
      if (other != n) c.peers.push_back(sim_peer(address(n), address(other)));
    }
    c.originated = {{prefix("10.65." + std::to_string(n) + ".0/26"), kNormalPriority}};
    c.export_policy.pools = {prefix("10.65.0.0/16")};
    return c;
  }
  void boot(int n, bool restarting = false) {
    auto& node = nodes_[static_cast<std::size_t>(n)];
    node = std::make_unique<SimNode>(
        loop_, net_, std::vector{ip(address(n))},
        SpeakerOptions{.restarting = restarting, .seed = static_cast<std::uint64_t>(n)});
    node->speaker.set_config(config(n));
  }
  void die(int n) { nodes_[static_cast<std::size_t>(n)].reset(); }
  SimNode& node(int n) { return *nodes_[static_cast<std::size_t>(n)]; }
  [[nodiscard]] std::set<std::string> routes(int n) {
    std::set<std::string> out;
    for (const auto& [p, hops] : node(n).sink.routes) out.insert(p.to_string());
    return out;
  }
  void start_all() {
    for (int n = 1; n <= 3; ++n) boot(n);
    loop_.advance(10s);
    ASSERT_EQ(node(1).up(), 2U);
  }
  // A loss that the others take for a restart.
  void leave() {
    node(1).speaker.stop(true);
    loop_.advance(1s);
    die(1);
  }

  SimLoop loop_;
  SimNetwork net_{loop_};
  std::array<std::unique_ptr<SimNode>, 4> nodes_;
};

using Names = std::set<std::string>;

TEST_F(RestartTest, nothing_is_selected_before_every_peer_has_sent_its_routes) {
  start_all();
  leave();
  net_.cut(ip(address(1)), ip(address(3)));  // one comes late
  boot(1, true);
  loop_.advance(8s);
  EXPECT_EQ(node(1).up(), 1U);
  EXPECT_TRUE(node(1).sink.routes.empty()) << "the kernel goes on with what it has";
  EXPECT_EQ(node(1).peer("Node_10.0.0.2").counters.prefixes_in, 1U) << "though it is known";
  EXPECT_EQ(node(1).peer("Node_10.0.0.2").counters.updates_out, 0U) << "not even our own";
  EXPECT_EQ(routes(2), (Names{"10.65.1.0/26", "10.65.3.0/26"})) << "kept by the helper";
  net_.mend(ip(address(1)), ip(address(3)));
  loop_.advance(6s);
  EXPECT_EQ(node(1).up(), 2U);
  EXPECT_EQ(routes(1), (Names{"10.65.2.0/26", "10.65.3.0/26"}));
  EXPECT_EQ(node(1).sink.synced, 1);
  EXPECT_EQ(routes(2), (Names{"10.65.1.0/26", "10.65.3.0/26"}));
}

TEST_F(RestartTest, an_absent_peer_is_waited_for_only_so_long_but_its_routes_are_not_swept_yet) {
  start_all();
  leave();
  die(3);
  boot(1, true);
  loop_.advance(14s);
  EXPECT_TRUE(node(1).sink.routes.empty());
  loop_.advance(2s);
  EXPECT_EQ(routes(1), Names{"10.65.2.0/26"});
  EXPECT_EQ(routes(2).count("10.65.1.0/26"), 1U);
  EXPECT_EQ(node(1).sink.synced, 0) << "what the kernel has of the absent one stays";
  loop_.advance(110s);
  EXPECT_EQ(node(1).sink.synced, 1);
}

TEST_F(RestartTest, those_that_restart_too_are_not_waited_for) {
  for (int n = 1; n <= 3; ++n) boot(n, true);
  loop_.advance(5s);
  for (int n = 1; n <= 3; ++n) {
    EXPECT_EQ(node(n).sink.routes.size(), 2U) << n;
    EXPECT_EQ(node(n).sink.synced, 1) << n;
  }
}

TEST_F(RestartTest, a_peer_that_is_silent_after_its_session_came_up_ends_with_the_limit) {
  start_all();
  leave();
  // Node 3 answers the OPEN and then says nothing: its window is shut.
  auto c = config(3);
  c.originated.clear();
  for (unsigned i = 0; i < 3000; ++i) {
    c.originated.push_back({Prefix::host(ip("10.65.128.0").plus(i)), kNormalPriority});
  }
  node(3).speaker.set_config(c);
  loop_.advance(1s);
  net_.window = 200;
  net_.latency = 1s;
  boot(1, true);
  loop_.advance(100s);
  EXPECT_EQ(node(1).up(), 2U);
  EXPECT_TRUE(node(1).sink.routes.empty());
  loop_.advance(21s);
  EXPECT_FALSE(node(1).sink.routes.empty());
  EXPECT_EQ(node(1).sink.synced, 1);
}

TEST_F(RestartTest, without_an_earlier_run_routes_are_sent_at_once) {
  boot(1);
  boot(2);  // node 3 is never there
  loop_.advance(5s);
  EXPECT_EQ(routes(1), Names{"10.65.2.0/26"});
  EXPECT_EQ(node(1).sink.synced, 0);
}

TEST_F(RestartTest, a_limit_ends_the_session_until_it_is_raised) {
  auto one = config(1);
  one.peers[0].prefix_limit.count = 2;
  boot(2);
  auto two = config(2);
  two.originated.push_back({prefix("10.65.20.0/26"), kNormalPriority});
  node(2).speaker.set_config(two);
  boot(1);
  node(1).speaker.set_config(one);
  loop_.advance(10s);
  EXPECT_EQ(node(1).sink.routes.size(), 2U) << "as many as it may";
  two.originated.push_back({prefix("10.65.21.0/26"), kNormalPriority});
  node(2).speaker.set_config(two);
  loop_.advance(1s);
  EXPECT_TRUE(node(1).sink.routes.empty());
  EXPECT_EQ(node(1).peer("Node_10.0.0.2").info,
            "Idle BGP Error: Maximum number of prefixes reached");
  EXPECT_EQ(node(2).peer("Node_10.0.0.1").last_error,
            "Received: Maximum number of prefixes reached");
  const auto established = node(1).peer("Node_10.0.0.2").counters.established;
  loop_.advance(600s);
  EXPECT_EQ(node(1).peer("Node_10.0.0.2").counters.established, established);
  one.peers[0].prefix_limit.count = 3;
  node(1).speaker.set_config(one);
  loop_.advance(60s);
  EXPECT_EQ(node(1).sink.routes.size(), 3U);
  // Lowered below what is held, it takes effect at once.
  one.peers[0].prefix_limit.count = 1;
  node(1).speaker.set_config(one);
  loop_.advance(1s);
  EXPECT_TRUE(node(1).sink.routes.empty());
}

TEST_F(RestartTest, a_limit_with_a_restart_time_tries_again) {
  boot(2);
  auto two = config(2);
  two.originated.push_back({prefix("10.65.20.0/26"), kNormalPriority});
  node(2).speaker.set_config(two);
  boot(1);
  auto one = config(1);
  one.peers[0].prefix_limit = {1, 300s};
  node(1).speaker.set_config(one);
  loop_.advance(10s);
  EXPECT_TRUE(node(1).sink.routes.empty());
  two.originated.pop_back();
  node(2).speaker.set_config(two);
  loop_.advance(280s);
  EXPECT_TRUE(node(1).sink.routes.empty());
  loop_.advance(30s);
  EXPECT_EQ(node(1).sink.routes.size(), 1U);
}

TEST_F(RestartTest, stale_routes_do_not_count_against_the_limit) {
  start_all();
  auto one = config(1);
  one.peers[0].prefix_limit.count = 1;
  node(1).speaker.set_config(one);
  // Node 2 comes back with another prefix; for a moment both are held.
  node(2).speaker.stop(true);
  loop_.advance(1s);
  die(2);
  boot(2, true);
  auto two = config(2);
  two.originated = {{prefix("10.65.22.0/26"), kNormalPriority}};
  node(2).speaker.set_config(two);
  loop_.advance(20s);
  EXPECT_EQ(node(1).up(), 2U);
  EXPECT_EQ(routes(1), (Names{"10.65.22.0/26", "10.65.3.0/26"}));
}

// --- RFC 8538 --------------------------------------------------------------------------------

TEST_F(RestartTest, with_rfc_8538_a_reset_for_a_changed_parameter_keeps_routes_at_the_peer) {
  for (const bool agreed : {false, true}) {
    SCOPED_TRACE(agreed);
    boot(1);
    boot(2);
    auto one = config(1), two = config(2);
    one.peers[0].session.timers.graceful_notification = agreed;
    two.peers[0].session.timers.graceful_notification = agreed;
    node(1).speaker.set_config(one);
    node(2).speaker.set_config(two);
    loop_.advance(10s);
    ASSERT_EQ(routes(2).count("10.65.1.0/26"), 1U);
    one.peers[0].session.timers.hold = 30s;
    node(1).speaker.set_config(one);
    loop_.advance(2ms);  // it has been told, and the next session does not stand yet
    EXPECT_EQ(node(2).up(), 0U);
    EXPECT_EQ(routes(2).count("10.65.1.0/26"), agreed ? 1U : 0U);
    loop_.advance(10s);
    EXPECT_EQ(routes(2).count("10.65.1.0/26"), 1U);
    // Taken out of the configuration: that is for good.
    one.peers.clear();
    node(1).speaker.set_config(one);
    loop_.advance(5ms);
    EXPECT_EQ(routes(2).count("10.65.1.0/26"), 0U);
    die(1);
    die(2);
    loop_.advance(1s);
  }
}

// --- the other family ------------------------------------------------------------------------

class FamiliesTest : public testing::Test {
 protected:
  SpeakerConfig config(int n, bool over_v6) {
    const std::string v4 = address(n), v6 = "fd00::" + std::to_string(n);
    SpeakerConfig c;
    c.router_id = RouterId(0x0a000000U + static_cast<std::uint32_t>(n));
    c.local_as = Asn(64512);
    auto p =
        over_v6 ? sim_peer(v6, "fd00::" + std::to_string(3 - n)) : sim_peer(v4, address(3 - n));
    p.session.families = {Family::v4, Family::v6};
    c.peers = {p};
    c.originated = {{prefix("10.65." + std::to_string(n) + ".0/26"), kNormalPriority},
                    {prefix("fd65:0:0:" + std::to_string(n) + "::/122"), kNormalPriority}};
    c.export_policy.pools = {prefix("10.65.0.0/16"), prefix("fd65::/48")};
    return c;
  }
  SimLoop loop_;
  SimNetwork net_{loop_};
  SimNode one_{loop_, net_, {ip("10.0.0.1"), ip("fd00::1")}, {.seed = 1}};
  SimNode two_{loop_, net_, {ip("10.0.0.2"), ip("fd00::2")}, {.seed = 2}};
};

using Table = std::map<Prefix, std::vector<Ip>>;

TEST_F(FamiliesTest, ipv4_goes_over_an_ipv6_session_with_its_next_hop) {  // RFC 8950
  one_.speaker.set_config(config(1, true));
  two_.speaker.set_config(config(2, true));
  loop_.advance(10s);
  EXPECT_EQ(one_.sink.routes, (Table{{prefix("10.65.2.0/26"), {ip("fd00::2")}},
                                     {prefix("fd65:0:0:2::/122"), {ip("fd00::2")}}}));
  EXPECT_EQ(one_.sink.synced, 1);
  EXPECT_EQ(one_.peer("Node_fd00::2").counters.prefixes_in, 2U);
  EXPECT_EQ(one_.peer("Node_fd00::2").counters.prefixes_out, 2U);
  auto less = config(2, true);
  less.originated.erase(less.originated.begin());
  two_.speaker.set_config(less);
  loop_.advance(1s);
  EXPECT_EQ(one_.sink.routes.size(), 1U);
}

TEST_F(FamiliesTest, with_an_address_of_each_family_either_session_carries_both) {
  for (const bool over_v6 : {false, true}) {
    auto a = config(1, over_v6), b = config(2, over_v6);
    a.peers[0].session.other_next_hop = ip(over_v6 ? "10.0.0.1" : "fd00::1");
    b.peers[0].session.other_next_hop = ip(over_v6 ? "10.0.0.2" : "fd00::2");
    one_.speaker.set_config(a);
    two_.speaker.set_config(b);
    loop_.advance(10s);
    EXPECT_EQ(one_.sink.routes, (Table{{prefix("10.65.2.0/26"), {ip("10.0.0.2")}},
                                       {prefix("fd65:0:0:2::/122"), {ip("fd00::2")}}}));
  }
}

TEST_F(FamiliesTest, without_one_the_other_family_is_left_out) {
  one_.speaker.set_config(config(1, false));
  two_.speaker.set_config(config(2, false));
  loop_.advance(10s);
  EXPECT_EQ(one_.sink.routes, (Table{{prefix("10.65.2.0/26"), {ip("10.0.0.2")}}}));
  EXPECT_EQ(one_.sink.synced, 1) << "nobody waits for what cannot come";
}

TEST_F(FamiliesTest, a_session_of_one_family_and_one_of_both_meet_in_what_they_share) {
  one_.speaker.set_config(config(1, true));
  auto b = config(2, true);
  b.peers[0].session.families = {};
  two_.speaker.set_config(b);
  loop_.advance(10s);
  EXPECT_EQ(one_.sink.routes, (Table{{prefix("fd65:0:0:2::/122"), {ip("fd00::2")}}}));
  EXPECT_EQ(one_.sink.synced, 1);
}

}  // namespace
}  // namespace margay::bgp
