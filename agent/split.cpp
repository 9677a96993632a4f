// SPDX-License-Identifier: Apache-2.0
#include "agent/split.h"

#include <type_traits>
#include <utility>

namespace margay::agent {
namespace {

template <typename T, typename... Options>
inline constexpr bool is_one_of = (std::is_same_v<T, Options> || ...);

template <typename T>
inline constexpr bool for_routes_only = is_one_of<T, model::RouteTarget, model::RouteRemove>;

template <typename T>
inline constexpr bool for_both =
    is_one_of<T, model::LocalWorkload, model::WorkloadRemove, model::DesiredPool, model::PoolRemove,
              model::Vtep, model::VtepRemove, model::HostAddresses, model::HostRemove,
              model::LocalNode, model::EncapInUse>;

}  // namespace

SplitBatch split(model::Batch&& batch) {
  SplitBatch out;
  out.policy.in_sync = out.routes.in_sync = batch.in_sync;
  out.policy.since = out.routes.since = batch.since;
  for (model::Change& change : batch.changes) {
    std::visit(
        [&]<typename T>(T& value) {
          if constexpr (for_both<T>) out.routes.changes.emplace_back(value);
          if constexpr (for_routes_only<T>) {
            out.routes.changes.emplace_back(std::move(value));
          } else {
            out.policy.changes.emplace_back(std::move(value));
          }
        },
        change);
  }
  return out;
}

}  // namespace margay::agent
