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
  struct Parts {
    bool bgp = true;
    bool dataplane = true;  // false: the kernel is neither read nor written
  };
  Subsystems(const config::Config& config, Parts parts, std::function<void()> fatal);
  ~Subsystems();
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
  Parts parts_;
  dataplane::RouteConfig route_config_;   // from the configuration and from BGP's
  std::unique_ptr<PolicyThread> policy_;  // these two: null without a dataplane
  std::unique_ptr<RouteThread> routes_;
  health::Servers servers_;         // asks BGP, and so stops first, and stays until BGP is gone
  std::unique_ptr<BgpThread> bgp_;  // null: BGP is somebody else's, or nobody's
};

}  // namespace margay::agent
