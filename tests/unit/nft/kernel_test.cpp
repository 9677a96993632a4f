// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/kernel.h"

#include <gtest/gtest.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <random>

#include "dataplane/nft/batch.h"
#include "dataplane/nft/builder.h"

namespace margay::nft {
namespace {

// What a batch sends is much like what the kernel shows, so that it serves as a dump here.
template <typename F>
void for_each_message(ByteView bytes, F&& f) {
  while (const auto m = netlink::next_message(bytes)) f(*m);
}

const SetType kRanges{{Datatype::ipv4_addr}, true, std::nullopt};

ElementTable round_trip(const SetType& type, const ElementTable& elements) {
  Batch b("t");
  b.begin();
  b.add_elements("s", type, elements, 0, elements.size());
  b.finish();
  ElementCollector c(type);
  for_each_message(b.bytes(), [&](const Message& m) { c.add(m); });
  return c.finish();
}

void expect_same(const SetType& type, const ElementTable& a, const ElementTable& b) {
  const ElementDiff d = diff(type, a, b);
  EXPECT_TRUE(d.add.empty()) << describe(type, d.add.key(0));
  EXPECT_TRUE(d.remove.empty()) << describe(type, d.remove.key(0));
}

TEST(NftKernel, elements_of_every_kind_of_set_come_back) {
  const SetType plain{{Datatype::ipv6_addr}, false, std::nullopt};
  const SetType verdicts{{Datatype::ifname}, false, Datatype::verdict};
  const SetType marks{{Datatype::inet_service}, false, Datatype::mark};
  const SetType concat{{Datatype::ipv4_addr, Datatype::inet_service}, true, std::nullopt};
  ElementTable t(plain);
  t.append(Element::of(Packed::ip(Ip::parse("fd00::1").value())));
  t.seal();
  expect_same(plain, t, round_trip(plain, t));
  ElementTable v(verdicts);
  v.append(Element::verdict_for(Packed::interface_name("cali1"), {Verdict::Code::goto_, "c"}));
  v.append(Element::verdict_for(Packed::interface_name("cali2"), {Verdict::Code::drop, ""}));
  v.seal();
  expect_same(verdicts, v, round_trip(verdicts, v));
  ElementTable m(marks);
  m.append({Packed::be16(80), {}, Packed::host32(3), std::nullopt});
  m.seal();
  expect_same(marks, m, round_trip(marks, m));
  ElementTable c(concat);
  Packed from = Packed::be32(1);
  Packed to = Packed::be32(9);
  c.append(Element::range(from.then(Packed::be16(1)), to.then(Packed::be16(2))));
  c.seal();
  expect_same(concat, c, round_trip(concat, c));
}

TEST(NftKernel, random_disjoint_ranges_come_back_also_when_they_touch) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    ElementTable t(kRanges);
    std::uint64_t at = random() % 2 == 0 ? 0 : random();
    while (t.size() < 20 && at <= 0xffffffff) {
      const std::uint64_t last = std::min<std::uint64_t>(at + random() % 1000, 0xffffffff);
      t.append(Element::range(Packed::be32(static_cast<std::uint32_t>(at)),
                              Packed::be32(static_cast<std::uint32_t>(last))));
      at = last + 1 + (random() % 2 == 0 ? 0 : random() % 500'000'000);
    }
    t.seal();
    expect_same(kRanges, t, round_trip(kRanges, t));
  }
}

TEST(NftKernel, a_large_list_is_cut_into_messages_that_fit) {
  const SetType plain{{Datatype::ipv4_addr}, false, std::nullopt};
  ElementTable t(plain);
  for (std::uint32_t i = 0; i < 20'000; ++i) t.append_key(Packed::be32(i).bytes());
  t.seal();
  expect_same(plain, t, round_trip(plain, t));
}

TEST(NftKernel, chains_sets_and_rules_of_other_tables_are_nothing) {
  Batch b("t");
  b.begin();
  b.add_chain("c", BaseChain{ChainType::nat, Hook::postrouting, -5, true});
  References refs;
  const EncodedRule r = encode(rule({jump("c")}, "why"), refs);
  b.add_rule("c", r, 0, std::nullopt);
  const SetType type{{Datatype::ipv4_addr, Datatype::inet_service}, true, std::nullopt};
  b.add_set("s", type);
  b.finish();
  int chains = 0;
  int sets = 0;
  for_each_message(b.bytes(), [&](const Message& m) {
    EXPECT_FALSE(parse_chain(m, "other"));
    EXPECT_FALSE(parse_set(m, "other"));
    if (const auto c = parse_chain(m, "t")) {
      ++chains;
      EXPECT_EQ(c->base, (BaseChain{ChainType::nat, Hook::postrouting, -5, true}));
    }
    if (const auto s = parse_set(m, "t")) {
      ++sets;
      EXPECT_EQ(s->header, header_of(type));
    }
  });
  EXPECT_EQ(chains, 1);
  EXPECT_EQ(sets, 1);
}

TEST(NftKernel, notices_name_table_and_object) {
  Batch b("t");
  b.begin();
  b.add_chain("c", std::nullopt);
  b.delete_set("s");
  b.delete_table();
  b.finish();
  std::vector<std::string> seen;
  for_each_message(b.bytes(), [&](const Message& m) {
    const auto n = parse_notice(m);
    if (n && !n->table.empty()) {
      seen.push_back(std::string(n->table) + "/" + std::string(n->object));
    }
  });
  EXPECT_EQ(seen, (std::vector<std::string>{"t/c", "t/s", "t/"}));
}

TEST(NftKernel, neighbours_of_a_key_stop_at_the_ends) {
  EXPECT_EQ(successor(Packed::be32(0x00ffffff).bytes()), Packed::be32(0x01000000));
  EXPECT_FALSE(successor(Packed::be32(0xffffffff).bytes()));
  EXPECT_EQ(predecessor(Packed::be32(0x01000000).bytes()), Packed::be32(0x00ffffff));
  EXPECT_FALSE(predecessor(Packed::be32(0).bytes()));
}

}  // namespace
}  // namespace margay::nft
