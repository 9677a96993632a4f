// SPDX-License-Identifier: Apache-2.0
// The calculation in its plainest form: everything from scratch, from a map of resources, sharing
// nothing with the graph but model types and the selector language. Slow on purpose.
#pragma once

#include <map>
#include <variant>

#include "agent/calc/graph.h"
#include "tests/unit/calc/view.h"

namespace margay::calc {

using Value = std::variant<model::NetworkPolicy, model::GlobalNetworkPolicy, model::Tier,
                           model::Profile, model::NetworkSet, model::GlobalNetworkSet,
                           model::WorkloadEndpoint, model::HostEndpoint, model::IpPool,
                           model::IpamBlock, model::Node, model::BgpConfiguration,
                           model::KubernetesNamespace, model::ServiceAccount, model::EndpointSlice>;
using Resources = std::map<model::Key, Value>;

[[nodiscard]] View reference(const Options& options, const Resources& resources);

}  // namespace margay::calc
