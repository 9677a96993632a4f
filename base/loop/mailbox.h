// SPDX-License-Identifier: Apache-2.0
// Values from any thread to the thread of one loop: push() wakes the receiver once per batch,
// however many values arrive before it runs. The mailbox must outlive its loop's last task, or the
// receiver be stopped first.
#pragma once

#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "base/loop/event_loop.h"

namespace margay {

template <typename T>
class Mailbox {
 public:
  // `receive` runs on `loop` with everything that arrived, in order.
  Mailbox(EventLoop& loop, std::function<void(std::vector<T>)> receive)
      : loop_(loop), receive_(std::move(receive)) {}
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  void push(T value) {
    bool wake = false;
    {
      const std::lock_guard lock(mu_);
      wake = waiting_.empty();
      waiting_.push_back(std::move(value));
    }
    if (wake) loop_.post([this] { receive_(take()); });
  }

 private:
  std::vector<T> take() {
    const std::lock_guard lock(mu_);
    return std::exchange(waiting_, {});
  }

  EventLoop& loop_;
  std::function<void(std::vector<T>)> receive_;
  std::mutex mu_;
  std::vector<T> waiting_;
};

}  // namespace margay
