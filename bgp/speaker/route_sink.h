// SPDX-License-Identifier: Apache-2.0
// Where the speaker's best routes go (the agent's adapter over the dataplane's route table; a map
// in tests). Called on the bgp loop, in batches, only for routes that the kernel policy lets
// through.
#pragma once

#include <vector>

#include "bgp/rib/rib_types.h"

namespace margay::bgp {

class RouteSink {
 public:
  virtual ~RouteSink() = default;
  // Each prefix at most once in a batch; a replacement gives the whole new set of next hops.
  virtual void apply(std::vector<RouteChange> changes) = 0;
  // Once: every configured peer has sent its routes or has had its time. Routes of an earlier run
  // that were not named until now are stale.
  virtual void initial_sync_done() = 0;
};

}  // namespace margay::bgp
