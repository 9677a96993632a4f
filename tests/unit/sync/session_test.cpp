// SPDX-License-Identifier: Apache-2.0
#include "agent/sync/session.h"

#include <gmock/gmock.h>

namespace margay::sync {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct E {
  std::string key;
  std::string value;
  std::uint64_t revision = 1;
  bool deleted = false;
  bool more = false;
};

v1::SyncMessage make(v1::MessageKind kind, std::uint64_t revision = 0,
                     const std::vector<E>& entries = {}, const std::string& store_id = {}) {
  v1::SyncMessage m;
  m.set_kind(kind);
  m.set_revision(revision);
  m.set_store_id(store_id);
  for (const auto& e : entries) {
    auto* out = m.add_entries();
    out->set_key(e.key);
    out->set_value(e.value);
    out->set_revision(e.revision);
    out->set_deleted(e.deleted);
    out->set_more(e.more);
  }
  return m;
}

v1::SyncMessage begin(const std::string& id = "s", std::uint64_t revision = 1) {
  return make(v1::SNAPSHOT_BEGIN, revision, {}, id);
}
v1::SyncMessage in_sync(std::uint64_t r, const std::string& id = "s") {
  return make(v1::IN_SYNC, r, {}, id);
}

class SessionTest : public ::testing::Test {
 protected:
  // The updates as text; the test fails on garbage.
  std::vector<std::string> feed(std::vector<v1::SyncMessage> messages) {
    std::vector<std::string> out;
    for (auto& m : messages) {
      auto r = session_.handle(&m);
      EXPECT_TRUE(r.ok()) << r.error().message();
      if (!r.ok()) return out;
      for (const auto& u : r->updates) out.push_back((u.deleted ? "-" : "+") + u.key);
      if (r->in_sync) out.emplace_back("in-sync");
    }
    return out;
  }
  v1::SubscribeRequest connect() {
    v1::SubscribeRequest request;
    session_.connected(&request);
    return request;
  }
  Session session_;
};

TEST_F(SessionTest, a_snapshot_then_changes) {
  EXPECT_EQ(connect().resume_revision(), 0U);
  EXPECT_THAT(
      feed({make(v1::HEARTBEAT), begin(), make(v1::SNAPSHOT, 0, {{"/a", "1", 1}, {"/b", "2", 2}}),
            make(v1::SNAPSHOT_END, 7), in_sync(7), make(v1::HEARTBEAT, 7),
            make(v1::DELTA, 9, {{"/c", "3", 8}, {"/a", "", 9, true}})}),
      ElementsAre("+/a", "+/b", "in-sync", "+/c", "-/a"));
  EXPECT_EQ(session_.revision(), Revision(9));
}

TEST_F(SessionTest, resumes_after_the_last_complete_message) {
  connect();
  feed({begin("id"), make(v1::SNAPSHOT, 0, {{"/a", "1", 1}}), make(v1::SNAPSHOT_END, 7)});
  const auto request = connect();
  EXPECT_EQ(request.resume_store_id(), "id");
  EXPECT_EQ(request.resume_revision(), 7U);
  EXPECT_THAT(feed({make(v1::DELTA, 8, {{"/a", "2", 8}}), in_sync(8, "id")}),
              ElementsAre("+/a", "in-sync"));
}

TEST_F(SessionTest, does_not_resume_from_the_middle_of_a_snapshot) {
  connect();
  feed({begin(), make(v1::SNAPSHOT, 0, {{"/a", "1", 1}}), make(v1::SNAPSHOT_END, 7)});
  feed({begin("s", 9), make(v1::SNAPSHOT, 0, {{"/a", "1", 9}})});
  EXPECT_EQ(connect().resume_revision(), 0U);
}

TEST_F(SessionTest, does_not_resume_from_the_middle_of_a_value) {
  connect();
  feed({begin(), make(v1::SNAPSHOT_END, 7), make(v1::DELTA, 8, {{"/a", "1", 8, false, true}})});
  EXPECT_EQ(connect().resume_revision(), 7U);
}

TEST_F(SessionTest, does_not_resume_from_the_middle_of_a_revision) {
  connect();
  feed({begin(), make(v1::SNAPSHOT_END, 7)});
  auto half = make(v1::DELTA, 8, {{"/a", "1", 8}, {"/b", "1", 9}, {"/c", "1", 9}});
  const auto r = session_.handle(&half);
  ASSERT_EQ(r->updates.size(), 3U);
  EXPECT_FALSE(r->updates[0].more);
  EXPECT_TRUE(r->updates[1].more);
  EXPECT_TRUE(r->updates[2].more);
  const auto request = connect();
  EXPECT_EQ(request.resume_revision(), 8U);
  EXPECT_EQ(request.seen_revision(), 9U);
  EXPECT_THAT(feed({make(v1::DELTA, 9, {{"/b", "1", 9}, {"/c", "1", 9}, {"/d", "1", 9}})}),
              ElementsAre("+/d"));
  EXPECT_EQ(connect().resume_revision(), 9U);
}

TEST_F(SessionTest, puts_a_cut_value_together) {
  connect();
  feed({begin()});
  auto first = make(v1::SNAPSHOT, 0, {{"/a", "x", 1}, {"/b", "12", 2, false, true}});
  auto second = make(v1::SNAPSHOT, 0, {{"/b", "34", 2, false, true}});
  auto third = make(v1::SNAPSHOT, 0, {{"/b", "5", 2}, {"/c", "y", 3}});
  EXPECT_EQ(session_.handle(&first)->updates.size(), 1U);
  EXPECT_TRUE(session_.handle(&second)->updates.empty());
  const auto last = session_.handle(&third);
  ASSERT_EQ(last->updates.size(), 2U);
  EXPECT_EQ(last->updates[0].value, "12345");
}

TEST_F(SessionTest, a_new_snapshot_makes_up_deletes_and_leaves_out_what_is_known) {
  connect();
  feed({begin(), make(v1::SNAPSHOT, 0, {{"/a", "1", 1}, {"/b", "1", 2}, {"/c", "1", 3}}),
        make(v1::SNAPSHOT_END, 5), in_sync(5)});
  EXPECT_THAT(feed({begin("s", 9), make(v1::SNAPSHOT, 0, {{"/a", "1", 1}, {"/c", "2", 8}}),
                    make(v1::SNAPSHOT_END, 9), in_sync(9)}),
              ElementsAre("+/c", "-/b", "in-sync"));
}

TEST_F(SessionTest, tells_everything_again_of_another_store) {
  connect();
  feed({begin("one"), make(v1::SNAPSHOT, 0, {{"/a", "1", 1}, {"/b", "1", 2}}),
        make(v1::SNAPSHOT_END, 5)});
  // Cut short the first time: what it has left must not be taken for the other store's.
  feed({begin("two"), make(v1::SNAPSHOT, 0, {{"/a", "2", 1}})});
  connect();
  EXPECT_THAT(feed({begin("one"), make(v1::SNAPSHOT, 0, {{"/a", "1", 1}, {"/b", "1", 2}}),
                    make(v1::SNAPSHOT_END, 5), in_sync(5, "one")}),
              ElementsAre("+/a", "+/b", "in-sync"));
}

TEST_F(SessionTest, takes_nothing_of_an_older_view) {
  connect();
  feed({begin("s", 5), make(v1::SNAPSHOT, 0, {{"/a", "1", 1}, {"/b", "1", 5}}),
        make(v1::SNAPSHOT_END, 5), in_sync(5), make(v1::DELTA, 7, {{"/c", "1", 7}})});
  const auto request = connect();
  EXPECT_EQ(request.resume_revision(), 7U);
  EXPECT_EQ(request.seen_revision(), 7U);
  auto older = begin("s", 6);
  const auto r = session_.handle(&older);
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.error().code, Code::conflict);
  EXPECT_THAT(r.error().context, HasSubstr("revision 6, but 7 is in force"));
  // What is held can still be gone on from.
  EXPECT_EQ(connect().resume_revision(), 7U);
  EXPECT_THAT(feed({in_sync(8)}), ElementsAre("in-sync"));
}

TEST_F(SessionTest, deletes_nothing_at_the_end_of_a_snapshot_that_turns_out_older) {
  connect();
  feed({begin("s", 7), make(v1::SNAPSHOT, 0, {{"/a", "1", 1}}), make(v1::SNAPSHOT_END, 7)});
  connect();
  feed({begin("s", 8)});
  auto end = make(v1::SNAPSHOT_END, 6);
  const auto r = session_.handle(&end);
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.error().code, Code::conflict);
}

TEST_F(SessionTest, half_a_snapshot_is_not_followed_by_an_older_one) {
  connect();
  feed({begin("s", 5), make(v1::SNAPSHOT_END, 5)});
  feed({begin("s", 9), make(v1::SNAPSHOT, 0, {{"/a", "9", 9}})});
  const auto request = connect();
  EXPECT_EQ(request.resume_revision(), 0U);
  EXPECT_EQ(request.resume_store_id(), "s");
  EXPECT_EQ(request.seen_revision(), 9U);
  auto older = begin("s", 8);
  EXPECT_FALSE(session_.handle(&older).ok());
  // Another store's revisions do not compare.
  EXPECT_THAT(feed({begin("t", 1), make(v1::SNAPSHOT_END, 1), in_sync(1, "t")}),
              ElementsAre("-/a", "in-sync"));
}

struct Garbage {
  const char* name;
  std::vector<v1::SyncMessage> before;
  v1::SyncMessage bad;
  const char* says;
};

std::vector<Garbage> garbage() {
  const std::vector<v1::SyncMessage> following{begin(), make(v1::SNAPSHOT_END, 7)};
  const auto entry = [](E e) { return make(v1::DELTA, 9, {std::move(e)}); };
  auto unknown = make(v1::HEARTBEAT);
  unknown.set_kind(static_cast<v1::MessageKind>(99));
  std::vector<v1::SyncMessage> half = following;
  half.push_back(make(v1::DELTA, 9, {{"/a", "1", 8, false, true}}));
  std::vector<v1::SyncMessage> endless = following;
  for (int i = 0; i < 9; ++i) {
    endless.push_back(make(v1::DELTA, 9, {{"/a", std::string(900'000, 'x'), 8, false, true}}));
  }
  return {
      {"no kind", {}, make(v1::MESSAGE_KIND_UNSPECIFIED), "unknown kind 0"},
      {"unknown kind", {}, unknown, "unknown kind 99"},
      {"segment first", {}, make(v1::SNAPSHOT, 0, {{"/a", "1"}}), "outside a snapshot"},
      {"end first", {}, make(v1::SNAPSHOT_END, 1), "not begun"},
      {"delta first", {}, make(v1::DELTA, 1), "before a snapshot"},
      {"in sync first", {}, in_sync(1), "before a snapshot"},
      {"in sync in a snapshot", {begin()}, in_sync(1), "before a snapshot"},
      {"no store id", {}, begin(""), "without an id"},
      {"other store's in sync", following, in_sync(7, "x"), "store 'x'"},
      {"in sync goes back", following, in_sync(6), "6 after 7"},
      {"heartbeat goes back", following, make(v1::HEARTBEAT, 6), "6 after 7"},
      {"delta goes back", following, make(v1::DELTA, 6), "6 after 7"},
      {"two revisions beyond their message", following,
       make(v1::DELTA, 9, {{"/a", "1", 10}, {"/b", "1", 11}}), "/a"},
      {"empty key", following, entry({"", "1", 8}), "key of 0 bytes"},
      {"long key", following, entry({std::string(70'000, 'k'), "1", 8}), "key of 70000 bytes"},
      {"delete with a value", following, entry({"/a", "1", 8, true}), "delete with a value"},
      {"delete to be continued", following, entry({"/a", "", 8, true, true}), "/a"},
      {"delete in a snapshot", {begin()}, make(v1::SNAPSHOT, 0, {{"/a", "", 1, true}}), "/a"},
      {"keys out of order", {begin()}, make(v1::SNAPSHOT, 0, {{"/b", "1"}, {"/a", "1"}}), "/a"},
      {"key twice", {begin()}, make(v1::SNAPSHOT, 0, {{"/b", "1"}, {"/b", "1"}}), "/b"},
      {"other key in a value", half, make(v1::DELTA, 9, {{"/b", "1", 8}}), "/a is not finished"},
      {"other revision in a value", half, make(v1::DELTA, 9, {{"/a", "1", 9}}), "not finished"},
      {"heartbeat in a value", half, make(v1::HEARTBEAT, 9), "/a is not finished"},
      {"endless value", endless, make(v1::DELTA, 9, {{"/a", std::string(900'000, 'x'), 8}}),
       "endless"},
  };
}

TEST_F(SessionTest, garbage_is_an_error_that_says_what) {
  for (auto& row : garbage()) {
    SCOPED_TRACE(row.name);
    session_ = Session();
    connect();
    feed(row.before);
    const auto r = session_.handle(&row.bad);
    ASSERT_FALSE(r.ok());
    EXPECT_EQ(r.error().code, Code::invalid);
    EXPECT_THAT(r.error().context, HasSubstr(row.says));
  }
}

}  // namespace
}  // namespace margay::sync
