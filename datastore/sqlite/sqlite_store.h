// SPDX-License-Identifier: Apache-2.0
// The embedded Store: one SQLite file (WAL, synchronous=FULL) owned by one process. Writes that are
// pending in one turn of the loop share one transaction; each is acknowledged after its commit,
// never before, so that kill -9 and power loss lose nothing acknowledged. A log of the last changes
// feeds watches without gaps; it is bounded in entries and bytes, older revisions are compacted. A
// write that fails for the disk's sake changes nothing: what was in force stays.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/loop/event_loop.h"
#include "datastore/store.h"

namespace margay::datastore {

// No write has succeeded since: the disk is full, read-only or broken. Reading goes on.
struct StoreFailing {
  Clock::time_point since;  // of the first commit that failed after the last good one
  Error error;              // of the latest
};

struct SqliteOptions {
  std::string path;
  std::string owner;  // program name, told to a second one that tries to open the file
  std::uint64_t keep_changes = 10'000;
  std::uint64_t keep_change_bytes = 64ULL << 20;
  // The file is an older copy, put there on purpose: it becomes another store, so that its
  // revisions are not compared with those that others remember.
  bool restored = false;
  // On the loop, when a commit fails and when one succeeds again.
  std::function<void(const std::optional<StoreFailing>&)> on_failing = {};
};

struct SqliteStats {
  std::uint64_t writes = 0;   // acknowledged
  std::uint64_t commits = 0;  // transactions that they took
  std::uint64_t failed_commits = 0;
  std::optional<StoreFailing> failing;
  Revision revision;
  Revision oldest;
};

class SqliteStore : public Store {
 public:
  // `loop` must outlive the store. Code::refused: another owner, or no store of ours.
  static Result<std::unique_ptr<SqliteStore>> open(EventLoop& loop, SqliteOptions options);
  ~SqliteStore() override;

  Result<Listing> list(std::string_view prefix) override;
  Result<Entry> get(std::string_view key) override;
  Result<Revision> create(std::string_view key, std::string_view value) override;
  Result<Revision> update(std::string_view key, std::string_view value, Revision expected) override;
  Result<Revision> put(std::string_view key, std::string_view value) override;
  Result<Revision> remove(std::string_view key, Revision expected) override;
  void submit(std::vector<Write> writes, std::function<void(WriteResults)> done) override;
  std::unique_ptr<WatchHandle> watch(std::string_view prefix, Revision from,
                                     WatchCallbacks callbacks) override;

  [[nodiscard]] SqliteStats stats() const;
  [[nodiscard]] const std::string& id() const;  // random, of this file

 private:
  struct Impl;
  explicit SqliteStore(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace margay::datastore
