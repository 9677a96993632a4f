// SPDX-License-Identifier: Apache-2.0
// Keeps the cache equal to a Store: list, watch, list again with a difference when the watch's
// revision is compacted, back off when the store is away. While it is away the cache stands.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/loop/event_loop.h"
#include "base/metrics.h"
#include "datastore/store.h"
#include "typha/cache.h"
#include "typha/feed.h"

namespace margay::typha {

class Upstream : public Feed {
 public:
  // `changed` after each change of the cache. The store must live on the same loop.
  Upstream(EventLoop& loop, datastore::Store& store, Cache& cache, metrics::Registry& metrics,
           std::function<void()> changed);
  [[nodiscard]] std::optional<Lag> lag() const override { return lag_; }

 private:
  void list();
  void watch(Revision from);
  void events(const std::vector<datastore::Event>& events, Revision upto);
  void failed(const Error& error, std::function<void()> again);

  EventLoop& loop_;
  datastore::Store& store_;
  Cache& cache_;
  std::function<void()> changed_;
  metrics::Counter& lists_;
  metrics::Counter& changes_;
  metrics::Gauge& revision_;
  std::optional<Lag> lag_;
  Clock::duration delay_;
  EventLoop::Timer timer_;
  std::unique_ptr<datastore::WatchHandle> watch_;
};

}  // namespace margay::typha
