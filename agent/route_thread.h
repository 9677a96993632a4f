// SPDX-License-Identifier: Apache-2.0
// The route plane on its thread. All members may be called from any thread but the destructor.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "agent/local_api/local_api.h"
#include "agent/pulse.h"
#include "base/loop/asio_loop.h"
#include "base/loop/mailbox.h"
#include "base/metrics.h"
#include "dataplane/managers/route_plane.h"

namespace margay::agent {

class RouteThread {
 public:
  static constexpr std::string_view kSubsystem = "routes";

  // `events` are called on this thread.
  RouteThread(health::Health& health, metrics::Registry& registry, dataplane::RouteConfig config,
              dataplane::RoutePlaneEvents events);
  ~RouteThread();
  RouteThread(const RouteThread&) = delete;
  RouteThread& operator=(const RouteThread&) = delete;

  void apply(model::Batch batch) { batches_.push(std::move(batch)); }
  void replace_bgp_routes(std::vector<dataplane::BgpRoute> routes) {
    bgp_routes_.push(std::move(routes));
  }
  void bgp_synced();
  void configure(dataplane::RouteConfig config);
  void show(local_api::Answer answer);

  // Called on this thread. One watch at a time.
  struct KernelWatch {
    // The kernel's routes that are not ours, all of them, now and after each change.
    std::function<void(std::vector<dataplane::KernelRoute>)> foreign;
    // Ours: all of them now, then what changes.
    std::function<void(std::vector<dataplane::OwnRouteChange>)> own;
  };
  void watch_kernel_routes(KernelWatch watch);
  void unwatch_kernel_routes();  // returns when it is not called any more

 private:
  void start();
  void report();

  health::Health& health_;
  metrics::Registry& registry_;
  dataplane::RouteConfig config_;
  dataplane::RoutePlaneEvents events_;
  AsioLoop loop_{"routes"};
  Mailbox<model::Batch> batches_;
  Mailbox<std::vector<dataplane::BgpRoute>> bgp_routes_;
  std::optional<KernelWatch> kernel_watch_;
  std::unique_ptr<dataplane::RoutePlane> plane_;  // null until it could be opened
  // What arrived before the plane was open.
  std::vector<model::Batch> early_batches_;
  std::vector<std::vector<dataplane::BgpRoute>> early_routes_;
  bool early_bgp_synced_ = false;
  std::unique_ptr<Pulse> pulse_;
  EventLoop::Timer retry_;
};

}  // namespace margay::agent
