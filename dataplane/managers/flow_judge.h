// SPDX-License-Identifier: Apache-2.0
// Who decides whether a connection may stand: calculation's evaluator, which this layer cannot see,
// so that whoever builds the planes hands it in.
#pragma once

#include <functional>

#include "dataplane/conntrack/flow.h"
#include "model/policy_tables.h"

namespace margay::managers {

enum class FlowWay { to_workload, from_workload };

// Is a first packet like this one allowed? Its destination is the one behind any DNAT.
using FlowJudge =
    std::function<bool(const model::LocalWorkload& workload, FlowWay way,
                       const conntrack::Tuple& packet, const model::PolicyTables& tables)>;

}  // namespace margay::managers
