// SPDX-License-Identifier: Apache-2.0
// One thread, one queue: timers, descriptor readiness and posted tasks. Everything that needs time
// or readiness takes an EventLoop&, so that tests run it on SimLoop (tests/support) in virtual
// time. post() is the only member that other threads may call. A handler should run under 10 ms.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace margay {

using Clock = std::chrono::steady_clock;

class EventLoop {
 public:
  class Handle {  // destroying it cancels: no call afterwards (on the loop's thread)
   public:
    virtual ~Handle() = default;
  };
  using Timer = std::unique_ptr<Handle>;
  using Watch = std::unique_ptr<Handle>;

  virtual ~EventLoop() = default;
  [[nodiscard]] virtual Clock::time_point now() const = 0;
  virtual void post(std::function<void()> task) = 0;
  [[nodiscard]] virtual Timer after(Clock::duration delay, std::function<void()> f) = 0;
  // Level-triggered readiness of `fd`, which must be non-blocking and outlive the watch.
  [[nodiscard]] virtual Watch readable(int fd, std::function<void()> f) = 0;
  [[nodiscard]] virtual Watch writable(int fd, std::function<void()> f) = 0;
};

}  // namespace margay
