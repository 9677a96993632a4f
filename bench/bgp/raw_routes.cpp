// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/raw_routes.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>

#include "bench/bgp/fib_watch.h"

namespace margay::bench {
namespace {

constexpr std::uint32_t kBatch = 1024;
constexpr std::uint8_t kProtocol = RTPROT_STATIC;

}  // namespace

Result<RawRoutes> RawRoutes::open(const std::string& netns, const Numbering& numbering,
                                  const Ip& gateway) {
  MARGAY_TRY(auto socket, socket_in(netns));
  return RawRoutes(std::move(socket), numbering, gateway);
}

Result<void> RawRoutes::write(const Routes& routes, bool add) {
  netlink::Writer batch;
  for (std::uint32_t done = 0; done < routes.count;) {
    batch.clear();
    const std::uint32_t end = std::min(routes.count, done + kBatch);
    std::uint32_t seq = 0;
    for (; done < end; ++done) {
      const Prefix prefix = numbering_.prefix(routes.first + done);
      seq = socket_.next_seq();
      const unsigned last = done + 1 == end ? unsigned{NLM_F_ACK} : 0U;
      const unsigned create = add ? unsigned{NLM_F_CREATE} : 0U;
      batch.begin(add ? RTM_NEWROUTE : RTM_DELROUTE,
                  static_cast<std::uint16_t>(NLM_F_REQUEST | create | last), seq);
      rtmsg header{};
      header.rtm_family = AF_INET;
      header.rtm_dst_len = static_cast<unsigned char>(prefix.length());
      header.rtm_table = RT_TABLE_MAIN;
      header.rtm_protocol = kProtocol;
      header.rtm_type = RTN_UNICAST;
      batch.put(header);
      batch.attr(RTA_DST, prefix.addr().bytes());
      batch.attr(RTA_GATEWAY, gateway_.bytes());
      batch.end();
    }
    // Only the last asks for an answer; the kernel works in order.
    MARGAY_TRY(const auto refused, socket_.exchange(batch.bytes(), seq, seq));
    if (!refused.empty()) return sys_error(refused.front().sys_errno, "raw route");
  }
  return {};
}

}  // namespace margay::bench
