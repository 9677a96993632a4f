// SPDX-License-Identifier: Apache-2.0
// What is encoded decodes to the same value; what is cut or bent never reads past its end.
#include "dataplane/netlink/rtnl.h"

#include <gtest/gtest.h>

#include <random>

namespace margay::netlink {
namespace {

Ip ip(const std::string& text) { return Ip::parse(text).value(); }
Prefix prefix(const std::string& text) { return Prefix::parse(text).value(); }

Message only_message(const Writer& w) {
  ByteView rest = w.bytes();
  auto m = next_message(rest);
  EXPECT_TRUE(m.has_value());
  EXPECT_TRUE(rest.empty());
  return m.value_or(Message{});
}

Route base(const std::string& dst) {
  Route r;
  r.dst = prefix(dst);
  r.metric = 1024;
  r.protocol = 80;
  return r;
}

TEST(Rtnl, routes_survive_encoding_and_decoding) {
  std::vector<Route> rows;
  rows.push_back(base("10.65.1.2/32"));
  rows.back().scope = RouteScope::link;
  rows.back().src = ip("10.0.0.7");
  rows.back().hops = {{std::nullopt, IfIndex(7), 1, false}};
  rows.push_back(base("10.65.2.0/26"));
  rows.back().mtu = 1450;
  rows.back().hops = {{ip("10.65.9.2"), IfIndex(9), 1, true}};
  rows.push_back(base("0.0.0.0/0"));
  rows.back().hops = {{ip("10.0.0.1"), IfIndex(2), 1, false}, {ip("10.0.0.2"), IfIndex(2), 3, true}};
  rows.push_back(base("fd65::/122"));
  rows.back().hops = {{ip("fe80::1"), IfIndex(2), 1, false}, {ip("fe80::2"), IfIndex(3), 1, false}};
  rows.push_back(base("10.1.0.0/16"));
  rows.back().hops = {{ip("fd00::1"), IfIndex(4), 1, false}};  // RTA_VIA
  rows.push_back(base("10.65.0.0/26"));
  rows.back().type = RouteType::blackhole;
  rows.push_back(base("fd65:1::/64"));
  rows.back().type = RouteType::blackhole;
  rows.back().table = TableId(1000);
  for (const Route& want : rows) {
    SCOPED_TRACE(want.dst.to_string());
    Writer w;
    encode_route(w, 5, Verb::replace, want);
    const auto got = decode_route(only_message(w));
    ASSERT_TRUE(got.has_value());
    EXPECT_EQ(got->route, want);
    EXPECT_FALSE(got->removed);
    EXPECT_TRUE(got->replaced);
  }
}

TEST(Rtnl, links_addresses_neighbours_and_fdb_entries_survive) {
  LinkChange change;
  change.index = IfIndex(5);
  change.name = "vxlan.calico";
  change.kind = "vxlan";
  change.vxlan = VxlanLink{Vni(4096), 4789, IfIndex(2), ip("172.30.0.1"), std::nullopt, false, false};
  change.mac = Mac::parse("66:00:00:00:00:01").value();
  change.mtu = 1450;
  change.up = true;
  Writer w;
  encode_link(w, 1, Verb::create, change);
  const auto link = decode_link(only_message(w));
  ASSERT_TRUE(link.has_value());
  EXPECT_EQ(link->link.vxlan, change.vxlan);
  EXPECT_EQ(link->link.mac, change.mac);
  EXPECT_EQ(link->link.mtu, 1450U);
  EXPECT_TRUE(link->link.up);
  EXPECT_EQ(link->link.name, "vxlan.calico");

  for (const char* text : {"10.65.9.1/32", "fd65:9::1/128"}) {
    Address a;
    a.interface = IfIndex(5);
    a.address = InterfaceAddress::parse(text).value();
    a.no_dad = a.address.addr.is_v6();
    Writer out;
    encode_address(out, 1, Verb::replace, a);
    const auto got = decode_address(only_message(out));
    ASSERT_TRUE(got.has_value());
    EXPECT_EQ(got->address, a);
    Writer gone;
    encode_address(gone, 1, Verb::remove, a);
    EXPECT_TRUE(decode_address(only_message(gone))->removed);
  }
  const Mac hw = Mac::parse("66:00:00:00:00:02").value();
  for (const char* text : {"10.65.9.2", "fd65:9::2"}) {
    const Neighbour n{IfIndex(5), ip(text), hw, true, false};
    Writer out;
    encode_neighbour(out, 1, Verb::replace, n);
    const auto got = decode_neighbour(only_message(out));
    ASSERT_TRUE(got.has_value());
    EXPECT_EQ(got->neighbour, n);
    EXPECT_FALSE(decode_fdb(only_message(out)).has_value());
    const FdbEntry e{IfIndex(5), hw, ip(text), true, true};
    Writer fdb;
    encode_fdb(fdb, 1, Verb::remove, e);
    const auto entry = decode_fdb(only_message(fdb));
    ASSERT_TRUE(entry.has_value());
    EXPECT_EQ(entry->entry, e);
    EXPECT_TRUE(entry->removed);
  }
}

TEST(Rtnl, a_message_of_another_kind_is_nothing) {
  Writer w;
  encode_route(w, 1, Verb::replace, base("10.0.0.0/8"));
  const Message m = only_message(w);
  EXPECT_FALSE(decode_link(m).has_value());
  EXPECT_FALSE(decode_address(m).has_value());
  EXPECT_FALSE(decode_neighbour(m).has_value());
  EXPECT_FALSE(decode_fdb(m).has_value());
}

TEST(Rtnl, impossible_lengths_and_families_are_nothing) {
  Writer w;
  encode_route(w, 1, Verb::replace, base("10.0.0.0/8"));
  std::vector<std::uint8_t> raw(w.bytes().begin(), w.bytes().end());
  const auto decode = [&] {
    ByteView rest(raw);
    return decode_route(next_message(rest).value());
  };
  ASSERT_TRUE(decode().has_value());
  raw[17] = 33;  // rtm_dst_len
  EXPECT_FALSE(decode().has_value());
  raw[17] = 8;
  raw[16] = 99;  // rtm_family
  EXPECT_FALSE(decode().has_value());
}

TEST(Rtnl, cut_and_bent_messages_do_no_harm) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 rng(seed);
  Route r = base("10.65.2.0/26");
  r.hops = {{ip("10.0.0.1"), IfIndex(2), 1, false}, {ip("10.0.0.2"), IfIndex(2), 3, true}};
  Writer w;
  encode_route(w, 1, Verb::replace, r);
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::uint8_t> raw(w.bytes().begin(), w.bytes().end());
    raw.resize(raw.size() - rng() % 60);
    for (int n = 0; n < 3; ++n) raw[rng() % raw.size()] = static_cast<std::uint8_t>(rng());
    ByteView rest(raw);
    while (const auto m = next_message(rest)) {
      (void)decode_route(*m);
      (void)decode_link(*m);
      (void)decode_address(*m);
      (void)decode_neighbour(*m);
      (void)decode_fdb(*m);
    }
  }
}

}  // namespace
}  // namespace margay::netlink
