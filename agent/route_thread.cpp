// SPDX-License-Identifier: Apache-2.0
#include "agent/route_thread.h"

#include <future>
#include <utility>

#include "agent/show.h"
#include "base/log.h"

namespace margay::agent {
namespace {

using namespace std::chrono_literals;

std::string detail_of(const dataplane::RoutePlaneStatus& s) {
  if (!s.desired_in_sync) return "waiting for the first complete view";
  if (!s.last_error.empty()) return s.last_error;
  if (s.failing == 0) return "";
  const dataplane::RouteFailure& first = s.failures.front();
  return std::to_string(s.failing) + " objects failing, first " + first.object + ": " +
         first.reason;
}

}  // namespace

RouteThread::RouteThread(health::Health& health, metrics::Registry& registry,
                         dataplane::RouteConfig config, dataplane::RoutePlaneEvents events)
    : health_(health),
      registry_(registry),
      config_(std::move(config)),
      events_(std::move(events)),
      batches_(loop_,
               [this](std::vector<model::Batch> batches) {
                 for (model::Batch& b : batches) {
                   if (plane_) {
                     plane_->apply(b);
                   } else {
                     early_batches_.push_back(std::move(b));
                   }
                 }
                 report();
               }),
      bgp_routes_(loop_, [this](std::vector<std::vector<dataplane::BgpRoute>> all) {
        for (auto& routes : all) {
          if (plane_) {
            plane_->replace_bgp_routes(std::move(routes));
          } else {
            early_routes_.push_back(std::move(routes));
          }
        }
      }) {
  loop_.post([this] {
    pulse_ = std::make_unique<Pulse>(loop_, health_, kSubsystem, [this] { report(); });
    start();
  });
  loop_.run_in_thread();
}

RouteThread::~RouteThread() { loop_.join(); }

void RouteThread::start() {
  dataplane::RoutePlaneEvents events = events_;
  events.on_in_sync = [this, then = events_.on_in_sync] {
    report();
    if (then) then();
  };
  events.on_kernel_routes = [this](const std::vector<dataplane::KernelRoute>& routes) {
    if (kernel_watch_) kernel_watch_->foreign(routes);
  };
  events.on_own_routes = [this](const std::vector<dataplane::OwnRouteChange>& changes) {
    if (kernel_watch_) kernel_watch_->own(changes);
  };
  auto plane = dataplane::RoutePlane::open(loop_, config_, std::move(events), registry_);
  if (!plane.ok()) {
    log::error("routes_start_failed", kv("error", plane.error()));
    health_.report(kSubsystem, false, plane.error().message());
    retry_ = loop_.after(1s, [this] { start(); });
    return;
  }
  plane_ = std::move(plane).value();
  for (const model::Batch& b : std::exchange(early_batches_, {})) plane_->apply(b);
  for (auto& routes : std::exchange(early_routes_, {}))
    plane_->replace_bgp_routes(std::move(routes));
  if (early_bgp_synced_) plane_->bgp_synced();
  report();
}

void RouteThread::report() {
  if (!plane_) return;
  const dataplane::RoutePlaneStatus status = plane_->status();
  health_.report(kSubsystem, status.applied, detail_of(status), status.behind_since);
}

void RouteThread::bgp_synced() {
  loop_.post([this] {
    early_bgp_synced_ = true;
    if (plane_) plane_->bgp_synced();
  });
}

void RouteThread::configure(dataplane::RouteConfig config) {
  loop_.post([this, config = std::move(config)]() mutable {
    config_ = std::move(config);
    if (plane_) plane_->set_config(config_);
  });
}

void RouteThread::watch_kernel_routes(KernelWatch watch) {
  loop_.post([this, watch = std::move(watch)]() mutable {
    kernel_watch_ = std::move(watch);
    if (!plane_) return;
    kernel_watch_->foreign(plane_->kernel_routes());
    kernel_watch_->own(plane_->own_routes());
  });
}

void RouteThread::unwatch_kernel_routes() {
  std::promise<void> done;
  loop_.post([&] {
    kernel_watch_.reset();
    done.set_value();
  });
  done.get_future().wait();
}

void RouteThread::show(local_api::Answer answer) {
  loop_.post([this, answer = std::move(answer)] {
    answer(plane_ ? show_routes(plane_->status(), plane_->interfaces(), loop_.now())
                  : std::string("{}"));
  });
}

}  // namespace margay::agent
