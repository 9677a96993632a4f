// SPDX-License-Identifier: Apache-2.0
// One batch of calc, divided between the policy and the route threads. Sets, policies and host
// endpoints go to policy alone, routes to routes alone; what both need (workloads, pools, nodes) is
// copied. Pure.
#pragma once

#include "model/desired.h"

namespace margay::agent {

struct SplitBatch {
  model::Batch policy, routes;
};
[[nodiscard]] SplitBatch split(model::Batch&& batch);

}  // namespace margay::agent
