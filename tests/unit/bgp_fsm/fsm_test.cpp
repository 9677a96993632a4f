// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <set>

#include "tests/unit/bgp_fsm/driven.h"

namespace margay::bgp {
namespace {

TEST(Fsm, goes_the_plain_way_up) {
  Driven d;
  d.step(fsm_event::Start{});
  EXPECT_EQ(d.connects, 1);
  EXPECT_EQ(d.fsm.state_name(), "Connect");
  d.step(fsm_event::Connected{});
  EXPECT_EQ(d.said(), "out:open ");
  EXPECT_EQ(d.fsm.state_name(), "OpenSent");
  EXPECT_EQ(d.left(FsmTimer::hold_outgoing), 240s);
  d.open(kOut);
  EXPECT_EQ(d.said(), "out:keepalive ");
  EXPECT_EQ(d.fsm.state_name(), "OpenConfirm");
  EXPECT_EQ(d.left(FsmTimer::hold_outgoing), 90s);
  d.keepalive(kOut);
  EXPECT_TRUE(d.up);
  EXPECT_EQ(d.fsm.state_name(), "Established");
  const auto& n = d.fsm.negotiated();
  EXPECT_EQ(n.hold, 90s);
  EXPECT_EQ(n.keepalive, 30s);
  EXPECT_FALSE(n.internal);
  EXPECT_TRUE(n.as4);
  EXPECT_EQ(n.families, std::vector{Family::v4});
  EXPECT_EQ(n.restart_time, 60s);
}

TEST(Fsm, keepalives_come_early_by_up_to_a_quarter) {
  Driven d;
  d.establish();
  FsmDuration least = 1h, most = 0s;
  for (int i = 0; i < 200; ++i) {
    const auto before = d.now;
    d.fsm.heard(d.now, kOut);
    d.expire(FsmTimer::keepalive_outgoing);
    EXPECT_EQ(d.said(), "out:keepalive ");
    least = std::min(least, d.now - before);
    most = std::max(most, d.now - before);
  }
  EXPECT_GE(least, 22500ms);
  EXPECT_LE(most, 30s);
  EXPECT_LT(least, 27s);
  EXPECT_GE(most, 29s);
}

Driven with_hold(std::chrono::seconds hold, std::uint64_t seed) {
  auto config = Driven::default_config();
  config.timers.hold = hold;
  config.seed = seed;
  Driven d(config);
  d.now += 37ms * seed;
  d.step(fsm_event::Start{});
  d.step(fsm_event::Connected{});
  auto open = Driven::peer_open();
  open.hold_time = 240;
  d.open(kOut, open);
  d.keepalive(kOut);
  return d;
}

// Lets a session that hears its peer all the time go on until then; when its timers fired.
std::set<FsmTime> fired_until(Driven& d, FsmTime end) {
  std::set<FsmTime> at;
  for (;;) {
    const bool hold = *d.left(FsmTimer::hold_outgoing) < *d.left(FsmTimer::keepalive_outgoing);
    const FsmTimer next = hold ? FsmTimer::hold_outgoing : FsmTimer::keepalive_outgoing;
    if (d.now + *d.left(next) > end) return at;
    d.expire(next);
    d.fsm.heard(d.now, kOut);
    at.insert(d.now);
  }
}

// So that a machine with hundreds of sessions wakes up as rarely as one with a few.
TEST(Fsm, timers_of_all_sessions_fire_on_the_same_ticks) {
  for (const auto hold : {3s, 10s, 90s, 240s}) {
    const auto keepalive = hold / 3;
    std::set<FsmTime> at;
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
      Driven d = with_hold(hold, seed);
      EXPECT_GE(*d.left(FsmTimer::keepalive_outgoing), FsmDuration(keepalive) * 3 / 4);
      EXPECT_LE(*d.left(FsmTimer::keepalive_outgoing), keepalive);
      at.merge(fired_until(d, FsmTime(1h) + keepalive * 20));
      EXPECT_EQ(d.fsm.state_name(), "Established");
    }
    EXPECT_LE(at.size(), 20U * 8) << hold.count();
    EXPECT_GE(at.size(), 10U * 8) << hold.count();
  }
}

TEST(Fsm, a_silent_peer_is_noticed_within_a_tick_of_the_hold_time_and_not_before) {
  for (const auto hold : {3s, 10s, 90s, 240s}) {
    FsmDuration least = 1h, most = 0s;
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
      Driven d = with_hold(hold, seed);
      (void)fired_until(d, d.now + hold * 2);
      d.now += 11ms * (seed % 50);
      const FsmTime last = d.now;
      d.fsm.heard(last, kOut);
      while (!d.down) d.expire(FsmTimer::hold_outgoing);
      least = std::min(least, d.now - last);
      most = std::max(most, d.now - last);
    }
    EXPECT_GE(least, hold);
    EXPECT_LE(most, hold + FsmDuration(hold) / 24);
  }
}

TEST(Fsm, hold_timer_counts_from_the_last_message) {
  Driven d;
  d.establish();
  d.now += 60s;
  d.fsm.heard(d.now, kOut);
  d.expire(FsmTimer::hold_outgoing);
  EXPECT_EQ(d.fsm.state_name(), "Established");
  EXPECT_EQ(d.left(FsmTimer::hold_outgoing), 60s);
  d.expire(FsmTimer::hold_outgoing);
  EXPECT_EQ(d.said(), "out:4/0 ");
  EXPECT_TRUE(d.down);
  EXPECT_FALSE(d.graceful);
  EXPECT_EQ(d.fsm.last_error(), "BGP Error: Hold timer expired");
  EXPECT_EQ(d.fsm.state_name(), "Idle");
}

TEST(Fsm, without_hold_time_there_are_no_keepalives) {
  Driven d;
  d.step(fsm_event::Start{});
  d.step(fsm_event::Connected{});
  auto o = Driven::peer_open();
  o.hold_time = 0;
  d.open(kOut, o);
  EXPECT_FALSE(d.left(FsmTimer::hold_outgoing).has_value());
  EXPECT_FALSE(d.left(FsmTimer::keepalive_outgoing).has_value());
}

TEST(Fsm, refuses_opens_that_do_not_fit) {
  auto wrong_as = Driven::peer_open(), own_id = Driven::peer_open(), v6 = Driven::peer_open();
  wrong_as.asn = Asn(65002);
  wrong_as.capabilities.as4 = wrong_as.asn;
  own_id.id = RouterId(10);
  v6.capabilities.multiprotocol = {{2, 1}};
  struct Row {
    const char* name;
    wire::Open open;
    const char* said;
    const char* error;
    Asn remote_as{65001};
  };
  const Row rows[] = {
      {"AS", wrong_as, "out:2/2 ", "BGP Error: Bad peer AS"},
      {"our identifier in our AS",
       [&] {
         auto o = own_id;
         o.asn = Asn(64512);
         o.capabilities.as4 = o.asn;
         return o;
       }(),
       "out:2/3 ", "BGP Error: Bad BGP identifier", Asn(64512)},
      {"our identifier in another AS is allowed", own_id, "out:keepalive ", ""},
      {"family", v6, "out:2/7 ", "BGP Error: Required capability missing"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    auto c = Driven::default_config();
    c.remote_as = row.remote_as;
    Driven d(c);
    d.step(fsm_event::Start{});
    d.step(fsm_event::Connected{});
    d.open(kOut, row.open);
    EXPECT_EQ(d.said(), row.said);
    EXPECT_EQ(d.fsm.last_error(), row.error);
  }
}

TEST(Fsm, unexpected_messages_end_the_session) {  // RFC 6608
  {
    Driven d;
    d.step(fsm_event::Start{});
    d.step(fsm_event::Connected{});
    d.keepalive(kOut);
    EXPECT_EQ(d.said(), "out:5/1 ");
  }
  {
    Driven d;
    d.step(fsm_event::Start{});
    d.step(fsm_event::Connected{});
    d.open(kOut);
    d.open(kOut);
    EXPECT_EQ(d.said(), "out:5/2 ");
  }
  {
    Driven d;
    d.establish();
    d.open(kOut);
    EXPECT_EQ(d.said(), "out:5/3 ");
    EXPECT_TRUE(d.down);
    EXPECT_FALSE(d.graceful);
  }
  {
    Driven d;
    d.step(fsm_event::Start{});
    d.step(fsm_event::Connected{});
    wire::Buffer b;
    wire::encode_end_of_rib(b, Family::v4);
    d.receive(kOut, b);
    EXPECT_EQ(d.said(), "out:5/1 ");
  }
}

TEST(Fsm, a_refused_connection_is_tried_again_after_the_delay) {
  Driven d;
  d.step(fsm_event::Start{});
  d.step(fsm_event::Closed{kOut, ECONNREFUSED});
  EXPECT_EQ(d.fsm.state_name(), "Active");
  EXPECT_EQ(d.fsm.last_error(), "Socket: Connection refused");
  EXPECT_GE(*d.left(FsmTimer::retry), 1500ms);
  EXPECT_LE(*d.left(FsmTimer::retry), 2s);
  d.expire(FsmTimer::retry);
  EXPECT_EQ(d.connects, 1);
}

TEST(Fsm, an_attempt_without_an_answer_is_given_up) {
  Driven d;
  d.step(fsm_event::Start{});
  EXPECT_EQ(d.left(FsmTimer::retry), 5s);
  d.expire(FsmTimer::retry);
  EXPECT_EQ(d.closes, 1);
  EXPECT_EQ(d.connects, 1);
  EXPECT_EQ(d.fsm.last_error(), "Socket: Connection timed out");
}

TEST(Fsm, a_passive_side_waits) {
  auto c = Driven::default_config();
  c.passive = true;
  Driven d(c);
  d.step(fsm_event::Start{});
  EXPECT_EQ(d.connects, 0);
  EXPECT_EQ(d.fsm.state_name(), "Passive");
  EXPECT_FALSE(d.left(FsmTimer::retry).has_value());
  d.step(fsm_event::Accepted{});
  d.open(kIn);
  d.keepalive(kIn);
  EXPECT_TRUE(d.up);
  d.step(fsm_event::Closed{kIn, 0});
  EXPECT_EQ(d.fsm.state_name(), "Passive");
}

TEST(Fsm, waits_longer_after_each_error_up_to_a_limit) {
  Driven d;
  d.step(fsm_event::Start{});
  std::vector<int> waits;
  for (int i = 0; i < 5; ++i) {
    d.step(fsm_event::Connected{});
    d.keepalive(kOut);  // an error
    EXPECT_FALSE(d.fsm.accepts_incoming());
    waits.push_back(static_cast<int>(
        std::chrono::ceil<std::chrono::seconds>(*d.left(FsmTimer::retry)).count()));
    d.expire(FsmTimer::retry);
    EXPECT_EQ(d.connects, 1);
  }
  const int most[] = {5, 10, 20, 30, 30};
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_LE(waits[i], most[i]);
    EXPECT_GE(waits[i] * 4, most[i] * 3);
  }
}

TEST(Fsm, a_cease_is_no_error) {
  Driven d;
  d.establish();
  d.notify(kOut, {6, 2, {3, 'b', 'y', 'e'}});
  EXPECT_TRUE(d.down);
  EXPECT_EQ(d.fsm.last_error(), "Received: Administrative shutdown (bye)");
  EXPECT_EQ(d.fsm.state_name(), "Active");
}

TEST(Fsm, a_peer_too_far_away_is_told_with_the_remedy) {
  auto c = Driven::default_config();
  c.passive = true;
  Driven d(c);
  d.step(fsm_event::Start{});
  d.step(fsm_event::Accepted{});
  d.step(fsm_event::Closed{kIn, kTooFar});
  EXPECT_EQ(d.fsm.last_error(),
            "Socket: From farther away than ttlSecurity allows (raise it, or have the peer send "
            "with TTL 255)");
}

TEST(Fsm, a_lost_connection_is_graceful_when_both_agreed) {
  Driven d;
  d.establish();
  d.step(fsm_event::Closed{kOut, ECONNRESET});
  EXPECT_TRUE(d.down);
  EXPECT_TRUE(d.graceful);
  EXPECT_EQ(d.fsm.last_error(), "Socket: Connection reset by peer");
  Driven plain;
  plain.step(fsm_event::Start{});
  plain.step(fsm_event::Connected{});
  auto o = Driven::peer_open();
  o.capabilities.graceful_restart.reset();
  plain.open(kOut, o);
  plain.keepalive(kOut);
  plain.step(fsm_event::Closed{kOut, 0});
  EXPECT_TRUE(plain.down);
  EXPECT_FALSE(plain.graceful);
}

TEST(Fsm, stopping_tells_the_peer_or_not) {
  Driven d;
  d.establish();
  d.step(fsm_event::Stop{Notification{6, 3, {}}});
  EXPECT_EQ(d.said(), "out:6/3 ");
  EXPECT_TRUE(d.down);
  EXPECT_EQ(d.closes, 1);
  Driven silent;
  silent.establish();
  silent.step(fsm_event::Stop{});
  EXPECT_EQ(silent.said(), "");
  EXPECT_EQ(silent.closes, 1);
}

TEST(Fsm, a_peer_without_capabilities_speaks_ipv4) {
  Driven d;
  d.step(fsm_event::Start{});
  d.step(fsm_event::Connected{});
  auto o = Driven::peer_open();
  o.capabilities = {};
  d.open(kOut, o);
  d.keepalive(kOut);
  EXPECT_TRUE(d.up);
  EXPECT_FALSE(d.fsm.negotiated().as4);
  EXPECT_EQ(d.fsm.negotiated().families, std::vector{Family::v4});
}

TEST(Fsm, agrees_on_path_identifiers_for_each_direction) {  // RFC 7911 4
  const struct {
    const char* name;
    std::vector<wire::AddPath> theirs;
    bool in, out;
  } rows[] = {
      {"both ways", {{{1, 1}, true, true}}, true, true},
      {"the peer only sends", {{{1, 1}, false, true}}, true, false},
      {"the peer only receives", {{{1, 1}, true, false}}, false, true},
      {"nothing said", {}, false, false},
      {"another family", {{{2, 1}, true, true}}, false, false},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    Driven d;
    d.step(fsm_event::Start{});
    d.step(fsm_event::Connected{});
    auto o = Driven::peer_open();
    o.capabilities.add_path = row.theirs;
    d.open(kOut, o);
    EXPECT_EQ(d.fsm.negotiated().decode_context().add_path_v4, row.in);
    EXPECT_FALSE(d.fsm.negotiated().decode_context().add_path_v6);
    EXPECT_EQ(!d.fsm.negotiated().add_path_out.empty(), row.out);
  }
}

TEST(Fsm, ipv6_next_hops_need_both_sides) {  // RFC 8950
  for (const bool ours : {false, true}) {
    for (const bool theirs : {false, true}) {
      auto c = Driven::default_config();
      c.v6_next_hops = ours;
      Driven d(c);
      d.step(fsm_event::Start{});
      d.step(fsm_event::Connected{});
      auto o = Driven::peer_open();
      if (theirs) o.capabilities.extended_next_hop = {{{1, 1}, 2}};
      d.open(kOut, o);
      EXPECT_EQ(d.fsm.negotiated().v6_next_hops, ours && theirs);
    }
  }
}

// A session on which both sides know RFC 8538, or only the peer.
Driven notifying(bool ours) {
  auto c = Driven::default_config();
  c.timers.graceful_notification = ours;
  Driven d(c);
  d.step(fsm_event::Start{});
  d.step(fsm_event::Connected{});
  auto o = Driven::peer_open();
  o.capabilities.graceful_restart->notification = true;
  d.open(kOut, o);
  d.keepalive(kOut);
  return d;
}

TEST(Fsm, a_notification_keeps_routes_when_both_agreed) {  // RFC 8538
  const Notification config_change{6, 6, {}}, hold{4, 0, {}}, malformed{3, 1, {}};
  const auto hard = wire::hard_reset({6, 2, {}});
  for (const bool ours : {false, true}) {
    SCOPED_TRACE(ours);
    for (const auto& n : {config_change, hold, malformed, hard}) {
      SCOPED_TRACE(wire::describe(n));
      Driven d = notifying(ours);
      d.notify(kOut, n);
      EXPECT_TRUE(d.down);
      EXPECT_EQ(d.graceful, ours && !wire::is_hard_reset(n));
    }
    Driven d = notifying(ours);
    d.now += 90s;
    d.step(fsm_event::Expired{FsmTimer::hold_outgoing});
    EXPECT_EQ(d.said(), "out:4/0 ");
    EXPECT_TRUE(d.down);
    EXPECT_EQ(d.graceful, ours);
  }
}

TEST(Fsm, what_is_for_good_is_said_as_a_hard_reset) {  // RFC 8538 4.1
  for (const bool ours : {false, true}) {
    for (const auto& [sub, hard] : {std::pair{1, true}, {2, true}, {3, true}, {6, false}}) {
      Driven d = notifying(ours);
      d.step(fsm_event::Stop{Notification{6, static_cast<std::uint8_t>(sub), {}}});
      EXPECT_EQ(d.said(), ours && hard ? "out:6/9 " : "out:6/" + std::to_string(sub) + " ");
    }
  }
}

TEST(Fsm, a_passed_limit_waits_as_it_is_told_to) {
  using Retry = fsm_event::Retry;
  Driven d;
  d.establish();
  d.step(fsm_event::BadStream{kOut, {6, 1, {}}, {Retry::Kind::pause, 600s}});
  EXPECT_EQ(d.said(), "out:6/1 ");
  EXPECT_TRUE(d.down);
  EXPECT_EQ(d.left(FsmTimer::retry), 600s);
  EXPECT_FALSE(d.fsm.accepts_incoming());
  d.expire(FsmTimer::retry);
  EXPECT_EQ(d.connects, 1);

  Driven e;
  e.establish();
  e.step(fsm_event::BadStream{kOut, {6, 1, {}}, {Retry::Kind::never, 0s}});
  EXPECT_FALSE(e.left(FsmTimer::retry).has_value());
  EXPECT_FALSE(e.fsm.accepts_incoming());
  e.step(fsm_event::Stop{});
  e.step(fsm_event::Start{});
  EXPECT_EQ(e.connects, 1);
}

}  // namespace
}  // namespace margay::bgp
