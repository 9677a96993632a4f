// SPDX-License-Identifier: Apache-2.0
#include "dataplane/netlink/message.h"

#include <gtest/gtest.h>
#include <linux/netlink.h>

#include <array>
#include <random>

namespace margay::netlink {
namespace {

struct Fixed {
  std::uint8_t family, rest[3];
};

Writer sample() {
  Writer w;
  w.begin(100, NLM_F_REQUEST, 7);
  w.put(Fixed{2, {}});
  w.attr_u32(1, 0x01020304);
  const auto nest = w.begin_nested(2);
  w.attr_string(3, "abc");
  w.attr_be32(4, 5);
  w.end_nested(nest);
  w.end();
  return w;
}

TEST(NetlinkMessage, what_is_written_is_read_back) {
  const Writer w = sample();
  ByteView rest = w.bytes();
  const auto m = next_message(rest);
  ASSERT_TRUE(m);
  EXPECT_TRUE(rest.empty());
  EXPECT_EQ(m->type, 100);
  EXPECT_EQ(m->seq, 7U);
  EXPECT_EQ(m->header<Fixed>()->family, 2);
  const Attrs attrs = m->attrs<Fixed>();
  EXPECT_EQ(attrs.find(1)->u32(), 0x01020304U);
  const auto nested = attrs.find(2);
  ASSERT_TRUE(nested);
  EXPECT_EQ(Attrs(nested->value).find(3)->text(), "abc");
  EXPECT_EQ(Attrs(nested->value).find(4)->be32(), 5U);
  EXPECT_FALSE(attrs.find(9));
}

TEST(NetlinkMessage, several_messages_follow_one_another) {
  Writer w = sample();
  w.begin(101, 0, 8);
  w.end();
  ByteView rest = w.bytes();
  EXPECT_EQ(next_message(rest)->type, 100);
  EXPECT_EQ(next_message(rest)->type, 101);
  EXPECT_FALSE(next_message(rest));
}

TEST(NetlinkMessage, a_cut_message_ends_the_walk) {
  const Writer w = sample();
  for (std::size_t n = 0; n < w.size(); ++n) {
    ByteView rest = w.bytes().first(n);
    EXPECT_FALSE(next_message(rest)) << n;
  }
}

TEST(NetlinkMessage, garbage_is_walked_without_harm) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::uint8_t> raw(random() % 64);
    for (auto& b : raw) b = static_cast<std::uint8_t>(random() % 24);
    ByteView rest = raw;
    while (const auto m = next_message(rest)) {
      (void)parse_ack(*m);
      for (const Attr& a : m->attrs<Fixed>()) (void)a.text();
    }
  }
}

TEST(NetlinkMessage, extended_ack_gives_text_and_offset) {
  Writer w;
  w.begin(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, 9);
  nlmsgerr e{};
  e.error = -22;
  e.msg.nlmsg_len = 400;
  w.put(e);
  w.attr_string(NLMSGERR_ATTR_MSG, "no such thing");
  w.attr_u32(NLMSGERR_ATTR_OFFS, 36);
  w.end();
  ByteView rest = w.bytes();
  const auto ack = parse_ack(*next_message(rest));
  ASSERT_TRUE(ack);
  EXPECT_EQ(ack->error, 22);
  EXPECT_EQ(ack->seq, 9U);
  EXPECT_EQ(ack->text, "no such thing");
  EXPECT_EQ(ack->bad_offset, 36U);
}

TEST(NetlinkMessage, room_for_others_is_kept_to_what_they_used) {
  Writer w;
  std::uint8_t* at = w.reserve(256);
  std::memset(at, 7, 5);
  w.commit(256, 5);
  EXPECT_EQ(w.size(), 8U);
}

}  // namespace
}  // namespace margay::netlink
