// SPDX-License-Identifier: Apache-2.0
// Keeps the cache equal to another margay-typha's: a further instance for more agents, and for
// those of one that has died. It owns no store and takes no writes. While its own server is away it
// serves what it has, and says since when.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/sync/source.h"
#include "base/loop/event_loop.h"
#include "base/metrics.h"
#include "typha/cache.h"
#include "typha/feed.h"

namespace margay::typha {

class Relay : public Feed {
 public:
  // `changed` after each change of the cache. An error is one of configuration.
  static Result<std::unique_ptr<Relay>> make(EventLoop& loop, sync::TyphaConfig config,
                                             Cache& cache, metrics::Registry& metrics,
                                             std::function<void()> changed);
  [[nodiscard]] std::optional<Lag> lag() const override;

 private:
  Relay(Cache& cache, metrics::Registry& metrics, std::function<void()> changed);
  void updates(std::vector<sync::Update>&& batch);
  void in_sync();
  void apply(bool more);

  Cache& cache_;
  std::function<void()> changed_;
  metrics::Counter& changes_;
  metrics::Gauge& revision_;
  std::vector<datastore::Event> pending_;  // of a view that is not complete yet
  std::unique_ptr<sync::Source> source_;
};

}  // namespace margay::typha
