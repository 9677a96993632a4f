// SPDX-License-Identifier: Apache-2.0
#include "datastore/sqlite/sqlite_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "conformance.h"
#include "tests/support/sim_loop.h"
#include "tests/support/temp_dir.h"

namespace margay::datastore {
namespace {

using ::testing::HasSubstr;

class SqliteHarness : public StoreHarness {
 public:
  Store& store() override { return *store_; }
  bool run_until(std::function<bool()> done) override {
    loop_.run_ready();
    return done();
  }

 private:
  SimLoop loop_;
  TempDir dir_;
  std::unique_ptr<SqliteStore> store_ =
      std::move(SqliteStore::open(loop_, {dir_ / "s.db", "test", 100, 64ULL << 20})).value();
};

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreConformance,
                         ::testing::Values(+[]() -> std::unique_ptr<StoreHarness> {
                           return std::make_unique<SqliteHarness>();
                         }));

class SqliteStoreTest : public ::testing::Test {
 protected:
  Result<std::unique_ptr<SqliteStore>> open(SqliteOptions o = {}) {
    o.path = path_;
    o.owner = "first";
    return SqliteStore::open(loop_, o);
  }
  SimLoop loop_;
  TempDir dir_;
  std::string path_ = dir_ / "store.db";
};

TEST_F(SqliteStoreTest, keeps_everything_over_a_restart) {
  std::string id;
  Revision last;
  {
    auto store = open();
    ASSERT_TRUE(store.ok()) << store.error().message();
    id = (*store)->id();
    ASSERT_TRUE((*store)->put("/a", "1").ok());
    last = *(*store)->put("/b", "2");
  }
  auto store = open();
  ASSERT_TRUE(store.ok()) << store.error().message();
  EXPECT_EQ((*store)->id(), id);
  EXPECT_EQ((*store)->get("/b")->revision, last);
  EXPECT_GT(*(*store)->put("/c", "3"), last);
  EXPECT_EQ((*store)->list("")->oldest, Revision(0));
}

TEST_F(SqliteStoreTest, does_not_reuse_revisions_of_deleted_keys) {
  Revision last;
  {
    auto store = open();
    ASSERT_TRUE((*store)->put("/a", "1").ok());
    last = *(*store)->remove("/a", Revision(0));
  }
  auto store = open();
  EXPECT_GT(*(*store)->put("/a", "2"), last);
}

TEST_F(SqliteStoreTest, refuses_a_second_owner_naming_the_first) {
  auto first = open();
  ASSERT_TRUE(first.ok());
  const auto second = SqliteStore::open(loop_, {path_, "second"});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, Code::refused);
  EXPECT_THAT(second.error().context,
              HasSubstr("first (process " + std::to_string(getpid()) + ")"));
  first = make_error(Code::internal, "closed");
  EXPECT_TRUE(SqliteStore::open(loop_, {path_, "second"}).ok());
}

TEST_F(SqliteStoreTest, commits_what_is_pending_together) {
  auto store = open();
  const auto before = (*store)->stats().commits;
  int answered = 0;
  for (int i = 0; i < 200; ++i) {
    (*store)->submit({{Write::Kind::put, "/k" + std::to_string(i), "v", {}}},
                     [&](const Store::WriteResults& r) {
                       EXPECT_TRUE(r[0].ok());
                       ++answered;
                     });
  }
  EXPECT_EQ(answered, 0);  // nothing is committed yet
  loop_.run_ready();
  EXPECT_EQ(answered, 200);
  EXPECT_EQ((*store)->stats().commits - before, 1U);
  EXPECT_EQ((*store)->stats().writes, 200U);
}

TEST_F(SqliteStoreTest, a_call_comes_after_what_was_submitted_before) {
  auto store = open();
  (*store)->submit({{Write::Kind::create, "/k", "submitted", {}}}, [](const auto&) {});
  EXPECT_EQ((*store)->create("/k", "called").error().code, Code::exists);
  EXPECT_EQ((*store)->get("/k")->value, "submitted");
}

TEST_F(SqliteStoreTest, bounds_the_change_log_in_bytes) {
  SqliteOptions o;
  o.keep_change_bytes = 10'000;
  auto store = open(o);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE((*store)->put("/k", std::string(1000, 'x')).ok());
  const auto listing = (*store)->list("");
  EXPECT_GT(listing->oldest.value(), 38U);
  EXPECT_LT(listing->oldest.value(), listing->revision.value());
}

TEST_F(SqliteStoreTest, says_that_a_file_is_no_store) {
  std::ofstream(path_) << std::string(8192, 'g');
  const auto store = open();
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().code, Code::refused);
  EXPECT_THAT(store.error().context, HasSubstr(path_));
}

TEST_F(SqliteStoreTest, says_that_the_folder_is_missing) {
  const auto store = SqliteStore::open(loop_, {dir_ / "no/such/s.db", "test"});
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().sys_errno, ENOENT);
}

// What follows happens in a child process: its own mount namespace, or its death, is the point.
int in_child(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

constexpr int kNoNamespace = 77;

int fill_the_disk(const std::string& dir) {
  if (unshare(CLONE_NEWNS) != 0 || mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", dir.c_str(), "tmpfs", 0, "size=512k") != 0) {
    return kNoNamespace;
  }
  SimLoop loop;
  auto opened = SqliteStore::open(loop, {dir + "/s.db", "test"});
  if (!opened.ok()) return 1;
  auto& store = **opened;
  std::vector<std::string> kept;
  Error error;
  for (int i = 0; i < 1000 && error.context.empty(); ++i) {
    const auto key = "/k" + std::to_string(i);
    const auto r = store.put(key, std::string(20'000, 'x'));
    r.ok() ? kept.push_back(key) : void(error = r.error());
  }
  if (error.sys_errno != ENOSPC) return 2;
  if (error.context.find("disk full") == std::string::npos) return 3;
  if (store.list("")->entries.size() != kept.size()) return 4;  // what was in force stays
  if (!store.remove(kept[0], Revision(0)).ok() && store.get(kept[0])->value.size() != 20'000) {
    return 5;
  }
  return 0;
}

TEST_F(SqliteStoreTest, a_full_disk_changes_nothing) {
  const int code = in_child([&] { return fill_the_disk(dir_.path()); });
  if (code == kNoNamespace) GTEST_SKIP() << "no permission for a mount namespace";
  EXPECT_EQ(code, 0);
}

int open_read_only(const std::string& dir) {
  if (unshare(CLONE_NEWNS) != 0 || mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", dir.c_str(), "tmpfs", 0, "size=1m") != 0) {
    return kNoNamespace;
  }
  SimLoop loop;
  if (!SqliteStore::open(loop, {dir + "/s.db", "test"}).ok()) return 1;
  if (mount("", dir.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) return 2;
  const auto again = SqliteStore::open(loop, {dir + "/s.db", "test"});
  return !again.ok() && again.error().sys_errno == EROFS ? 0 : 3;
}

TEST_F(SqliteStoreTest, says_that_the_file_system_is_read_only) {
  const int code = in_child([&] { return open_read_only(dir_.path()); });
  if (code == kNoNamespace) GTEST_SKIP() << "no permission for a mount namespace";
  EXPECT_EQ(code, 0);
}

// Writes for ever, in groups, and tells each acknowledged revision through the pipe.
[[noreturn]] void write_until_killed(const std::string& path, int pipe) {
  SimLoop loop;
  auto store = SqliteStore::open(loop, {path, "child"});
  if (!store.ok()) _exit(1);
  for (std::uint64_t i = 0;;) {
    for (int g = 0; g < 7; ++g, ++i) {
      const auto key = "/k" + std::to_string(i);
      (*store)->submit({{Write::Kind::put, key, std::to_string(i), {}}},
                       [i, pipe](const Store::WriteResults& r) {
                         if (!r[0].ok()) _exit(2);
                         const std::uint64_t told[2] = {i, r[0]->value()};
                         if (write(pipe, told, sizeof told) != sizeof told) _exit(3);
                       });
    }
    loop.run_ready();
  }
}

TEST_F(SqliteStoreTest, kill_loses_nothing_acknowledged) {
  for (int round = 0; round < 5; ++round) {
    const std::string path = dir_ / ("killed" + std::to_string(round));
    int fds[2];
    ASSERT_EQ(pipe(fds), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(fds[0]);
      write_until_killed(path, fds[1]);
    }
    close(fds[1]);
    std::vector<std::pair<std::uint64_t, std::uint64_t>> acknowledged;
    std::uint64_t told[2];
    while (read(fds[0], told, sizeof told) == sizeof told) {
      acknowledged.emplace_back(told[0], told[1]);
      // At some write in the middle of a group; what is in the pipe by then counts as well.
      if (acknowledged.size() == 100U + static_cast<unsigned>(round) * 37U) kill(child, SIGKILL);
    }
    int status = 0;
    waitpid(child, &status, 0);
    close(fds[0]);
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
    const auto store = SqliteStore::open(loop_, {path, "parent"});
    ASSERT_TRUE(store.ok()) << store.error().message();
    for (const auto& [i, revision] : acknowledged) {
      const auto e = (*store)->get("/k" + std::to_string(i));
      ASSERT_TRUE(e.ok()) << i << " of " << acknowledged.size();
      EXPECT_EQ(e->value, std::to_string(i));
      EXPECT_EQ(e->revision.value(), revision);
    }
  }
}

}  // namespace
}  // namespace margay::datastore
