// SPDX-License-Identifier: Apache-2.0
// The fan-out in virtual time, with clients that take a message when the test says so.
#include "typha/fanout.h"

#include <gmock/gmock.h>

#include <map>

#include "margay/sync.pb.h"
#include "tests/support/sim_loop.h"
#include "typha/options.h"

namespace margay::typha {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

struct FakeClient : Downstream {
  Fanout* fanout = nullptr;
  Fanout::Id id = 0;
  std::vector<std::string> kinds;
  std::map<std::string, std::string> state;
  std::vector<Body> bodies;
  std::size_t waiting = 0;  // messages under way: never more than one
  Revision revision;
  sync::v1::SyncMessage last;

  void send(Message m) override {
    EXPECT_EQ(++waiting, 1U);
    std::string bytes = m.head;
    for (const auto& b : m.bodies) {
      bytes += *b;
      bodies.push_back(b);
    }
    EXPECT_LE(bytes.size(), kMaxMessage);
    sync::v1::SyncMessage p;
    ASSERT_TRUE(p.ParseFromString(bytes));
    constexpr const char* kNames[] = {"?", "begin", "snapshot", "end", "delta", "in-sync", "beat"};
    kinds.emplace_back(kNames[p.kind()]);
    if (p.revision() != 0) revision = Revision(p.revision());
    last = p;
    for (const auto& e : p.entries()) {
      if (e.deleted()) {
        state.erase(e.key());
      } else {
        state[e.key()] = e.value();
      }
    }
  }
  std::string refused;
  void refuse(std::string reason) override { refused = std::move(reason); }
  // Takes what is under way; true if there was something.
  bool take() {
    if (waiting == 0) return false;
    waiting = 0;
    fanout->sent(id);
    return true;
  }
  void take_all() {
    while (take()) {
    }
  }
};

class FanoutTest : public ::testing::Test {
 protected:
  void load(int keys, std::size_t size = 10) {
    datastore::Listing l;
    for (int i = 0; i < keys; ++i) {
      const auto r = static_cast<std::uint64_t>(i + 1);
      l.entries.push_back({key(i), std::string(size, 'v'), Revision(r)});
    }
    std::sort(l.entries.begin(), l.entries.end(),
              [](const auto& a, const auto& b) { return a.key < b.key; });
    revision_ = static_cast<std::uint64_t>(keys);
    l.revision = Revision(revision_);
    l.store_id = "s";
    cache_.load(std::move(l));
    fanout_.changed();
  }
  void change(int i, const std::string& value, Clock::time_point committed = {}) {
    ++revision_;
    cache_.apply({{key(i), value, false, Revision(revision_)}}, Revision(revision_), committed);
    fanout_.changed();
  }
  void add(FakeClient& c, Subscriber s = {}) {
    c.fanout = &fanout_;
    c.id = fanout_.add(c, std::move(s));
  }
  static std::string key(int i) { return "/k" + std::to_string(i); }

  SimLoop loop_;
  metrics::Registry metrics_;
  Cache cache_{200'000};
  Fanout fanout_{loop_, cache_, metrics_, 5s};
  std::uint64_t revision_ = 0;
};

TEST_F(FanoutTest, serves_a_client_from_start_to_change) {
  load(3);
  FakeClient c;
  add(c);
  c.take_all();
  change(1, "new");
  c.take_all();
  EXPECT_THAT(c.kinds, ElementsAre("begin", "snapshot", "end", "in-sync", "delta"));
  EXPECT_EQ(c.state["/k1"], "new");
  EXPECT_EQ(c.revision, Revision(4));
}

TEST_F(FanoutTest, a_client_waits_for_the_store_with_signs_of_life) {
  FakeClient c;
  add(c);
  loop_.advance(12s);
  c.take_all();
  loop_.advance(5s);
  c.take_all();
  EXPECT_THAT(c.kinds, ElementsAre("beat", "beat"));
  load(1);
  c.take_all();
  EXPECT_EQ(c.kinds.back(), "in-sync");
}

TEST_F(FanoutTest, an_empty_store_is_in_sync_too) {
  load(0);
  FakeClient c;
  add(c);
  c.take_all();
  EXPECT_THAT(c.kinds, ElementsAre("begin", "end", "in-sync"));
}

TEST_F(FanoutTest, all_clients_are_given_the_same_bytes) {
  load(500, 1000);
  FakeClient a;
  FakeClient b;
  add(a);
  add(b);
  a.take_all();
  b.take_all();
  change(3, "x");
  a.take_all();
  b.take_all();
  ASSERT_GT(a.bodies.size(), 2U);
  EXPECT_EQ(a.bodies, b.bodies);  // the same pointers
}

TEST_F(FanoutTest, a_resuming_client_is_given_what_it_missed) {
  load(10);
  change(1, "a");
  change(2, "b");
  change(3, "c");
  FakeClient c;
  add(c, {"n", "v", "p", "s", Revision(12)});
  c.take_all();
  EXPECT_THAT(c.kinds, ElementsAre("delta", "in-sync"));
  EXPECT_EQ(c.state, (std::map<std::string, std::string>{{"/k3", "c"}}));
}

// What a listing shows to be gone is deleted at one revision, here in several messages.
TEST_F(FanoutTest, a_client_that_breaks_off_within_one_revision_misses_nothing) {
  load(3000);
  FakeClient whole;
  add(whole);
  whole.take_all();
  datastore::Listing l;
  l.entries.push_back({key(0), "v", Revision(1)});
  l.revision = Revision(3005);
  l.store_id = "s";
  const std::size_t before = whole.kinds.size();
  const auto had = whole.state;
  const Revision at = whole.revision;
  cache_.load(std::move(l));
  fanout_.changed();
  whole.take_all();
  EXPECT_EQ(whole.state.size(), 1U);
  EXPECT_EQ(whole.revision, Revision(3005));
  const std::size_t messages = whole.kinds.size() - before;
  ASSERT_GT(messages, 2U);
  for (std::size_t taken = 1; taken < messages; ++taken) {
    SCOPED_TRACE(taken);
    FakeClient first;
    first.state = had;
    add(first, {"n", "v", "p", "s", at, at});
    for (std::size_t i = 1; i < taken; ++i) EXPECT_TRUE(first.take());
    EXPECT_GT(first.state.size(), 1U);
    fanout_.remove(first.id);
    FakeClient again;
    again.state = first.state;
    add(again, {"n", "v", "p", "s", first.revision, Revision(3005)});
    again.take_all();
    EXPECT_EQ(again.state.size(), 1U);
    EXPECT_EQ(again.revision, Revision(3005));
  }
}

// As it reaches an instance that another one feeds.
TEST_F(FanoutTest, half_a_revision_is_passed_on_but_not_gone_on_from) {
  load(3);
  FakeClient c;
  add(c);
  c.take_all();
  cache_.apply({{key(0), {}, true, Revision(9)}}, Revision(3));
  fanout_.changed();
  c.take_all();
  EXPECT_EQ(c.state.size(), 2U);
  EXPECT_EQ(c.revision, Revision(3));
  cache_.apply({{key(1), {}, true, Revision(9)}}, Revision(9));
  fanout_.changed();
  FakeClient again;
  again.state = c.state;
  add(again, {"n", "v", "p", "s", Revision(3), Revision(9)});
  for (FakeClient* client : {&c, &again}) {
    client->take_all();
    EXPECT_EQ(client->state.size(), 1U);
    EXPECT_EQ(client->revision, Revision(9));
  }
}

TEST_F(FanoutTest, who_cannot_resume_is_given_a_snapshot) {
  load(10);
  const Subscriber rows[] = {{"other store", "", "", "x", Revision(10)},
                             {"future", "", "", "s", Revision(11)},
                             {"before the log", "", "", "s", Revision(9)}};
  for (const auto& s : rows) {
    SCOPED_TRACE(s.node_name);
    FakeClient c;
    add(c, s);
    c.take_all();
    EXPECT_EQ(c.kinds.front(), "begin");
    EXPECT_EQ(c.state.size(), 10U);
    fanout_.remove(c.id);
  }
}

TEST_F(FanoutTest, a_client_with_a_newer_view_is_refused_and_given_nothing) {
  load(3);
  FakeClient ahead, other_store, even;
  add(ahead, {"n1", "v", "p", "s", Revision(4), Revision(4)});
  EXPECT_THAT(ahead.refused, ::testing::HasSubstr("revision 3, the client has 4"));
  EXPECT_EQ(ahead.waiting, 0U);
  change(1, "new");  // nor later: it is gone
  EXPECT_EQ(ahead.waiting, 0U);
  add(other_store, {"n2", "v", "p", "x", Revision(9), Revision(9)});
  other_store.take_all();
  EXPECT_THAT(other_store.kinds, ElementsAre("begin", "snapshot", "end", "in-sync"));
  add(even, {"n3", "v", "p", "s", Revision(4), Revision(4)});
  even.take_all();
  EXPECT_THAT(even.kinds, ElementsAre("in-sync"));
}

// It has a part of a newer snapshot, which it cannot go on from.
TEST_F(FanoutTest, a_snapshot_is_not_older_than_what_the_client_has_seen) {
  load(3);
  FakeClient first, second;
  add(first);
  first.take_all();
  change(1, "new");
  first.take_all();
  add(second, {"n2", "v", "p", "s", Revision(0), Revision(4)});
  second.take_all();
  EXPECT_THAT(second.kinds, ElementsAre("begin", "snapshot", "end", "in-sync"));
  EXPECT_EQ(second.state["/k1"], "new");
}

TEST_F(FanoutTest, a_lagging_client_is_given_many_deltas_in_one_message) {
  load(10);
  FakeClient c;
  add(c);
  c.take_all();
  change(0, "0");  // under way
  for (int i = 1; i < 10; ++i) change(i, std::to_string(i));
  c.kinds.clear();
  c.take_all();
  EXPECT_THAT(c.kinds, ElementsAre("delta"));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(c.state[key(i)], std::to_string(i));
}

TEST_F(FanoutTest, a_delta_tells_how_old_its_oldest_change_is) {
  load(3);
  FakeClient c;
  add(c);
  c.take_all();
  change(0, "a", loop_.now());
  EXPECT_EQ(c.last.age_us(), 0U) << "sent at once";
  loop_.advance(5ms);
  change(1, "b", loop_.now());
  loop_.advance(2ms);
  change(2, "c", loop_.now());
  loop_.advance(1ms);
  c.take();
  EXPECT_EQ(c.last.age_us(), 3000U) << "of b, which waited for the client";
  c.take();
  change(0, "d");
  EXPECT_EQ(c.last.age_us(), 0U) << "not known";
}

TEST_F(FanoutTest, a_slow_client_is_moved_to_a_newer_snapshot) {
  load(20);
  FakeClient slow;
  FakeClient quick;
  add(slow);
  add(quick);
  slow.take_all();
  quick.take_all();
  for (int i = 0; i < 1000; ++i) {
    change(i % 20, std::string(1000, 'x') + std::to_string(i));
    quick.take_all();
  }
  slow.kinds.clear();
  slow.take_all();
  EXPECT_THAT(slow.kinds, ElementsAre("begin", "snapshot", "end", "in-sync"));
  EXPECT_EQ(slow.state, quick.state);
  EXPECT_EQ(metrics_.counter("margay_typha_overtaken_total", "").value(), 1U);
  EXPECT_LE(cache_.log().bytes(), 200'000U);  // whoever waits, the log does not grow
}

TEST_F(FanoutTest, a_client_slow_in_its_snapshot_ends_up_right) {
  load(500, 1000);
  FakeClient slow;
  add(slow);
  for (int i = 0; i < 2000; ++i) {
    change(i % 500, std::string(500, 'y') + std::to_string(i));
    if (i % 400 == 0) slow.take();
  }
  slow.take_all();
  FakeClient fresh;
  add(fresh);
  fresh.take_all();
  EXPECT_EQ(slow.state, fresh.state);
  EXPECT_EQ(slow.kinds.back(), "in-sync");
}

TEST_F(FanoutTest, tells_at_once_that_its_view_is_not_the_newest_and_when_it_is_again) {
  load(3);
  FakeClient c;
  add(c);
  c.take_all();
  fanout_.set_lag(Lag{loop_.now() - 7s, "the disk is gone"});
  c.take_all();
  EXPECT_EQ(c.kinds.back(), "beat");
  EXPECT_EQ(c.last.stale_ms(), 7000U);
  EXPECT_EQ(c.last.stale_reason(), "the disk is gone");
  FakeClient late;
  add(late);
  late.take_all();
  EXPECT_EQ(late.kinds.back(), "in-sync");
  EXPECT_EQ(late.last.stale_ms(), 7000U);
  fanout_.set_lag(std::nullopt);
  c.take_all();
  EXPECT_EQ(c.kinds.back(), "beat");
  EXPECT_EQ(c.last.stale_ms(), 0U);
}

TEST_F(FanoutTest, beats_only_for_clients_that_have_nothing_under_way) {
  load(1);
  FakeClient idle;
  FakeClient stuck;
  add(idle);
  add(stuck);
  idle.take_all();
  idle.kinds.clear();
  for (int i = 0; i < 4; ++i) {
    loop_.advance(5s);
    idle.take_all();
  }
  EXPECT_THAT(idle.kinds, ElementsAre("beat", "beat", "beat", "beat"));
  EXPECT_EQ(idle.revision, Revision(1));
  EXPECT_THAT(stuck.kinds, ElementsAre("begin"));
}

TEST_F(FanoutTest, status_names_each_client) {
  load(5);
  FakeClient c;
  add(c, {"node7", "1.0", "ipv4:10.0.0.1:1", "", Revision(0)});
  EXPECT_EQ(fanout_.status()[0].stage, "snapshot");
  c.take_all();
  change(1, "x");
  change(2, "x");
  const auto s = fanout_.status()[0];
  EXPECT_EQ(s.node_name, "node7");
  EXPECT_EQ(s.stage, "following");
  EXPECT_GT(s.behind, 0U);
  fanout_.remove(c.id);
  EXPECT_TRUE(fanout_.status().empty());
}

struct OptionRow {
  const char* name;
  std::vector<std::string> args;
  Environment env;
  const char* error;  // part of it; empty: accepted
};

TEST(Options, say_what_is_wrong) {
  const std::vector<std::string> tls{"--ca-file",   "a", "--cert-file=b", "--key-file", "c",
                                     "--client-cn", "d"};
  const OptionRow rows[] = {
      {"tls", tls, {}, ""},
      {"environment", {}, {{"TYPHA_CAFILE", "a"}, {"typha_servercertfile", "b"}}, ""},
      {"insecure", {"--insecure", "--listen", "127.0.0.1:1"}, {}, ""},
      {"insecure unix", {"--insecure", "--listen", "unix:/x"}, {}, ""},
      {"insecure v6", {"--insecure", "--listen", "[::1]:1"}, {}, ""},
      {"nothing", {}, {}, "--ca-file"},
      {"insecure everywhere", {"--insecure"}, {}, "--listen"},
      {"insecure v6 everywhere", {"--insecure", "--listen", "[::]:1"}, {}, "--listen"},
      {"both", {"--insecure", "--ca-file", "x", "--listen", "unix:/x"}, {}, "exclude"},
      {"unknown", {"--colour"}, {}, "--colour"},
      {"no value", {"--ca-file"}, {}, "--ca-file needs a value"},
      {"port", {"--port", "65536"}, {}, "--port: '65536' is not allowed; it must be 0 to 65535"},
      {"port of the environment", {}, {{"TYPHA_HEALTHPORT", "x"}}, "TYPHA_HEALTHPORT: 'x'"},
      {"store", {"--datastore", "etcd://x"}, {}, "sqlite:///"},
      {"replica", {"--insecure", "--listen", "unix:/x", "--datastore", "typha://a:1,b:1"}, {}, ""},
      {"replica with a store",
       {"--insecure", "--listen", "unix:/x", "--datastore", "typha://a:1", "--store-socket", "/x"},
       {},
       "a replica"},
      {"replica of nobody in particular",
       {"--ca-file", "a", "--cert-file=b", "--key-file", "c", "--client-cn", "d", "--datastore",
        "typha://a:1"},
       {},
       "--server-cn"},
      {"interval", {"--ping-interval", "0"}, {}, "--ping-interval: '0'"},
      {"level", {"--log-level", "loud"}, {}, "debug, info"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    const auto r = parse_options(row.args, row.env);
    if (*row.error == 0) {
      EXPECT_TRUE(r.ok()) << r.error().message();
    } else {
      ASSERT_FALSE(r.ok());
      EXPECT_THAT(r.error().context, ::testing::HasSubstr(row.error));
    }
  }
}

TEST(Options, flags_go_before_the_environment) {
  const auto r = parse_options({"--insecure", "--listen", "127.0.0.1:1", "--metrics-port", "7"},
                               {{"TYPHA_PORT", "99"},
                                {"TYPHA_PROMETHEUSMETRICSPORT", "8"},
                                {"TYPHA_HEALTHENABLED", "false"},
                                {"TYPHA_DATASTORE", "sqlite:///x/y.db"}});
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(r->server.listen, "127.0.0.1:99");
  EXPECT_EQ(r->metrics_port, 7);
  EXPECT_EQ(r->health_port, 0);
  EXPECT_EQ(r->datastore, "/x/y.db");
}

}  // namespace
}  // namespace margay::typha
