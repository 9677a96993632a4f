// SPDX-License-Identifier: Apache-2.0
// How sessions with each daemon of Debian come up and end: collisions, TTL security, words of
// farewell; and what is asked for on them.
#include "tests/interop/daemon_fixture.h"
#include "tests/interop/rendezvous.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;
using test::Kind;
using test::Plan;

class SessionTest : public DaemonTest {};
class RefreshTest : public DaemonTest {};
class PassingOnTest : public DaemonTest {};
class LongMessageTest : public DaemonTest {};
class LongOpenTest : public DaemonTest {};

Plan plain_plan() {
  Plan plan = tor_plan();
  plan.peers = {"10.99.0.1"};
  plan.announce = {"203.0.113.0/24"};
  return plan;
}

SpeakerConfig plain_config() {
  auto c = node_config();
  c.peers.pop_back();
  c.originated.pop_back();
  return c;
}

// --- collisions ----------------------------------------------------------------------------------

// One of several of our nodes that the daemon peers with, all at once.
struct Colliding {
  Colliding(AsioLoop& loop, int number, bool higher_id, Clock::duration patience)
      : higher(higher_id),
        address("10.99.0." + std::to_string(number)),
        transport(loop, patience),
        speaker(loop, transport, sink, registry) {
    auto c = config(number);
    c.router_id = RouterId((higher ? 0x0a640000U : 0x0a620000U) + static_cast<unsigned>(number));
    c.listen_addresses = {ip(address)};
    c.peers = {peer(address, "10.99.0.2", kTor)};
    c.peers[0].session.timers.hold = 3s;
    speaker.set_config(c);
  }
  [[nodiscard]] PeerStatus status() const { return speaker.status().peers[0]; }
  // The kernel's connections of this node: whether we dialled, each.
  [[nodiscard]] std::vector<bool> connections() const {
    std::vector<bool> dialled;
    const std::string all = test::output_of("ss -Htn state established src " + address);
    for (std::size_t at = all.find("10.99.0.2:"); at != all.npos; at = all.find("10.99.0.2:", at)) {
      at += 10;
      dialled.push_back(std::atoi(all.c_str() + at) == kBgpPort);
    }
    return dialled;
  }

  bool higher;
  std::string address;
  Rendezvous transport;
  MapSink sink;
  metrics::Registry registry;
  Speaker speaker;
};

// Both sides have dialled. One connection stays, of colliding ones that of the side with the higher
// identifier (RFC 4271 6.8); half of our nodes have lower ones than the daemon. GoBGP and OpenBGPD
// do not compare them: they keep the connection that they like. FRR 8.4 may take our farewell on
// the one connection for the end of the session on the other, which then comes up once more.
TEST_P(SessionTest, one_of_two_connections_stays) {
  constexpr int kFirst = 11, kNodes = 12;
  const bool compares = GetParam() == Kind::bird || GetParam() == Kind::frr;
  Plan plan;
  for (int n = kFirst; n < kFirst + kNodes; ++n) {
    plan.peers.push_back("10.99.0." + std::to_string(n));
  }
  start(plan);
  for (const auto& p : plan.peers) test::run("ip addr add " + p + "/24 dev ours");
  std::vector<std::unique_ptr<Colliding>> nodes;
  for (int n = kFirst; n < kFirst + kNodes; ++n) {
    nodes.push_back(
        std::make_unique<Colliding>(loop_, n, n % 2 == 0, compares ? Clock::duration(4s) : 500ms));
  }
  std::string said;
  // With a KEEPALIVE after the first one: what was to be closed is closed.
  EXPECT_TRUE(until([&] {
    return std::all_of(nodes.begin(), nodes.end(), [&](const auto& node) {
      const auto s = node->status();
      said = node->address + " " + s.info;
      return s.state == "up" && s.counters.messages_in > 3 && node->connections().size() == 1;
    });
  })) << said
      << daemon_->log();
  int collisions = 0;
  for (const auto& node : nodes) {
    SCOPED_TRACE(node->address + (node->higher ? ", higher identifier" : ", lower identifier"));
    const auto n = node->status().counters.established;
    if (GetParam() == Kind::bird) {
      EXPECT_EQ(n, 1U);
    }
    if (!compares || !node->transport.collided() || n != 1) continue;
    ++collisions;
    EXPECT_EQ(node->connections(), std::vector{node->higher});
  }
  EXPECT_GE(collisions, compares ? kNodes / 2 : 0);
}

// --- TTL security (RFC 5082) ---------------------------------------------------------------------

TEST_P(SessionTest, neighbours_are_near_enough) {
  Plan plan = tor_plan();
  plan.hops = {1, 1};
  start(plan);
  OurSide us(loop_);
  auto c = node_config();
  for (auto& p : c.peers) p.session.ttl_security = 1;
  us.speaker.set_config(c);
  EXPECT_TRUE(meets(us, [&] { return us.all_up() && us.sink.routes.size() == 2; }));
}

// A router in between: how many hops each side allows decides.
TEST_P(SessionTest, who_is_too_far_away_has_no_session_and_says_so) {
  const struct {
    const char* name;
    int number;  // of our address
    unsigned theirs, ours;
    bool want;
  } rows[] = {
      {"allowed by both", 1, 2, 2, true},
      {"we do not hear them", 3, 2, 1, false},
      {"they do not hear us", 4, 1, 2, false},
  };
  Plan plan = plain_plan();
  plan.behind_router = true;
  plan.peers.clear();
  for (const auto& row : rows) {
    plan.peers.push_back("10.99.0." + std::to_string(row.number));
    plan.hops.push_back(row.theirs);
  }
  start(plan);
  std::vector<std::unique_ptr<OurSide>> sides;
  for (const auto& row : rows) {
    auto c = config(row.number);
    c.peers = {peer("10.99.0." + std::to_string(row.number), "10.99.0.2", kTor)};
    c.peers[0].session.ttl_security = row.ours;
    c.peers[0].session.timers.connect_retry = 1s;
    c.peers[0].session.timers.hold = 3s;
    sides.push_back(std::make_unique<OurSide>(loop_));
    sides.back()->speaker.set_config(c);
  }
  for (std::size_t i = 0; i < sides.size(); ++i) {
    SCOPED_TRACE(rows[i].name);
    const OurSide& us = *sides[i];
    EXPECT_TRUE(meets(us, [&] {
      const auto now = us.speaker.status().peers[0];
      return rows[i].want ? us.sink.routes.size() == 1
                          : now.state != "up" && !now.last_error.empty();
    }));
    // Where they do not hear us they may notice late: FRR and OpenBGPD take the OPEN still.
    if (rows[i].ours == 1) {
      EXPECT_EQ(us.speaker.status().peers[0].counters.established, 0U);
    }
  }
}

// --- what is asked for, and words of farewell ----------------------------------------------------

// GoBGP never asks: `softresetin` looks once more at what it has.
TEST_P(RefreshTest, all_routes_come_again) {  // RFC 2918, 7313
  start(plain_plan());
  OurSide us(loop_);
  us.speaker.set_config(plain_config());
  ASSERT_TRUE(meets(us, [&] { return us.sink.routes.size() == 1; }));
  ASSERT_TRUE(knows("10.65.1.0/26", {"10.99.0.1"}));
  const auto before = us.speaker.status().peers[0].counters;
  daemon_->refresh("10.99.0.1");
  EXPECT_TRUE(until([&] {
    return us.speaker.status().peers[0].counters.updates_out > before.updates_out;
  })) << us.states()
      << daemon_->session("10.99.0.1");
  EXPECT_TRUE(knows("10.65.1.0/26", {"10.99.0.1"}));
  EXPECT_EQ(us.speaker.status().peers[0].counters.established, 1U);
}

TEST_P(SessionTest, ends_with_words_on_either_side) {  // RFC 9003
  start(plain_plan());
  {
    OurSide us(loop_);
    us.speaker.set_config(plain_config());
    ASSERT_TRUE(meets(us, [&] { return us.all_up(); }));
    us.speaker.stop(false);
  }
  std::string said;
  EXPECT_TRUE(until([&] {
    said = daemon_->session("10.99.0.1") + daemon_->log();
    return said.find("the node agent has been stopped") != said.npos;
  })) << said;
  start(plain_plan());
  OurSide us(loop_);
  us.speaker.set_config(plain_config());
  ASSERT_TRUE(meets(us, [&] { return us.all_up(); }));
  daemon_->shut("10.99.0.1", "back at noon");
  EXPECT_TRUE(until([&] {
    return us.states().find("Received: Administrative shutdown (back at noon)") !=
           std::string::npos;
  })) << us.states()
      << daemon_->session("10.99.0.1");
}

TEST_P(SessionTest, announces_what_is_about_to_go) {  // RFC 8326
  Plan plan = plain_plan();
  plan.leaving = true;
  start(plan);
  OurSide us(loop_);
  us.speaker.set_config(plain_config());
  ASSERT_TRUE(meets(us, [&] { return us.sink.routes.size() == 1; }));
  for (const auto& r : us.speaker.routes()) {
    if (r.prefix == prefix("203.0.113.0/24")) {
      EXPECT_EQ(r.local_pref, 0U);
    }
  }
}

// Two of our nodes have a number of their own towards a ToR, which passes on from one to the other
// what then has that number in its path.
TEST_P(PassingOnTest, our_own_number_is_taken_as_often_as_allowed) {
  Plan plan = plain_plan();
  plan.peers = {"10.99.0.1", "10.99.0.3"};
  plan.our_as = 64999;
  start(plan);
  OurSide one(loop_), three(loop_);
  SpeakerConfig first;
  for (auto* us : {&one, &three}) {
    const int n = us == &one ? 1 : 3;
    auto c = config(n);
    c.peers = {peer("10.99.0." + std::to_string(n), "10.99.0.2", kTor)};
    c.peers[0].session.local_as = Asn(plan.our_as);
    if (us == &three) c.originated = {{prefix("10.65.3.0/26"), kNormalPriority}};
    us->speaker.set_config(c);
    if (us == &one) first = c;
  }
  const auto received = [&] {
    RouteQuery q;
    q.view = RouteQuery::View::received;
    q.peer = "10.99.0.2";
    q.prefix = prefix("10.65.3.0/26");
    return one.speaker.routes(q);
  };
  ASSERT_TRUE(until([&] { return received().size() == 1 && one.sink.routes.size() == 1; }))
      << one.states() << three.states() << daemon_->log();
  EXPECT_EQ(received()[0].as_path, "65001 64999");
  EXPECT_FALSE(received()[0].why.empty());
  first.peers[0].allowed_local_as = 1;
  one.speaker.set_config(first);
  EXPECT_TRUE(until([&] {
    return one.hops("10.65.3.0/26") == std::vector{ip("10.99.0.2")} ||
           one.hops("10.65.3.0/26") == std::vector{ip("10.99.0.3")};
  }));
}

// One prefix whose communities alone do not fit into 4096 bytes, each way.
TEST_P(LongMessageTest, longer_than_4096_bytes_goes_both_ways) {  // RFC 8654
  constexpr unsigned kMany = 400;
  Plan plan = plain_plan();
  plan.padding = kMany;
  start(plan);
  OurSide us(loop_);
  auto c = plain_config();
  auto& ours = c.export_policy.communities.emplace_back();
  ours.cidr = prefix("10.65.0.0/16");
  for (unsigned i = 0; i < kMany; ++i) ours.communities.emplace_back(LargeCommunity{64512, i, 1});
  us.speaker.set_config(c);
  ASSERT_TRUE(meets(us, [&] { return us.sink.routes.contains(prefix("203.0.113.0/24")); }));
  for (const auto& r : us.speaker.routes()) {
    if (r.prefix == prefix("203.0.113.0/24")) {
      EXPECT_EQ(r.communities.size(), kMany + 2);
    }
  }
  const bool bird = GetParam() == Kind::bird;
  EXPECT_TRUE(knows("10.65.1.0/26", {bird ? "(64512, 399, 1)" : "64512:399:1"}));
}

// FRR is not asked: with `extended-optional-parameters` it takes every OPEN for a long one.
TEST_P(LongOpenTest, is_understood) {  // RFC 9072
  Plan plan = plain_plan();
  plan.long_open = true;
  start(plan);
  Rendezvous transport(loop_, 0s);
  MapSink sink;
  metrics::Registry registry;
  Speaker speaker(loop_, transport, sink, registry);
  speaker.set_config(plain_config());
  EXPECT_TRUE(until([&] { return sink.routes.contains(prefix("203.0.113.0/24")); }))
      << speaker.status().peers[0].info << daemon_->log();
  EXPECT_TRUE(knows("10.65.1.0/26", {"10.99.0.1"}));
  ASSERT_GT(transport.last_open().size(), 30U);
  EXPECT_EQ(transport.last_open()[29], 255) << "it is an ordinary one";
}

INSTANTIATE_TEST_SUITE_P(With, SessionTest,
                         testing::Values(Kind::bird, Kind::frr, Kind::gobgp, Kind::openbgpd),
                         kind_name);
INSTANTIATE_TEST_SUITE_P(With, RefreshTest, testing::Values(Kind::bird, Kind::frr, Kind::openbgpd),
                         kind_name);
// GoBGP passes nothing on to a peer whose number stands in the path.
INSTANTIATE_TEST_SUITE_P(With, PassingOnTest,
                         testing::Values(Kind::bird, Kind::frr, Kind::openbgpd), kind_name);
INSTANTIATE_TEST_SUITE_P(With, LongMessageTest, testing::Values(Kind::bird, Kind::frr), kind_name);
INSTANTIATE_TEST_SUITE_P(With, LongOpenTest, testing::Values(Kind::bird), kind_name);

}  // namespace
}  // namespace margay::bgp
