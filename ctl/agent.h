// SPDX-License-Identifier: Apache-2.0
// The agent of this node, over its local API.
#pragma once

#include <string>

#include "base/result.h"
#include "ctl/columns.h"
#include "ctl/options.h"

namespace margay::ctl {

// The JSON at `target`. unavailable: no agent listens on --socket.
[[nodiscard]] Result<Json> ask_agent(const Invocation& call, const std::string& target);

}  // namespace margay::ctl
