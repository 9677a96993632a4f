// SPDX-License-Identifier: Apache-2.0
// What the dataplane threads have in common: an event loop on a thread of its own that beats, and
// work posted to it that may wait for an answer's turn.
#pragma once

#include <string>
#include <string_view>

#include "agent/health/health.h"
#include "base/loop/asio_loop.h"

namespace margay::agent {

// Registers one subsystem and beats for it, from the loop it lives on.
class Heartbeat {
 public:
  // `on_beat` runs with every beat, on the loop. All outlive this object.
  Heartbeat(EventLoop& loop, health::Health& health, std::string_view subsystem,
            std::function<void()> on_beat = {})
      : loop_(loop), health_(health), subsystem_(subsystem), on_beat_(std::move(on_beat)) {
    health_.add(subsystem_, health::kLoopLimits, loop_.now());
    beat();
  }

 private:
  static constexpr std::chrono::seconds kInterval{5};
  void beat() {
    health_.beat(subsystem_, loop_.now());
    if (on_beat_) on_beat_();
    timer_ = loop_.after(kInterval, [this] { beat(); });
  }
  EventLoop& loop_;
  health::Health& health_;
  std::string subsystem_;
  std::function<void()> on_beat_;
  EventLoop::Timer timer_;
};

}  // namespace margay::agent
