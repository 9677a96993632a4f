// SPDX-License-Identifier: Apache-2.0
// The core loop's work: updates from the source into configuration, calculation and BGP intent, and
// what follows from them out to the threads that act. Lives on one loop; calls its outputs there.
// Nothing goes out before the source has been in sync once; afterwards one flush follows each burst
// of updates that is at hand, without a fixed delay.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/border.h"
#include "agent/calc/graph.h"
#include "agent/config/resources.h"
#include "agent/health/health.h"
#include "agent/local_api/local_api.h"
#include "agent/options.h"
#include "agent/pulse.h"
#include "agent/sync/source.h"
#include "base/metrics.h"
#include "bgp/intent/intent.h"

namespace margay::agent {

class Core {
 public:
  static constexpr std::string_view kSync = "sync";
  static constexpr std::string_view kCalc = "calc";
  static constexpr std::string_view kConfig = "config";

  struct Outputs {
    std::function<void(model::Batch)> batch;
    std::function<void(const config::Config&)> config;  // after a change
    // After a change; empty when this node speaks no BGP.
    std::function<void(const bgp::SpeakerConfig&)> speaker;
  };

  // `store`: read directly, instead of a Typha; lives on `loop` and outlives this object.
  Core(EventLoop& loop, Options options, Outputs outputs, health::Health& health,
       metrics::Registry& registry, datastore::Store* store);
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // Connects to the source; an error is one of configuration.
  [[nodiscard]] Result<void> start();
  void reload_file();                    // SIGHUP
  void offer(local_api::LocalApi& api);  // what this shows: config, calc, sync

 private:
  void on_updates(std::vector<sync::Update>&& updates);
  void on_update(sync::Update&& update);
  void on_in_sync();
  void on_status(const sync::Status& status);
  void report_age();
  void schedule_flush();
  void flush();
  void resolve_config();
  void configure_source();
  void report_config();
  void report_calc();
  void read_passwords();

  EventLoop& loop_;
  Options options_;
  Outputs outputs_;
  health::Health& health_;
  datastore::Store* store_;
  config::Config config_;
  std::string node_;
  config::Resources resources_;
  calc::Graph graph_;
  bgp::Intent intent_;
  Border border_;
  std::optional<Clock::time_point> oldest_;  // of the updates since the last flush
  bool in_sync_ = false;
  bool resources_changed_ = false;
  bool flush_scheduled_ = false;
  bool trim_pending_ = true;
  EventLoop::Timer trim_, passwords_;
  metrics::Counter& updates_;
  metrics::Counter& unknown_keys_;
  metrics::Histogram& flush_seconds_;
  metrics::Gauge& connected_;
  metrics::Gauge& kept_;
  metrics::Gauge& never_valid_;
  metrics::Gauge& partly_;
  metrics::Gauge& waiting_;
  metrics::Gauge& stale_;
  std::unique_ptr<sync::Source> source_;
  Pulse pulse_;  // looks at the source
};

}  // namespace margay::agent
