// SPDX-License-Identifier: Apache-2.0
// What runs beside the core loop: the two planes, BGP, the servers of probes and metrics; and how
// what the core decides reaches them. Members are called on the core's thread; destruction ends the
// threads and leaves the kernel as it is.
#pragma once

#include <functional>
#include <memory>

#include "agent/bgp_thread.h"
#include "agent/core.h"
#include "agent/health/health.h"
#include "agent/health/servers.h"
#include "agent/local_api/local_api.h"
#include "agent/policy_thread.h"
#include "agent/route_thread.h"
#include "base/metrics.h"

namespace margay::agent {

class Subsystems {
 public:
  // `fatal` is called, on any thread, when the process must be started anew.
  Subsystems(const config::Config& config, bool speaks_bgp, std::function<void()> fatal);
  Subsystems(const Subsystems&) = delete;
  Subsystems& operator=(const Subsystems&) = delete;

  [[nodiscard]] Core::Outputs outputs();  // valid as long as this object
  void offer(local_api::LocalApi& api);   // what each of them shows
  [[nodiscard]] health::Health& health() { return health_; }
  [[nodiscard]] metrics::Registry& registry() { return registry_; }

 private:
  void configure(const config::Config& config);
  void configure(const bgp::SpeakerConfig& config);

  metrics::Registry registry_;
  health::Health health_;
  bool speaks_bgp_;
  dataplane::RouteConfig route_config_;  // from the configuration and from BGP's
  PolicyThread policy_;
  RouteThread routes_;
  std::unique_ptr<BgpThread> bgp_;  // null: BGP is somebody else's, or nobody's
  health::Servers servers_;
};

}  // namespace margay::agent
