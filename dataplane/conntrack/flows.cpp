// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conntrack/flows.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>

namespace margay::conntrack {

namespace {

// Which fields of a tuple a dump filter compares (kernel's nf_internals.h; not in its UAPI).
constexpr std::uint32_t kFilterSource = 1U << 0, kFilterDestination = 1U << 1;
constexpr std::size_t kBatchBytes = 60'000;

std::uint16_t message(std::uint16_t type) {
  return static_cast<std::uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | type);
}

nfgenmsg header(Family family) {
  nfgenmsg h{};
  h.nfgen_family = family == Family::v4 ? AF_INET : AF_INET6;
  h.version = NFNETLINK_V0;
  return h;
}

void encode_dump(netlink::Writer& out, std::uint32_t seq, const Ip& address, std::uint16_t tuple,
                 bool source) {
  const bool v4 = address.is_v4();
  out.begin(message(IPCTNL_MSG_CT_GET), NLM_F_REQUEST | NLM_F_DUMP, seq);
  out.put(header(address.family()));
  if (!v4) {
    // The kernel's filter (6.18 still) lets through exactly the IPv6 flows that do not match.
    out.end();
    return;
  }
  const std::size_t whole = out.begin_nested(tuple);
  const std::size_t ip = out.begin_nested(CTA_TUPLE_IP);
  out.attr(source ? CTA_IP_V4_SRC : CTA_IP_V4_DST, address.bytes());
  out.end_nested(ip);
  out.end_nested(whole);
  const std::size_t filter = out.begin_nested(CTA_FILTER);
  out.attr_u32(tuple == CTA_TUPLE_ORIG ? CTA_FILTER_ORIG_FLAGS : CTA_FILTER_REPLY_FLAGS,
               source ? kFilterSource : kFilterDestination);
  out.end_nested(filter);
  out.end();
}

// The address at that end of the flow's tuple.
bool has(const netlink::Message& flow, const Ip& address, std::uint16_t tuple, bool source) {
  const auto whole = flow.attrs<nfgenmsg>().find(tuple);
  if (!whole) return false;
  const auto ip = netlink::Attrs(whole->value).find(CTA_TUPLE_IP);
  if (!ip) return false;
  const bool v4 = address.is_v4();
  const auto end = netlink::Attrs(ip->value).find(source ? (v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC)
                                                         : (v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST));
  return end && end->value.size() == address.bytes().size() &&
         Ip::from_bytes(end->value) == address;
}

void encode_removal(netlink::Writer& out, std::uint32_t seq, Family family,
                    const netlink::Message& flow) {
  out.begin(message(IPCTNL_MSG_CT_DELETE), NLM_F_REQUEST, seq);
  out.put(header(family));
  for (const netlink::Attr& a : flow.attrs<nfgenmsg>()) {
    // The id keeps a successor with the same tuple from being hit.
    if (a.type == CTA_TUPLE_ORIG) {
      out.attr(static_cast<std::uint16_t>(CTA_TUPLE_ORIG | NLA_F_NESTED), a.value);
    }
    if (a.type == CTA_ID || a.type == CTA_ZONE) out.attr(a.type, a.value);
  }
  out.end();
}

}  // namespace

Result<Flows> Flows::open() {
  netlink::SocketOptions options;
  options.strict_check = false;  // a route dump's matter
  MARGAY_TRY(netlink::Socket socket, netlink::Socket::open(NETLINK_NETFILTER, options));
  return Flows(std::move(socket));
}

Result<void> Flows::find(const Ip& address, std::uint16_t tuple, bool source,
                         netlink::Writer& removals, std::size_t& found) {
  return socket_.dump_retry(
      [&](netlink::Writer& w, std::uint32_t seq) { encode_dump(w, seq, address, tuple, source); },
      [&](const netlink::Message& flow) {
        // A kernel that does not know the filter sends everything.
        if (!has(flow, address, tuple, source)) return;
        encode_removal(removals, 0, address.family(), flow);
        ++found;
      });
}

Result<std::size_t> Flows::apply(std::size_t max) {
  std::size_t deleted = 0;
  for (; max > 0 && !queue_.empty(); --max) {
    const Ip address = queue_.front();
    queue_.pop_front();
    for (const std::uint16_t tuple : {CTA_TUPLE_ORIG, CTA_TUPLE_REPLY}) {
      for (const bool source : {true, false}) {
        netlink::Writer removals;
        std::size_t found = 0;
        MARGAY_CHECK(find(address, tuple, source, removals, found));
        // One datagram holds many; nfnetlink works through them in order. Those that two of the
        // four searches find are gone the second time, which is as well.
        netlink::ByteView rest = removals.bytes();
        while (!rest.empty()) {
          const netlink::ByteView from = rest;
          while (from.size() - rest.size() < kBatchBytes && netlink::next_message(rest)) {
          }
          MARGAY_CHECK(socket_.transact(from.first(from.size() - rest.size())));
        }
        deleted += found;
      }
    }
  }
  return deleted;
}

}  // namespace margay::conntrack
