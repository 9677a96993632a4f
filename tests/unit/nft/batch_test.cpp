// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/batch.h"

#include <gtest/gtest.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

namespace margay::nft {
namespace {

TEST(Batch, frames_its_messages_and_knows_their_owners) {
  const std::string chain = "c";
  Batch b("t");
  for (int round = 0; round < 2; ++round) {
    b.begin();
    EXPECT_TRUE(b.empty());
    b.add_table();
    b.add_chain(chain, std::nullopt);
    b.delete_rule(chain, 5);
    b.finish();
    EXPECT_EQ(b.messages(), 3U);
    ByteView rest = b.bytes();
    std::vector<netlink::Message> all;
    while (const auto m = netlink::next_message(rest)) all.push_back(*m);
    EXPECT_TRUE(rest.empty());
    ASSERT_EQ(all.size(), 5U);
    EXPECT_EQ(all.front().type, NFNL_MSG_BATCH_BEGIN);
    EXPECT_EQ(all.back().type, NFNL_MSG_BATCH_END);
    EXPECT_EQ(b.owner(all[0].seq)->kind, Batch::Kind::frame);
    EXPECT_EQ(b.owner(all[1].seq)->kind, Batch::Kind::table);
    EXPECT_EQ(b.owner(all[2].seq)->object, &chain);
    EXPECT_TRUE(b.owner(all[3].seq)->removal);
    EXPECT_EQ(b.owner(all[4].seq), nullptr);
    EXPECT_EQ(b.owner(all[0].seq - 1), nullptr);
  }
}

// An offset within an element's attribute leads to that element (of some: each takes a walk).
void expect_found(const SetType& type, const ElementTable& t) {
  constexpr std::size_t kStep = 97;
  const std::string set = "s";
  Batch b("t");
  b.begin();
  b.add_elements(set, type, t, 0, t.size());
  b.finish();
  std::size_t next = 0;  // the element that the walk is at
  ByteView rest = b.bytes();
  for (ByteView at = rest; const auto m = netlink::next_message(rest); at = rest) {
    const auto list = m->attrs<nfgenmsg>().find(NFTA_SET_ELEM_LIST_ELEMENTS);
    if (!list) continue;
    for (const netlink::Attr& e : netlink::Attrs(list->value)) {
      const bool end = netlink::Attrs(e.value).find(NFTA_SET_ELEM_FLAGS).has_value();
      const std::size_t i = end ? next - 1 : next++;
      if (i % kStep != 0 && i + 1 != t.size()) continue;
      const auto offset = static_cast<std::uint32_t>(e.value.data() - at.data()) - 4;
      EXPECT_EQ(b.element_at(*b.owner(m->seq), type, offset), i);
    }
  }
  EXPECT_EQ(next, t.size());
}

TEST(Batch, a_bad_offset_leads_to_the_element) {
  const SetType plain{{Datatype::ipv4_addr}, false, std::nullopt};
  const SetType ranges{{Datatype::ipv4_addr}, true, std::nullopt};
  ElementTable p(plain);
  ElementTable r(ranges);
  for (std::uint32_t i = 0; i < 6000; ++i) {
    p.append_key(Packed::be32(i * 10).bytes());
    r.append_range(Packed::be32(i * 10).bytes(), Packed::be32(i * 10 + 5).bytes());
  }
  r.append_range(Packed::be32(0xfffffff0).bytes(), Packed::be32(0xffffffff).bytes());
  p.seal();
  r.seal();
  expect_found(plain, p);
  expect_found(ranges, r);
}

}  // namespace
}  // namespace margay::nft
