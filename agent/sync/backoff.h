// SPDX-License-Identifier: Apache-2.0
// How long to wait before the next attempt: doubling from min to max, each between half and the
// whole, so that a thousand agents that lost one server do not come back in step. Deterministic
// from its seed.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/loop/event_loop.h"

namespace margay::sync {

class Backoff {
 public:
  Backoff(Clock::duration min, Clock::duration max, std::uint64_t seed)
      : min_(min), max_(max), next_(min), state_(seed) {}
  [[nodiscard]] Clock::duration next() {
    const auto whole = next_;
    next_ = std::min(next_ * 2, max_);
    const auto half = whole.count() / 2;
    return Clock::duration(
        half +
        static_cast<Clock::rep>(random() % (static_cast<std::uint64_t>(whole.count() - half) + 1)));
  }
  void reset() { next_ = min_; }

 private:
  std::uint64_t random() {  // splitmix64
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  Clock::duration min_;
  Clock::duration max_;
  Clock::duration next_;
  std::uint64_t state_;
};

}  // namespace margay::sync
