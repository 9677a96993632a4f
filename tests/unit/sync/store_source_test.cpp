// SPDX-License-Identifier: Apache-2.0
// A Source over a Store on the same loop: SQLite in virtual time, and a store that fails on demand.
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "agent/sync/backoff.h"
#include "agent/sync/servers.h"
#include "agent/sync/source.h"
#include "datastore/sqlite/sqlite_store.h"
#include "receiver.h"
#include "tests/support/sim_loop.h"
#include "tests/support/temp_dir.h"

namespace margay::sync {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

// Passes everything on, or refuses it.
class Moody : public datastore::Store {
 public:
  explicit Moody(datastore::Store& inner) : inner_(inner) {}
  bool away = false;
  void cut(const Error& error) {
    if (const auto ended = std::exchange(ended_, nullptr)) ended(error);
  }
  Result<datastore::Listing> list(std::string_view prefix) override {
    if (away) return make_error(Code::unavailable, "away");
    return inner_.list(prefix);
  }
  Result<datastore::Entry> get(std::string_view key) override { return inner_.get(key); }
  Result<Revision> create(std::string_view k, std::string_view v) override {
    return inner_.create(k, v);
  }
  Result<Revision> update(std::string_view k, std::string_view v, Revision e) override {
    return inner_.update(k, v, e);
  }
  Result<Revision> put(std::string_view k, std::string_view v) override { return inner_.put(k, v); }
  Result<Revision> remove(std::string_view k, Revision e) override { return inner_.remove(k, e); }
  std::unique_ptr<datastore::WatchHandle> watch(std::string_view prefix, Revision from,
                                                datastore::WatchCallbacks c) override {
    ended_ = c.ended;
    return inner_.watch(prefix, from, std::move(c));
  }

 private:
  datastore::Store& inner_;
  std::function<void(const Error&)> ended_;
};

class StoreSourceTest : public ::testing::Test {
 protected:
  SimLoop loop_;
  TempDir dir_;
  std::unique_ptr<datastore::SqliteStore> store_ =
      std::move(datastore::SqliteStore::open(loop_, {dir_ / "s.db", "test", 20})).value();
  Moody moody_{*store_};
  Receiver r_;
};

TEST_F(StoreSourceTest, lists_then_watches) {
  ASSERT_TRUE(store_->put("/p/a", "1").ok());
  ASSERT_TRUE(store_->put("/other", "1").ok());
  const auto source = make_store_source(loop_, *store_, "/p/", r_.callbacks());
  EXPECT_TRUE(r_.notes.empty());
  loop_.run_ready();
  EXPECT_THAT(r_.notes, ElementsAre("connected", "+/p/a", "in-sync"));
  ASSERT_TRUE(store_->put("/p/b", "2").ok());
  ASSERT_TRUE(store_->remove("/p/a", Revision(0)).ok());
  loop_.run_ready();
  EXPECT_EQ(r_.state.size(), 1U);
  EXPECT_EQ(r_.state["/p/b"], "2");
  EXPECT_EQ(source->status().revision, Revision(4));
}

TEST_F(StoreSourceTest, hands_over_in_batches) {
  std::vector<datastore::Write> writes;
  for (int i = 0; i < 2500; ++i) {
    writes.push_back({datastore::Write::Kind::put, "/k/" + std::to_string(i), "v", {}});
  }
  store_->submit(writes, [](const auto&) {});
  loop_.run_ready();
  const auto source = make_store_source(loop_, *store_, "/", r_.callbacks());
  loop_.run_ready();
  EXPECT_EQ(r_.updates, 2500U);
  EXPECT_EQ(r_.largest_batch, kMaxBatch);
  EXPECT_EQ(r_.in_syncs, 1);
}

TEST_F(StoreSourceTest, lists_again_with_a_difference_when_compacted) {
  ASSERT_TRUE(store_->put("/a", "1").ok());
  ASSERT_TRUE(store_->put("/b", "1").ok());
  const auto source = make_store_source(loop_, moody_, "/", r_.callbacks());
  loop_.run_ready();
  r_.notes.clear();
  moody_.cut(make_error(Code::compacted, "test"));
  ASSERT_TRUE(store_->remove("/a", Revision(0)).ok());
  ASSERT_TRUE(store_->put("/c", "1").ok());
  loop_.run_ready();
  EXPECT_EQ(r_.state.size(), 2U);
  EXPECT_EQ(r_.state.count("/a"), 0U);
  EXPECT_EQ(r_.in_syncs, 2);
  EXPECT_EQ(source->status().snapshots, 2U);
}

TEST_F(StoreSourceTest, keeps_what_it_has_while_the_store_is_away) {
  ASSERT_TRUE(store_->put("/a", "1").ok());
  const auto source = make_store_source(loop_, moody_, "/", r_.callbacks());
  loop_.run_ready();
  moody_.away = true;
  moody_.cut(make_error(Code::compacted, "test"));
  loop_.advance(1min);
  EXPECT_FALSE(source->status().connected);
  EXPECT_EQ(source->status().error, "away");
  EXPECT_EQ(r_.state.size(), 1U);
  moody_.away = false;
  ASSERT_TRUE(store_->put("/b", "1").ok());
  loop_.advance(20s);
  EXPECT_TRUE(source->status().connected);
  EXPECT_EQ(r_.state.size(), 2U);
}

TEST_F(StoreSourceTest, watches_on_after_an_outage) {
  ASSERT_TRUE(store_->put("/a", "1").ok());
  const auto source = make_store_source(loop_, moody_, "/", r_.callbacks());
  loop_.run_ready();
  moody_.cut(make_error(Code::unavailable, "gone"));
  EXPECT_FALSE(r_.connected);
  ASSERT_TRUE(store_->put("/b", "1").ok());
  loop_.advance(1s);
  EXPECT_TRUE(r_.connected);
  EXPECT_EQ(r_.state.size(), 2U);
  EXPECT_EQ(source->status().snapshots, 1U);
}

TEST_F(StoreSourceTest, is_silent_after_its_end) {
  ASSERT_TRUE(store_->put("/a", "1").ok());
  auto source = make_store_source(loop_, *store_, "/", r_.callbacks());
  source.reset();
  loop_.advance(1min);
  EXPECT_TRUE(r_.notes.empty());
}

TEST(Servers, are_taken_in_turn_with_a_pause_when_all_have_failed) {
  auto servers = Servers::parse("a:1, b:2,[::1]:3 ,unix:/x", "n1");
  ASSERT_TRUE(servers.ok());
  std::set<std::string> seen;
  for (int i = 0; i < 4; ++i) {
    seen.insert(servers->current());
    EXPECT_EQ(servers->failed(), i == 3);
  }
  EXPECT_EQ(seen, (std::set<std::string>{"a:1", "b:2", "[::1]:3", "unix:/x"}));
  EXPECT_FALSE(servers->failed());
  servers->succeeded();
  EXPECT_FALSE(servers->failed());
  EXPECT_FALSE(servers->failed());
}

TEST(Servers, agents_spread_over_them) {
  std::map<std::string, int> first;
  for (int i = 0; i < 1000; ++i) {
    ++first[Servers::parse("10.0.0.1:5474,10.0.0.2:5474,10.0.0.3:5474", "node-" + std::to_string(i))
                ->current()];
  }
  for (const auto& [address, agents] : first) EXPECT_NEAR(agents, 333, 70) << address;
  EXPECT_EQ(first.size(), 3U);
}

TEST(Servers, wrong_addresses_are_named) {
  for (const char* bad : {"", "host", "host:", ":1", "host:port", "a:1,,b:2", "unix:"}) {
    SCOPED_TRACE(bad);
    const auto servers = Servers::parse(bad, "n1");
    ASSERT_FALSE(servers.ok());
    EXPECT_NE(servers.error().context.find("TyphaAddr"), std::string::npos);
  }
}

TEST(Backoff, grows_to_its_bound_with_jitter) {
  Backoff b(100ms, 10s, 1);
  Clock::duration whole = 100ms;
  for (int i = 0; i < 20; ++i) {
    const auto d = b.next();
    EXPECT_GE(d, whole / 2);
    EXPECT_LE(d, whole);
    whole = std::min<Clock::duration>(whole * 2, 10s);
  }
  b.reset();
  EXPECT_LE(b.next(), 100ms);
  Backoff other(100ms, 10s, 2);
  EXPECT_NE(Backoff(100ms, 10s, 1).next(), other.next());
}

}  // namespace
}  // namespace margay::sync
