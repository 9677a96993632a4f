// SPDX-License-Identifier: Apache-2.0
// A replica's cache, fed over real gRPC on loopback by a server whose cache the test changes.
#include "typha/relay.h"

#include <gmock/gmock.h>

#include <future>
#include <map>
#include <set>

#include "margay/sync.pb.h"
#include "tests/support/run_until.h"
#include "typha/fanout.h"
#include "typha/server.h"

namespace margay::typha {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsSubsetOf;

using Content = std::map<std::string, std::string>;

Content content_of(Cache& cache) {
  std::string bytes;
  for (const Body& b : cache.snapshot(cache.revision())->bodies) bytes += *b;
  sync::v1::SyncMessage message;
  EXPECT_TRUE(message.ParseFromString(bytes));
  Content out;
  for (const auto& e : message.entries()) out[e.key()] = e.value();
  return out;
}

std::string key(int i) { return "/k" + std::to_string(10'000 + i); }

Content keys(int n, const std::string& value) {
  Content out;
  for (int i = 0; i < n; ++i) out[key(i)] = value;
  return out;
}

// Whom the replica follows: a server on a loop with a thread of its own.
class Owner {
 public:
  Owner() { start(); }
  ~Owner() { stop(); }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;

  void start() {
    parts_ = std::make_unique<Parts>();
    parts_->loop.run_in_thread();
    ServerOptions options;
    options.listen = address_;
    options.insecure = true;
    auto server = Server::start(parts_->loop, nullptr, parts_->fanout, options);
    MARGAY_ASSERT(server.ok());
    server_ = std::move(*server);
    address_ = "127.0.0.1:" + std::to_string(server_->port());
  }
  void stop() {
    server_.reset();
    if (parts_) parts_->loop.join();
    parts_.reset();
  }
  // The store's whole content, all of this revision.
  void load(const Content& content, std::uint64_t revision, const std::string& store = "s") {
    datastore::Listing l;
    for (const auto& [k, v] : content) l.entries.push_back({k, v, Revision(revision)});
    l.revision = Revision(revision);
    l.store_id = store;
    on_loop([&](Cache& cache) { cache.load(std::move(l)); });
  }
  void apply(const std::vector<datastore::Event>& events, std::uint64_t upto) {
    on_loop([&](Cache& cache) { cache.apply(events, Revision(upto)); });
  }
  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  struct Parts {
    AsioLoop loop{"owner"};
    metrics::Registry metrics;
    Cache cache{8U << 20};
    Fanout fanout{loop, cache, metrics, 5s};
  };
  template <typename F>
  void on_loop(F f) {
    std::promise<void> done;
    parts_->loop.post([&] {
      f(parts_->cache);
      parts_->fanout.changed();
      done.set_value();
    });
    done.get_future().wait();
  }

  std::string address_ = "127.0.0.1:0";
  std::unique_ptr<Parts> parts_;
  std::unique_ptr<Server> server_;
};

class RelayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    sync::TyphaConfig config;
    config.address = owner_.address();
    config.node_name = "replica";
    config.backoff_min = 5ms;
    config.backoff_max = 50ms;
    auto relay = Relay::make(loop_, config, cache_, metrics_, [this] {
      if (cache_.ready() && look_) look_();
    });
    ASSERT_TRUE(relay.ok());
    relay_ = std::move(*relay);
  }
  [[nodiscard]] bool until_at(std::uint64_t revision) {
    return run_until(loop_,
                     [&] { return cache_.ready() && cache_.revision() >= Revision(revision); });
  }

  Owner owner_;
  AsioLoop loop_{"replica"};
  metrics::Registry metrics_;
  Cache cache_{8U << 20};
  std::function<void()> look_;  // after each change of the cache
  std::unique_ptr<Relay> relay_;
};

TEST_F(RelayTest, has_what_its_server_has) {
  owner_.load({{"/a", "1"}, {"/b", "1"}}, 5);
  ASSERT_TRUE(until_at(5));
  EXPECT_EQ(content_of(cache_), (Content{{"/a", "1"}, {"/b", "1"}}));
  EXPECT_EQ(cache_.store_id(), "s");
  owner_.apply({{"/a", {}, true, Revision(6)}, {"/c", "2", false, Revision(7)}}, 7);
  ASSERT_TRUE(until_at(7));
  EXPECT_EQ(content_of(cache_), (Content{{"/b", "1"}, {"/c", "2"}}));
  EXPECT_FALSE(relay_->lag());
}

// More than one batch of deletes at one revision: who goes on from there has missed none.
TEST_F(RelayTest, a_revision_is_told_when_all_of_it_has_come) {
  constexpr int kKeys = 2 * static_cast<int>(sync::kMaxBatch) + 500;
  owner_.load(keys(kKeys, "v"), 5);
  ASSERT_TRUE(until_at(5));
  std::set<std::size_t> left_at_9;
  std::size_t looks_before_9 = 0;
  look_ = [&] {
    if (cache_.revision() < Revision(9)) ++looks_before_9;
    if (cache_.revision() == Revision(9)) left_at_9.insert(content_of(cache_).size());
  };
  std::vector<datastore::Event> deletes;
  for (int i = 0; i < kKeys; ++i) deletes.push_back({key(i), {}, true, Revision(9)});
  owner_.apply(deletes, 9);
  ASSERT_TRUE(until_at(9));
  EXPECT_THAT(left_at_9, ElementsAre(0U));
  EXPECT_GT(looks_before_9, 0U);  // what has come is passed on before
}

// Its clients may go on from what it shows, so it shows no half of a snapshot.
TEST_F(RelayTest, a_snapshot_is_shown_when_it_is_whole) {
  constexpr int kKeys = 3 * static_cast<int>(sync::kMaxBatch);
  owner_.load(keys(kKeys, "old"), 5);
  ASSERT_TRUE(until_at(5));
  owner_.stop();
  ASSERT_TRUE(run_until(loop_, [&] { return relay_->lag().has_value(); }));
  EXPECT_EQ(content_of(cache_).size(), std::size_t{kKeys});
  std::set<std::string> seen;
  look_ = [&] {
    std::set<std::string> values;
    for (const auto& [k, v] : content_of(cache_)) values.insert(v);
    seen.insert(values.size() == 1 ? *values.begin() : "mixed");
  };
  owner_.start();
  Content fresh = keys(kKeys, "new");
  fresh.erase(key(7));
  owner_.load(fresh, 50);  // with no log that reaches back
  ASSERT_TRUE(until_at(50));
  EXPECT_EQ(content_of(cache_), fresh);
  EXPECT_THAT(seen, IsSubsetOf({"old", "new"}));
  ASSERT_TRUE(run_until(loop_, [&] { return !relay_->lag(); }));
}

TEST_F(RelayTest, another_store_takes_the_place_of_the_one_before) {
  owner_.load({{"/a", "1"}, {"/b", "1"}}, 50, "first");
  ASSERT_TRUE(until_at(50));
  owner_.stop();
  owner_.start();
  owner_.load({{"/c", "1"}}, 2, "second");
  ASSERT_TRUE(run_until(loop_, [&] { return cache_.store_id() == "second"; }));
  EXPECT_EQ(content_of(cache_), (Content{{"/c", "1"}}));
  EXPECT_EQ(cache_.revision(), Revision(2));
}

TEST_F(RelayTest, says_why_and_since_when_it_is_behind) {
  ASSERT_TRUE(run_until(loop_, [&] { return relay_->lag().has_value(); }));
  const auto before = loop_.now();
  owner_.load({{"/a", "1"}}, 1);
  ASSERT_TRUE(run_until(loop_, [&] { return !relay_->lag(); }));
  owner_.stop();
  ASSERT_TRUE(run_until(loop_, [&] { return relay_->lag().has_value(); }));
  EXPECT_GE(relay_->lag()->since, before);
  EXPECT_FALSE(relay_->lag()->reason.empty());
  EXPECT_EQ(content_of(cache_).size(), 1U);
}

}  // namespace
}  // namespace margay::typha
