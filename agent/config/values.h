// SPDX-License-Identifier: Apache-2.0
// Parsers of the structured parameter values. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/result.h"

namespace margay::config {

using Seconds = std::chrono::duration<double>;

// A failsafe port of a host endpoint.
struct FailsafePort {
  std::uint8_t protocol = 6;
  std::optional<Prefix> net;  // absent: any address
  std::uint16_t port = 0;
  friend bool operator==(const FailsafePort&, const FailsafePort&) = default;
};
struct PortSpan {
  std::uint16_t first = 0, last = 0;  // 0, 0: none
};

// Comma list without blanks around its items and without empty ones.
[[nodiscard]] std::vector<std::string_view> split_list(std::string_view text);
// "none", or [proto:[cidr:]]port items; protocol tcp when absent (spec config-params.csv).
[[nodiscard]] Result<std::vector<FailsafePort>> parse_failsafes(std::string_view text);
[[nodiscard]] Result<PortSpan> parse_port_range(std::string_view text);
// "90", "1.5", or a Go duration: "90s", "1m30s", "100ms".
[[nodiscard]] Result<Seconds> parse_seconds(std::string_view text);

}  // namespace margay::config
