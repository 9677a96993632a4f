// SPDX-License-Identifier: Apache-2.0
// Runs a real loop on the test's thread until something is true, looking again after each event of
// the loop or, for what happens on other threads, each millisecond. For code over real sockets.
#pragma once

#include "base/loop/asio_loop.h"

namespace margay {

// false: still not true after `limit`.
template <typename Predicate>
[[nodiscard]] bool run_until(AsioLoop& loop, Predicate done,
                             Clock::duration limit = std::chrono::seconds(20)) {
  const auto end = loop.now() + limit;
  EventLoop::Timer timer;
  std::function<void()> look = [&] {
    if (done() || loop.now() >= end) {
      loop.stop();
      return;
    }
    timer = loop.after(std::chrono::milliseconds(1), look);
  };
  loop.post(look);
  loop.run();
  loop.restart();
  return done();
}

}  // namespace margay
