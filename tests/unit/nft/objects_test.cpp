// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/objects.h"

#include <gtest/gtest.h>

#include <vector>

#include "dataplane/nft/builder.h"

namespace margay::nft {
namespace {

std::vector<int> bytes(const Packed& p) { return {p.bytes().begin(), p.bytes().end()}; }

TEST(Packed, fields_of_a_concatenation_are_padded_to_four) {
  Packed key = Packed::ip(Ip::parse("10.0.0.7").value());
  key.then(Packed::u8(6)).then(Packed::be16(80));
  EXPECT_EQ(bytes(key), (std::vector<int>{10, 0, 0, 7, 6, 0, 0, 0, 0, 80, 0, 0}));
  Packed odd = Packed::u8(6);
  odd.then(Packed::be16(1));
  EXPECT_EQ(bytes(odd), (std::vector<int>{6, 0, 0, 0, 0, 1, 0, 0}));
}

TEST(Packed, interface_names_are_whole_and_prefixes_bare) {
  EXPECT_EQ(Packed::interface_name("lo").size(), 16U);
  EXPECT_EQ(Packed::interface_prefix("cali").size(), 4U);
  EXPECT_EQ(Packed::interface_name("a-name-that-is-too-long-by-far").bytes().back(), 0);
  EXPECT_NE(Packed::interface_name("lo"), Packed::interface_prefix("lo"));
}

TEST(Packed, orders_by_bytes_then_length) {
  EXPECT_LT(Packed::be16(1), Packed::be16(256));
  EXPECT_LT(Packed::interface_prefix("a"), Packed::interface_name("a"));
}

TEST(SetType, key_sizes) {
  const SetType port{{Datatype::inet_service}, false, std::nullopt};
  EXPECT_EQ(port.key_size(), 2U);
  const SetType triple{
      {Datatype::ipv6_addr, Datatype::inet_proto, Datatype::inet_service}, false, std::nullopt};
  EXPECT_EQ(triple.key_size(), 24U);
  const SetType dispatch{{Datatype::ifname}, false, Datatype::verdict};
  EXPECT_TRUE(dispatch.is_verdict_map());
  EXPECT_EQ(dispatch.value_size(), 0U);
}

TEST(Element, prefix_is_its_first_and_last_address) {
  struct Row {
    const char *prefix, *first, *last;
  };
  for (const Row& row :
       {Row{"10.0.0.0/8", "10.0.0.0", "10.255.255.255"},
        Row{"0.0.0.0/0", "0.0.0.0", "255.255.255.255"}, Row{"10.1.2.3/32", "10.1.2.3", "10.1.2.3"},
        Row{"10.1.2.128/25", "10.1.2.128", "10.1.2.255"},
        Row{"fd00::/61", "fd00::", "fd00::7:ffff:ffff:ffff:ffff"}}) {
    SCOPED_TRACE(row.prefix);
    const Element e = Element::prefix(Prefix::parse(row.prefix).value());
    EXPECT_EQ(Ip::from_bytes(e.key.bytes()), Ip::parse(row.first).value());
    EXPECT_EQ(Ip::from_bytes(e.key_end.bytes()), Ip::parse(row.last).value());
  }
}

TEST(Builder, a_prefix_of_whole_bytes_needs_no_mask) {
  const auto p = [](const char* text) { return Prefix::parse(text).value(); };
  const Exprs whole = address(Direction::source, p("10.1.0.0/16"), false, Dependency::met);
  ASSERT_EQ(whole.size(), 2U);
  EXPECT_EQ(std::get<PayloadLoad>(whole[0]).length, 2U);
  EXPECT_EQ(address(Direction::source, p("10.1.0.0/17"), false, Dependency::met).size(), 3U);
  EXPECT_TRUE(address(Direction::source, p("0.0.0.0/0"), false, Dependency::met).empty());
  EXPECT_EQ(address(Direction::source, p("0.0.0.0/0"), true, Dependency::met).size(), 3U)
      << "not in 0.0.0.0/0 never matches, and must say so";
}

TEST(Builder, addresses_bring_their_family_unless_it_was_matched) {
  const Exprs with = address_in(Direction::source, Family::v6, "s");
  EXPECT_EQ(std::get<MetaLoad>(with[0]).key, MetaKey::nfproto);
  const Exprs without = address_in(Direction::source, Family::v6, "s", false, Dependency::met);
  EXPECT_EQ(with.size(), without.size() + 2);
}

TEST(Builder, fields_of_a_key_lie_side_by_side_in_the_registers) {
  const KeyField fields[] = {
      {KeyField::Kind::iifname}, {KeyField::Kind::saddr, 64}, {KeyField::Kind::dport}};
  const Exprs e = concat_in(Family::v6, fields, "s", true, Dependency::met);
  ASSERT_EQ(e.size(), 5U);
  EXPECT_EQ(std::get<MetaLoad>(e[0]).dst.index, 0);
  EXPECT_EQ(std::get<PayloadLoad>(e[1]).dst.index, 4);
  EXPECT_EQ(std::get<Bitwise>(e[2]).dst.index, 4);
  EXPECT_EQ(std::get<PayloadLoad>(e[3]).dst.index, 8);
  EXPECT_TRUE(std::get<Lookup>(e[4]).inverted);
}

TEST(Builder, every_interface_is_no_match_at_all) { EXPECT_TRUE(iifname("*").empty()); }

}  // namespace
}  // namespace margay::nft
