// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/message.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/unit/bgp_wire/bytes.h"

namespace margay::bgp::wire {
namespace {

Prefix prefix(const std::string& text) { return *Prefix::parse(text); }
Ip ip(const std::string& text) { return *Ip::parse(text); }

Bytes only_body(const Buffer& b, std::size_t max = kMaxMessage) {
  const Frame f = next_frame(b, max);
  EXPECT_EQ(f.status, Frame::Status::complete);
  EXPECT_EQ(f.size, b.size());
  return f.body;
}

Open full_open() {
  Open o;
  o.asn = Asn(4200000001);
  o.hold_time = 240;
  o.id = RouterId(0x0a000001);
  auto& c = o.capabilities;
  c.multiprotocol = {{1, 1}, {2, 1}, {1, 128}};
  c.route_refresh = c.enhanced_refresh = c.extended_messages = true;
  c.as4 = o.asn;
  c.graceful_restart = GracefulRestart{true, true, 120, {{{1, 1}, true}, {{2, 1}, false}}};
  c.add_path = {{{1, 1}, true, true}, {{2, 1}, true, false}};
  c.extended_next_hop = {{{1, 1}, 2}};
  return o;
}

TEST(Open, comes_back_as_it_was) {
  for (const auto& want : {full_open(), Open{4, Asn(65001), 9, RouterId(1), {}}}) {
    Buffer b;
    encode_open(b, want);
    const auto decoded = decode_open(only_body(b));
    ASSERT_TRUE(std::holds_alternative<Open>(decoded));
    EXPECT_EQ(std::get<Open>(decoded), want);
  }
}

TEST(Open, with_many_capabilities_uses_long_parameters) {  // RFC 9072
  Open want = full_open();
  for (std::uint16_t i = 100; i < 200; ++i) want.capabilities.multiprotocol.push_back({i, 1});
  Buffer b;
  encode_open(b, want);
  const auto decoded = decode_open(only_body(b));
  ASSERT_TRUE(std::holds_alternative<Open>(decoded));
  EXPECT_EQ(std::get<Open>(decoded), want);
}

TEST(Notification, comes_back_and_is_described_in_known_words) {
  const Notification want{code::cease, subcode::shutdown, {5, 'm', 'a', 'i', 'n', '\n', 'x'}};
  Buffer b;
  encode_notification(b, want);
  EXPECT_EQ(decode_notification(only_body(b)), want);
  EXPECT_EQ(describe(want), "Administrative shutdown");
  EXPECT_EQ(shutdown_message(want), "main ");
  EXPECT_EQ(describe({4, 0, {}}), "Hold timer expired");
  EXPECT_EQ(describe({99, 1, {}}), "Unknown error 99.1");
  EXPECT_EQ(shutdown_message({6, 2, {200, 'x'}}), "") << "longer than what is there";
}

TEST(Notification, a_hard_reset_tells_what_it_wraps) {  // RFC 8538 3.1
  const auto inner = shutdown_notification("maintenance");
  EXPECT_EQ(describe(inner), "Administrative shutdown");
  EXPECT_EQ(shutdown_message(inner), "maintenance");
  const auto hard = hard_reset(inner);
  EXPECT_TRUE(is_hard_reset(hard));
  EXPECT_EQ(describe(hard), "Hard reset: Administrative shutdown");
  EXPECT_EQ(shutdown_message(hard), "maintenance");
  EXPECT_EQ(describe({code::cease, subcode::hard_reset, {}}), "Hard reset");
  EXPECT_EQ(describe(hard_reset(hard_reset(inner))), "Hard reset: Hard reset") << "no further";
  EXPECT_EQ(shutdown_message(shutdown_notification(std::string(300, 'x'))).size(), 255U);
  EXPECT_EQ(too_many_prefixes(Family::v6, 258).data,
            (std::vector<std::uint8_t>{0, 2, 1, 0, 0, 1, 2}));  // RFC 4486 4
}

TEST(RouteRefresh, comes_back) {
  const RouteRefresh want{{2, 1}, 1};
  Buffer b;
  encode_route_refresh(b, want);
  const auto decoded = decode_route_refresh(only_body(b));
  EXPECT_EQ(std::get<RouteRefresh>(decoded), want);
  EXPECT_TRUE(std::holds_alternative<Notification>(decode_route_refresh(hex("0001 00"))));
}

TEST(EndOfRib, is_seen_for_each_family) {
  for (const Family f : kFamilies) {
    Buffer b;
    encode_end_of_rib(b, f);
    EXPECT_EQ(decode_update(only_body(b), {}).end_of_rib, f);
  }
}

Attributes random_attributes(std::mt19937& random, Family f) {
  const auto number = [&] { return static_cast<std::uint32_t>(random()); };
  const auto chance = [&] { return number() % 2 == 0; };
  Attributes a;
  a.origin = static_cast<Origin>(number() % 3);
  a.next_hop = f == Family::v4 ? ip("10.0.0.2") : ip("2001:db8::2");
  if (f == Family::v6 && chance()) a.link_local = ip("fe80::2");
  std::vector<std::uint32_t> path;
  for (unsigned i = number() % 5; i > 0; --i) {
    path.push_back(chance() ? 65000 + number() % 100 : 4200000000U + number() % 100);
  }
  a.as_path.append(AsPath::Segment::sequence, path);
  if (chance()) {
    const std::uint32_t set[] = {65001, 65002};
    a.as_path.append(AsPath::Segment::set, set);
  }
  if (chance()) a.med = number();
  if (chance()) a.local_pref = number();
  if (chance()) a.atomic_aggregate = true;
  if (chance()) a.aggregator = Aggregator{Asn(chance() ? 65001 : 4200000001), RouterId(5)};
  for (unsigned i = number() % 90; i > 0; --i) a.communities.push_back(number());
  for (unsigned i = number() % 3; i > 0; --i) a.extended_communities.push_back(number());
  for (unsigned i = number() % 3; i > 0; --i) a.large_communities.push_back({number(), 2, 3});
  if (chance()) a.originator_id = RouterId(9);
  for (unsigned i = number() % 3; i > 0; --i) a.cluster_list.emplace_back(i);
  if (chance()) a.unknown.add(0xe0, 99, std::vector<std::uint8_t>{1, 2, 3});
  return a;
}

struct Seen {
  std::map<Prefix, Attributes> routes;
  std::size_t messages = 0;
};

Seen replay(const Buffer& stream, const DecodeContext& context, std::size_t max) {
  Seen out;
  for (Bytes left = stream; !left.empty();) {
    const Frame f = next_frame(left, max);
    EXPECT_EQ(f.status, Frame::Status::complete);
    left = left.subspan(f.size);
    ++out.messages;
    const Update u = decode_update(f.body, context);
    EXPECT_EQ(u.treatment, Treatment::none);
    for (const auto* n : {&u.withdrawn, &u.mp_withdrawn}) {
      n->for_each([&](const NlriEntry& e) { out.routes.erase(e.prefix); });
    }
    for (const auto* n : {&u.announced, &u.mp_announced}) {
      Attributes a = u.attributes;
      if (n == &u.mp_announced) {
        a.next_hop = u.mp_next_hop;
        a.link_local = u.mp_link_local;
      }
      n->for_each([&](const NlriEntry& e) { out.routes[e.prefix] = a; });
    }
  }
  return out;
}

TEST(UpdateWriter, what_is_written_is_read) {
  std::mt19937 random(11);
  for (int round = 0; round < 100; ++round) {
    const Family f = round % 2 == 0 ? Family::v4 : Family::v6;
    EncodeContext encode;
    encode.as4 = round % 3 != 0;
    if (round % 5 == 0) encode.max_size = kMaxExtendedMessage;
    DecodeContext decode;
    decode.as4 = encode.as4;
    decode.internal = true;
    Buffer stream;
    UpdateWriter writer(stream, f, encode);
    std::map<Prefix, Attributes> want;
    const Ip base = f == Family::v4 ? ip("10.0.0.0") : ip("2001:db8::");
    for (int set = 0; set < 5; ++set) {
      const Attributes a = random_attributes(random, f);
      writer.set_attributes(a);
      for (auto i = random() % 1000; i > 0; --i) {
        const auto p =
            Prefix::containing(base.plus(random()), 8 + static_cast<unsigned>(random() % 25));
        writer.announce(p);
        want[p] = a;
      }
    }
    unsigned n = 0;
    for (auto it = want.begin(); it != want.end();) {
      if (++n % 3 != 0) {
        ++it;
        continue;
      }
      writer.withdraw(it->first);
      it = want.erase(it);
    }
    writer.finish();
    const Seen seen = replay(stream, decode, encode.max_size);
    EXPECT_EQ(seen.messages, writer.messages());
    ASSERT_EQ(seen.routes, want) << "round " << round;
  }
}

TEST(UpdateWriter, packs_prefixes_of_one_attribute_set) {
  Buffer stream;
  UpdateWriter writer(stream, Family::v4, {});
  Attributes a;
  a.next_hop = ip("10.0.0.1");
  writer.set_attributes(a);
  for (unsigned i = 0; i < 10000; ++i) {
    writer.announce(Prefix::containing(ip("10.0.0.0").plus(i << 8), 24));
  }
  writer.finish();
  // 4 bytes each in messages of 4096 less some 40 of overhead.
  EXPECT_EQ(writer.messages(), 10U);
}

TEST(UpdateWriter, counts_what_does_not_fit_and_goes_on) {
  Buffer stream;
  UpdateWriter writer(stream, Family::v4, {});
  Attributes a;
  a.next_hop = ip("10.0.0.1");
  const std::vector<std::uint32_t> many(2000, 7);
  a.communities.insert(a.communities.end(), many.begin(), many.end());
  writer.set_attributes(a);
  writer.announce(prefix("10.0.0.0/24"));
  a.communities.clear();
  writer.set_attributes(a);
  writer.announce(prefix("10.0.1.0/24"));
  writer.finish();
  EXPECT_EQ(writer.oversized(), 1U);
  EXPECT_EQ(replay(stream, {}, kMaxMessage).routes.size(), 1U);
}

TEST(As4Path, is_merged_for_old_speakers) {  // RFC 6793 4.2.3
  const std::string base = "40 01 01 00 40 03 04 0a000002";
  const struct {
    const char* name;
    std::string attributes;
    const char* want;
  } rows[] = {
      {"merged", "40 02 08 02 03 fde8 5ba0 fdea  c0 11 0a 02 02 fa56ea01 0000fdea",
       "65000 4200000001 65002"},
      {"longer than the path: ignored", "40 02 04 02 01 5ba0 c0 11 0a 02 02 fa56ea01 0000fdea",
       "23456"},
      {"an aggregator that was changed since: both ignored",
       "40 02 04 02 01 5ba0  c0 07 06 fde8 0a000001  c0 12 08 fa56ea01 0a000001 "
       "c0 11 06 02 01 fa56ea01",
       "23456"},
      {"malformed: ignored", "40 02 04 02 01 5ba0 c0 11 05 02 01 fa56ea", "23456"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    DecodeContext old;
    old.as4 = false;
    const Buffer body = update_body({}, hex(base + row.attributes), hex("08 0a"));
    const Update u = decode_update(body, old);
    EXPECT_NE(u.treatment, Treatment::treat_as_withdraw);
    EXPECT_EQ(u.attributes.as_path.to_string(), row.want);
  }
}

TEST(Nlri, keeps_path_identifiers_and_clears_host_bits) {
  DecodeContext context;
  context.add_path_v4 = true;
  const Buffer body = update_body(hex("00000007 18 0a0101"), {}, {});
  const auto list = entries(decode_update(body, context).withdrawn);
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].path_id, 7U);
  const Buffer dirty = update_body(hex("09 0aff"), {}, {});
  EXPECT_EQ(entries(decode_update(dirty, {}).withdrawn)[0].prefix, prefix("10.128.0.0/9"));
}

TEST(AsPath, knows_its_length_head_and_members) {
  AsPath p;
  const std::uint32_t sequence[] = {65001, 65002, 65001};
  const std::uint32_t set[] = {65003, 65004};
  p.append(AsPath::Segment::sequence, sequence);
  p.append(AsPath::Segment::set, set);
  EXPECT_EQ(p.length(), 4U);
  EXPECT_EQ(p.count(Asn(65001)), 2U);
  EXPECT_EQ(p.neighbour(), Asn(65001));
  EXPECT_EQ(p.to_string(), "65001 65002 65001 {65003 65004}");
  const Asn head[] = {Asn(65009)};
  p.prepend(head);
  EXPECT_EQ(p.to_string(), "65009 65001 65002 65001 {65003 65004}");
  const Asn begins[] = {Asn(65009), Asn(65001)}, not_begins[] = {Asn(65001)};
  EXPECT_TRUE(p.begins_with(begins));
  EXPECT_FALSE(p.begins_with(not_begins));
}

TEST(Community, is_parsed_strictly) {
  EXPECT_EQ(std::get<std::uint32_t>(*parse_community("64512:100")), 0xfc000064U);
  EXPECT_EQ(std::get<LargeCommunity>(*parse_community("4200000000:1:2")),
            (LargeCommunity{4200000000, 1, 2}));
  for (const char* bad : {"", "1", "65536:1", "1:2:3:4", "a:b", "01:2", "1:", "4294967296:1:1"}) {
    EXPECT_FALSE(parse_community(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace margay::bgp::wire
