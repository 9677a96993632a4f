// SPDX-License-Identifier: Apache-2.0
// Go's text form of a duration, as Calico's resources write it ("300ms", "1m30s", "5m0s"). Pure.
#pragma once

#include <chrono>
#include <string_view>

#include "base/result.h"

namespace margay::model {

// A sign, then numbers with a unit each: ns, us, ms, s, m, h; "0" alone is allowed.
[[nodiscard]] Result<std::chrono::nanoseconds> parse_duration(std::string_view text);

}  // namespace margay::model
