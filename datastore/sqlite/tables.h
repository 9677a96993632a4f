// SPDX-License-Identifier: Apache-2.0
// The tables inside the file and the statements over them: the current keys, the change log, a few
// facts. Knows nothing of loops, watches or groups; the caller brackets writes by begin and commit.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "datastore/sqlite/database.h"
#include "datastore/store.h"

namespace margay::datastore {

class Tables {
 public:
  // `new_identity`: gives the store another id.
  static Result<std::unique_ptr<Tables>> open(const std::string& path, bool new_identity = false);

  Result<std::vector<Entry>> list(std::string_view prefix);
  Result<Entry> get(std::string_view key);
  // Changes with revision > `after`, in order, of all keys: at most `limit`, and about `max_bytes`.
  Result<std::vector<Event>> changes(Revision after, std::size_t limit, std::size_t max_bytes);

  Result<void> begin();
  Result<void> commit();
  void rollback();
  struct Outcome {
    Result<Revision> result;  // refusals of this one write: conflict, exists, not_found, invalid
  };
  // Inside a transaction. An Error of the outer Result is the disk's: roll back.
  Result<Outcome> apply(const Write& write);
  // Drops the oldest changes beyond the bounds (never the last one). Inside a transaction.
  Result<void> trim(std::uint64_t keep_changes, std::uint64_t keep_bytes);

  [[nodiscard]] Revision revision() const { return Revision(log_.last); }
  [[nodiscard]] Revision oldest() const { return Revision(log_.first == 0 ? 0 : log_.first - 1); }
  [[nodiscard]] const std::string& id() const { return id_; }

 private:
  struct Log {  // the change log's extent; revisions in it are consecutive
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::uint64_t bytes = 0;
  };
  explicit Tables(std::unique_ptr<Database> db) : db_(std::move(db)) {}
  Result<void> create_or_check();
  Result<void> prepare();
  Result<void> load();
  Result<std::uint64_t> revision_of(std::string_view key);  // 0: no such key
  Result<void> record(std::string_view key, const std::string_view* value);

  std::unique_ptr<Database> db_;
  std::string id_;
  Log log_;
  Log before_;  // at begin(), for rollback()
  Statement get_, list_, upsert_, delete_, mod_revision_, log_change_, changes_, drop_, size_of_;
};

}  // namespace margay::datastore
