// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/fib_watch.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/fd.h"

namespace margay::bench {
namespace {

constexpr int kQueue = 512 << 20;  // the tool may be busy reading sockets meanwhile

}  // namespace

Result<netlink::Socket> socket_in(const std::string& netns, netlink::SocketOptions options) {
  const Fd own(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  const Fd there(::open(netns.c_str(), O_RDONLY | O_CLOEXEC));
  if (!there || ::setns(there.get(), CLONE_NEWNET) != 0) return sys_error(errno, netns);
  auto socket = netlink::Socket::open(NETLINK_ROUTE, options);
  if (::setns(own.get(), CLONE_NEWNET) != 0) return sys_error(errno, "own namespace");
  return socket;
}

Result<FibWatch> FibWatch::open(const std::string& netns, const Numbering& numbering,
                                std::uint32_t numbers) {
  auto socket = socket_in(netns, {.receive_buffer = kQueue});
  if (!socket) return std::move(socket).error();
  MARGAY_CHECK(socket->join(RTNLGRP_IPV4_ROUTE));
  return FibWatch(std::move(*socket), numbering, numbers);
}

void FibWatch::on_readable(double time) {
  now_ = time;
  const auto more = socket_.drain([this](const netlink::Message& m) { on_message(m); }, 256);
  if (!more) lost_ = true;
}

void FibWatch::on_message(const netlink::Message& m) {
  if (m.type != RTM_NEWROUTE && m.type != RTM_DELROUTE) return;
  rtmsg header{};
  if (m.payload.size() < sizeof header) return;
  std::memcpy(&header, m.payload.data(), sizeof header);
  if (header.rtm_family != AF_INET || header.rtm_type != RTN_UNICAST) return;
  for (const auto& a : netlink::Attrs(m.payload.subspan(NLMSG_ALIGN(sizeof header)))) {
    if (a.type != RTA_DST) continue;
    const auto number = numbering_.number(header.rtm_dst_len, a.be32());
    if (!number || *number >= present_.size()) return;
    const bool there = m.type == RTM_NEWROUTE;
    last_change_ = now_;
    if (present_[*number] == there) return;
    present_[*number] = there;
    there ? ++have_ : --have_;
  }
}

}  // namespace margay::bench
