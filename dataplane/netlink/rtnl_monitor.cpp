// SPDX-License-Identifier: Apache-2.0
#include "dataplane/netlink/rtnl_monitor.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>

#include <utility>
#include <vector>

namespace margay::netlink {

namespace {

// Offsets into a notification: struct nlmsghdr, then rtmsg or ndmsg.
constexpr std::uint32_t kType = 4, kPort = 12, kBody = 16;
constexpr std::uint32_t kTableAt = kBody + 4;
constexpr std::uint32_t kNeighFamilyAt = kBody + 0, kNeighStateAt = kBody + 8;

sock_filter load(std::uint16_t width, std::uint32_t offset) {
  return {static_cast<std::uint16_t>(BPF_LD | BPF_ABS | width), 0, 0, offset};
}
sock_filter jump(std::uint16_t op, std::uint32_t value, std::uint8_t yes, std::uint8_t no) {
  return {static_cast<std::uint16_t>(BPF_JMP | BPF_K | op), yes, no, value};
}
sock_filter verdict(bool keep) { return {BPF_RET | BPF_K, 0, 0, keep ? 0xffffffffU : 0U}; }

// The program reads big-endian, messages are in host order: constants are swapped. The state of a
// neighbour interests when it is permanent, or when a program (not the kernel, port 0) changed it.
std::vector<sock_filter> program(std::uint32_t own_port, const RouteFilter& routes) {
  std::vector<sock_filter> code{
      load(BPF_H, kType),                          // 0
      jump(BPF_JEQ, htons(RTM_NEWROUTE), 14, 0),   // 1: 16
      jump(BPF_JEQ, htons(RTM_DELROUTE), 13, 0),   // 2: 16
      jump(BPF_JEQ, htons(RTM_NEWNEIGH), 2, 0),    // 3: 6
      jump(BPF_JEQ, htons(RTM_DELNEIGH), 7, 0),    // 4: 12
      verdict(true),                               // 5
      load(BPF_B, kNeighFamilyAt),                 // 6
      jump(BPF_JEQ, AF_BRIDGE, 4, 0),              // 7: 12
      load(BPF_H, kNeighStateAt),                  // 8
      jump(BPF_JSET, htons(NUD_PERMANENT), 2, 0),  // 9: 12
      load(BPF_W, kPort),                          // 10
      jump(BPF_JEQ, 0, 2, 0),                      // 11: 14
      load(BPF_W, kPort),                          // 12
      jump(BPF_JEQ, htonl(own_port), 0, 1),        // 13: 14 or 15
      verdict(false),                              // 14
      verdict(true),                               // 15
      load(BPF_B, kTableAt),                       // 16
      jump(BPF_JEQ, RT_TABLE_MAIN, 1, 0),          // 17: 19
      verdict(false),                              // 18
      load(BPF_W, kPort),                          // 19
      jump(BPF_JEQ, htonl(own_port), 0, 1),        // 20: 21 or 22
      verdict(false),                              // 21
  };
  routes.append_to(code);
  return code;
}

IfIndex settings_of(const Message& m) {
  const auto index = m.attrs<netconfmsg>().find(NETCONFA_IFINDEX);
  const auto value = index ? index->as<std::int32_t>().value_or(0) : 0;
  return IfIndex(value > 0 ? static_cast<std::uint32_t>(value) : 0);  // "all" is negative
}

void hand_on(const Message& m, const RtnlListener& listener) {
  switch (m.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      if (const auto link = decode_link(m)) listener.link(*link);
      return;
    case RTM_NEWADDR:
    case RTM_DELADDR:
      if (const auto address = decode_address(m)) listener.address(*address);
      return;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      if (const auto route = decode_route(m)) listener.route(*route);
      return;
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      if (const auto entry = decode_fdb(m)) {
        listener.fdb(*entry);
      } else if (const auto neighbour = decode_neighbour(m)) {
        listener.neighbour(*neighbour);
      }
      return;
    case RTM_NEWNETCONF:
      listener.settings(settings_of(m));
      return;
    default:
      return;
  }
}

}  // namespace

Result<RtnlMonitor> RtnlMonitor::open(std::uint32_t own_port, int queue) {
  SocketOptions options;
  options.receive_buffer = queue;
  MARGAY_TRY(Socket socket, Socket::open(NETLINK_ROUTE, options));
  RtnlMonitor monitor(std::move(socket), own_port);
  MARGAY_CHECK(monitor.hear({}));
  for (const unsigned group :
       {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
        RTNLGRP_IPV6_ROUTE, RTNLGRP_NEIGH, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF}) {
    MARGAY_CHECK(monitor.socket_.join(group));
  }
  return monitor;
}

Result<void> RtnlMonitor::hear(const RouteFilter& routes) {
  auto code = program(own_port_, routes);
  return socket_.filter(code);
}

Result<bool> RtnlMonitor::drain(const RtnlListener& listener) {
  return socket_.drain([&](const Message& m) { hand_on(m, listener); });
}

}  // namespace margay::netlink
