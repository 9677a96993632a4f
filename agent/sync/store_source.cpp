// SPDX-License-Identifier: Apache-2.0
// A Store on the same loop as a Source: list, then watch; list again with a difference when the
// watch's revision is compacted.
#include <utility>

#include "agent/sync/backoff.h"
#include "agent/sync/merger.h"
#include "agent/sync/outbox.h"
#include "agent/sync/source.h"
#include "base/log.h"

namespace margay::sync {
namespace {

using namespace std::chrono_literals;

class StoreSource : public Source {
 public:
  StoreSource(EventLoop& loop, datastore::Store& store, std::string prefix, Callbacks callbacks)
      : loop_(loop), store_(store), prefix_(std::move(prefix)), callbacks_(std::move(callbacks)) {
    status_.since = loop_.now();
    status_.stale_since = loop_.now();
    status_.endpoint = "datastore";
    retry_ = loop_.after(0s, [this] { list(); });
  }
  [[nodiscard]] const Status& status() const override { return status_; }
  [[nodiscard]] Result<void> configure(TyphaConfig) override { return {}; }

 private:
  void list() {
    watch_.reset();
    auto listing = store_.list(prefix_);
    if (!listing) return failed(listing.error(), [this] { list(); });
    status_.in_sync = false;
    ++status_.snapshots;
    merger_.begin_snapshot(listing->store_id);
    std::vector<Update> updates;
    updates.reserve(listing->entries.size());
    for (auto& e : listing->entries) {
      updates.push_back({{std::move(e.key), std::move(e.value), false, e.revision}});
    }
    merger_.filter(updates);
    outbox_.push(std::move(updates));
    outbox_.push(merger_.end_snapshot(listing->revision));
    status_.store_id = listing->store_id;
    revision_ = listing->revision;
    watch();
    outbox_.then([this] { in_sync(); });
  }

  // Events that arrive while an earlier batch is being taken queue up behind it; a Store bounds its
  // batches, and its change log bounds how many there can be.
  void watch() {
    set_connected(true, {});
    watch_ = store_.watch(prefix_, revision_,
                          {[this](const std::vector<datastore::Event>& events, Revision upto) {
                             std::vector<Update> updates;
                             updates.reserve(events.size());
                             // Told at once: as good as the time of the commit.
                             for (const auto& e : events)
                               updates.push_back({e, false, loop_.now()});
                             merger_.filter(updates);
                             outbox_.push(std::move(updates));
                             revision_ = upto;
                             backoff_.reset();
                           },
                           [this](const Error& error) { ended(error); }});
  }

  void ended(const Error& error) {
    if (error.code == Code::compacted) {
      retry_ = loop_.after(0s, [this] { list(); });
      return;
    }
    failed(error, [this] {
      watch();
      outbox_.then([this] { in_sync(); });
    });
  }

  void failed(const Error& error, std::function<void()> again) {
    log::warn("sync_store_failed", kv("error", error));
    set_connected(false, error.message());
    retry_ = loop_.after(backoff_.next(), std::move(again));
  }

  void in_sync() {
    bool news = !std::exchange(status_.in_sync, true);
    if (status_.connected) news |= std::exchange(status_.stale_since, std::nullopt).has_value();
    status_.revision = revision_;
    if (callbacks_.in_sync) callbacks_.in_sync();
    if (news) tell();
  }

  void set_connected(bool connected, std::string error) {
    const bool flip = connected != status_.connected;
    if (flip) status_.since = loop_.now();
    if (flip && connected) ++status_.connects;
    if (!connected && !status_.stale_since) status_.stale_since = loop_.now();
    const bool news = flip || error != status_.error;
    status_.connected = connected;
    status_.error = std::move(error);
    if (news) tell();
  }
  void tell() {
    if (callbacks_.status) callbacks_.status(status_);
  }

  EventLoop& loop_;
  datastore::Store& store_;
  std::string prefix_;
  Callbacks callbacks_;
  Status status_;
  Merger merger_;
  Revision revision_;  // received
  Backoff backoff_{100ms, 10s, static_cast<std::uint64_t>(loop_.now().time_since_epoch().count())};
  Outbox outbox_{loop_,
                 [this](std::vector<Update>&& updates) {
                   status_.updates += updates.size();
                   callbacks_.updates(std::move(updates));
                 },
                 [this] { status_.revision = revision_; }};
  std::unique_ptr<datastore::WatchHandle> watch_;
  EventLoop::Timer retry_;
};

}  // namespace

std::unique_ptr<Source> make_store_source(EventLoop& loop, datastore::Store& store,
                                          std::string prefix, Callbacks callbacks) {
  return std::make_unique<StoreSource>(loop, store, std::move(prefix), std::move(callbacks));
}

}  // namespace margay::sync
