// SPDX-License-Identifier: Apache-2.0
// EventLoop in virtual time: nothing happens but in run_ready() and advance(). Descriptors are not
// simulated: code under test that needs them is an I/O shell and is tested against the real kernel.
#pragma once

#include <deque>
#include <map>
#include <memory>

#include "base/loop/event_loop.h"
#include "base/result.h"

namespace margay {

class SimLoop : public EventLoop {
 public:
  [[nodiscard]] Clock::time_point now() const override { return now_; }
  void post(std::function<void()> task) override { tasks_.push_back(std::move(task)); }

  [[nodiscard]] Timer after(Clock::duration delay, std::function<void()> f) override {
    auto task = std::make_shared<std::function<void()>>(std::move(f));
    timers_.emplace(now_ + delay, task);
    return std::make_unique<SimTimer>(std::move(task));
  }
  [[nodiscard]] Watch readable(int, std::function<void()>) override { return unsupported(); }
  [[nodiscard]] Watch writable(int, std::function<void()>) override { return unsupported(); }

  // Runs posted tasks, and what they post, and timers that are due, until none is left.
  void run_ready() { advance(Clock::duration::zero()); }

  // Moves time on by `d`, stopping at every timer on the way.
  void advance(Clock::duration d) {
    const auto end = now_ + d;
    for (;;) {
      while (!tasks_.empty()) {
        auto task = std::move(tasks_.front());
        tasks_.pop_front();
        task();
      }
      const auto next = timers_.begin();
      if (next == timers_.end() || next->first > end) break;
      now_ = next->first;
      const auto task = next->second;
      timers_.erase(next);
      if (*task) std::exchange(*task, nullptr)();
    }
    now_ = end;
  }

 private:
  class SimTimer : public Handle {
   public:
    explicit SimTimer(std::shared_ptr<std::function<void()>> task) : task_(std::move(task)) {}
    ~SimTimer() override { *task_ = nullptr; }

   private:
    std::shared_ptr<std::function<void()>> task_;
  };
  static Watch unsupported() {
    MARGAY_ASSERT(!"SimLoop has no descriptors");
    return nullptr;
  }

  Clock::time_point now_{};
  std::deque<std::function<void()>> tasks_;
  std::multimap<Clock::time_point, std::shared_ptr<std::function<void()>>> timers_;
};

}  // namespace margay
