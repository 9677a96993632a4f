// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/rib.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/bgp_rib/bench_rib.h"

namespace margay::bgp {
namespace {

using Options = RibBench::PeerOptions;

TEST(Rib, uses_equal_paths_together) {
  RibBench b;
  const auto p2 = b.peer(2, Options{.internal = false}), p3 = b.peer(3, Options{.internal = false});
  b.announce(p2, {"0.0.0.0/0"}, attributes("10.1.0.2", {65001}));
  b.announce(p3, {"0.0.0.0/0"}, attributes("10.1.0.3", {65002}));
  b.settle();
  EXPECT_EQ(b.kernel[prefix("0.0.0.0/0")], (Hops{ip("10.1.0.2"), ip("10.1.0.3")}));
  b.announce(p3, {"0.0.0.0/0"}, attributes("10.1.0.3", {65002, 65003}));
  b.settle();
  EXPECT_EQ(b.kernel[prefix("0.0.0.0/0")], Hops{ip("10.1.0.2")});
  b.rib.session_down(p2, false);
  b.settle();
  EXPECT_EQ(b.kernel[prefix("0.0.0.0/0")], Hops{ip("10.1.0.3")});
  b.withdraw(p3, {"0.0.0.0/0"});
  b.settle();
  EXPECT_TRUE(b.kernel.empty());
}

TEST(Rib, limits_the_next_hops_of_a_route) {
  RibBench b;
  b.config.max_paths = 2;
  b.rib.set_config(b.config);
  for (std::uint32_t n = 2; n < 6; ++n) {
    const auto p = b.peer(n, Options{.internal = false});
    b.announce(p, {"0.0.0.0/0"}, attributes("10.1.0." + std::to_string(n), {65001}));
  }
  b.settle();
  // Those of the neighbours that would win the last steps, in whatever order they came.
  EXPECT_EQ(b.kernel[prefix("0.0.0.0/0")], (Hops{ip("10.1.0.2"), ip("10.1.0.3")}));
}

TEST(Rib, ignores_what_it_must_not_use) {
  auto own_id = attributes("10.1.0.2"), own_cluster = attributes("10.1.0.2");
  own_id.originator_id = RouterId(0x0a000001);
  own_cluster.cluster_list = {RouterId(0x01000001)};
  const struct {
    const char* name;
    Attributes attributes;
    bool internal;
    bool used;
  } rows[] = {
      {"sound", attributes("10.1.0.2"), true, true},
      {"our AS in the path", attributes("10.1.0.2", {65001, 64512}), false, false},
      {"our own route reflected", own_id, true, false},
      {"our own cluster", own_cluster, true, false},
      {"ourselves as next hop", attributes("10.1.0.1"), true, false},
      {"no next hop", attributes("0.0.0.0"), true, false},
      {"a multicast next hop", attributes("224.0.0.5"), true, false},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    RibBench b;
    b.config.cluster_id = RouterId(0x01000001);
    b.rib.set_config(b.config);
    const auto p = b.peer(2, Options{.internal = row.internal});
    b.announce(p, {"10.65.1.0/26"}, row.attributes);
    b.settle();
    EXPECT_EQ(b.kernel.size(), row.used ? 1U : 0U);
    EXPECT_EQ(b.rib.counters(p).prefixes_in, 1U);
    EXPECT_EQ(b.rib.counters(p).prefixes_accepted, row.used ? 1U : 0U);
  }
}

TEST(Rib, takes_our_as_as_often_as_allowed) {
  RibBench b;
  const auto p = b.peer(2, Options{.internal = false, .allowed_local_as = 1});
  b.announce(p, {"10.65.1.0/26"}, attributes("10.1.0.2", {65001, 64512}));
  b.announce(p, {"10.65.2.0/26"}, attributes("10.1.0.2", {64512, 64512}));
  b.settle();
  EXPECT_EQ(b.kernel.size(), 1U);
}

TEST(Rib, own_routes_win_unless_the_other_is_elevated) {
  RibBench b;
  b.rib.set_originated({{prefix("10.65.1.0/26"), kNormalPriority}});
  const auto p = b.peer(2);
  auto a = attributes("10.1.0.2");
  a.local_pref = kPreferenceBase - kNormalPriority;
  b.announce(p, {"10.65.1.0/26"}, a);
  b.settle();
  EXPECT_TRUE(b.kernel.empty());
  a.local_pref = kPreferenceBase - 512;
  b.announce(p, {"10.65.1.0/26"}, a);
  b.settle();
  EXPECT_EQ(b.kernel.size(), 1U);
}

TEST(Rib, a_preference_above_the_normal_one_becomes_a_metric_below_it) {
  struct Row {
    std::optional<std::uint32_t> preference;
    std::optional<std::uint32_t> metric;
  };
  const Row rows[] = {{std::nullopt, std::nullopt},
                      {100, std::nullopt},
                      {kPreferenceBase - kNormalPriority, std::nullopt},
                      {kPreferenceBase - 1023, 1023},
                      {kPreferenceBase - 512, 512},
                      {kPreferenceBase, 1},
                      {0xffffffff, 1}};
  const auto p = prefix("10.65.1.7/32");
  RibBench b;
  const auto from = b.peer(2);
  for (const auto& row : rows) {
    SCOPED_TRACE(row.preference.value_or(0));
    auto a = attributes("10.1.0.2");
    a.local_pref = row.preference;
    b.announce(from, {p.to_string()}, a);
    b.settle();
    EXPECT_EQ(b.kernel[p], Hops{ip("10.1.0.2")});
    EXPECT_EQ(b.metrics[p], row.metric);
  }
}

TEST(Rib, keeps_stale_routes_until_they_are_swept) {
  RibBench b;
  const auto p = b.peer(2);
  b.announce(p, {"10.65.1.0/26", "10.65.2.0/26"}, attributes("10.1.0.2"));
  b.settle();
  b.rib.session_down(p, true);
  b.settle();
  EXPECT_EQ(b.kernel.size(), 2U);
  b.up(p);
  b.announce(p, {"10.65.1.0/26"}, attributes("10.1.0.2"));
  b.settle();
  EXPECT_EQ(b.kernel.size(), 2U);
  b.rib.sweep(p);
  b.settle();
  EXPECT_EQ(b.kernel.size(), 1U);
}

TEST(Rib, what_was_stale_already_goes_with_the_next_loss) {  // RFC 4724 4.2
  RibBench b;
  const auto p = b.peer(2);
  b.announce(p, {"10.65.1.0/26", "10.65.2.0/26"}, attributes("10.1.0.2"));
  b.rib.session_down(p, true);
  b.up(p);
  b.announce(p, {"10.65.1.0/26"}, attributes("10.1.0.2"));
  b.rib.session_down(p, true);
  b.settle();
  EXPECT_EQ(b.kernel.size(), 1U);
  EXPECT_TRUE(b.kernel.contains(prefix("10.65.1.0/26")));
  EXPECT_EQ(b.rib.counters(p).prefixes_fresh, 0U);
}

TEST(Rib, deferred_it_takes_routes_in_and_tells_nobody) {  // RFC 4724 4.1
  RibBench b;
  b.rib.set_deferred(true);
  b.rib.set_originated({{prefix("10.65.9.0/26"), kNormalPriority}});
  const auto source = b.peer(2, Options{.internal = false}), other = b.peer(3);
  b.announce(source, {"10.65.1.0/26", "10.65.2.0/26"}, attributes("10.1.0.2", {65001}));
  b.withdraw(source, {"10.65.2.0/26"});
  b.settle();
  EXPECT_TRUE(b.kernel.empty());
  EXPECT_TRUE(b.told(other).empty());
  EXPECT_EQ(b.ends[other], 0) << "no End-of-RIB either";
  b.rib.set_deferred(false);
  b.settle();
  EXPECT_EQ(b.kernel.size(), 1U);
  EXPECT_EQ(b.told(other), (Set{"10.65.1.0/26", "10.65.9.0/26"}));
  EXPECT_EQ(b.ends[other], 1);
  EXPECT_EQ(b.withdrawals[other], 0);
}

TEST(Rib, a_path_that_is_about_to_go_is_the_last_choice) {  // RFC 8326
  RibBench b;
  const auto leaving = b.peer(2, Options{.internal = false}), staying = b.peer(3);
  auto better = attributes("10.1.0.2", {65001}), worse = attributes("10.1.0.3", {65001, 65002});
  worse.local_pref = 1;
  b.announce(leaving, {"10.65.1.0/26"}, better);
  b.announce(staying, {"10.65.1.0/26"}, worse);
  b.settle();
  EXPECT_EQ(b.kernel[prefix("10.65.1.0/26")], Hops{ip("10.1.0.2")});
  better.communities = {kGracefulShutdown};
  b.announce(leaving, {"10.65.1.0/26"}, better);
  b.settle();
  EXPECT_EQ(b.kernel[prefix("10.65.1.0/26")], Hops{ip("10.1.0.3")});
  b.withdraw(staying, {"10.65.1.0/26"});
  b.settle();
  EXPECT_EQ(b.kernel[prefix("10.65.1.0/26")], Hops{ip("10.1.0.2")}) << "until it is gone";
  EXPECT_EQ(b.told(staying, "10.65.1.0/26").local_pref, 0U);
}

TEST(Rib, refresh_with_marks_drops_what_is_not_sent_again) {  // RFC 7313
  RibBench b;
  const auto p = b.peer(2);
  b.announce(p, {"10.65.1.0/26", "10.65.2.0/26"}, attributes("10.1.0.2"));
  b.rib.begin_refresh(p);
  b.announce(p, {"10.65.2.0/26"}, attributes("10.1.0.2"));
  b.rib.sweep(p);
  b.settle();
  EXPECT_EQ(b.kernel.size(), 1U);
}

TEST(Rib, sends_everything_again_when_asked) {
  RibBench b;
  b.rib.set_originated({{prefix("10.65.1.0/26"), kNormalPriority}});
  const auto p = b.peer(2);
  EXPECT_EQ(b.ends[p], 1) << "End-of-RIB";
  EXPECT_EQ(b.announcements[p], 1);
  b.rib.send_all(p, true);
  b.settle();
  EXPECT_EQ(b.announcements[p], 2);
  EXPECT_EQ(b.marks[p], 2);
  EXPECT_EQ(b.ends[p], 1);
}

TEST(Rib, treats_a_bad_update_as_a_withdrawal) {
  RibBench b;
  const auto p = b.peer(2);
  b.announce(p, {"10.65.1.0/26"}, attributes("10.1.0.2"));
  b.settle();
  wire::Buffer again;
  wire::UpdateWriter w(again, Family::v4, {});
  w.set_attributes(attributes("10.1.0.2"));
  w.announce(prefix("10.65.1.0/26"));
  w.finish();
  auto u = wire::decode_update(wire::Bytes(again).subspan(wire::kHeaderSize), {});
  u.treatment = wire::Treatment::treat_as_withdraw;
  b.rib.update(p, u);
  b.settle();
  EXPECT_TRUE(b.kernel.empty());
}

TEST(Rib, builds_messages_once_for_peers_of_one_group) {
  RibBench b;
  std::vector<OriginatedRoute> routes;
  for (unsigned i = 0; i < 100; ++i) {
    routes.push_back({Prefix::containing(ip("10.65.0.0").plus(i * 64), 26), kNormalPriority});
  }
  const auto p2 = b.peer(2), p3 = b.peer(3);
  b.asleep = {p2, p3};
  b.rib.set_originated(routes);
  b.settle();
  const auto one = b.rib.next_output(p2), two = b.rib.next_output(p3);
  EXPECT_EQ(one.get(), two.get()) << "the very same bytes";
}

TEST(Rib, a_slow_peer_is_sent_only_the_last_state) {
  RibBench b;
  const auto source = b.peer(2, Options{.internal = false}), slow = b.peer(3);
  b.asleep = {slow};
  for (std::uint32_t i = 0; i < 100; ++i) {
    b.announce(source, {"10.65.1.0/26"}, attributes("192.0.2.9", {65001, 1000 + i}));
    b.settle();
  }
  b.pull(slow);
  EXPECT_EQ(b.announcements[slow], 1);
  EXPECT_EQ(b.told(slow, "10.65.1.0/26").as_path.to_string(), "65001 1099");
}

// Everything that can happen, at random, in small portions of work; in the end every table is what
// a plain computation says, and nothing is left over when all is withdrawn.
TEST(Rib, random_histories_end_right_and_leave_nothing_behind) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto pick = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    RibBench b;
    b.work = 1 + pick(50);
    b.config.cluster_id = RouterId(0x01000001);
    b.rib.set_config(b.config);
    std::vector<PeerId> peers;
    for (std::uint32_t n = 2; n < 8; ++n) {
      peers.push_back(b.peer(n, Options{.internal = n != 2, .client = n > 4}));
    }
    // What each peer announces now, by local preference.
    std::map<PeerId, std::map<std::string, std::uint32_t>> held;
    std::vector<RouteChange> ignored;
    for (int i = 0; i < 400; ++i) {
      const PeerId p = peers[pick(6)];
      const std::string prefix = "10.65." + std::to_string(pick(30)) + ".0/26";
      switch (pick(8)) {
        case 0:
          b.rib.session_down(p, false);
          held[p].clear();
          b.up(p);
          break;
        case 1:
        case 2:
          b.withdraw(p, {prefix});
          held[p].erase(prefix);
          break;
        case 3:
          if (!b.asleep.erase(p)) b.asleep.insert(p);
          break;
        default: {
          auto a = attributes("192.0.2." + std::to_string(p));
          a.local_pref = 100 + pick(4) + p * 10;
          b.announce(p, {prefix}, a);
          held[p][prefix] = *a.local_pref;
          break;
        }
      }
      if (pick(3) == 0) b.settle();
    }
    b.asleep.clear();
    b.settle();
    std::map<Prefix, std::vector<Ip>> want;
    std::map<std::string, std::pair<std::uint32_t, PeerId>> best;
    for (const auto& [p, routes] : held) {
      for (const auto& [prefix, preference] : routes) {
        // LOCAL_PREF is not taken from an external peer.
        const std::uint32_t counted = b.internal[p] ? preference : 100;
        best[prefix] = std::max(best[prefix], std::pair(counted, p));
      }
    }
    for (const auto& [p, choice] : best) {
      want[prefix(p)] = {ip("192.0.2." + std::to_string(choice.second))};
    }
    EXPECT_EQ(b.kernel, want);
    for (const PeerId to : peers) {
      Set expected;
      for (const auto& [p, choice] : best) {
        const PeerId from = choice.second;
        const bool client_from = from > peers[2], client_to = to > peers[2];
        const bool both_internal = b.internal[from] && b.internal[to];
        if (from != to && (!both_internal || client_from || client_to)) expected.insert(p);
      }
      EXPECT_EQ(b.told(to), expected) << "peer " << to;
    }
    for (const PeerId p : peers) b.rib.remove_peer(p);
    b.received.clear();
    b.settle();
    b.settle();
    EXPECT_TRUE(b.kernel.empty());
    EXPECT_EQ(b.rib.destinations().size(), 0U);
    EXPECT_EQ(b.rib.attributes().size(), 0U);
  }
}

}  // namespace
}  // namespace margay::bgp
