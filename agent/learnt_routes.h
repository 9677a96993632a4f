// SPDX-License-Identifier: Apache-2.0
// Which of the kernel's routes BGP is told of: all but BGP's own, and connected networks where they
// are meant to be known (spec bgp.md 2, ignoredInterfaces). Pure.
#pragma once

#include <string>
#include <vector>

#include "bgp/rib/rib_types.h"
#include "dataplane/managers/route_plane.h"

namespace margay::agent {

// `ignored`: globs of interfaces.
[[nodiscard]] std::vector<bgp::LearntRoute> learnt_routes(
    const std::vector<dataplane::KernelRoute>& kernel, const std::vector<std::string>& ignored);

[[nodiscard]] std::vector<bgp::DataplaneChange> learnt_changes(
    const std::vector<dataplane::OwnRouteChange>& changes);

}  // namespace margay::agent
