// SPDX-License-Identifier: Apache-2.0
#include "base/wall_clock.h"

#include <array>
#include <ctime>

namespace margay::wall_clock {

using std::chrono::system_clock;

std::string utc(system_clock::time_point when) {
  const std::time_t seconds = system_clock::to_time_t(when);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

std::string utc_now() { return utc(system_clock::now()); }

std::string utc_ago(std::chrono::steady_clock::duration age) {
  return utc(system_clock::now() - std::chrono::duration_cast<system_clock::duration>(age));
}

}  // namespace margay::wall_clock
