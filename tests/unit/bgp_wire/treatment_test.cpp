// SPDX-License-Identifier: Apache-2.0
// What RFC 7606 says to do about each malformed attribute; the section stands in each row.
#include <gtest/gtest.h>

#include "tests/unit/bgp_wire/bytes.h"

namespace margay::bgp::wire {
namespace {

const std::string kOrigin = "40 01 01 00 ", kPath = "40 02 06 02 01 0000fde9 ",
                  kHop = "40 03 04 0a000002 ", kBase = kOrigin + kPath + kHop;
constexpr const char* kNlri = "18 cb0071";  // 203.0.113.0/24
constexpr auto kNone = Treatment::none, kDiscard = Treatment::attribute_discard,
               kWithdraw = Treatment::treat_as_withdraw, kReset = Treatment::session_reset;

struct Row {
  const char* name;
  std::string attributes;
  Treatment want;
  std::uint8_t type = 0;  // of the attribute that is named as wrong
  bool internal = false;
  bool as4 = true;
};

TEST(UpdateErrors, are_treated_as_rfc_7606_says) {
  const Row rows[] = {
      {"sound", kBase, kNone},
      {"3c: flags of ORIGIN", "c0 01 01 00 " + kPath + kHop, kWithdraw, 1},
      {"3c: flags of MED", kBase + "40 04 04 00000001", kWithdraw, 4},
      {"3c: flags of COMMUNITIES", kBase + "80 08 04 00010002", kWithdraw, 8},
      {"3d: no ORIGIN", kPath + kHop, kWithdraw, 1},
      {"3d: no AS_PATH", kOrigin + kHop, kWithdraw, 2},
      {"3d: no NEXT_HOP", kOrigin + kPath, kWithdraw, 3},
      {"3g: ORIGIN twice", kBase + "40 01 01 02", kDiscard, 1},
      {"3g: MP_UNREACH twice", kBase + "80 0f 03 0002 01 80 0f 03 0002 01", kReset},
      {"3g: MP_REACH twice",
       kBase + "80 0e 1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8"
               "80 0e 1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8",
       kReset},
      {"4: an attribute longer than the list", kBase + "80 04 05 00000001", kWithdraw, 4},
      {"4: a header that is cut off", kBase + "80 04", kWithdraw, 4},
      {"7.1: length of ORIGIN", "40 01 02 0000 " + kPath + kHop, kWithdraw, 1},
      {"7.1: value of ORIGIN", "40 01 01 03 " + kPath + kHop, kWithdraw, 1},
      {"7.1: no value of ORIGIN", "40 01 00 " + kPath + kHop, kWithdraw, 1},
      {"7.2: segment beyond the end, two-byte peer", kOrigin + kHop + "40 02 04 02 02 fde9",
       kWithdraw, 2, false, false},
      {"7.2: segment beyond the end", kOrigin + kHop + "40 02 06 02 02 0000fde9", kWithdraw, 2},
      {"7.2: a byte too many", kOrigin + kHop + "40 02 07 02 01 0000fde9 00", kWithdraw, 2},
      {"7.2: empty segment", kOrigin + kHop + "40 02 02 02 00", kWithdraw, 2},
      {"7.2: unknown segment", kOrigin + kHop + "40 02 06 05 01 0000fde9", kWithdraw, 2},
      {"RFC 7607 2: AS 0", kOrigin + kHop + "40 02 06 02 01 00000000", kWithdraw, 2},
      {"an empty AS_PATH is sound", kOrigin + kHop + "40 02 00", kNone},
      {"7.3: length of NEXT_HOP", kOrigin + kPath + "40 03 05 0a00000200", kWithdraw, 3},
      {"7.3: no value of NEXT_HOP", kOrigin + kPath + "40 03 00", kWithdraw, 3},
      {"7.4: length of MED", kBase + "80 04 03 000001", kWithdraw, 4},
      {"7.5: LOCAL_PREF from outside", kBase + "40 05 04 00000064", kDiscard, 5},
      {"7.5: LOCAL_PREF from inside", kBase + "40 05 04 00000064", kNone, 0, true},
      {"7.5: length of LOCAL_PREF", kBase + "40 05 03 000064", kWithdraw, 5, true},
      {"7.5: length of LOCAL_PREF from outside", kBase + "40 05 03 000064", kDiscard, 5},
      {"7.6: length of ATOMIC_AGGREGATE", kBase + "40 06 01 00", kDiscard, 6},
      {"7.7: length of AGGREGATOR", kBase + "c0 07 06 fde9 0a000001", kDiscard, 7},
      {"7.7: length of AGGREGATOR, two-byte peer",
       "40 01 01 00 40 02 04 02 01 fde9 " + kHop + "c0 07 08 0000fde9 0a000001", kDiscard, 7, false,
       false},
      {"RFC 7607 2: AS 0 in AGGREGATOR", kBase + "c0 07 08 00000000 0a000001", kDiscard, 7},
      {"RFC 6793 6: length of AS4_AGGREGATOR, two-byte peer",
       "40 01 01 00 40 02 04 02 01 fde9 " + kHop + "c0 12 06 0000fde9 0a00", kDiscard, 18, false,
       false},
      {"RFC 6793 6: malformed AS4_PATH, two-byte peer",
       "40 01 01 00 40 02 04 02 01 fde9 " + kHop + "c0 11 06 02 02 0000fde9", kDiscard, 17, false,
       false},
      {"RFC 7607 2: AS 0 in AS4_PATH, two-byte peer",
       "40 01 01 00 40 02 04 02 01 fde9 " + kHop + "c0 11 06 02 01 00000000", kDiscard, 17, false,
       false},
      {"RFC 7607 2: AS 0 in AS4_AGGREGATOR, two-byte peer",
       "40 01 01 00 40 02 04 02 01 fde9 " + kHop + "c0 12 08 00000000 0a000001", kDiscard, 18,
       false, false},
      {"RFC 6793 6: AS4_PATH of a four-byte peer, malformed or not", kBase + "c0 11 01 02", kNone},
      {"RFC 6793 6: AS4_AGGREGATOR of a four-byte peer", kBase + "c0 12 01 02", kNone},
      {"7.8: length of COMMUNITIES", kBase + "c0 08 05 0001000200", kWithdraw, 8},
      {"7.8: no COMMUNITIES", kBase + "c0 08 00", kWithdraw, 8},
      {"7.9: ORIGINATOR_ID from outside", kBase + "80 09 04 0a000001", kDiscard, 9},
      {"7.9: length of ORIGINATOR_ID", kBase + "80 09 03 0a0000", kWithdraw, 9, true},
      {"7.9: length of ORIGINATOR_ID from outside", kBase + "80 09 03 0a0000", kDiscard, 9},
      {"7.10: length of CLUSTER_LIST from outside", kBase + "80 0a 01 0a", kDiscard, 10},
      {"7.10: CLUSTER_LIST from outside", kBase + "80 0a 04 0a000001", kDiscard, 10},
      {"7.10: length of CLUSTER_LIST", kBase + "80 0a 05 0a00000100", kWithdraw, 10, true},
      {"7.10: no CLUSTER_LIST", kBase + "80 0a 00", kWithdraw, 10, true},
      {"7.11: length of the next hop", kBase + "80 0e 08 0002 01 03 000000 00", kReset},
      {"7.11: MP_REACH too short", kBase + "80 0e 04 0002 01 10", kReset},
      {"7.12: MP_UNREACH too short", kBase + "80 0f 02 0002", kReset},
      {"5.3: prefix length in MP_REACH",
       kBase + "80 0e 16 0002 01 10 20010db8000000000000000000000001 00 81", kReset},
      {"5.3: prefix cut off in MP_UNREACH", kBase + "80 0f 05 0002 01 30 20", kReset},
      {"7.14: length of EXTENDED COMMUNITIES", kBase + "c0 10 07 00020001000000", kWithdraw, 16},
      {"7.14: no EXTENDED COMMUNITIES", kBase + "c0 10 00", kWithdraw, 16},
      {"RFC 8092 5: no LARGE_COMMUNITY", kBase + "c0 20 00", kWithdraw, 32},
      {"RFC 8092 5: length of LARGE_COMMUNITY", kBase + "c0 20 0b 0000000100000002000000",
       kWithdraw, 32},
      {"unknown, well-known", kBase + "40 63 00", kWithdraw, 99},
      {"unknown, optional transitive", kBase + "c0 63 01 07", kNone},
      {"unknown, optional, not transitive", kBase + "80 63 01 07", kNone},
      {"3h: the worst error counts", kBase + "40 06 01 00 80 04 03 000001", kWithdraw, 4},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    DecodeContext context;
    context.internal = row.internal;
    context.as4 = row.as4;
    const Buffer body = update_body({}, hex(row.attributes), hex(kNlri));
    const Update u = decode_update(body, context);
    EXPECT_EQ(u.treatment, row.want);
    if (row.want == kWithdraw || row.want == kDiscard) {
      EXPECT_EQ(u.error_attribute, row.type);
      EXPECT_EQ(entries(u.announced).size(), 1U) << "what is to be withdrawn";
    }
  }
}

// One of each attribute that we know.
struct Sample {
  std::uint8_t flags, type;
  const char* value;
};
constexpr const char* kReach = "0002 01 10 20010db8000000000000000000000001 00 20 20010db8";
const Sample kSamples[] = {
    {0x40, 1, "00"},
    {0x40, 2, "02 01 fde9"},
    {0x40, 3, "0a000002"},
    {0x80, 4, "00000001"},
    {0x40, 5, "00000064"},
    {0x40, 6, ""},
    {0xc0, 7, "fde90a000001"},
    {0xc0, 8, "00010002"},
    {0x80, 9, "0a000001"},
    {0x80, 10, "0a000001"},
    {0x80, 14, kReach},
    {0x80, 15, "0002 01 20 20010db9"},
    {0xc0, 16, "0002000100000001"},
    {0xc0, 17, "02 01 0000fde9"},
    {0xc0, 18, "0000fde90a000001"},
    {0xc0, 32, "000000010000000200000003"},
};

Buffer encoded(const Sample& s, std::uint8_t flip = 0) {
  const Buffer value = hex(s.value);
  Buffer out;
  put_u8(out, static_cast<unsigned>(s.flags ^ flip));
  put_u8(out, s.type);
  put_u8(out, static_cast<unsigned>(value.size()));
  put_bytes(out, value);
  return out;
}

// All of them, from a two-byte peer inside: every attribute counts there.
Update with(const Buffer& more, std::uint8_t instead_of = 0) {
  DecodeContext context;
  context.internal = true;
  context.as4 = false;
  Buffer attributes;
  for (const auto& s : kSamples) {
    if (s.type != instead_of) put_bytes(attributes, encoded(s));
  }
  put_bytes(attributes, more);
  // What is decoded points into it.
  static Buffer body;
  body = update_body({}, attributes, hex(kNlri));
  return decode_update(body, context);
}

TEST(UpdateErrors, of_flags_withdraw_whatever_the_attribute) {  // 3c
  ASSERT_EQ(with({}).treatment, kNone);
  for (const auto& s : kSamples) {
    for (const std::uint8_t flip : std::initializer_list<std::uint8_t>{0x80, 0x40, 0xc0}) {
      SCOPED_TRACE("type " + std::to_string(s.type) + ", flipped " + std::to_string(flip));
      const Update u = with(encoded(s, flip), s.type);
      EXPECT_EQ(u.treatment, kWithdraw);
      EXPECT_EQ(u.error_attribute, s.type);
      EXPECT_EQ(entries(u.announced).size(), 1U);
      EXPECT_EQ(entries(u.mp_announced).size(), 1U) << "what is to be withdrawn";
      EXPECT_EQ(entries(u.mp_withdrawn).size(), 1U);
    }
    // The other bits say nothing of this kind.
    EXPECT_EQ(with(encoded(s, 0x20), s.type).treatment, kNone) << "partial";
  }
}

TEST(UpdateErrors, of_repetition_discard_the_second) {  // 3g
  for (const auto& s : kSamples) {
    SCOPED_TRACE("type " + std::to_string(s.type));
    const Update u = with(encoded(s));
    const bool reachability = s.type == 14 || s.type == 15;
    EXPECT_EQ(u.treatment, reachability ? kReset : kDiscard);
    if (!reachability) {
      EXPECT_EQ(u.error_attribute, s.type);
      EXPECT_EQ(u.attributes, with({}).attributes) << "the first counts";
    }
  }
}

TEST(UpdateErrors, without_a_reachable_prefix_end_the_session) {  // 5.2
  const struct {
    const char* name;
    std::string withdrawn, attributes;
    Treatment want;
  } rows[] = {
      {"nothing but a malformed attribute", "", "80 04 03 000001", kReset},
      {"withdrawn routes beside it", kNlri, kOrigin + "80 04 03 000001", kReset},
      {"MP_UNREACH beside it", "", "80 0f 03 0002 01 80 04 03 000001", kReset},
      {"flags of MP_UNREACH, which is all there is", "", "c0 0f 04 0002 01 00", kWithdraw},
      {"flags of MP_UNREACH beside it", "", kOrigin + "c0 0f 04 0002 01 00", kReset},
      {"an attribute that is cut off", "", "80 04", kReset},
      {"one that is cut off after MP_UNREACH", "", "80 0f 04 0002 01 00 80 04", kReset},
      {"one that may be discarded", kNlri, "40 06 01 00", kDiscard},
      {"MP_REACH is reachability", "",
       kOrigin + kPath + "80 04 03 000001" +
           "80 0e 1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8",
       kWithdraw},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    const Buffer body = update_body(hex(row.withdrawn), hex(row.attributes), {});
    EXPECT_EQ(decode_update(body, {}).treatment, row.want);
  }
}

TEST(UpdateErrors, of_the_message_itself_end_the_session) {
  const struct {
    const char* name;
    const char* body;
    std::uint8_t subcode;
  } rows[] = {
      {"withdrawn routes beyond the end", "0005 0000", subcode::malformed_list},
      {"attributes beyond the end", "0000 0005 40", subcode::malformed_list},
      {"nothing at all", "", subcode::malformed_list},
      {"length of a prefix", "0000 0000 21 0a000000 00", subcode::invalid_network},
      {"a prefix cut off", "0000 0000 18 0a00", subcode::invalid_network},
      {"a withdrawn prefix cut off", "0002 18 0a 0000", subcode::invalid_network},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    const Update u = decode_update(hex(row.body), {});
    EXPECT_EQ(u.treatment, kReset);
    EXPECT_EQ(u.notification.code, code::update);
    EXPECT_EQ(u.notification.subcode, row.subcode);
  }
}

TEST(Framing, refuses_what_cannot_be_a_message) {
  const std::string marker = "ffffffffffffffffffffffffffffffff";
  const struct {
    const char* name;
    std::string stream;
    Frame::Status want;
    std::uint8_t subcode = 0;
  } rows[] = {
      {"keepalive", marker + "0013 04", Frame::Status::complete},
      {"not yet", marker + "0013", Frame::Status::incomplete},
      {"marker", "fffffffffffffffffffffffffffffffe 0013 04", Frame::Status::bad, 1},
      {"marker, before it is whole", "00", Frame::Status::bad, 1},
      {"too short", marker + "0012 04", Frame::Status::bad, 2},
      {"too long", marker + "1001 02", Frame::Status::bad, 2},
      {"keepalive with a body", marker + "0014 04 00", Frame::Status::bad, 2},
      {"OPEN too short", marker + "001c 01", Frame::Status::bad, 2},
      {"unknown type", marker + "0013 06", Frame::Status::bad, 3},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    const Buffer stream = hex(row.stream);
    const Frame f = next_frame(stream);
    EXPECT_EQ(f.status, row.want);
    if (f.status == Frame::Status::bad) {
      EXPECT_EQ(f.notification.subcode, row.subcode);
    }
  }
  EXPECT_EQ(next_frame(hex(marker + "1001 02"), kMaxExtendedMessage).status,
            Frame::Status::incomplete);
  EXPECT_EQ(next_frame(hex(marker + "1001 01"), kMaxExtendedMessage).status, Frame::Status::bad)
      << "RFC 8654 3: never an OPEN";
}

TEST(OpenErrors, are_named_by_their_subcode) {
  const struct {
    const char* name;
    const char* body;
    std::uint8_t subcode;
  } rows[] = {
      {"version", "03 fde9 00f0 0a000002 00", subcode::version},
      {"AS 0", "04 0000 00f0 0a000002 00", subcode::bad_peer_as},
      {"four-byte AS 0", "04 5ba0 00f0 0a000002 08 02 06 41 04 00000000", subcode::bad_peer_as},
      {"identifier 0", "04 fde9 00f0 00000000 00", subcode::bad_identifier},
      {"hold time 2", "04 fde9 0002 0a000002 00", subcode::hold_time},
      {"unknown parameter", "04 fde9 00f0 0a000002 04 01 02 0000", subcode::bad_parameter},
      {"parameter beyond the end", "04 fde9 00f0 0a000002 04 02 06 41 04", 0},
      {"capability beyond the parameter", "04 fde9 00f0 0a000002 04 02 02 41 04", 0},
      {"parameters longer than said", "04 fde9 00f0 0a000002 00 02 00", 0},
      {"cut off", "04 fde9", 0},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    const auto decoded = decode_open(hex(row.body));
    const auto* n = std::get_if<Notification>(&decoded);
    ASSERT_NE(n, nullptr);
    EXPECT_EQ(n->code, code::open);
    EXPECT_EQ(n->subcode, row.subcode);
  }
}

}  // namespace
}  // namespace margay::bgp::wire
