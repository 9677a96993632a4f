// SPDX-License-Identifier: Apache-2.0
// Whether an earlier run left routes in the kernel. Asked once at start, before anything is
// written.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"

namespace margay::route {

// True: the main table of the calling thread's network namespace has a route of one of these
// protocols, IPv4 or IPv6. Blocks for as long as the kernel takes to list them.
[[nodiscard]] Result<bool> has_routes_of(std::span<const std::uint8_t> protocols);

}  // namespace margay::route
