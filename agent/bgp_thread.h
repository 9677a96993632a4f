// SPDX-License-Identifier: Apache-2.0
// The BGP speaker on its thread; its best routes go to the route thread. All members may be called
// from any thread but the destructor.
#pragma once

#include <memory>

#include "agent/local_api/local_api.h"
#include "agent/pulse.h"
#include "agent/route_thread.h"
#include "base/loop/asio_loop.h"
#include "base/metrics.h"
#include "bgp/speaker/speaker.h"

namespace margay::agent {

// As Calico's probe: without peers at once; for half a minute with all of
// them, whose routes have come if this is a restart; from then on with one.
[[nodiscard]] bool bgp_ready(const bgp::SpeakerSummary& now, Clock::duration since_start);

class BgpThread {
 public:
  static constexpr std::string_view kSubsystem = "bgp";

  // `routes` may be null: nothing is programmed, and nothing learnt from the kernel. restarting:
  // what peers learnt of an earlier run still holds.
  BgpThread(health::Health& health, metrics::Registry& registry, RouteThread* routes,
            bool restarting);
  ~BgpThread();  // peers that agreed on graceful restart keep our routes
  BgpThread(const BgpThread&) = delete;
  BgpThread& operator=(const BgpThread&) = delete;

  void configure(bgp::SpeakerConfig config);
  void show_peers(local_api::Answer answer);
  // prefix=P, peer=NAME, view=received|advertised; or explain=PREFIX.
  void show_routes(const local_api::Question& question, local_api::Answer answer);
  void show_metrics(local_api::Answer answer);

 private:
  class Sink;
  void report();
  void watch();
  void learn();

  health::Health& health_;
  RouteThread* routes_;
  AsioLoop loop_{"bgp"};
  const Clock::time_point started_ = loop_.now();
  std::unique_ptr<bgp::RouteSink> sink_;
  std::unique_ptr<bgp::Transport> transport_;
  std::unique_ptr<bgp::Speaker> speaker_;
  std::vector<dataplane::KernelRoute> kernel_routes_;  // as the route thread last told
  std::vector<std::string> ignored_interfaces_;
  bool learning_ = false;  // it has told
  EventLoop::Timer learn_timer_;
  std::unique_ptr<Pulse> pulse_;
};

}  // namespace margay::agent
