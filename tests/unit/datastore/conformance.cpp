// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/datastore/conformance.h"

#include <gmock/gmock.h>

namespace margay::datastore {
namespace {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreConformance);

struct Watching {  // what a watch has told
  std::vector<std::string> seen;
  Revision upto;
  std::vector<Error> ended;
  [[nodiscard]] WatchCallbacks callbacks() {
    return {[this](const std::vector<Event>& events, Revision u) {
              for (const auto& e : events) {
                seen.push_back(e.key + (e.deleted ? " gone" : "=" + e.value) + "@" +
                               std::to_string(e.revision.value()));
              }
              EXPECT_GE(u, upto);
              upto = u;
            },
            [this](const Error& e) { ended.push_back(e); }};
  }
};

std::vector<std::string> texts(const Listing& l) {
  std::vector<std::string> out;
  for (const auto& e : l.entries) out.push_back(e.key + "=" + e.value);
  return out;
}

TEST_P(StoreConformance, gives_back_what_was_written) {
  const auto r = store_.create("/a/1", "{\"x\":1}");
  ASSERT_TRUE(r.ok()) << r.error().message();
  const auto e = store_.get("/a/1");
  ASSERT_TRUE(e.ok()) << e.error().message();
  EXPECT_EQ(e->key, "/a/1");
  EXPECT_EQ(e->value, "{\"x\":1}");
  EXPECT_EQ(e->revision, *r);
  EXPECT_EQ(store_.get("/a/2").error().code, Code::not_found);
}

TEST_P(StoreConformance, keeps_any_bytes_of_a_value) {
  const std::string odd("\0\xff\"\xc3\x28 end", 9);
  ASSERT_TRUE(store_.put("/odd", odd).ok());
  ASSERT_TRUE(store_.put("/empty", "").ok());
  EXPECT_EQ(store_.get("/odd")->value, odd);
  EXPECT_EQ(store_.get("/empty")->value, "");
  const auto listing = store_.list("/odd");
  ASSERT_EQ(listing->entries.size(), 1U);
  EXPECT_EQ(listing->entries[0].value, odd);
}

TEST_P(StoreConformance, every_write_has_a_greater_revision) {
  Revision last;
  for (int i = 0; i < 5; ++i) {
    const auto r = store_.put("/k", std::to_string(i));
    ASSERT_TRUE(r.ok());
    EXPECT_GT(*r, last);
    last = *r;
  }
  const auto gone = store_.remove("/k", Revision(0));
  ASSERT_TRUE(gone.ok());
  EXPECT_GT(*gone, last);
  EXPECT_EQ(store_.list("")->revision, *gone);
}

TEST_P(StoreConformance, create_refuses_what_exists) {
  ASSERT_TRUE(store_.create("/k", "1").ok());
  EXPECT_EQ(store_.create("/k", "2").error().code, Code::exists);
  EXPECT_EQ(store_.get("/k")->value, "1");
}

TEST_P(StoreConformance, update_is_compare_and_swap) {
  const auto first = store_.create("/k", "1");
  EXPECT_EQ(store_.update("/none", "1", *first).error().code, Code::not_found);
  const auto second = store_.update("/k", "2", *first);
  ASSERT_TRUE(second.ok());
  const auto lost = store_.update("/k", "3", *first);
  EXPECT_EQ(lost.error().code, Code::conflict);
  EXPECT_THAT(lost.error().context, ::testing::HasSubstr("/k"));
  EXPECT_EQ(store_.get("/k")->value, "2");
}

TEST_P(StoreConformance, remove_can_insist_on_a_revision) {
  const auto first = store_.create("/k", "1");
  const auto second = store_.put("/k", "2");
  EXPECT_EQ(store_.remove("/k", *first).error().code, Code::conflict);
  EXPECT_TRUE(store_.remove("/k", *second).ok());
  EXPECT_EQ(store_.remove("/k", Revision(0)).error().code, Code::not_found);
  EXPECT_EQ(store_.get("/k").error().code, Code::not_found);
  EXPECT_TRUE(store_.create("/k", "again").ok());
}

TEST_P(StoreConformance, lists_a_prefix_in_key_order) {
  for (const char* key : {"/b/2", "/a/1", "/b/1", "/b", "/c", "/b/\xff"}) {
    ASSERT_TRUE(store_.put(key, "v").ok());
  }
  EXPECT_THAT(texts(*store_.list("/b/")), ::testing::ElementsAre("/b/1=v", "/b/2=v", "/b/\xff=v"));
  EXPECT_EQ(store_.list("")->entries.size(), 6U);
  EXPECT_TRUE(store_.list("/zz")->entries.empty());
  EXPECT_FALSE(store_.list("")->store_id.empty());
}

TEST_P(StoreConformance, lists_more_than_one_chunk) {
  const std::string big(200'000, 'x');
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(store_.put("/big/" + std::to_string(i), big).ok());
  const auto listing = store_.list("/big/");
  ASSERT_EQ(listing->entries.size(), 8U);
  for (const auto& e : listing->entries) EXPECT_EQ(e.value, big);
}

TEST_P(StoreConformance, refuses_impossible_keys_and_values) {
  EXPECT_EQ(store_.put("", "v").error().code, Code::invalid);
  EXPECT_EQ(store_.put(std::string(5000, 'k'), "v").error().code, Code::invalid);
  EXPECT_EQ(store_.put("/k\n", "v").error().code, Code::invalid);
  EXPECT_EQ(store_.put("/k", std::string(2 << 20, 'v')).error().code, Code::invalid);
  EXPECT_TRUE(store_.put("/k", std::string(1 << 20, 'v')).ok());
}

TEST_P(StoreConformance, watch_tells_what_changes_in_order) {
  const auto before = store_.put("/w/old", "0");
  Watching w;
  const auto handle = store_.watch("/w/", *before, w.callbacks());
  const auto a = store_.put("/w/a", "1");
  ASSERT_TRUE(store_.put("/other", "x").ok());
  const auto gone = store_.remove("/w/old", Revision(0));
  ASSERT_TRUE(harness_->run_until([&] { return w.seen.size() >= 2; }));
  EXPECT_THAT(w.seen, ::testing::ElementsAre("/w/a=1@" + std::to_string(a->value()),
                                             "/w/old gone@" + std::to_string(gone->value())));
  EXPECT_EQ(w.upto, *gone);
  EXPECT_TRUE(w.ended.empty());
}

TEST_P(StoreConformance, watch_from_an_old_revision_has_no_gap) {
  std::vector<std::string> want;
  const auto start = store_.put("/w/start", "");
  for (int i = 0; i < 40; ++i) {
    const auto r = store_.put("/w/k" + std::to_string(i % 3), std::to_string(i));
    want.push_back("/w/k" + std::to_string(i % 3) + "=" + std::to_string(i) + "@" +
                   std::to_string(r->value()));
  }
  Watching w;
  const auto handle = store_.watch("/w/", *start, w.callbacks());
  for (int i = 40; i < 60; ++i) {
    const auto r = store_.put("/w/k", std::to_string(i));
    want.push_back("/w/k=" + std::to_string(i) + "@" + std::to_string(r->value()));
  }
  ASSERT_TRUE(harness_->run_until([&] { return w.seen.size() >= want.size(); }));
  EXPECT_EQ(w.seen, want);
}

TEST_P(StoreConformance, watch_from_a_compacted_revision_ends) {
  const auto start = store_.put("/k", "start");
  for (int i = 0; i < 150; ++i) ASSERT_TRUE(store_.put("/k", std::to_string(i)).ok());
  EXPECT_GT(store_.list("/k")->oldest, *start);
  Watching w;
  const auto handle = store_.watch("/", *start, w.callbacks());
  ASSERT_TRUE(harness_->run_until([&] { return !w.ended.empty(); }));
  EXPECT_EQ(w.ended[0].code, Code::compacted);
  EXPECT_TRUE(w.seen.empty());
}

TEST_P(StoreConformance, watch_may_start_at_the_oldest_revision_listed) {
  for (int i = 0; i < 150; ++i) ASSERT_TRUE(store_.put("/k", std::to_string(i)).ok());
  Watching w;
  const auto handle = store_.watch("/", store_.list("/k")->oldest, w.callbacks());
  ASSERT_TRUE(harness_->run_until([&] { return w.seen.size() >= 100 || !w.ended.empty(); }));
  EXPECT_TRUE(w.ended.empty());
  EXPECT_EQ(w.seen.size(), 100U);
}

TEST_P(StoreConformance, watch_from_a_revision_of_another_store_ends) {
  Watching w;
  const auto handle = store_.watch("/", Revision(1'000'000), w.callbacks());
  ASSERT_TRUE(harness_->run_until([&] { return !w.ended.empty(); }));
  EXPECT_EQ(w.ended[0].code, Code::compacted);
}

TEST_P(StoreConformance, a_destroyed_watch_is_silent) {
  Watching gone;
  Watching stays;
  auto handle = store_.watch("/", Revision(0), gone.callbacks());
  const auto other = store_.watch("/", Revision(0), stays.callbacks());
  handle.reset();
  ASSERT_TRUE(store_.put("/k", "1").ok());
  ASSERT_TRUE(harness_->run_until([&] { return !stays.seen.empty(); }));
  EXPECT_TRUE(gone.seen.empty());
  EXPECT_TRUE(gone.ended.empty());
}

TEST_P(StoreConformance, a_batch_answers_each_write_in_order) {
  ASSERT_TRUE(store_.put("/there", "1").ok());
  std::vector<Write> writes;
  writes.push_back({Write::Kind::create, "/new", "1", {}});
  writes.push_back({Write::Kind::create, "/there", "2", {}});
  writes.push_back({Write::Kind::update, "/there", "2", Revision(999)});
  writes.push_back({Write::Kind::remove, "/absent", "", {}});
  writes.push_back({Write::Kind::put, "/there", "3", {}});
  std::vector<std::string> got;
  store_.submit(writes, [&](const Store::WriteResults& results) {
    for (const auto& r : results) {
      got.emplace_back(r.ok() ? "ok" : std::string(to_string(r.error().code)));
    }
  });
  ASSERT_TRUE(harness_->run_until([&] { return !got.empty(); }));
  const std::vector<std::string> want{"ok", std::string(to_string(Code::exists)),
                                      std::string(to_string(Code::conflict)),
                                      std::string(to_string(Code::not_found)), "ok"};
  EXPECT_EQ(got, want);
  EXPECT_EQ(store_.get("/there")->value, "3");
}

TEST_P(StoreConformance, a_large_batch_arrives_whole) {
  constexpr int kWrites = 3000;
  std::vector<Write> writes;
  for (int i = 0; i < kWrites; ++i) {
    writes.push_back({Write::Kind::put, "/many/" + std::to_string(i), "v", {}});
  }
  std::size_t ok = 0;
  store_.submit(writes, [&](const Store::WriteResults& results) {
    for (const auto& r : results) ok += r.ok() ? 1U : 0U;
  });
  ASSERT_TRUE(harness_->run_until([&] { return ok != 0; }));
  EXPECT_EQ(ok, std::size_t{kWrites});
  EXPECT_EQ(store_.list("/many/")->entries.size(), std::size_t{kWrites});
}

}  // namespace
}  // namespace margay::datastore
