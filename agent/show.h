// SPDX-License-Identifier: Apache-2.0
// The subsystems' states as JSON, for the local API. Each begins with `want` and `have`, of the
// same keys, `pending` (they differ and somebody is at it) and `lastError` (empty: none). Pure.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/border.h"
#include "agent/calc/graph.h"
#include "agent/config/config.h"
#include "agent/sync/source.h"
#include "base/loop/event_loop.h"
#include "bgp/speaker/status.h"
#include "dataplane/managers/policy_plane.h"
#include "dataplane/managers/route_plane.h"
#include "datastore/sqlite/sqlite_store.h"

namespace margay::agent {

// `now` turns the steady clock's points into ages in seconds.
[[nodiscard]] std::string show_policy(const managers::PolicyStatus& status,
                                      const managers::PolicyPlane::Holdings& holdings,
                                      Clock::time_point now);
// Chains of other software that drop by default.
[[nodiscard]] std::string show_foreign(const managers::PolicyStatus& status);
[[nodiscard]] std::string show_routes(const dataplane::RoutePlaneStatus& status,
                                      const std::vector<dataplane::InterfaceState>& interfaces,
                                      Clock::time_point now);
// What a person should know of the source: that it is away, since when, what that means. Empty:
// all is well.
[[nodiscard]] std::string sync_detail(const sync::Status& status, bool in_sync_once,
                                      Clock::time_point now);
// The same of the store of a single host.
[[nodiscard]] std::string store_detail(const std::optional<datastore::StoreFailing>& failing,
                                       Clock::time_point now);
[[nodiscard]] std::string show_store(const datastore::SqliteStats& stats, Clock::time_point now);
[[nodiscard]] std::string show_sync(const sync::Status& status, Clock::time_point now);
[[nodiscard]] std::string show_calc(const calc::Counts& counts, const Border& border,
                                    const std::vector<bgp::Problem>& bgp_problems, bool pending);
[[nodiscard]] std::string show_bgp(const bgp::SpeakerStatus& status);
[[nodiscard]] std::string show_bgp_routes(const bgp::SpeakerStatus& status,
                                          const std::vector<bgp::RouteStatus>& routes);
[[nodiscard]] std::string show_bgp_explanation(
    const std::optional<bgp::RouteExplanation>& explanation);
// In the Prometheus text format; by peers, who come and go, so no instruments of the registry.
[[nodiscard]] std::string bgp_peer_metrics(const bgp::SpeakerStatus& status);
[[nodiscard]] std::string show_config(const config::Config& config);

}  // namespace margay::agent
