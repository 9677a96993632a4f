// SPDX-License-Identifier: Apache-2.0
// A Source against a whole typha over real gRPC on loopback.
#include <gmock/gmock.h>

#include "agent/sync/source.h"
#include "receiver.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"
#include "tests/support/typha_fixture.h"

namespace margay::sync {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;
using ::testing::StartsWith;

class TyphaSourceTest : public ::testing::Test {
 protected:
  std::unique_ptr<Source> connect(Receiver& r, Clock::duration read_timeout = 30s) {
    TyphaConfig c;
    c.address = typha_.address();
    c.node_name = "n1";
    c.version = "test";
    c.read_timeout = read_timeout;
    c.backoff_min = 5ms;
    c.backoff_max = 50ms;
    auto source = make_typha_source(loop_, c, r.callbacks());
    EXPECT_TRUE(source.ok());
    return std::move(*source);
  }
  [[nodiscard]] bool until(const std::function<bool()>& done) { return run_until(loop_, done); }

  TempDir dir_;
  TyphaFixture typha_{{dir_ / "s.db"}};
  AsioLoop loop_{"client"};
};

TEST_F(TyphaSourceTest, gives_the_snapshot_then_in_sync_then_changes) {
  typha_.put("/a", "1");
  typha_.put("/b", "2");
  Receiver r;
  const auto source = connect(r);
  EXPECT_TRUE(r.notes.empty());  // never from inside the constructor
  ASSERT_TRUE(until([&] { return r.in_syncs == 1; }));
  EXPECT_THAT(r.notes, ElementsAre("connected", "+/a", "+/b", "in-sync"));
  const auto revision = typha_.put("/c", "3");
  typha_.remove("/a");
  ASSERT_TRUE(until([&] { return r.state.size() == 2 && r.state.count("/c") == 1; }));
  EXPECT_EQ(r.state["/c"], "3");
  EXPECT_TRUE(source->status().in_sync);
  EXPECT_TRUE(until([&] { return source->status().revision > revision; }));
  EXPECT_FALSE(source->status().store_id.empty());
}

TEST_F(TyphaSourceTest, gives_large_content_in_moderate_batches) {
  typha_.fill("/many/", 5000, std::string(300, 'v'));
  Receiver r;
  const auto source = connect(r);
  ASSERT_TRUE(until([&] { return r.in_syncs == 1; }));
  EXPECT_EQ(r.state.size(), 5000U);
  EXPECT_LE(r.largest_batch, kMaxBatch);
  typha_.fill("/more/", 5000, std::string(300, 'w'));
  ASSERT_TRUE(until([&] { return r.state.size() == 10'000; }));
  EXPECT_LE(r.largest_batch, kMaxBatch);
}

TEST_F(TyphaSourceTest, gives_values_longer_than_a_message_whole) {
  std::string big(1'000'000, 'a');
  big[600'000] = 'b';
  typha_.put("/k/a", "small");
  typha_.put("/k/b", big);
  typha_.put("/k/c", "small");
  Receiver r;
  const auto source = connect(r);
  ASSERT_TRUE(until([&] { return r.in_syncs == 1; }));
  EXPECT_EQ(r.state["/k/b"], big);
  big[700'000] = 'c';
  typha_.put("/k/b", big);
  typha_.put("/k/d", "last");
  ASSERT_TRUE(until([&] { return r.state.count("/k/d") == 1; }));
  EXPECT_EQ(r.state["/k/b"], big);
  EXPECT_EQ(r.state.size(), 4U);
}

TEST_F(TyphaSourceTest, resumes_with_only_what_was_missed) {
  typha_.fill("/k/", 100, "v");
  Receiver r;
  const auto source = connect(r);
  ASSERT_TRUE(until([&] { return r.in_syncs == 1; }));
  typha_.stop();
  ASSERT_TRUE(until([&] { return !r.connected; }));
  EXPECT_TRUE(source->status().in_sync);
  EXPECT_THAT(source->status().error, Not(::testing::IsEmpty()));
  EXPECT_EQ(r.state.size(), 100U);  // nothing is taken back meanwhile
  r.notes.clear();
  typha_.start();
  typha_.put("/k/7", "new");
  typha_.remove("/k/8");
  ASSERT_TRUE(until([&] { return r.in_syncs == 2; }));
  ASSERT_TRUE(until([&] { return r.state.size() == 99; }));
  EXPECT_EQ(r.state["/k/7"], "new");
  EXPECT_EQ(source->status().snapshots, 1U);
  EXPECT_EQ(r.notes.size(), 4U) << ::testing::PrintToString(r.notes);
}

TEST_F(TyphaSourceTest, makes_up_deletes_after_a_new_snapshot) {
  typha_.stop();
  typha_.config().keep_changes = 10;
  typha_.start();
  typha_.fill("/k/", 100, "v");
  Receiver r;
  const auto source = connect(r);
  ASSERT_TRUE(until([&] { return r.in_syncs == 1; }));
  typha_.stop();
  ASSERT_TRUE(until([&] { return !r.connected; }));
  {
    AsioLoop loop("x");
    auto store = datastore::SqliteStore::open(loop, {dir_ / "s.db", "x", 10});
    ASSERT_TRUE(store.ok());
    ASSERT_TRUE((*store)->remove("/k/5", Revision(0)).ok());
    for (int i = 0; i < 20; ++i) ASSERT_TRUE((*store)->put("/k/6", std::to_string(i)).ok());
  }
  r.notes.clear();
  typha_.start();
  ASSERT_TRUE(until([&] { return r.in_syncs == 2; }));
  // What has not changed is not told again.
  EXPECT_THAT(r.notes, ElementsAre("connected", "+/k/6", "-/k/5", "in-sync"));
  EXPECT_EQ(source->status().snapshots, 2U);
}

TEST_F(TyphaSourceTest, takes_a_new_snapshot_of_another_store) {
  typha_.put("/a", "1");
  typha_.put("/b", "1");
  Receiver r;
  const auto source = connect(r);
  ASSERT_TRUE(until([&] { return r.in_syncs == 1; }));
  typha_.stop();
  typha_.config().store_path = dir_ / "other.db";
  typha_.start();
  typha_.put("/b", "other");
  ASSERT_TRUE(until([&] { return r.in_syncs == 2 && r.state.size() == 1 && r.state.count("/b"); }));
  EXPECT_EQ(r.state["/b"], "other");
}

TEST_F(TyphaSourceTest, waits_for_a_typha_that_starts_later) {
  typha_.stop();
  Receiver r;
  const auto source = connect(r);
  ASSERT_TRUE(until(
      [&] { return r.status.error.find("not connected yet") != 0 && !r.status.error.empty(); }));
  EXPECT_THAT(r.status.error, StartsWith("127.0.0.1:"));
  typha_.start();
  typha_.put("/a", "1");
  ASSERT_TRUE(until([&] { return r.state.count("/a") == 1; }));
  EXPECT_TRUE(r.status.error.empty());
}

TEST_F(TyphaSourceTest, leaves_a_silent_server) {
  typha_.stop();
  typha_.config().heartbeat = 1h;
  typha_.start();
  typha_.put("/a", "1");
  Receiver r;
  const auto source = connect(r, 300ms);
  ASSERT_TRUE(until([&] { return r.in_syncs >= 2; }));
  EXPECT_THAT(r.notes, Contains("lost"));
  EXPECT_GE(typha_.counter("margay_typha_resumes_total"), 1U);
}

TEST_F(TyphaSourceTest, heartbeats_keep_a_connection) {
  typha_.stop();
  typha_.config().heartbeat = 20ms;
  typha_.start();
  Receiver r;
  const auto source = connect(r, 1s);
  const auto start = loop_.now();
  ASSERT_TRUE(until([&] { return loop_.now() - start > 1500ms; }));
  EXPECT_EQ(r.in_syncs, 1);
  EXPECT_THAT(r.notes, Not(Contains("lost")));
}

TEST_F(TyphaSourceTest, ends_cleanly_at_any_moment) {
  typha_.fill("/k/", 3000, std::string(500, 'v'));
  for (const std::size_t moment : {0U, 1U, 500U, 1500U, 3000U}) {
    Receiver r;
    auto source = connect(r);
    ASSERT_TRUE(until([&] { return r.updates >= moment; }));
    source.reset();
    const auto updates = r.updates;
    loop_.post([] {});
    ASSERT_TRUE(until([] { return true; }));
    EXPECT_EQ(r.updates, updates);
  }
  ASSERT_TRUE(until([&] { return typha_.gauge("margay_typha_clients") == 0; }));
}

TEST_F(TyphaSourceTest, refuses_plain_text_to_another_machine) {
  TyphaConfig c;
  c.address = "192.0.2.1:5474";
  const auto source = make_typha_source(loop_, c, {});
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.error().code, Code::invalid);
}

TEST_F(TyphaSourceTest, many_clients_see_the_same) {
  typha_.fill("/k/", 2000, std::string(400, 'v'));
  constexpr std::size_t kClients = 20;
  std::vector<Receiver> receivers(kClients);
  std::vector<std::unique_ptr<Source>> sources;
  for (auto& r : receivers) sources.push_back(connect(r));
  for (int i = 0; i < 300; ++i) typha_.put("/k/" + std::to_string(i * 7 % 2100), "x");
  typha_.put("/last", "1");
  ASSERT_TRUE(until([&] {
    return std::all_of(receivers.begin(), receivers.end(),
                       [](const Receiver& r) { return r.state.count("/last") == 1; });
  }));
  for (const auto& r : receivers) EXPECT_EQ(r.state, receivers[0].state);
  EXPECT_EQ(receivers[0].state.size(), 2001U + 14U);
}

}  // namespace
}  // namespace margay::sync
