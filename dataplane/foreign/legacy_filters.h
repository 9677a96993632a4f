// SPDX-License-Identifier: Apache-2.0
// Filters of iptables-legacy and ip6tables-legacy: reads the tables that exist (reading another one
// would create it), and replaces one to change our own rules in it. The kernel says nothing when
// these tables change: LegacyEvents listens for their programs letting go of the lock that they
// share. One thread, in its network namespace.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/loop/event_loop.h"
#include "base/result.h"
#include "dataplane/foreign/filters.h"

namespace margay::foreign {

// Empty where the kernel has no such tables.
[[nodiscard]] Result<std::vector<Table>> read_legacy();
// Whether there is anything to read.
[[nodiscard]] bool legacy_in_use();
// All of the edit or nothing. Code::unavailable: another program holds the lock, try again.
[[nodiscard]] Result<void> apply_legacy(const Table& table, const Edit& edit);

class LegacyEvents {
 public:
  // Works without events where they cannot be had.
  LegacyEvents(EventLoop& loop, std::function<void()> changed);
  ~LegacyEvents();
  LegacyEvents(const LegacyEvents&) = delete;
  LegacyEvents& operator=(const LegacyEvents&) = delete;

 private:
  void read();
  void watch_lock();
  int fd_ = -1, lock_ = -1;  // lock_: the lock's watch, of which there is none before the lock
  std::function<void()> changed_;
  EventLoop::Watch watch_;
};

}  // namespace margay::foreign
