// SPDX-License-Identifier: Apache-2.0
// What the session with a peer at rest leaves unread, and what that must not change. The peer sends
// what the test says, when it says so.
#include <gtest/gtest.h>

#include "tests/unit/bgp_speaker/world.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;

wire::Buffer keepalive() {
  wire::Buffer out;
  wire::encode_keepalive(out);
  return out;
}

// 10.0.0.1 is a speaker of ours, which dials; 10.0.0.2 is not.
class Pair {
 public:
  explicit Pair(std::chrono::seconds hold, std::chrono::seconds our_keepalive = 0s) {
    auto made =
        transport_.listen({{}, kBgpPort}, [this](auto stream) { greet(std::move(stream)); });
    listener_ = std::move(*made);
    SpeakerConfig c;
    c.router_id = RouterId(0x0a000001);
    c.local_as = Asn(64512);
    c.peers = {sim_peer("10.0.0.1", "10.0.0.2", 64512, 65001)};
    c.peers[0].session.timers.hold = hold;
    c.peers[0].session.timers.keepalive = our_keepalive;
    ours_.speaker.set_config(c);
    loop.advance(5ms);
    EXPECT_EQ(changed.size(), 1U);
  }
  void say(std::span<const std::uint8_t> bytes) { EXPECT_EQ(stream_->write(bytes), bytes.size()); }
  [[nodiscard]] PeerStatus status() const { return ours_.peer("Node_10.0.0.2"); }
  [[nodiscard]] std::uint64_t wakeups() { return net_.wakeups[ip("10.0.0.1")]; }

  SimLoop loop;
  std::vector<Clock::time_point> changed;  // when the session came or went

 private:
  void greet(std::unique_ptr<Stream> stream) {
    stream_ = std::move(stream);
    StreamEvents events;
    events.on_data = [](wire::Bytes) {};
    events.on_closed = [](int) {};
    transport_.adopt(*stream_, {}, std::move(events));
    wire::Open open;
    open.asn = Asn(65001);
    open.hold_time = 240;
    open.id = RouterId(0x0a000002);
    wire::Buffer bytes;
    wire::encode_open(bytes, open);
    wire::encode_keepalive(bytes);
    say(bytes);
  }

  SimNetwork net_{loop};
  SimTransport transport_{net_, {ip("10.0.0.2")}};
  std::unique_ptr<Transport::Listener> listener_;
  std::unique_ptr<Stream> stream_;
  SimNode ours_{loop, net_, {ip("10.0.0.1")}, {.seed = 1, .on_summary = [this] {
                                                 changed.push_back(loop.now());
                                               }}};
};

TEST(IdleSession, is_not_woken_by_keepalives) {
  Pair pair(90s, 20s);
  const std::uint64_t before = pair.wakeups();
  for (int i = 0; i < 20; ++i) {
    pair.loop.advance(30s);
    pair.say(keepalive());
  }
  EXPECT_EQ(pair.wakeups(), before);
  EXPECT_EQ(pair.status().state, "up");
  EXPECT_GE(pair.status().counters.messages_in, 20U);
}

// Wherever the network cuts them: a rest may be shorter than what a session at rest is woken by.
TEST(IdleSession, hears_everything_but_keepalives_at_once) {
  wire::Buffer bytes = keepalive();
  wire::encode_end_of_rib(bytes, Family::v4);
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    Pair pair(90s);
    const std::uint64_t before = pair.status().counters.updates_in;
    pair.say(std::span(bytes).first(cut));
    pair.loop.advance(2ms);
    pair.say(std::span(bytes).subspan(cut));
    pair.loop.advance(2ms);
    EXPECT_EQ(pair.status().counters.updates_in, before + 1) << cut;
    pair.say(keepalive());  // at rest again
    const std::uint64_t told = pair.wakeups();
    pair.loop.advance(2ms);
    EXPECT_EQ(pair.wakeups(), told) << cut;
  }
}

// Also what came after our last look counts, and from when it came.
TEST(IdleSession, ends_within_a_tick_of_the_hold_time_after_the_last_keepalive) {
  constexpr auto kHold = 9s;
  constexpr auto kTick = 375ms, kLatency = 1ms;
  for (auto at = 100ms; at < kHold; at += 100ms) {
    Pair pair(kHold);
    pair.loop.advance(at - 5ms);
    pair.say(keepalive());
    const auto last = pair.loop.now() + kLatency;
    pair.loop.advance(2 * kHold);
    ASSERT_GE(pair.changed.size(), 2U);
    EXPECT_GE(pair.changed[1] - last, kHold) << at.count();
    EXPECT_LE(pair.changed[1] - last, kHold + kTick) << at.count();
  }
}

// A message that never comes to its end is none.
TEST(IdleSession, ends_while_half_a_message_waits) {
  Pair pair(9s);
  pair.loop.advance(5s);
  pair.say(std::span<const std::uint8_t>(keepalive()).first(10));
  pair.loop.advance(4s + 400ms);
  EXPECT_EQ(pair.changed.size(), 2U);
  EXPECT_EQ(pair.status().last_error, "BGP Error: Hold timer expired");
}

}  // namespace
}  // namespace margay::bgp
