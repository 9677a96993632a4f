// SPDX-License-Identifier: Apache-2.0
// The service manager's notification protocol (sd_notify): state lines to the socket that
// NOTIFY_SOCKET names. Without one, nothing happens.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace margay::service_manager {

// "READY=1", "WATCHDOG=1", "STATUS=...". Any thread.
void notify(std::string_view state);
// Half of WATCHDOG_USEC: how often to send WATCHDOG=1; absent when no watchdog runs for this
// process.
[[nodiscard]] std::optional<std::chrono::microseconds> watchdog_interval();

}  // namespace margay::service_manager
