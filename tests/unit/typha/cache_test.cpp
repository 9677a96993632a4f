// SPDX-License-Identifier: Apache-2.0
// Frames, segments, delta log and cache: what clients are sent is, whatever happened before, what
// the store has.
#include "typha/cache.h"

#include <gmock/gmock.h>

#include <map>
#include <random>

#include "margay/sync.pb.h"
#include "typha/delta_log.h"
#include "typha/frame.h"
#include "typha/segments.h"

namespace margay::typha {
namespace {

using datastore::Event;
using datastore::Listing;
using State = std::map<std::string, std::pair<std::string, std::uint64_t>>;

sync::v1::SyncMessage parse(const std::string& bytes) {
  sync::v1::SyncMessage m;
  EXPECT_TRUE(m.ParseFromString(bytes));
  return m;
}

std::string joined(const std::string& head, const std::vector<Body>& bodies) {
  std::string all = head;
  for (const auto& b : bodies) all += *b;
  return all;
}

// What a client makes of bodies, one message each.
void receive(const std::vector<Body>& bodies, State& state) {
  std::string value;
  for (const auto& b : bodies) {
    EXPECT_LE(b->size(), kMaxBody);
    const auto m = parse(encode_head(Kind::delta, Revision(1)) + *b);
    for (const auto& e : m.entries()) {
      value += e.value();
      if (e.more()) continue;
      if (e.deleted()) {
        state.erase(e.key());
      } else {
        state[e.key()] = {value, e.revision()};
      }
      value.clear();
    }
  }
}

Event put(const std::string& key, const std::string& value, std::uint64_t revision) {
  return {key, value, false, Revision(revision)};
}
Event gone(const std::string& key, std::uint64_t revision) {
  return {key, {}, true, Revision(revision)};
}
Listing listing(const State& state, std::uint64_t revision, const std::string& id = "s") {
  Listing l;
  for (const auto& [key, v] : state) l.entries.push_back({key, v.first, Revision(v.second)});
  l.revision = Revision(revision);
  l.store_id = id;
  return l;
}

TEST(Frame, is_what_the_schema_says) {
  const std::string odd("\0\x80\xff", 3);
  std::string bytes = encode_head(Kind::delta, Revision(1'000'000'000'000), "store");
  for (const auto& piece : encode_entry(put("/k", odd, 300))) bytes += piece;
  for (const auto& piece : encode_entry(gone("/gone", 301))) bytes += piece;
  for (const auto& piece : encode_entry(put("/empty", "", 302))) bytes += piece;
  const auto m = parse(bytes);
  EXPECT_EQ(m.kind(), sync::v1::DELTA);
  EXPECT_EQ(m.revision(), 1'000'000'000'000U);
  EXPECT_EQ(m.store_id(), "store");
  ASSERT_EQ(m.entries_size(), 3);
  EXPECT_EQ(m.entries(0).key(), "/k");
  EXPECT_EQ(m.entries(0).value(), odd);
  EXPECT_EQ(m.entries(0).revision(), 300U);
  EXPECT_FALSE(m.entries(0).deleted());
  EXPECT_TRUE(m.entries(1).deleted());
  EXPECT_EQ(m.entries(2).value(), "");
  EXPECT_EQ(static_cast<int>(Kind::heartbeat), sync::v1::HEARTBEAT);
  EXPECT_EQ(static_cast<int>(Kind::in_sync), sync::v1::IN_SYNC);
  EXPECT_EQ(static_cast<int>(Kind::snapshot_begin), sync::v1::SNAPSHOT_BEGIN);
  EXPECT_EQ(static_cast<int>(Kind::snapshot), sync::v1::SNAPSHOT);
  EXPECT_EQ(static_cast<int>(Kind::snapshot_end), sync::v1::SNAPSHOT_END);
}

TEST(Frame, cuts_long_values_into_messages) {
  const std::string value(1'500'000, 'v');
  const auto pieces = encode_entry(put(std::string(4096, 'k'), value, 7));
  EXPECT_EQ(pieces.size(), 6U);
  std::vector<Body> bodies;
  for (const auto& p : pieces) bodies.push_back(std::make_shared<const std::string>(p));
  State state;
  receive(bodies, state);
  EXPECT_EQ(state.begin()->second.first, value);
}

TEST(Frame, can_be_taken_apart_and_cut) {
  std::string body;
  for (std::uint64_t i = 1; i <= 5; ++i) {
    body += encode_entry(put("/k" + std::to_string(i), "v", i * 100))[0];
  }
  const auto pieces = pieces_of(body);
  ASSERT_EQ(pieces.size(), 5U);
  EXPECT_EQ(pieces[3].key, "/k4");
  EXPECT_EQ(pieces[3].revision, Revision(400));
  const auto rest = after(std::make_shared<const std::string>(body), Revision(300));
  EXPECT_EQ(*rest, std::string(pieces[3].bytes) + std::string(pieces[4].bytes));
}

TEST(Segments, equal_a_map_under_random_changes) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  Segments segments;
  State want;
  for (std::uint64_t step = 1; step <= 4000; ++step) {
    const auto key = "/k" + std::to_string(random() % 800);
    if (random() % 3 == 0) {
      segments.set(key, {});
      want.erase(key);
    } else {
      const std::size_t size = random() % 50 == 0 ? 400'000 : random() % 3000;
      const std::string value(size, static_cast<char>('a' + step % 26));
      segments.set(key, encode_entry(put(key, value, step)));
      want[key] = {value, step};
    }
    if (step % 500 != 0 && random() % 100 != 0) continue;
    State have;
    const auto bodies = segments.snapshot();
    receive(bodies, have);
    ASSERT_EQ(have, want) << step;
    std::size_t bytes = 0;
    for (const auto& b : bodies) bytes += b->size();
    ASSERT_EQ(segments.bytes(), bytes);
  }
  std::vector<std::string> keys;
  for (const auto& k : segments.keys()) keys.push_back(k.key);
  std::vector<std::string> want_keys;
  for (const auto& [key, v] : want) want_keys.push_back(key);
  EXPECT_EQ(keys, want_keys);
}

TEST(Segments, share_what_has_not_changed) {
  Segments segments;
  for (int i = 1000; i < 4000; ++i) {
    const auto key = "/k" + std::to_string(i);
    segments.set(key, encode_entry(put(key, std::string(600, 'v'), 1)));
  }
  const auto before = segments.snapshot();
  ASSERT_GT(before.size(), 8U);
  segments.set("/k2000", encode_entry(put("/k2000", "new", 2)));
  const auto now = segments.snapshot();
  ASSERT_EQ(now.size(), before.size());
  std::size_t same = 0;
  for (std::size_t i = 0; i < now.size(); ++i) same += now[i] == before[i] ? 1U : 0U;
  EXPECT_EQ(same, now.size() - 1);
}

TEST(Segments, do_not_crumble_when_most_is_deleted) {
  Segments segments;
  for (int i = 10'000; i < 14'000; ++i) {
    const auto key = "/k" + std::to_string(i);
    segments.set(key, encode_entry(put(key, std::string(600, 'v'), 1)));
  }
  EXPECT_GT(segments.snapshot().size(), 10U);
  for (int i = 10'000; i < 14'000; ++i) {
    if (i % 100 != 0) segments.set("/k" + std::to_string(i), {});
  }
  EXPECT_EQ(segments.snapshot().size(), 1U);
}

TEST(DeltaLog, goes_on_from_any_revision_it_holds) {
  DeltaLog log(1U << 20);
  log.reset(Revision(10));
  std::vector<Event> events;
  for (std::uint64_t r = 11; r <= 40; ++r) events.push_back(put("/k" + std::to_string(r), "v", r));
  log.append({events.begin(), events.begin() + 20}, events[19].revision);
  log.append({events.begin() + 20, events.end()}, events.back().revision);
  for (std::uint64_t from = 10; from <= 40; ++from) {
    SCOPED_TRACE(from);
    const auto place = log.after(Revision(from));
    ASSERT_TRUE(place.has_value());
    std::vector<Body> bodies;
    if (place->head) bodies.push_back(place->head);
    for (auto at = place->sequence; at < log.end();) {
      const auto run = log.run(at);
      bodies.insert(bodies.end(), run.bodies.begin(), run.bodies.end());
      at = run.next;
    }
    State have;
    receive(bodies, have);
    EXPECT_EQ(have.size(), 40 - from);  // not one more
  }
  EXPECT_FALSE(log.after(Revision(9)).has_value());
  EXPECT_FALSE(log.after(Revision(41)).has_value());
}

TEST(DeltaLog, is_bounded) {
  DeltaLog log(100'000);
  log.reset(Revision(0));
  for (std::uint64_t r = 1; r <= 1000; ++r)
    log.append({put("/k", std::string(1000, 'v'), r)}, Revision(r));
  EXPECT_LE(log.bytes(), 100'000U);
  EXPECT_GT(log.bytes(), 90'000U);
  EXPECT_FALSE(log.after(Revision(800)).has_value());
  EXPECT_TRUE(log.after(Revision(950)).has_value());
}

TEST(DeltaLog, joins_deltas_into_one_message_up_to_its_bounds) {
  DeltaLog log(8U << 20);
  log.reset(Revision(0));
  const auto begin = log.end();
  for (std::uint64_t r = 1; r <= 3000; ++r) log.append({put("/k", "v", r)}, Revision(r));
  const auto run = log.run(begin);
  EXPECT_EQ(run.bodies.size(), kMaxEntries);
  EXPECT_EQ(run.upto, Revision(1000));
  for (std::uint64_t r = 3001; r <= 3010; ++r)
    log.append({put("/k", std::string(90'000, 'v'), r)}, Revision(r));
  const auto big = log.run(begin + 3000);
  EXPECT_EQ(big.bodies.size(), 2U);
  EXPECT_LE(joined(encode_head(Kind::delta, big.upto), big.bodies).size(), kMaxMessage);
}

TEST(Cache, a_snapshot_is_shared_until_there_is_enough_news) {
  Cache cache(1U << 20);
  cache.load(listing({{"/a", {"1", 1}}}, 1));
  const auto first = cache.snapshot();
  EXPECT_EQ(cache.snapshot(), first);
  cache.apply({put("/b", "1", 2)}, Revision(2));
  EXPECT_EQ(cache.snapshot(), first);  // the delta follows from the log
  EXPECT_EQ(first->next_delta + 1, cache.log().end());
  cache.apply({put("/c", std::string(300'000, 'x'), 3)}, Revision(3));
  const auto second = cache.snapshot();
  EXPECT_NE(second, first);
  EXPECT_EQ(second->revision, Revision(3));
}

TEST(Cache, a_second_listing_becomes_the_difference) {
  Cache cache(1U << 20);
  cache.load(listing({{"/a", {"1", 1}}, {"/b", {"1", 2}}, {"/c", {"1", 3}}}, 3));
  const auto place = cache.log().end();
  cache.load(listing({{"/a", {"1", 1}}, {"/c", {"2", 8}}, {"/d", {"1", 7}}}, 9));
  const auto run = cache.log().run(place);
  const auto m = parse(joined(encode_head(Kind::delta, run.upto), run.bodies));
  std::vector<std::string> got;
  for (const auto& e : m.entries()) got.push_back((e.deleted() ? "-" : "+") + e.key());
  EXPECT_THAT(got, ::testing::ElementsAre("+/d", "+/c", "-/b"));
  EXPECT_EQ(run.upto, Revision(9));
  EXPECT_EQ(cache.revision(), Revision(9));
}

TEST(Cache, another_store_voids_all_places) {
  Cache cache(1U << 20);
  cache.load(listing({{"/a", {"1", 1}}}, 5));
  const auto place = cache.log().end();
  cache.load(listing({{"/b", {"1", 1}}}, 5, "other"));
  EXPECT_LT(place, cache.log().begin());
  EXPECT_EQ(cache.store_id(), "other");
  State have;
  receive(cache.snapshot()->bodies, have);
  EXPECT_EQ(have.count("/a"), 0U);
}

TEST(Cache, history_fills_the_log_and_changes_nothing_else) {
  Cache cache(1U << 20);
  cache.load(listing({{"/a", {"new", 9}}}, 10));
  cache.begin_history(Revision(4));
  EXPECT_FALSE(cache.ready());
  cache.apply({put("/a", "old", 5), put("/b", "1", 6)}, Revision(6));
  EXPECT_FALSE(cache.ready());
  cache.apply({put("/a", "new", 9), gone("/b", 10)}, Revision(10));
  EXPECT_TRUE(cache.ready());
  State have;
  receive(cache.snapshot()->bodies, have);
  EXPECT_EQ(have, (State{{"/a", {"new", 9}}}));
  EXPECT_TRUE(cache.log().after(Revision(4)).has_value());
  EXPECT_FALSE(cache.log().after(Revision(3)).has_value());
}

}  // namespace
}  // namespace margay::typha
