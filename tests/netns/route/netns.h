// SPDX-License-Identifier: Apache-2.0
// A test in a network namespace of its own: Netns moves the calling thread into a fresh, empty one
// (it disappears with its last user), run() executes a command there, json() reads its JSON output.
// Needs root; tests skip without.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "base/loop/asio_loop.h"

namespace margay::test {

inline std::string run(const std::string& command, bool must_succeed = true) {
  std::string out;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "re");
  if (pipe == nullptr) return out;
  char buffer[4096];
  for (;;) {
    const std::size_t n = ::fread(buffer, 1, sizeof buffer, pipe);
    if (n == 0) break;
    out.append(buffer, n);
  }
  const int rc = ::pclose(pipe);
  if (must_succeed) {
    EXPECT_EQ(rc, 0) << command << "\n" << out;
  }
  return out;
}

inline nlohmann::json json(const std::string& command) {
  const std::string out = run(command);
  return nlohmann::json::parse(out.empty() ? "[]" : out, nullptr, false);
}

class NetnsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root for a network namespace";
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0) << "unshare(CLONE_NEWNET)";
    run("ip link set lo up");
  }

  // Runs the loop until the condition holds; false after the time given.
  bool until(const std::function<bool()>& condition,
             std::chrono::milliseconds limit = std::chrono::milliseconds(5000)) {
    const auto end = loop_.now() + limit;
    bool met = false;
    EventLoop::Timer timer;
    std::function<void()> look = [&] {
      met = condition();
      if (met || loop_.now() > end) {
        loop_.stop();
      } else {
        timer = loop_.after(std::chrono::milliseconds(1), look);
      }
    };
    loop_.restart();
    loop_.post(look);
    loop_.run();
    return met;
  }
  // Lets the loop run for a while in which nothing should happen.
  void idle(std::chrono::milliseconds time) {
    (void)until([] { return false; }, time);
  }

  AsioLoop loop_{"netns-test"};
};

}  // namespace margay::test
