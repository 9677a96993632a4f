// SPDX-License-Identifier: Apache-2.0
// Times for people to read, by the wall clock. Nothing may wait by it: a step of it moves no timer
// (scripts/check-clocks). Any thread.
#pragma once

#include <chrono>
#include <string>

namespace margay::wall_clock {

// RFC 3339 in UTC, to the second: "2026-01-02T03:04:05Z".
[[nodiscard]] std::string utc(std::chrono::system_clock::time_point when);
[[nodiscard]] std::string utc_now();
// So long ago as the loop's clock says.
[[nodiscard]] std::string utc_ago(std::chrono::steady_clock::duration age);

}  // namespace margay::wall_clock
