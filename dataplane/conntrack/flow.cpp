// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conntrack/flow.h"

#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>

namespace margay::conntrack {

namespace {

using netlink::Attr;
using netlink::Attrs;

// Which fields of a tuple a dump filter compares (kernel's nf_internals.h; not in its UAPI).
constexpr std::uint32_t kFilterSource = 1U << 0, kFilterDestination = 1U << 1;
constexpr std::size_t kBatchBytes = 60'000;

std::uint16_t message_type(std::uint16_t type) {
  return static_cast<std::uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | type);
}

nfgenmsg header(std::uint8_t family) {
  nfgenmsg h{};
  h.nfgen_family = family;
  h.version = NFNETLINK_V0;
  return h;
}

std::uint8_t kernel_family(Family family) { return family == Family::v4 ? AF_INET : AF_INET6; }

std::uint16_t be16(const Attr& a) {
  return a.value.size() < 2 ? std::uint16_t{0}
                            : static_cast<std::uint16_t>(a.value[0] << 8 | a.value[1]);
}

bool decode_addresses(netlink::ByteView bytes, Tuple& out) {
  bool source = false, destination = false;
  for (const Attr& a : Attrs(bytes)) {
    const bool v4 = a.type == CTA_IP_V4_SRC || a.type == CTA_IP_V4_DST;
    if (a.value.size() != (v4 ? 4U : 16U)) return false;
    const bool from = a.type == CTA_IP_V4_SRC || a.type == CTA_IP_V6_SRC;
    (from ? out.source : out.destination) = Ip::from_bytes(a.value);
    (from ? source : destination) = true;
  }
  return source && destination && out.source.family() == out.destination.family();
}

void decode_protocol(netlink::ByteView bytes, Tuple& out) {
  for (const Attr& a : Attrs(bytes)) {
    switch (a.type) {
      case CTA_PROTO_NUM:
        out.protocol = a.u8();
        break;
      case CTA_PROTO_SRC_PORT:
        out.source_port = be16(a);
        break;
      case CTA_PROTO_DST_PORT:
        out.destination_port = be16(a);
        break;
      case CTA_PROTO_ICMP_TYPE:
      case CTA_PROTO_ICMPV6_TYPE:
        out.icmp_type = a.u8();
        break;
      case CTA_PROTO_ICMP_CODE:
      case CTA_PROTO_ICMPV6_CODE:
        out.icmp_code = a.u8();
        break;
      default:
        break;
    }
  }
}

bool decode_tuple(netlink::ByteView bytes, Tuple& out) {
  bool addresses = false;
  for (const Attr& a : Attrs(bytes)) {
    if (a.type == CTA_TUPLE_IP) addresses = decode_addresses(a.value, out);
    if (a.type == CTA_TUPLE_PROTO) decode_protocol(a.value, out);
  }
  return addresses;
}

bool closed(netlink::ByteView protocol_info) {
  const auto tcp = Attrs(protocol_info).find(CTA_PROTOINFO_TCP);
  if (!tcp) return false;
  const auto state = Attrs(tcp->value).find(CTA_PROTOINFO_TCP_STATE);
  return state && (state->u8() == TCP_CONNTRACK_TIME_WAIT || state->u8() == TCP_CONNTRACK_CLOSE);
}

}  // namespace

std::optional<Flow> decode(const netlink::Message& message) {
  Flow out;
  out.message = &message;
  bool original = false, reply = false;
  for (const Attr& a : message.attrs<nfgenmsg>()) {
    switch (a.type) {
      case CTA_TUPLE_ORIG:
        original = decode_tuple(a.value, out.original);
        out.original_bytes = a.value;
        break;
      case CTA_TUPLE_REPLY:
        reply = decode_tuple(a.value, out.reply);
        break;
      case CTA_TUPLE_MASTER:
        out.master = a.value;
        break;
      case CTA_PROTOINFO:
        out.over = closed(a.value);
        break;
      default:
        break;
    }
  }
  return original && reply ? std::optional(out) : std::nullopt;
}

void encode_dump(netlink::Writer& out, std::uint32_t seq, const Query& query) {
  out.begin(message_type(IPCTNL_MSG_CT_GET), NLM_F_REQUEST | NLM_F_DUMP, seq);
  out.put(header(kernel_family(query.family)));
  // The kernel's filter (6.18 still) lets through exactly the IPv6 flows that do not match.
  if (query.address && query.family == Family::v4) {
    const std::uint16_t tuple = query.reply ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG;
    const std::size_t whole = out.begin_nested(tuple);
    const std::size_t ip = out.begin_nested(CTA_TUPLE_IP);
    out.attr(query.source ? CTA_IP_V4_SRC : CTA_IP_V4_DST, query.address->bytes());
    out.end_nested(ip);
    out.end_nested(whole);
    const std::size_t filter = out.begin_nested(CTA_FILTER);
    out.attr_u32(query.reply ? CTA_FILTER_REPLY_FLAGS : CTA_FILTER_ORIG_FLAGS,
                 query.source ? kFilterSource : kFilterDestination);
    out.end_nested(filter);
  }
  out.end();
}

void encode_count(netlink::Writer& out, std::uint32_t seq) {
  out.begin(message_type(IPCTNL_MSG_CT_GET_STATS), NLM_F_REQUEST | NLM_F_ACK, seq);
  out.put(header(AF_UNSPEC));
  out.end();
}

std::optional<std::uint32_t> decode_count(const netlink::Message& message) {
  if (message.type != message_type(IPCTNL_MSG_CT_GET_STATS)) return std::nullopt;
  for (const Attr& a : message.attrs<nfgenmsg>()) {
    if (a.type == CTA_STATS_GLOBAL_ENTRIES) return a.be32();
  }
  return std::nullopt;
}

void encode_removal(netlink::Writer& out, const netlink::Message& flow) {
  const auto family = flow.header<nfgenmsg>();
  if (!family) return;
  out.begin(message_type(IPCTNL_MSG_CT_DELETE), NLM_F_REQUEST, 0);
  out.put(header(family->nfgen_family));
  for (const Attr& a : flow.attrs<nfgenmsg>()) {
    // The id keeps a successor with the same tuple from being hit.
    if (a.type == CTA_TUPLE_ORIG) {
      out.attr(static_cast<std::uint16_t>(CTA_TUPLE_ORIG | NLA_F_NESTED), a.value);
    }
    if (a.type == CTA_ID || a.type == CTA_ZONE) out.attr(a.type, a.value);
  }
  out.end();
}

Result<netlink::Socket> open_socket() {
  netlink::SocketOptions options;
  options.strict_check = false;  // a route dump's matter
  return netlink::Socket::open(NETLINK_NETFILTER, options);
}

Result<void> send_removals(netlink::Socket& socket, const netlink::Writer& removals) {
  // One datagram holds many; nfnetlink works through them in order.
  netlink::ByteView rest = removals.bytes();
  while (!rest.empty()) {
    const netlink::ByteView from = rest;
    while (from.size() - rest.size() < kBatchBytes && netlink::next_message(rest)) {
    }
    MARGAY_CHECK(socket.transact(from.first(from.size() - rest.size())));
  }
  return {};
}

}  // namespace margay::conntrack
