// SPDX-License-Identifier: Apache-2.0
// Objects that the kernel refused: why, how often, and when to try again (doubling from 100 ms to
// 30 s). Pure: the caller brings the time and owns the timer.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/loop/event_loop.h"

namespace margay::reconcile {

struct Failure {
  int sys_errno = 0;
  std::string reason;
  unsigned attempts = 0;
  Clock::time_point due{};
};

template <typename Key>
class RetryList {
 public:
  static constexpr std::chrono::milliseconds kFirst{100};
  static constexpr std::chrono::milliseconds kLongest{30'000};

  // Returns how many times it has failed now.
  unsigned failed(const Key& key, int sys_errno, std::string reason, Clock::time_point now) {
    Failure& f = failures_[key];
    const unsigned doublings = std::min(f.attempts, 9U);
    ++f.attempts;
    f.sys_errno = sys_errno;
    f.reason = std::move(reason);
    f.due = now + std::min<Clock::duration>(kFirst * (1U << doublings), kLongest);
    return f.attempts;
  }
  void clear(const Key& key) {
    if (!failures_.empty()) failures_.erase(key);
  }
  // Waits until its time, or for an event that changes it.
  [[nodiscard]] bool waiting(const Key& key, Clock::time_point now) const {
    if (failures_.empty()) return false;
    const auto it = failures_.find(key);
    return it != failures_.end() && it->second.due > now;
  }
  // Those whose time has come; they stay listed until clear() or failed() again.
  [[nodiscard]] std::vector<Key> due(Clock::time_point now) const {
    std::vector<Key> keys;
    for (const auto& [key, f] : failures_) {
      if (f.due <= now) keys.push_back(key);
    }
    return keys;
  }
  // The earliest time after `now` at which something is due.
  [[nodiscard]] std::optional<Clock::time_point> next_after(Clock::time_point now) const {
    std::optional<Clock::time_point> next;
    for (const auto& [key, f] : failures_) {
      if (f.due > now && (!next || f.due < *next)) next = f.due;
    }
    return next;
  }
  [[nodiscard]] std::size_t size() const { return failures_.size(); }
  [[nodiscard]] const std::map<Key, Failure>& all() const { return failures_; }

 private:
  std::map<Key, Failure> failures_;
};

}  // namespace margay::reconcile
