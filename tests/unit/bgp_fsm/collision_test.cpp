// SPDX-License-Identifier: Apache-2.0
// Two connections with one peer: which stays, and what the other one may cost.
#include "tests/unit/bgp_fsm/driven.h"

namespace margay::bgp {
namespace {

// Two connections at once: the one made by the side with the higher identifier stays (RFC
// 4271 6.8).
TEST(FsmCollision, resolves_collisions_by_identifier) {
  struct Row {
    const char* name;
    std::uint32_t their_id;
    Connection first;  // on which the OPEN comes first
    const char* said;  // when it comes on the other
    Connection survives;
  };
  const Row rows[] = {
      {"theirs is higher, ours was first", 20, kOut, "out:6/7 in:keepalive ", kIn},
      {"theirs is higher, theirs was first", 20, kIn, "out:6/7 ", kIn},
      {"ours is higher, ours was first", 5, kOut, "in:6/7 ", kOut},
      {"ours is higher, theirs was first", 5, kIn, "in:6/7 out:keepalive ", kOut},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    Driven d;
    d.step(fsm_event::Start{});
    d.step(fsm_event::Connected{});
    ASSERT_TRUE(d.fsm.accepts_incoming());
    d.step(fsm_event::Accepted{});
    EXPECT_EQ(d.said(), "in:open ");
    auto o = Driven::peer_open();
    o.id = RouterId(row.their_id);
    d.open(row.first, o);
    d.open(row.first == kOut ? kIn : kOut, o);
    EXPECT_EQ(d.said(), row.said);
    EXPECT_EQ(d.closes, 1);
    d.keepalive(row.survives);
    EXPECT_TRUE(d.up);
    EXPECT_EQ(d.fsm.established(), row.survives);
    EXPECT_EQ(d.fsm.last_error(), "");
  }
}

TEST(FsmCollision, an_established_session_wins_over_a_new_connection) {
  auto c = Driven::default_config();
  c.timers.restart = 0s;  // no graceful restart: a new connection is no sign of one
  Driven d(c);
  d.establish();
  ASSERT_TRUE(d.fsm.accepts_incoming());
  d.step(fsm_event::Accepted{});
  d.open(kIn);
  EXPECT_EQ(d.said(), "in:6/7 ");
  EXPECT_FALSE(d.down);
  EXPECT_EQ(d.fsm.established(), kOut);
}

TEST(FsmCollision, a_new_connection_of_a_graceful_peer_is_its_restart) {  // RFC 4724 5
  Driven d;
  d.establish();
  d.step(fsm_event::Accepted{});
  EXPECT_FALSE(d.down) << "it may have dialled when we did: it has to confirm";
  EXPECT_EQ(d.said(), "in:open ");
  d.open(kIn);
  EXPECT_EQ(d.said(), "");
  EXPECT_EQ(d.fsm.established(), kOut);
  d.keepalive(kIn);
  EXPECT_EQ(d.said(), "in:keepalive ");
  EXPECT_TRUE(d.down);
  EXPECT_TRUE(d.graceful);
  EXPECT_TRUE(d.up);
  EXPECT_EQ(d.fsm.established(), kIn);
  EXPECT_EQ(d.left(FsmTimer::hold_incoming), 90s);
  EXPECT_FALSE(d.left(FsmTimer::hold_outgoing).has_value());
  // On the connection that it made itself there is nothing to cross.
  d.step(fsm_event::Accepted{});
  EXPECT_TRUE(d.down);
  EXPECT_TRUE(d.graceful);
}

TEST(FsmCollision, a_connection_that_crossed_ours_leaves_the_session_alone) {  // RFC 4271 6.8
  Driven d;
  d.establish();
  d.step(fsm_event::Accepted{});
  d.open(kIn);
  d.notify(kIn, {6, 7, {}});
  EXPECT_FALSE(d.down);
  EXPECT_EQ(d.fsm.established(), kOut);
  EXPECT_EQ(d.fsm.state_name(), "Established");
  EXPECT_EQ(d.left(FsmTimer::hold_outgoing), 90s);
  // Nor does one that nobody goes on with.
  d.step(fsm_event::Accepted{});
  d.open(kIn);
  EXPECT_EQ(d.left(FsmTimer::hold_incoming), 5s);
  d.expire(FsmTimer::hold_incoming);
  EXPECT_EQ(d.said(), "in:6/7 ");
  EXPECT_FALSE(d.down);
  EXPECT_TRUE(d.fsm.accepts_incoming());
}

// Our session stands before the peer has looked at it: by its identifier it then takes the other
// connection, and closes the one that we took.
TEST(FsmCollision, goes_on_with_the_connection_that_the_peer_chose) {
  Driven d;
  d.step(fsm_event::Start{});
  d.step(fsm_event::Connected{});
  d.open(kOut);
  d.step(fsm_event::Accepted{});
  d.keepalive(kOut);
  ASSERT_EQ(d.fsm.established(), kOut);
  EXPECT_EQ(d.said(), "") << "the other one is left open";
  d.open(kIn);
  d.notify(kOut, {6, 7, {}});
  EXPECT_TRUE(d.down);
  EXPECT_EQ(d.said(), "in:keepalive ");
  EXPECT_EQ(d.fsm.state(), FsmState::open_confirm);
  d.keepalive(kIn);
  EXPECT_EQ(d.fsm.established(), kIn);
}

// A KEEPALIVE on the connection that is to go would establish it over there, where the other one
// may not have been looked at.
TEST(FsmCollision, holds_back_its_word_until_it_is_known_which_connection_stays) {
  enum class Then { opened, lost, silent };
  for (const auto then : {Then::opened, Then::lost, Then::silent}) {
    for (const bool confirmed : {false, true}) {
      SCOPED_TRACE(std::to_string(static_cast<int>(then)) + (confirmed ? " confirmed" : ""));
      Driven d;
      d.step(fsm_event::Start{});
      d.step(fsm_event::Connected{});
      d.step(fsm_event::Accepted{});
      d.open(kOut);  // the peer has the higher identifier: its own connection will stay
      EXPECT_EQ(d.said(), "");
      if (confirmed) d.keepalive(kOut);
      EXPECT_EQ(d.said(), "");
      EXPECT_FALSE(d.up);
      switch (then) {
        case Then::opened:
          d.open(kIn);
          EXPECT_EQ(d.said(), "out:6/7 in:keepalive ");
          EXPECT_FALSE(d.up);
          break;
        case Then::lost:
          d.step(fsm_event::Closed{kIn, 0});
          EXPECT_EQ(d.said(), "out:keepalive ");
          EXPECT_EQ(d.up, confirmed);
          break;
        case Then::silent:
          EXPECT_EQ(d.left(FsmTimer::hold_outgoing), 1s);
          d.expire(FsmTimer::hold_outgoing);
          EXPECT_EQ(d.said(), "in:6/7 out:keepalive ");
          EXPECT_EQ(d.up, confirmed);
          break;
      }
      const Connection stays = then == Then::opened ? kIn : kOut;
      if (!d.up) d.keepalive(stays);
      EXPECT_TRUE(d.up);
      EXPECT_EQ(d.fsm.established(), stays);
      EXPECT_EQ(d.fsm.last_error(), "");
    }
  }
}

}  // namespace
}  // namespace margay::bgp
