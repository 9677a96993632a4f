// SPDX-License-Identifier: Apache-2.0
// The real EventLoop: owns one Asio io_context (hidden here) and, with run_in_thread, its thread.
#pragma once

#include <memory>
#include <string>

#include "base/loop/event_loop.h"

namespace margay {

class AsioLoop : public EventLoop {
 public:
  explicit AsioLoop(std::string name);  // the thread's name, at most 15 characters
  ~AsioLoop() override;                 // stops, and joins the thread if there is one
  AsioLoop(const AsioLoop&) = delete;
  AsioLoop& operator=(const AsioLoop&) = delete;

  [[nodiscard]] Clock::time_point now() const override { return Clock::now(); }
  void post(std::function<void()> task) override;
  [[nodiscard]] Timer after(Clock::duration delay, std::function<void()> f) override;
  [[nodiscard]] Watch readable(int fd, std::function<void()> f) override;
  [[nodiscard]] Watch writable(int fd, std::function<void()> f) override;
  // Calls f(signal number) on this loop for each of the given signals.
  [[nodiscard]] std::unique_ptr<Handle> on_signals(std::initializer_list<int> signals,
                                                   std::function<void(int)> f);

  void run();            // on the calling thread, until stop()
  void run_in_thread();  // on a thread of its own
  void stop();           // from any thread
  void join();           // stop() and wait for the thread
  void restart();        // allows run() again after stop()

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace margay
