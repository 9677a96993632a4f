// SPDX-License-Identifier: Apache-2.0
// EventLoop in virtual time: nothing happens but in run_ready() and advance(). Descriptors are not
// simulated: code under test that needs them is an I/O shell and is tested against the real kernel.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "base/loop/event_loop.h"
#include "base/result.h"

namespace margay {

class SimLoop : public EventLoop {
 public:
  [[nodiscard]] Clock::time_point now() const override { return now_; }
  void post(std::function<void()> task) override { tasks_.push_back(std::move(task)); }

  [[nodiscard]] Timer after(Clock::duration delay, std::function<void()> f) override {
    return std::make_unique<SimTimer>(add(delay, std::move(f)));
  }
  // The same for what nobody takes back.
  void later(Clock::duration delay, std::function<void()> f) { (void)add(delay, std::move(f)); }
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
      if (due_.empty() || due_.front().at > end) break;
      std::pop_heap(due_.begin(), due_.end());
      const Due next = std::move(due_.back());
      due_.pop_back();
      now_ = next.at;
      if (*next.task) std::exchange(*next.task, nullptr)();
    }
    now_ = end;
  }

 private:
  using Task = std::shared_ptr<std::function<void()>>;
  // In a heap of the earliest: a simulation has millions of them.
  struct Due {
    Clock::time_point at;
    std::uint64_t number = 0;  // of two at the same time the older one comes first
    Task task;                 // emptied: taken back
    friend bool operator<(const Due& a, const Due& b) {
      return a.at != b.at ? a.at > b.at : a.number > b.number;
    }
  };
  class SimTimer : public Handle {
   public:
    explicit SimTimer(Task task) : task_(std::move(task)) {}
    ~SimTimer() override { *task_ = nullptr; }

   private:
    Task task_;
  };
  Task add(Clock::duration delay, std::function<void()> f) {
    auto task = std::make_shared<std::function<void()>>(std::move(f));
    due_.push_back({now_ + delay, ++number_, task});
    std::push_heap(due_.begin(), due_.end());
    return task;
  }
  static Watch unsupported() {
    MARGAY_ASSERT(!"SimLoop has no descriptors");
    return nullptr;
  }

  Clock::time_point now_{};
  std::deque<std::function<void()>> tasks_;
  std::vector<Due> due_;
  std::uint64_t number_ = 0;
};

}  // namespace margay
