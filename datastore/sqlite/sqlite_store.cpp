// SPDX-License-Identifier: Apache-2.0
#include "datastore/sqlite/sqlite_store.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "base/log.h"
#include "datastore/sqlite/owner_lock.h"
#include "datastore/sqlite/tables.h"

namespace margay::datastore {
namespace {

// Bounds of one turn of the loop: a transaction, and a batch for one watcher.
constexpr std::size_t kGroupWrites = 500;
constexpr std::size_t kBatchEvents = 1000;
constexpr std::size_t kBatchBytes = 1 << 20;
// An uninteresting stretch of revisions after which a watcher is told how far it has come.
constexpr std::uint64_t kTellEvery = 1000;

struct Watcher {
  std::string prefix;
  Revision cursor;  // seen up to here
  Revision told;    // the last `upto`
  WatchCallbacks callbacks;
  bool live = true;
};

class Handle : public WatchHandle {
 public:
  explicit Handle(std::shared_ptr<Watcher> w) : w_(std::move(w)) {}
  ~Handle() override { w_->live = false; }

 private:
  std::shared_ptr<Watcher> w_;
};

struct Batch {  // of writes, from one caller
  std::vector<Write> writes;
  Store::WriteResults results;
  std::function<void(Store::WriteResults)> done;  // none: the caller waits for it
  [[nodiscard]] bool complete() const { return results.size() == writes.size(); }
};

}  // namespace

struct SqliteStore::Impl : std::enable_shared_from_this<Impl> {
  Impl(EventLoop& l, SqliteOptions o, OwnerLock k, std::unique_ptr<Tables> t)
      : loop(l), options(std::move(o)), lock(std::move(k)), tables(std::move(t)) {}

  template <typename F>
  void post(F f) {
    loop.post([weak = weak_from_this(), f = std::move(f)] {
      if (const auto self = weak.lock()) f(*self);
    });
  }
  void enqueue(std::shared_ptr<Batch> batch) { pending.push_back(std::move(batch)); }
  void schedule_flush();
  void flush_group();
  Result<void> write_group(std::size_t* taken, Store::WriteResults* results);
  void settle(std::size_t taken, Store::WriteResults results);
  Result<Revision> write_now(Write w);

  void schedule_pump();
  void pump();
  bool pump_one(const std::shared_ptr<Watcher>& w);  // false: it has ended
  Result<const std::vector<Event>*> read_after(Revision cursor);
  void end(Watcher& w, Error error);

  EventLoop& loop;
  SqliteOptions options;
  OwnerLock lock;
  std::unique_ptr<Tables> tables;
  std::deque<std::shared_ptr<Batch>> pending;
  bool flush_posted = false;
  bool pump_posted = false;
  std::vector<std::shared_ptr<Watcher>> watchers;
  Revision read_at;         // the cursor that `read` was read from; 0 with an empty `read`: nothing
  std::vector<Event> read;  // watchers at the same place share one read
  SqliteStats stats;
};

// The writes of the group in order: the rest of the first batch, then the next batches, up to the
// bound. All in one transaction; an error means that nothing of it happened.
Result<void> SqliteStore::Impl::write_group(std::size_t* taken, Store::WriteResults* results) {
  for (const auto& batch : pending) *taken += batch->writes.size() - batch->results.size();
  *taken = std::min(*taken, kGroupWrites);
  MARGAY_CHECK(tables->begin());
  for (const auto& batch : pending) {
    for (auto i = batch->results.size(); i < batch->writes.size(); ++i) {
      if (results->size() == *taken) break;
      MARGAY_TRY(auto outcome, tables->apply(batch->writes[i]));
      results->push_back(std::move(outcome.result));
    }
  }
  MARGAY_CHECK(tables->trim(options.keep_changes, options.keep_change_bytes));
  return tables->commit();
}

void SqliteStore::Impl::flush_group() {
  std::size_t taken = 0;
  Store::WriteResults results;
  if (auto ok = write_group(&taken, &results); !ok) {
    tables->rollback();
    ++stats.failed_commits;
    stats.failing = {stats.failing ? stats.failing->since : loop.now(), ok.error()};
    if (options.on_failing) options.on_failing(stats.failing);
    log::error("store_commit_failed", kv("writes", taken), kv("error", ok.error()));
    results.assign(taken, ok.error());
  } else {
    ++stats.commits;
    const bool failed = std::exchange(stats.failing, std::nullopt).has_value();
    if (failed && options.on_failing) options.on_failing(stats.failing);
    schedule_pump();
  }
  settle(taken, std::move(results));
}

// Hands each result to its batch; complete batches are answered in a turn of their own, so that an
// answer never comes from inside the call that caused it.
void SqliteStore::Impl::settle(std::size_t taken, Store::WriteResults results) {
  for (std::size_t i = 0; i < taken;) {
    auto& batch = *pending.front();
    while (i < taken && !batch.complete()) {
      if (results[i].ok()) ++stats.writes;
      batch.results.push_back(std::move(results[i++]));
    }
    if (!batch.complete()) break;
    if (batch.done) {
      loop.post([batch = pending.front()] { batch->done(std::move(batch->results)); });
    }
    pending.pop_front();
  }
}

void SqliteStore::Impl::schedule_flush() {
  if (std::exchange(flush_posted, true)) return;
  post([](Impl& self) {
    self.flush_posted = false;
    if (self.pending.empty()) return;
    self.flush_group();
    if (!self.pending.empty()) self.schedule_flush();
  });
}

Result<Revision> SqliteStore::Impl::write_now(Write w) {
  auto batch = std::make_shared<Batch>();
  batch->writes.push_back(std::move(w));
  enqueue(batch);
  while (!batch->complete()) flush_group();  // what was submitted before comes first
  return std::move(batch->results.front());
}

void SqliteStore::Impl::schedule_pump() {
  if (watchers.empty() || std::exchange(pump_posted, true)) return;
  post([](Impl& self) {
    self.pump_posted = false;
    self.pump();
  });
}

void SqliteStore::Impl::pump() {
  std::erase_if(watchers, [](const auto& w) { return !w->live; });
  const auto round = watchers;  // callbacks may add watchers or end them
  bool behind = false;
  for (const auto& w : round) {
    if (!w->live) continue;
    if (pump_one(w)) behind |= w->cursor < tables->revision();
  }
  read.clear();
  read_at = Revision(0);
  if (behind) schedule_pump();
}

bool SqliteStore::Impl::pump_one(const std::shared_ptr<Watcher>& w) {
  if (w->cursor < tables->oldest() || w->cursor > tables->revision()) {
    end(*w, make_error(Code::compacted, "store " + options.path + ": revision " +
                                            std::to_string(w->cursor.value()) + " is not held; " +
                                            std::to_string(tables->oldest().value()) + " to " +
                                            std::to_string(tables->revision().value()) + " are"));
    return false;
  }
  if (w->cursor == tables->revision()) return true;
  const auto events = read_after(w->cursor);
  if (!events) {
    end(*w, events.error());
    return false;
  }
  std::vector<Event> wanted;
  std::copy_if((*events)->begin(), (*events)->end(), std::back_inserter(wanted),
               [&](const Event& e) { return e.key.starts_with(w->prefix); });
  w->cursor = (*events)->back().revision;
  if (!wanted.empty() || w->cursor.value() - w->told.value() >= kTellEvery) {
    w->told = w->cursor;
    w->callbacks.events(wanted, w->cursor);
  }
  return w->live;
}

Result<const std::vector<Event>*> SqliteStore::Impl::read_after(Revision cursor) {
  if (read.empty() || read_at != cursor) {
    MARGAY_TRY(read, tables->changes(cursor, kBatchEvents, kBatchBytes));
    read_at = cursor;
    if (read.empty()) {
      return make_error(Code::refused, "store " + options.path +
                                           ": the change log has a hole after " +
                                           std::to_string(cursor.value()));
    }
  }
  return &read;
}

void SqliteStore::Impl::end(Watcher& w, Error error) {
  w.live = false;
  if (w.callbacks.ended) w.callbacks.ended(error);
}

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(EventLoop& loop, SqliteOptions options) {
  MARGAY_TRY(auto lock, OwnerLock::take(options.path, options.owner));
  MARGAY_TRY(auto tables, Tables::open(options.path, options.restored));
  auto impl = std::make_shared<Impl>(loop, std::move(options), std::move(lock), std::move(tables));
  return std::unique_ptr<SqliteStore>(new SqliteStore(std::move(impl)));
}

SqliteStore::SqliteStore(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

// What was submitted is still written, and its answers still come; watchers hear no more.
SqliteStore::~SqliteStore() {
  while (!impl_->pending.empty()) impl_->flush_group();
  for (const auto& w : impl_->watchers) w->live = false;
}

Result<Listing> SqliteStore::list(std::string_view prefix) {
  MARGAY_TRY(auto entries, impl_->tables->list(prefix));
  return Listing{std::move(entries), impl_->tables->revision(), impl_->tables->oldest(), id()};
}

Result<Entry> SqliteStore::get(std::string_view key) { return impl_->tables->get(key); }

Result<Revision> SqliteStore::create(std::string_view key, std::string_view value) {
  return impl_->write_now({Write::Kind::create, std::string(key), std::string(value), {}});
}

Result<Revision> SqliteStore::update(std::string_view key, std::string_view value,
                                     Revision expected) {
  return impl_->write_now({Write::Kind::update, std::string(key), std::string(value), expected});
}

Result<Revision> SqliteStore::put(std::string_view key, std::string_view value) {
  return impl_->write_now({Write::Kind::put, std::string(key), std::string(value), {}});
}

Result<Revision> SqliteStore::remove(std::string_view key, Revision expected) {
  return impl_->write_now({Write::Kind::remove, std::string(key), {}, expected});
}

void SqliteStore::submit(std::vector<Write> writes, std::function<void(WriteResults)> done) {
  auto batch = std::make_shared<Batch>();
  batch->writes = std::move(writes);
  batch->done = std::move(done);
  if (batch->writes.empty()) {
    impl_->loop.post([batch] { batch->done({}); });
    return;
  }
  impl_->enqueue(std::move(batch));
  impl_->schedule_flush();
}

std::unique_ptr<WatchHandle> SqliteStore::watch(std::string_view prefix, Revision from,
                                                WatchCallbacks callbacks) {
  auto w =
      std::make_shared<Watcher>(Watcher{std::string(prefix), from, from, std::move(callbacks)});
  impl_->watchers.push_back(w);
  impl_->schedule_pump();
  return std::make_unique<Handle>(std::move(w));
}

SqliteStats SqliteStore::stats() const {
  auto s = impl_->stats;
  s.revision = impl_->tables->revision();
  s.oldest = impl_->tables->oldest();
  return s;
}

const std::string& SqliteStore::id() const { return impl_->tables->id(); }

}  // namespace margay::datastore
