// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/elements.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace margay::nft {
namespace {

const SetType kAddresses{{Datatype::ipv4_addr}, false, std::nullopt};
const SetType kMarks{{Datatype::ipv4_addr}, false, Datatype::mark};
const SetType kVerdicts{{Datatype::ipv4_addr}, false, Datatype::verdict};
const SetType kRanges{{Datatype::ipv4_addr}, true, std::nullopt};

Packed key(std::uint32_t n) { return Packed::be32(n); }

using Contents = std::map<std::uint32_t, std::uint32_t>;

ElementTable marks(const Contents& contents) {
  ElementTable t(kMarks);
  for (const auto& [k, v] : contents) t.append({key(k), {}, Packed::be32(v), std::nullopt});
  t.seal();
  return t;
}

Contents contents(const ElementTable& t) {
  Contents out;
  for (std::size_t i = 0; i < t.size(); ++i) {
    const auto be = [](std::span<const std::uint8_t> b) {
      return static_cast<std::uint32_t>(b[0]) << 24 | static_cast<std::uint32_t>(b[1]) << 16 |
             static_cast<std::uint32_t>(b[2]) << 8 | b[3];
    };
    out[be(t.key(i))] = be(t.value(i));
  }
  EXPECT_EQ(out.size(), t.size());
  return out;
}

TEST(ElementTable, is_sorted_and_the_last_of_equal_keys_wins) {
  ElementTable t(kMarks);
  for (const std::uint32_t k : {5U, 1U, 3U, 1U}) {
    t.append({key(k), {}, Packed::be32(static_cast<std::uint32_t>(t.size())), std::nullopt});
  }
  t.seal();
  EXPECT_EQ(contents(t), (Contents{{1, 3}, {3, 2}, {5, 0}}));
  EXPECT_EQ(t.find(key(3).bytes()), 1U);
  EXPECT_FALSE(t.find(key(4).bytes()));
}

TEST(ElementTable, takes_little_more_than_its_keys) {
  ElementTable t(kAddresses);
  t.reserve(100'000);
  for (std::uint32_t i = 0; i < 100'000; ++i) t.append_key(key(i * 7919).bytes());
  t.seal();
  t.shrink();
  EXPECT_LE(t.memory(), 100'000U * 4);
}

TEST(ElementTable, merge_and_diff_are_inverse_for_random_contents) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    const auto some = [&](unsigned most) {
      Contents c;
      for (unsigned n = static_cast<unsigned>(random() % (most + 1)); n > 0; --n) {
        c[static_cast<std::uint32_t>(random() % 300)] = static_cast<std::uint32_t>(random() % 3);
      }
      return c;
    };
    // Few changes to many elements take another path than many changes.
    const Contents have_model = some(round % 2 == 0 ? 250 : 10);
    Contents want_model = have_model;
    for (const auto& [k, v] : some(round % 4 < 2 ? 12 : 60)) {
      if (v == 0) {
        want_model.erase(k);
      } else {
        want_model[k] = v;
      }
    }
    ElementTable have = marks(have_model);
    const ElementTable want = marks(want_model);
    const ElementDiff d = diff(kMarks, want, have);
    have.merge(d.add, d.remove);
    EXPECT_EQ(contents(have), want_model) << "round " << round;
    const ElementDiff none = diff(kMarks, want, have);
    EXPECT_TRUE(none.add.empty() && none.remove.empty());
  }
}

TEST(ElementTable, verdicts_survive_merging) {
  ElementTable t(kVerdicts);
  t.append(Element::verdict_for(key(2), {Verdict::Code::goto_, "b"}));
  t.append(Element::verdict_for(key(1), {Verdict::Code::goto_, "a"}));
  t.seal();
  ElementTable add(kVerdicts);
  add.append(Element::verdict_for(key(3), {Verdict::Code::jump, "c"}));
  add.append(Element::verdict_for(key(2), {Verdict::Code::drop, ""}));
  add.seal();
  t.merge(add, ElementTable(kVerdicts));
  ASSERT_EQ(t.size(), 3U);
  EXPECT_EQ(t.verdict(0).chain, "a");
  EXPECT_EQ(t.verdict(1).code, Verdict::Code::drop);
  EXPECT_EQ(t.verdict(2).chain, "c");
  EXPECT_EQ(t.element(2), add.element(1));
}

TEST(ElementTable, ranges_are_keyed_by_both_ends) {
  ElementTable t(kRanges);
  t.append(Element::range(key(1), key(5)));
  t.append(Element::range(key(1), key(9)));
  t.append(Element::of(key(20)));
  t.seal();
  EXPECT_EQ(t.size(), 3U);
  EXPECT_EQ(Packed::of(t.key_end(2)), key(20));
}

TEST(ElementTable, drops_from_its_front) {
  ElementTable t = marks({{1, 1}, {2, 2}, {3, 3}});
  t.drop_front(2);
  EXPECT_EQ(contents(t), (Contents{{3, 3}}));
  t.drop_front(5);
  EXPECT_TRUE(t.empty());
  EXPECT_EQ(t.memory(), 0U);
}

TEST(ElementTable, elements_are_described_for_people) {
  Packed k = Packed::ip(Ip::parse("fd00::1").value());
  k.then(Packed::u8(6)).then(Packed::be16(443));
  const SetType type{
      {Datatype::ipv6_addr, Datatype::inet_proto, Datatype::inet_service}, false, std::nullopt};
  EXPECT_EQ(describe(type, k.bytes()), "fd00::1 . 6 . 443");
  EXPECT_EQ(describe(type, k.bytes().first(3)), "");
}

}  // namespace
}  // namespace margay::nft
