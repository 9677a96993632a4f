// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <linux/rtnetlink.h>

#include <algorithm>

#include "dataplane/netlink/rtnl.h"
#include "dataplane/netlink/rtnl_detail.h"

namespace margay::netlink {

namespace {

constexpr std::uint8_t kAnyScope = RT_SCOPE_NOWHERE;

void put_gateway(Writer& out, const Ip& gateway, Family family) {
  if (gateway.family() == family) {
    out.attr(RTA_GATEWAY, gateway.bytes());
    return;
  }
  // struct rtvia: a family and the address, without padding between them.
  std::uint8_t raw[2 + 16];
  const std::uint16_t f = address_family(gateway.family());
  std::memcpy(raw, &f, sizeof f);
  std::ranges::copy(gateway.bytes(), raw + 2);
  out.attr(RTA_VIA, ByteView(raw, 2 + gateway.bytes().size()));
}

void put_hops(Writer& out, const Route& route) {
  const Family family = route.dst.family();
  if (route.hops.size() == 1) {
    const NextHop& hop = route.hops.front();
    if (hop.gateway) put_gateway(out, *hop.gateway, family);
    out.attr_u32(RTA_OIF, hop.interface.value());
    return;
  }
  if (route.hops.empty()) return;
  const std::size_t all = out.begin_nested(RTA_MULTIPATH, false);
  for (const NextHop& hop : route.hops) {
    // struct rtnexthop starts like an attribute, with its length, and its attributes follow it; so
    // it is written as a nested attribute whose type field holds flags and weight.
    const std::uint8_t flags_hops[2] = {
        static_cast<std::uint8_t>(hop.onlink ? RTNH_F_ONLINK : 0),
        static_cast<std::uint8_t>(hop.weight == 0 ? 0 : hop.weight - 1)};
    std::uint16_t as_type = 0;
    std::memcpy(&as_type, flags_hops, sizeof as_type);
    const std::size_t one = out.begin_nested(as_type, false);
    out.put(hop.interface.value());
    if (hop.gateway) put_gateway(out, *hop.gateway, family);
    out.end_nested(one);
  }
  out.end_nested(all);
}

rtmsg route_header(const Route& route, Verb verb) {
  rtmsg h{};
  h.rtm_family = address_family(route.dst.family());
  h.rtm_dst_len = static_cast<std::uint8_t>(route.dst.length());
  h.rtm_tos = route.tos;
  h.rtm_protocol = route.protocol;
  h.rtm_type = static_cast<std::uint8_t>(route.type);
  h.rtm_scope = static_cast<std::uint8_t>(route.scope);
  const bool small = route.table.value() < 256;
  h.rtm_table = static_cast<std::uint8_t>(small ? route.table.value() : RT_TABLE_COMPAT);
  if (route.hops.size() == 1 && route.hops.front().onlink) h.rtm_flags = RTNH_F_ONLINK;
  // A removal names what it wants exactly, but the scope only where the kernel compares it.
  if (verb == Verb::remove && route.dst.family() == Family::v6) h.rtm_scope = kAnyScope;
  return h;
}

// The attributes of one hop, from a route's own or from a struct rtnexthop's.
void read_hop_attribute(const Attr& a, NextHop& hop) {
  if (a.type == RTA_GATEWAY) {
    hop.gateway = as_ip(a.value);
  } else if (a.type == RTA_VIA && a.value.size() > 2) {
    hop.gateway = as_ip(a.value.subspan(2));
  } else if (a.type == RTA_OIF) {
    hop.interface = IfIndex(a.u32());
  }
}

void read_multipath(ByteView rest, std::vector<NextHop>& hops) {
  while (rest.size() >= sizeof(rtnexthop)) {
    rtnexthop h;
    std::memcpy(&h, rest.data(), sizeof h);
    if (h.rtnh_len < sizeof h || h.rtnh_len > rest.size()) return;
    NextHop hop;
    hop.interface = IfIndex(static_cast<std::uint32_t>(h.rtnh_ifindex));
    hop.weight = static_cast<std::uint8_t>(std::min(255, h.rtnh_hops + 1));
    hop.onlink = (h.rtnh_flags & RTNH_F_ONLINK) != 0;
    for (const Attr& a : Attrs(rest.subspan(sizeof h, h.rtnh_len - sizeof h))) {
      read_hop_attribute(a, hop);
    }
    hops.push_back(hop);
    rest = rest.subspan(std::min(rest.size(), (std::size_t{h.rtnh_len} + 3) & ~std::size_t{3}));
  }
}

std::uint32_t read_mtu(ByteView metrics) {
  for (const Attr& a : Attrs(metrics)) {
    if (a.type == RTAX_MTU) return a.u32();
  }
  return 0;
}

bool has_hops(RouteType type) {
  return type != RouteType::blackhole && type != RouteType::unreachable &&
         type != RouteType::prohibit && type != RouteType::throw_on;
}

}  // namespace

void encode_route(Writer& out, std::uint32_t seq, Verb verb, const Route& route) {
  out.begin(verb == Verb::remove ? RTM_DELROUTE : RTM_NEWROUTE, request_flags(verb), seq);
  out.put(route_header(route, verb));
  out.attr(RTA_DST, route.dst.addr().bytes());
  if (route.table.value() >= 256) out.attr_u32(RTA_TABLE, route.table.value());
  if (route.metric != 0) out.attr_u32(RTA_PRIORITY, route.metric);
  if (verb != Verb::remove) {
    if (route.src) out.attr(RTA_PREFSRC, route.src->bytes());
    if (route.mtu != 0) {
      const std::size_t metrics = out.begin_nested(RTA_METRICS);
      out.attr_u32(RTAX_MTU, route.mtu);
      out.end_nested(metrics);
    }
  }
  put_hops(out, route);
  out.end();
}

void encode_route_dump(Writer& out, std::uint32_t seq, const RouteDump& what) {
  out.begin(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, seq);
  rtmsg h{};
  h.rtm_family = address_family(what.family);
  h.rtm_protocol = what.protocol;
  h.rtm_table = static_cast<std::uint8_t>(what.table.value() < 256 ? what.table.value() : 0);
  out.put(h);
  if (what.table.value() >= 256) out.attr_u32(RTA_TABLE, what.table.value());
  if (what.interface.value() != 0) out.attr_u32(RTA_OIF, what.interface.value());
  out.end();
}

void encode_route_lookup(Writer& out, std::uint32_t seq, const Ip& dst) {
  out.begin(RTM_GETROUTE, NLM_F_REQUEST, seq);
  rtmsg h{};
  h.rtm_family = address_family(dst.family());
  h.rtm_dst_len = static_cast<std::uint8_t>(max_prefix_length(dst.family()));
  h.rtm_flags = RTM_F_FIB_MATCH;
  out.put(h);
  out.attr(RTA_DST, dst.bytes());
  out.end();
}

std::optional<RouteMessage> decode_route(const Message& message) {
  if (message.type != RTM_NEWROUTE && message.type != RTM_DELROUTE) return std::nullopt;
  const auto h = message.header<rtmsg>();
  if (!h) return std::nullopt;
  const auto family = family_of(h->rtm_family);
  if (!family || h->rtm_dst_len > max_prefix_length(*family)) return std::nullopt;

  RouteMessage out;
  out.removed = message.type == RTM_DELROUTE;
  out.replaced = !out.removed && (message.flags & NLM_F_REPLACE) != 0;
  out.cloned = (h->rtm_flags & RTM_F_CLONED) != 0;
  Route& route = out.route;
  route.table = TableId(h->rtm_table);
  route.tos = h->rtm_tos;
  route.protocol = h->rtm_protocol;
  route.type = static_cast<RouteType>(h->rtm_type);
  if (*family == Family::v4) route.scope = static_cast<RouteScope>(h->rtm_scope);
  Ip dst = Ip::any(*family);
  NextHop single;
  for (const Attr& a : message.attrs<rtmsg>()) {
    switch (a.type) {
      case RTA_DST:
        if (const auto ip = as_ip(a.value)) dst = *ip;
        break;
      case RTA_TABLE:
        route.table = TableId(a.u32());
        break;
      case RTA_PRIORITY:
        route.metric = a.u32();
        break;
      case RTA_PREFSRC:
        route.src = as_ip(a.value);
        break;
      case RTA_METRICS:
        route.mtu = read_mtu(a.value);
        break;
      case RTA_MULTIPATH:
        read_multipath(a.value, route.hops);
        break;
      default:
        read_hop_attribute(a, single);
    }
  }
  if (dst.family() != *family) return std::nullopt;
  route.dst = Prefix::containing(dst, h->rtm_dst_len);
  if (!has_hops(route.type)) {
    route.hops.clear();
  } else if (route.hops.empty() && (single.gateway || single.interface.value() != 0)) {
    single.onlink = (h->rtm_flags & RTNH_F_ONLINK) != 0;
    route.hops.push_back(single);
  }
  std::ranges::sort(route.hops);
  return out;
}

}  // namespace margay::netlink
