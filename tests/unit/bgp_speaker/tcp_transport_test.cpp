// SPDX-License-Identifier: Apache-2.0
// Streams over the kernel's TCP, whose other end the test holds.
#include "bgp/speaker/tcp_transport.h"

#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/net/tcp.h"
#include "bgp/speaker/speaker.h"
#include "tests/support/run_until.h"
#include "tests/unit/bgp_speaker/world.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;

class TcpTransportTest : public testing::Test {
 protected:
  void SetUp() override {
    const Ip here = ip("127.0.0.1");
    auto listener = transport_.listen({{here}, 0}, [this](std::unique_ptr<Stream> stream) {
      stream_ = std::move(stream);
      StreamEvents events;
      events.on_data = [this](wire::Bytes bytes) { told_.push_back(bytes.size()); };
      events.on_closed = [this](int error) { closed_ = error; };
      transport_.adopt(*stream_, {}, std::move(events));
    });
    ASSERT_TRUE(listener);
    auto socket = net::tcp_socket(Family::v4, std::nullopt);
    ASSERT_TRUE(socket);
    other_ = std::move(*socket);
    (void)net::tcp_connect(other_.get(), {here, (*listener)->port()});
    ASSERT_TRUE(run_until(loop_, [&] { return stream_ != nullptr; }));
  }
  void send(std::size_t bytes) {
    const std::vector<std::uint8_t> some(bytes, 0xff);
    EXPECT_EQ(net::write_some(other_.get(), some), static_cast<long>(bytes));
  }
  // Until the kernel on this side has it all, and the loop has been round once more.
  [[nodiscard]] bool arrived() {
    const auto acknowledged = [this] {
      int unacknowledged = -1;
      return ::ioctl(other_.get(), SIOCOUTQ, &unacknowledged) == 0 && unacknowledged == 0;
    };
    int rounds = 0;
    return run_until(loop_, acknowledged) && run_until(loop_, [&] { return ++rounds > 2; });
  }
  void reset() {
    const linger at_once{1, 0};
    EXPECT_EQ(::setsockopt(other_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    other_ = Fd();
  }

  AsioLoop loop_{"test"};
  TcpTransport transport_{loop_};
  std::unique_ptr<Stream> stream_;
  Fd other_;
  std::vector<std::size_t> told_;
  std::optional<int> closed_;
};

TEST_F(TcpTransportTest, below_the_low_water_mark_nobody_is_told) {
  stream_->set_low_water(20);
  send(19);
  ASSERT_TRUE(arrived());
  EXPECT_TRUE(told_.empty());
  send(1);
  ASSERT_TRUE(run_until(loop_, [&] { return !told_.empty(); }));
  EXPECT_EQ(told_, std::vector<std::size_t>{20});
}

TEST_F(TcpTransportTest, a_lower_mark_tells_of_what_waits) {
  stream_->set_low_water(20);
  send(5);
  ASSERT_TRUE(arrived());
  stream_->set_low_water(1);
  ASSERT_TRUE(run_until(loop_, [&] { return !told_.empty(); }));
  EXPECT_EQ(told_, std::vector<std::size_t>{5});
}

TEST_F(TcpTransportTest, the_end_is_told_whatever_the_mark) {
  stream_->set_low_water(20);
  send(19);
  ASSERT_TRUE(arrived());
  other_ = Fd();
  ASSERT_TRUE(run_until(loop_, [&] { return closed_.has_value(); }));
  EXPECT_EQ(told_, std::vector<std::size_t>{19});
  EXPECT_EQ(closed_, 0);
}

TEST_F(TcpTransportTest, a_reset_is_told_whatever_the_mark) {
  stream_->set_low_water(20);
  send(19);
  ASSERT_TRUE(arrived());
  reset();
  ASSERT_TRUE(run_until(loop_, [&] { return closed_.has_value(); }));
  EXPECT_EQ(closed_, ECONNRESET);
}

TEST_F(TcpTransportTest, what_waits_is_taken_with_its_age) {
  EXPECT_TRUE(stream_->take().bytes.empty());
  stream_->set_low_water(20);
  const auto sent = loop_.now();
  send(19);
  ASSERT_TRUE(arrived());
  const auto there = loop_.now();
  ASSERT_TRUE(run_until(loop_, [&] { return loop_.now() > there + 100ms; }));
  const auto before = loop_.now();
  const auto waiting = stream_->take();
  EXPECT_EQ(waiting.bytes.size(), 19U);
  EXPECT_LE(waiting.age, loop_.now() - sent);
  EXPECT_GE(waiting.age, before - there - 20ms);
  EXPECT_TRUE(stream_->take().bytes.empty());
  EXPECT_TRUE(told_.empty());
}

// The socket tells an error once, and taking is the first to see it.
TEST_F(TcpTransportTest, taking_does_not_swallow_the_end) {
  reset();
  (void)stream_->take();
  ASSERT_TRUE(run_until(loop_, [&] { return closed_.has_value(); }));
  EXPECT_EQ(closed_, ECONNRESET);
}

// What was left waiting counts, from when it came; and then no longer.
TEST(SpeakerOverTcp, keeps_a_peer_that_talks_and_ends_one_that_is_silent) {
  AsioLoop loop("test");
  TcpTransport transport(loop);
  MapSink sink;
  metrics::Registry registry;
  Speaker speaker(loop, transport, sink, registry);
  const auto listener = net::tcp_listen(ip("127.0.0.2"), 0);
  ASSERT_TRUE(listener);
  SpeakerConfig config;
  config.router_id = RouterId(1);
  config.local_as = Asn(64512);
  config.listen_addresses = {ip("127.0.0.1")};
  config.listen_port = 0;
  config.peers = {sim_peer("127.0.0.1", "127.0.0.2", 64512, 65001)};
  config.peers[0].session.port = net::local_endpoint(listener->get()).port;
  config.peers[0].session.timers.hold = 3s;
  speaker.set_config(config);
  Fd peer;
  ASSERT_TRUE(run_until(loop, [&] {
    auto accepted = net::tcp_accept(listener->get());
    if (accepted && *accepted) peer = std::move(*accepted);
    return static_cast<bool>(peer);
  }));
  wire::Open open;
  open.asn = Asn(65001);
  open.hold_time = 90;
  open.id = RouterId(2);
  wire::Buffer keepalive, hello;
  wire::encode_keepalive(keepalive);
  wire::encode_open(hello, open);
  wire::encode_keepalive(hello);
  ASSERT_EQ(net::write_some(peer.get(), hello), static_cast<long>(hello.size()));
  ASSERT_TRUE(run_until(loop, [&] { return speaker.summary().established == 1; }));
  const auto half = loop.now() + 1500ms;
  ASSERT_TRUE(run_until(loop, [&] { return loop.now() >= half; }));
  const auto last = loop.now();
  ASSERT_EQ(net::write_some(peer.get(), keepalive), static_cast<long>(keepalive.size()));
  ASSERT_TRUE(run_until(loop, [&] { return speaker.summary().established == 0; }));
  EXPECT_GE(loop.now() - last, 3s);
  EXPECT_EQ(speaker.status().peers.at(0).last_error, "BGP Error: Hold timer expired");
}

}  // namespace
}  // namespace margay::bgp
