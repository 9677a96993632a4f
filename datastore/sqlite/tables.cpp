// SPDX-License-Identifier: Apache-2.0
#include "datastore/sqlite/tables.h"

#include <algorithm>
#include <optional>

#include "datastore/sqlite/sqlite_store.h"

namespace margay::datastore {
namespace {

constexpr std::uint64_t kSchemaVersion = 1;

constexpr const char* kSchema = R"(
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE keys (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  create_revision INTEGER NOT NULL,
  mod_revision INTEGER NOT NULL);
CREATE TABLE changes (
  revision INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  value TEXT); -- NULL: deleted
INSERT INTO meta VALUES ('schema', '1');
INSERT INTO meta VALUES ('store_id', lower(hex(randomblob(16))));
)";

// The least text that is greater than everything that begins with `prefix`; none when there is no
// such text (empty prefix, or 0xff bytes only).
std::optional<std::string> prefix_end(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (end.empty()) return std::nullopt;
  end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

Result<void> check(const Write& w) {
  if (w.key.empty() || w.key.size() > kMaxKey) {
    return make_error(Code::invalid, "key of " + std::to_string(w.key.size()) + " bytes; 1 to " +
                                         std::to_string(kMaxKey) + " are allowed");
  }
  if (std::any_of(w.key.begin(), w.key.end(),
                  [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) {
    return make_error(Code::invalid, "key with control characters");
  }
  if (w.value.size() > kMaxValue) {
    return make_error(Code::invalid, w.key + ": value of " + std::to_string(w.value.size()) +
                                         " bytes; at most " + std::to_string(kMaxValue) +
                                         " are allowed");
  }
  return {};
}

Error conflict(const Write& w, std::uint64_t have) {
  return make_error(Code::conflict, w.key + ": is at revision " + std::to_string(have) + ", not " +
                                        std::to_string(w.expected.value()));
}

// Why this write cannot be, given the key's revision (0: no such key).
std::optional<Error> refusal(const Write& w, std::uint64_t have) {
  switch (w.kind) {
    case Write::Kind::create:
      if (have != 0) return make_error(Code::exists, w.key + ": exists already");
      return std::nullopt;
    case Write::Kind::update:
      if (have == 0) return make_error(Code::not_found, w.key + ": no such key");
      if (have != w.expected.value()) return conflict(w, have);
      return std::nullopt;
    case Write::Kind::put:
      return std::nullopt;
    case Write::Kind::remove:
      if (have == 0) return make_error(Code::not_found, w.key + ": no such key");
      if (w.expected.value() != 0 && have != w.expected.value()) return conflict(w, have);
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<Tables>> Tables::open(const std::string& path, bool new_identity) {
  MARGAY_TRY(auto db, Database::open(path));
  std::unique_ptr<Tables> t(new Tables(std::move(db)));
  MARGAY_CHECK(t->create_or_check());
  MARGAY_CHECK(t->db_->use_write_ahead_log());
  MARGAY_CHECK(t->prepare());
  if (new_identity) {
    MARGAY_CHECK(
        t->db_->run("UPDATE meta SET value = lower(hex(randomblob(16))) WHERE name = 'store_id'"));
  }
  MARGAY_CHECK(t->load());
  return t;
}

Result<void> Tables::create_or_check() {
  MARGAY_CHECK(db_->run("BEGIN IMMEDIATE"));  // also proves that the file can be written
  MARGAY_TRY(auto count, db_->prepare("SELECT count(*), coalesce(sum(name = 'changes'), 0) FROM "
                                      "sqlite_schema WHERE type = 'table'"));
  MARGAY_TRY(const bool row, count.step());
  MARGAY_ASSERT(row);
  const auto tables = count.number(0);
  const auto ours = count.number(1);
  count.reset();
  if (tables == 0) {
    MARGAY_CHECK(db_->run(kSchema));
  } else if (ours == 0) {
    return make_error(Code::refused, "store " + db_->path() + " is a database of another program");
  }
  return db_->run("COMMIT");
}

Result<void> Tables::prepare() {
  struct Row {
    Statement* statement;
    const char* sql;
  };
  const Row rows[] = {
      {&get_, "SELECT value, mod_revision FROM keys WHERE key = ?1"},
      {&list_,
       "SELECT key, value, mod_revision FROM keys WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) "
       "ORDER BY key"},
      {&upsert_,
       "INSERT INTO keys VALUES (?1, ?2, ?3, ?3) ON CONFLICT (key) DO UPDATE SET value = "
       "excluded.value, mod_revision = excluded.mod_revision"},
      {&delete_, "DELETE FROM keys WHERE key = ?1"},
      {&mod_revision_, "SELECT mod_revision FROM keys WHERE key = ?1"},
      {&log_change_, "INSERT INTO changes VALUES (?1, ?2, ?3)"},
      {&changes_,
       "SELECT revision, key, value FROM changes WHERE revision > ?1 ORDER BY revision LIMIT ?2"},
      {&drop_, "DELETE FROM changes WHERE revision = ?1"},
      {&size_of_,
       "SELECT length(CAST(key AS BLOB)) + coalesce(length(CAST(value AS BLOB)), 0) FROM changes "
       "WHERE revision = ?1"},
  };
  for (const auto& row : rows) {
    MARGAY_TRY(*row.statement, db_->prepare(row.sql));
  }
  return {};
}

Result<void> Tables::load() {
  MARGAY_TRY(auto meta, db_->prepare("SELECT (SELECT value FROM meta WHERE name = 'store_id'), "
                                     "(SELECT value FROM meta WHERE name = 'schema')"));
  MARGAY_TRY(bool row, meta.step());
  MARGAY_ASSERT(row);
  id_ = std::string(meta.text(0));
  const std::string schema(meta.text(1));
  meta.reset();
  if (schema != std::to_string(kSchemaVersion) || id_.empty()) {
    return make_error(Code::refused, "store " + db_->path() + " has schema '" + schema +
                                         "', this program knows " + std::to_string(kSchemaVersion));
  }
  MARGAY_TRY(auto extent,
             db_->prepare("SELECT coalesce(min(revision), 0), coalesce(max(revision), 0), "
                          "coalesce(sum(length(CAST(key AS BLOB)) + "
                          "coalesce(length(CAST(value AS BLOB)), 0)), 0) FROM changes"));
  MARGAY_TRY(row, extent.step());
  MARGAY_ASSERT(row);
  log_ = {extent.number(0), extent.number(1), extent.number(2)};
  extent.reset();
  return {};
}

Result<std::vector<Entry>> Tables::list(std::string_view prefix) {
  const auto end = prefix_end(prefix);
  list_.bind(1, prefix);
  end ? list_.bind(2, *end) : list_.bind_null(2);
  std::vector<Entry> entries;
  for (;;) {
    MARGAY_TRY(const bool row, list_.step());
    if (!row) return entries;
    entries.push_back(
        Entry{std::string(list_.text(0)), std::string(list_.text(1)), Revision(list_.number(2))});
  }
}

Result<Entry> Tables::get(std::string_view key) {
  MARGAY_TRY(const bool row, get_.bind(1, key).step());
  if (!row) return make_error(Code::not_found, std::string(key) + ": no such key");
  Entry e{std::string(key), std::string(get_.text(0)), Revision(get_.number(1))};
  get_.reset();
  return e;
}

Result<std::vector<Event>> Tables::changes(Revision after, std::size_t limit,
                                           std::size_t max_bytes) {
  changes_.bind(1, after.value()).bind(2, limit);
  std::vector<Event> events;
  for (std::size_t bytes = 0;;) {
    MARGAY_TRY(const bool row, changes_.step());
    if (!row) return events;
    bytes += changes_.text(1).size() + changes_.text(2).size();
    if (bytes > max_bytes && !events.empty()) {
      changes_.reset();
      return events;
    }
    events.push_back(Event{std::string(changes_.text(1)), std::string(changes_.text(2)),
                           changes_.is_null(2), Revision(changes_.number(0))});
  }
}

Result<void> Tables::begin() {
  before_ = log_;
  return db_->run("BEGIN IMMEDIATE");
}

Result<void> Tables::commit() { return db_->run("COMMIT"); }

void Tables::rollback() {
  // SQLite may have rolled back by itself (full disk, I/O error).
  if (db_->in_transaction()) static_cast<void>(db_->run("ROLLBACK"));
  log_ = before_;
}

Result<std::uint64_t> Tables::revision_of(std::string_view key) {
  MARGAY_TRY(const bool row, mod_revision_.bind(1, key).step());
  if (!row) return std::uint64_t{0};
  const auto revision = mod_revision_.number(0);
  mod_revision_.reset();
  return revision;
}

Result<void> Tables::record(std::string_view key, const std::string_view* value) {
  const auto revision = log_.last + 1;
  log_change_.bind(1, revision).bind(2, key);
  value != nullptr ? log_change_.bind(3, *value) : log_change_.bind_null(3);
  MARGAY_TRY(const bool row, log_change_.step());
  MARGAY_ASSERT(!row);
  log_.last = revision;
  if (log_.first == 0) log_.first = revision;
  log_.bytes += key.size() + (value != nullptr ? value->size() : 0);
  return {};
}

Result<Tables::Outcome> Tables::apply(const Write& w) {
  if (auto ok = check(w); !ok) return Outcome{std::move(ok).error()};
  MARGAY_TRY(const auto have, revision_of(w.key));
  if (auto error = refusal(w, have)) return Outcome{std::move(*error)};
  const std::string_view value = w.value;
  const bool removal = w.kind == Write::Kind::remove;
  MARGAY_CHECK(record(w.key, removal ? nullptr : &value));
  auto& statement = removal ? delete_ : upsert_;
  statement.bind(1, w.key);
  if (!removal) statement.bind(2, value).bind(3, log_.last);
  MARGAY_TRY(const bool row, statement.step());
  MARGAY_ASSERT(!row);
  return Outcome{Revision(log_.last)};
}

Result<void> Tables::trim(std::uint64_t keep_changes, std::uint64_t keep_bytes) {
  while (log_.first != 0 && log_.first < log_.last &&
         (log_.last - log_.first + 1 > keep_changes || log_.bytes > keep_bytes)) {
    MARGAY_TRY(const bool row, size_of_.bind(1, log_.first).step());
    const auto size = row ? size_of_.number(0) : 0;
    size_of_.reset();
    MARGAY_TRY(const bool more, drop_.bind(1, log_.first).step());
    MARGAY_ASSERT(!more);
    log_.bytes -= std::min(size, log_.bytes);
    ++log_.first;
  }
  return {};
}

}  // namespace margay::datastore
