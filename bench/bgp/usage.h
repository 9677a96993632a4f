// SPDX-License-Identifier: Apache-2.0
// Clocks of the load tool, and what the processes under test cost. Seconds as double: they end up
// in JSON.
#pragma once

#include <vector>

namespace margay::bench {

[[nodiscard]] double now();      // monotonic
[[nodiscard]] double own_cpu();  // of this process

struct Usage {
  double cpu = 0;  // seconds, all threads, those that have ended included
  double rss_mib = 0, peak_rss_mib = 0;
};
// Summed; a process that has gone counts nothing.
[[nodiscard]] Usage usage_of(const std::vector<int>& pids);

}  // namespace margay::bench
