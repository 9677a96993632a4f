// SPDX-License-Identifier: Apache-2.0
// What all threads with an event loop have in common: they say that they still run.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/health/health.h"
#include "base/loop/event_loop.h"

namespace margay::agent {

// Registers one subsystem, and answers for it from the loop it lives on.
class Pulse {
 public:
  // `on_ask` runs before each answer, on the loop. All outlive this object, which is made and
  // destroyed on the loop, or while that stands still.
  Pulse(EventLoop& loop, health::Health& health, std::string_view subsystem,
        std::function<void()> on_ask = {})
      : health_(health), subsystem_(subsystem), on_ask_(std::move(on_ask)) {
    health_.add(subsystem_, health::kLoopLimits, [this, &loop, alive = std::weak_ptr(alive_)] {
      loop.post([this, alive] {
        if (alive.expired()) return;
        if (on_ask_) on_ask_();
        health_.answered(subsystem_);
      });
    });
  }
  ~Pulse() { health_.retire(subsystem_); }
  Pulse(const Pulse&) = delete;
  Pulse& operator=(const Pulse&) = delete;

 private:
  health::Health& health_;
  const std::string subsystem_;
  const std::function<void()> on_ask_;
  const std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace margay::agent
