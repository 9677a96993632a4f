// SPDX-License-Identifier: Apache-2.0
#include "dataplane/netlink/socket.h"

#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <string>

namespace margay::netlink {
namespace {

// Reads only, so that it may run in any namespace.
void link_request(Writer& w, std::uint32_t seq, int index) {
  w.begin(RTM_GETLINK, NLM_F_REQUEST | (index == 0 ? NLM_F_DUMP : NLM_F_ACK), seq);
  ifinfomsg h{};
  h.ifi_index = index;
  w.put(h);
  w.end();
}

TEST(NetlinkSocket, dumps_links_with_loopback_among_them) {
  auto s = Socket::open(NETLINK_ROUTE);
  ASSERT_TRUE(s.ok()) << s.error().message();
  bool loopback = false;
  const auto done = s->dump_retry([&](Writer& w, std::uint32_t seq) { link_request(w, seq, 0); },
                                  [&](const Message& m) {
                                    const auto name = m.attrs<ifinfomsg>().find(IFLA_IFNAME);
                                    if (name && name->text() == "lo") loopback = true;
                                  });
  ASSERT_TRUE(done.ok()) << done.error().message();
  EXPECT_TRUE(loopback);
}

TEST(NetlinkSocket, a_refused_request_carries_errno_and_the_socket_goes_on) {
  auto s = Socket::open(NETLINK_ROUTE);
  ASSERT_TRUE(s.ok());
  for (int round = 0; round < 2; ++round) {
    Writer w;
    const auto seq = s->next_seq();
    link_request(w, seq, 0x7ffffff0);
    const auto done = s->request(w, seq);
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().sys_errno, ENODEV);
  }
  Writer w;
  const auto seq = s->next_seq();
  link_request(w, seq, 1);
  int seen = 0;
  EXPECT_TRUE(s->request(w, seq, [&](const Message&) { ++seen; }).ok());
  EXPECT_EQ(seen, 1);
}

TEST(NetlinkSocket, several_requests_in_one_send_are_told_apart) {
  auto s = Socket::open(NETLINK_ROUTE);
  ASSERT_TRUE(s.ok());
  Writer w;
  const auto first = s->next_seq();
  link_request(w, first, 1);
  const auto bad = s->next_seq();
  link_request(w, bad, 0x7ffffff0);
  const auto last = s->next_seq();
  link_request(w, last, 1);
  const auto refused = s->exchange(w.bytes(), first, last);
  ASSERT_TRUE(refused.ok());
  ASSERT_EQ(refused.value().size(), 1U);
  EXPECT_EQ(refused.value()[0].seq, bad);
}

TEST(NetlinkSocket, nothing_queued_drains_at_once) {
  auto s = Socket::open(NETLINK_ROUTE);
  ASSERT_TRUE(s.ok());
  ASSERT_TRUE(s->join(RTNLGRP_NEIGH).ok());
  const auto more = s->drain([](const Message&) {}, 1);
  EXPECT_TRUE(more.ok());
}

}  // namespace
}  // namespace margay::netlink
