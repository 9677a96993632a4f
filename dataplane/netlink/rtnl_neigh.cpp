// SPDX-License-Identifier: Apache-2.0
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "dataplane/netlink/rtnl.h"
#include "dataplane/netlink/rtnl_detail.h"

namespace margay::netlink {

namespace {

// What neighbours and FDB entries have in common on the wire.
struct Raw {
  ndmsg header{};
  std::optional<Ip> dst;
  std::optional<Mac> mac;
  bool removed = false;
};

std::optional<Raw> read(const Message& message) {
  if (message.type != RTM_NEWNEIGH && message.type != RTM_DELNEIGH) return std::nullopt;
  const auto h = message.header<ndmsg>();
  if (!h || h->ndm_ifindex < 0) return std::nullopt;
  Raw out;
  out.header = *h;
  out.removed = message.type == RTM_DELNEIGH;
  for (const Attr& a : message.attrs<ndmsg>()) {
    if (a.type == NDA_DST) out.dst = as_ip(a.value);
    if (a.type == NDA_LLADDR) out.mac = as_mac(a.value);
  }
  return out;
}

IfIndex interface_of(const Raw& raw) {
  return IfIndex(static_cast<std::uint32_t>(raw.header.ndm_ifindex));
}

}  // namespace

void encode_neighbour(Writer& out, std::uint32_t seq, Verb verb, const Neighbour& neighbour) {
  out.begin(verb == Verb::remove ? RTM_DELNEIGH : RTM_NEWNEIGH, request_flags(verb), seq);
  ndmsg h{};
  h.ndm_family = address_family(neighbour.address.family());
  h.ndm_ifindex = static_cast<int>(neighbour.interface.value());
  h.ndm_state = neighbour.permanent ? NUD_PERMANENT : NUD_REACHABLE;
  if (neighbour.proxy) h.ndm_flags = NTF_PROXY;
  out.put(h);
  out.attr(NDA_DST, neighbour.address.bytes());
  if (neighbour.mac && verb != Verb::remove) out.attr(NDA_LLADDR, neighbour.mac->bytes);
  out.end();
}

void encode_neighbour_dump(Writer& out, std::uint32_t seq, Family family) {
  out.begin(RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, seq);
  ndmsg h{};
  h.ndm_family = address_family(family);
  out.put(h);
  out.end();
}

std::optional<NeighbourMessage> decode_neighbour(const Message& message) {
  const auto raw = read(message);
  if (!raw || !raw->dst) return std::nullopt;
  const auto family = family_of(raw->header.ndm_family);
  if (!family || raw->dst->family() != *family) return std::nullopt;
  NeighbourMessage out;
  out.removed = raw->removed;
  out.neighbour.interface = interface_of(*raw);
  out.neighbour.address = *raw->dst;
  out.neighbour.mac = raw->mac;
  out.neighbour.permanent = (raw->header.ndm_state & NUD_PERMANENT) != 0;
  out.neighbour.proxy = (raw->header.ndm_flags & NTF_PROXY) != 0;
  return out;
}

void encode_fdb(Writer& out, std::uint32_t seq, Verb verb, const FdbEntry& entry) {
  out.begin(verb == Verb::remove ? RTM_DELNEIGH : RTM_NEWNEIGH, request_flags(verb), seq);
  ndmsg h{};
  h.ndm_family = AF_BRIDGE;
  h.ndm_ifindex = static_cast<int>(entry.interface.value());
  h.ndm_state = entry.permanent ? NUD_PERMANENT : NUD_REACHABLE;
  if (entry.self) h.ndm_flags = NTF_SELF;
  out.put(h);
  out.attr(NDA_LLADDR, entry.mac.bytes);
  if (entry.remote) out.attr(NDA_DST, entry.remote->bytes());
  out.end();
}

void encode_fdb_dump(Writer& out, std::uint32_t seq, IfIndex interface) {
  out.begin(RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, seq);
  ndmsg h{};
  h.ndm_family = AF_BRIDGE;
  h.ndm_ifindex = static_cast<int>(interface.value());
  out.put(h);
  out.end();
}

std::optional<FdbMessage> decode_fdb(const Message& message) {
  const auto raw = read(message);
  if (!raw || !raw->mac || raw->header.ndm_family != AF_BRIDGE) return std::nullopt;
  FdbMessage out;
  out.removed = raw->removed;
  out.entry.interface = interface_of(*raw);
  out.entry.mac = *raw->mac;
  out.entry.remote = raw->dst;
  out.entry.permanent = (raw->header.ndm_state & NUD_PERMANENT) != 0;
  out.entry.self = (raw->header.ndm_flags & NTF_SELF) != 0;
  return out;
}

}  // namespace margay::netlink
