// SPDX-License-Identifier: Apache-2.0
// The configuration in force, turned into each module's own parameters. Pure.
#pragma once

#include <optional>
#include <utility>

#include "agent/config/config.h"
#include "agent/health/servers.h"
#include "base/log.h"
#include "dataplane/managers/route_plane.h"
#include "dataplane/policy/config.h"

namespace margay::agent {

[[nodiscard]] policy::PolicyConfig policy_config(const config::Config& config);
// `bgp`: this agent speaks BGP, and so owns the routes learnt from it.
[[nodiscard]] dataplane::RouteConfig route_config(const config::Config& config, bool bgp);

[[nodiscard]] log::Level log_level(const config::Config& config);

struct Served {
  std::optional<health::Address> probes, metrics;
};
[[nodiscard]] Served served(const config::Config& config);

}  // namespace margay::agent
