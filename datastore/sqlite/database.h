// SPDX-License-Identifier: Apache-2.0
// A thin, typed skin over one SQLite connection: statements that are prepared once, errors that
// name the file and say what to do. Single-threaded. No SQLite in this header.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace margay::datastore {

class Database;

// One prepared statement. Bound text must stay alive until the next reset().
class Statement {
 public:
  Statement() = default;
  Statement& bind(int index, std::string_view text);
  Statement& bind(int index, std::uint64_t number);
  Statement& bind_null(int index);
  // true: a row stands ready in the column accessors; false: done (and reset).
  Result<bool> step();
  void reset();  // must be called when a walk ends before its last row
  [[nodiscard]] std::string_view text(int column) const;  // valid until the next step or reset
  [[nodiscard]] std::uint64_t number(int column) const;
  [[nodiscard]] bool is_null(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* s) const;
  };
  Database* db_ = nullptr;
  std::unique_ptr<sqlite3_stmt, Finalize> stmt_;
};

class Database {
 public:
  // Opens or makes the file: synchronous=FULL, locked against every other connection.
  static Result<std::unique_ptr<Database>> open(const std::string& path);
  // Switches the file to write-ahead logging: after it is known to be ours, outside a transaction.
  Result<void> use_write_ahead_log();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  Result<Statement> prepare(std::string_view sql);
  Result<void> run(const char* sql);  // statements without parameters or rows of interest
  [[nodiscard]] Error last_error(std::string_view doing) const;
  [[nodiscard]] bool in_transaction() const;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit Database(std::string path) : path_(std::move(path)) {}
  std::string path_;
  sqlite3* db_ = nullptr;
};

}  // namespace margay::datastore
