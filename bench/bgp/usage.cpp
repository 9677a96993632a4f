// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/usage.h"

#include <time.h>

#include <cstdio>
#include <fstream>
#include <string>

namespace margay::bench {
namespace {

double seconds(clockid_t clock) {
  timespec t{};
  if (::clock_gettime(clock, &t) != 0) return 0;
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

}  // namespace

double now() { return seconds(CLOCK_MONOTONIC); }
double own_cpu() { return seconds(CLOCK_PROCESS_CPUTIME_ID); }

Usage usage_of(const std::vector<int>& pids) {
  Usage sum;
  for (const int pid : pids) {
    // The scheduler's clock of a process, as clock_getcpuclockid(3) makes it: exact, unlike the
    // ticks of /proc/<pid>/stat.
    sum.cpu += seconds((~pid << 3) | 2);
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(status, line);) {
      unsigned long kib = 0;
      if (std::sscanf(line.c_str(), "VmRSS: %lu", &kib) == 1) {
        sum.rss_mib += static_cast<double>(kib) / 1024;
      } else if (std::sscanf(line.c_str(), "VmHWM: %lu", &kib) == 1) {
        sum.peak_rss_mib += static_cast<double>(kib) / 1024;
      }
    }
  }
  return sum;
}

}  // namespace margay::bench
