// SPDX-License-Identifier: Apache-2.0
#include "datastore/remote/remote_store.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "conformance.h"
#include "datastore/service/store_server.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"
#include "tests/support/typha_fixture.h"

namespace margay::datastore {
namespace {

using namespace std::chrono_literals;

std::unique_ptr<Store> connect(AsioLoop& loop, const std::string& address,
                               std::chrono::milliseconds timeout = 10s) {
  auto store = make_remote_store(loop, {address, {}, timeout});
  MARGAY_ASSERT(store.ok());
  return std::move(*store);
}

class RemoteHarness : public StoreHarness {
 public:
  explicit RemoteHarness(bool over_unix_socket)
      : typha_({dir_ / "s.db", 100, 8U << 20, 5s, {}, dir_ / "store.sock"}),
        store_(connect(loop_,
                       over_unix_socket ? "unix:" + (dir_ / "store.sock") : typha_.address())) {}
  Store& store() override { return *store_; }
  bool run_until(std::function<bool()> done) override { return margay::run_until(loop_, done); }

 private:
  TempDir dir_;
  TyphaFixture typha_;
  AsioLoop loop_{"client"};
  std::unique_ptr<Store> store_;
};

template <bool OverUnixSocket>
std::unique_ptr<StoreHarness> remote() {
  return std::make_unique<RemoteHarness>(OverUnixSocket);
}
INSTANTIATE_TEST_SUITE_P(RemoteTcp, StoreConformance, ::testing::Values(&remote<false>));
INSTANTIATE_TEST_SUITE_P(RemoteUnix, StoreConformance, ::testing::Values(&remote<true>));

class RemoteStoreTest : public ::testing::Test {
 protected:
  TempDir dir_;
  std::string socket_ = dir_ / "store.sock";
  TyphaFixture typha_{{dir_ / "s.db", 10'000, 8U << 20, 5s, {}, socket_}};
  AsioLoop loop_{"client"};
};

TEST_F(RemoteStoreTest, the_unix_socket_is_for_its_owner_alone) {
  struct stat st {};
  ASSERT_EQ(stat(socket_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600U);
}

TEST_F(RemoteStoreTest, says_that_nobody_answers) {
  typha_.stop();
  const auto store = connect(loop_, typha_.address(), 200ms);
  const auto r = store->get("/k");
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.error().code, Code::unavailable);
  EXPECT_THAT(r.error().context, ::testing::HasSubstr(typha_.address()));
  bool answered = false;
  store->submit({{Write::Kind::put, "/k", "v", {}}}, [&](const Store::WriteResults& results) {
    answered = true;
    EXPECT_EQ(results[0].error().code, Code::unavailable);
  });
  EXPECT_TRUE(run_until(loop_, [&] { return answered; }));
}

TEST_F(RemoteStoreTest, a_watch_ends_when_the_owner_goes) {
  const auto store = connect(loop_, typha_.address());
  std::vector<Error> ended;
  std::size_t events = 0;
  const auto handle =
      store->watch("/", Revision(0),
                   {[&](const std::vector<Event>& e, Revision) { events += e.size(); },
                    [&](const Error& e) { ended.push_back(e); }});
  typha_.put("/k", "v");
  ASSERT_TRUE(run_until(loop_, [&] { return events == 1; }));
  typha_.stop();
  ASSERT_TRUE(run_until(loop_, [&] { return !ended.empty(); }));
  EXPECT_EQ(ended[0].code, Code::unavailable);
}

TEST_F(RemoteStoreTest, ends_with_calls_under_way) {
  auto store = connect(loop_, typha_.address());
  auto handle = store->watch("/", Revision(0), {[](const auto&, Revision) {}, {}});
  for (int i = 0; i < 50; ++i) {
    store->submit({{Write::Kind::put, "/k", "v", {}}},
                  [](const auto&) { ADD_FAILURE() << "answered after the end"; });
  }
  // The watch must end first, as with every store.
  handle.reset();
  store.reset();
  loop_.post([] {});
  EXPECT_TRUE(run_until(loop_, [] { return true; }));
}

TEST(StoreServer, offers_a_store_on_a_socket_for_its_owner_alone) {
  TempDir dir;
  const auto path = dir / "agent.sock";
  AsioLoop owner("owner");
  auto store = SqliteStore::open(owner, {dir / "s.db", "agent"});
  ASSERT_TRUE(store.ok());
  owner.run_in_thread();
  for (int round = 0; round < 2; ++round) {  // the second time over the first one's socket
    auto server = StoreServer::start(owner, **store, path);
    ASSERT_TRUE(server.ok()) << server.error().message();
    struct stat st {};
    ASSERT_EQ(stat(path.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600U);
    AsioLoop loop("client");
    const auto client = connect(loop, "unix:" + path);
    EXPECT_TRUE(client->put("/k", "v").ok());
    EXPECT_EQ(client->get("/k")->value, "v");
  }
  EXPECT_FALSE(StoreServer::start(owner, **store, dir / "no/such/folder.sock").ok());
  owner.join();
}

TEST_F(RemoteStoreTest, loads_many_keys_quickly) {
  const auto store = connect(loop_, "unix:" + socket_);
  std::vector<Write> writes;
  for (int i = 0; i < 25'000; ++i) {
    writes.push_back({Write::Kind::put, "/bulk/" + std::to_string(i), std::string(600, 'v'), {}});
  }
  std::size_t ok = 0;
  store->submit(std::move(writes), [&](const Store::WriteResults& results) {
    for (const auto& r : results) ok += r.ok() ? 1U : 0U;
  });
  ASSERT_TRUE(run_until(loop_, [&] { return ok != 0; }));
  EXPECT_EQ(ok, 25'000U);
}

}  // namespace
}  // namespace margay::datastore
