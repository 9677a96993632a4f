// SPDX-License-Identifier: Apache-2.0
#include "datastore/sqlite/database.h"

#include <sqlite3.h>

#include <cerrno>

namespace margay::datastore {

void Statement::Finalize::operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }

// Binding fails only for an index that the statement does not have, or without memory.
Statement& Statement::bind(int index, std::string_view text) {
  // A null pointer would bind NULL, which is not the empty text.
  const int rc = sqlite3_bind_text64(stmt_.get(), index, text.data() == nullptr ? "" : text.data(),
                                     text.size(), SQLITE_STATIC, SQLITE_UTF8);
  MARGAY_ASSERT(rc == SQLITE_OK);
  return *this;
}

Statement& Statement::bind(int index, std::uint64_t number) {
  const int rc = sqlite3_bind_int64(stmt_.get(), index, static_cast<sqlite3_int64>(number));
  MARGAY_ASSERT(rc == SQLITE_OK);
  return *this;
}

Statement& Statement::bind_null(int index) {
  const int rc = sqlite3_bind_null(stmt_.get(), index);
  MARGAY_ASSERT(rc == SQLITE_OK);
  return *this;
}

Result<bool> Statement::step() {
  const int rc = sqlite3_step(stmt_.get());
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) {
    reset();
    return false;
  }
  auto error = db_->last_error("");
  reset();
  return error;
}

void Statement::reset() { sqlite3_reset(stmt_.get()); }

std::string_view Statement::text(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(stmt_.get(), column));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(stmt_.get(), column));
  return data == nullptr ? std::string_view() : std::string_view(data, size);
}

std::uint64_t Statement::number(int column) const {
  return static_cast<std::uint64_t>(sqlite3_column_int64(stmt_.get(), column));
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(stmt_.get(), column) == SQLITE_NULL;
}

Result<std::unique_ptr<Database>> Database::open(const std::string& path) {
  std::unique_ptr<Database> db(new Database(path));
  const int rc =
      sqlite3_open_v2(path.c_str(), &db->db_,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (rc != SQLITE_OK) return db->last_error("open");
  sqlite3_extended_result_codes(db->db_, 1);
  if (sqlite3_db_readonly(db->db_, "main") == 1) {
    return sys_error(EROFS, "store " + path + " cannot be written");
  }
  // Exclusive before WAL: no shared-memory file, and no other program can write behind our back.
  // FULL: the log is synced at each commit, so that what was acknowledged survives power loss.
  for (const char* pragma : {"PRAGMA locking_mode=EXCLUSIVE", "PRAGMA synchronous=FULL",
                             "PRAGMA cache_size=-2048", "PRAGMA temp_store=MEMORY"}) {
    MARGAY_CHECK(db->run(pragma));
  }
  return db;
}

Result<void> Database::use_write_ahead_log() {
  MARGAY_TRY(auto wal, prepare("PRAGMA journal_mode=WAL"));
  MARGAY_TRY(const bool row, wal.step());
  const std::string mode(row ? wal.text(0) : "");
  wal.reset();
  if (mode != "wal") {
    return make_error(Code::system, "store " + path_ +
                                        ": no write-ahead log on this file system (" + mode +
                                        "): put it on a local disk");
  }
  return {};
}

Database::~Database() { sqlite3_close_v2(db_); }

Result<Statement> Database::prepare(std::string_view sql) {
  Statement s;
  s.db_ = this;
  sqlite3_stmt* raw = nullptr;
  const int rc = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                    SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  s.stmt_.reset(raw);
  if (rc != SQLITE_OK) return last_error("prepare");
  return s;
}

Result<void> Database::run(const char* sql) {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return last_error("");
  return {};
}

bool Database::in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }

Error Database::last_error(std::string_view doing) const {
  const int extended = db_ == nullptr ? SQLITE_NOMEM : sqlite3_extended_errcode(db_);
  const std::string detail = db_ == nullptr ? "out of memory" : sqlite3_errmsg(db_);
  const int os = db_ == nullptr ? 0 : sqlite3_system_errno(db_);
  std::string what = "store " + path_;
  if (!doing.empty()) what += ": " + std::string(doing);
  switch (extended & 0xff) {
    case SQLITE_FULL:
      return sys_error(ENOSPC, what + ": disk full");
    case SQLITE_READONLY:
      return sys_error(EROFS, what + " cannot be written");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return make_error(Code::refused, what + " is damaged or no Margay store (" + detail +
                                           "): restore a copy, or move it away");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return make_error(Code::refused, what + " is in use by another program (" + detail + ")");
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return sys_error(os == 0 ? EIO : os, what + ": " + detail);
    default:
      return make_error(Code::internal, what + ": " + detail);
  }
}

}  // namespace margay::datastore
