// SPDX-License-Identifier: Apache-2.0
// One contract, two loops: the timer and queue rules hold for SimLoop and AsioLoop alike.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "base/loop/asio_loop.h"
#include "tests/support/sim_loop.h"

namespace margay {
namespace {

using namespace std::chrono_literals;

TEST(SimLoop, fires_timers_in_order_and_cancels_by_destruction) {
  SimLoop loop;
  std::vector<int> fired;
  auto late = loop.after(3h, [&] { fired.push_back(3); });
  auto early = loop.after(1h, [&] { fired.push_back(1); });
  auto gone = loop.after(2h, [&] { fired.push_back(2); });
  gone.reset();
  loop.advance(2h);
  EXPECT_EQ(fired, (std::vector{1}));
  loop.advance(1h);
  EXPECT_EQ(fired, (std::vector{1, 3}));
}

TEST(AsioLoop, fires_timers_in_order_and_cancels_by_destruction) {
  AsioLoop loop("test");
  std::vector<int> fired;
  auto late = loop.after(300ms, [&] {  // far enough that the next line is not reached after it
    fired.push_back(2);
    loop.stop();
  });
  auto early = loop.after(1ms, [&] { fired.push_back(1); });
  auto gone = loop.after(0ms, [&] { fired.push_back(0); });
  gone.reset();
  loop.run();
  EXPECT_EQ(fired, (std::vector{1, 2}));
}

TEST(AsioLoop, a_timer_may_destroy_its_own_handle) {
  AsioLoop loop("test");
  EventLoop::Timer timer = loop.after(0ms, [&] {
    timer.reset();
    loop.stop();
  });
  loop.run();
  EXPECT_EQ(timer, nullptr);
}

TEST(AsioLoop, watches_reading_and_writing_of_one_descriptor_apart) {
  std::array<int, 2> fds{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()), 0);
  {
    AsioLoop loop("test");
    int reads = 0;
    EventLoop::Watch reader = loop.readable(fds[0], [&] {
      char c = 0;
      ASSERT_EQ(read(fds[0], &c, 1), 1);
      if (++reads == 2) loop.stop();
    });
    EventLoop::Watch writer = loop.writable(fds[0], [&] {
      writer.reset();  // the reader stays armed
      ASSERT_EQ(write(fds[1], "ab", 2), 2);
    });
    loop.run();
    EXPECT_EQ(reads, 2);
  }
  close(fds[0]);
  close(fds[1]);
}

TEST(AsioLoop, a_closed_descriptors_number_can_be_watched_again) {
  AsioLoop loop("test");
  for (int round = 0; round < 3; ++round) {
    std::array<int, 2> fds{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()), 0);
    bool seen = false;
    EventLoop::Watch w = loop.readable(fds[0], [&] {
      seen = true;
      w.reset();
      loop.post([&] { loop.stop(); });
    });
    ASSERT_EQ(write(fds[1], "x", 1), 1);
    AsioLoop* l = &loop;
    l->run();
    EXPECT_TRUE(seen);
    close(fds[0]);
    close(fds[1]);
    l->restart();
  }
}

}  // namespace
}  // namespace margay
