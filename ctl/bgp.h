// SPDX-License-Identifier: Apache-2.0
// Tables of what the agent's local API says of BGP. Pure.
#pragma once

#include <string>

#include "ctl/columns.h"

namespace margay::ctl {

// `bgp`: what it shows of "bgp". Empty `only`: every peer, else the one of that name or address.
[[nodiscard]] std::string neighbors_table(const Json& bgp, const std::string& only);
[[nodiscard]] std::string routes_table(const Json& routes);
[[nodiscard]] std::string explanation_text(const Json& explanation);

}  // namespace margay::ctl
