// SPDX-License-Identifier: Apache-2.0
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

#include "dataplane/netlink/rtnl.h"
#include "dataplane/netlink/rtnl_detail.h"

namespace margay::netlink {

namespace {

void put_vxlan(Writer& out, const VxlanLink& vxlan, bool keep_fixed) {
  if (!keep_fixed) {
    out.attr_u32(IFLA_VXLAN_ID, vxlan.vni.value());
    out.attr_be16(IFLA_VXLAN_PORT, vxlan.port);
  }
  if (vxlan.parent.value() != 0) out.attr_u32(IFLA_VXLAN_LINK, vxlan.parent.value());
  if (vxlan.local) {
    out.attr(vxlan.local->is_v4() ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, vxlan.local->bytes());
  }
  out.attr_u8(IFLA_VXLAN_LEARNING, vxlan.learning ? 1 : 0);
}

void put_link_info(Writer& out, const LinkChange& change) {
  if (change.kind.empty()) return;
  const std::size_t info = out.begin_nested(IFLA_LINKINFO);
  out.attr_string(IFLA_INFO_KIND, change.kind);
  if (change.vxlan) {
    const std::size_t data = out.begin_nested(IFLA_INFO_DATA);
    put_vxlan(out, *change.vxlan, change.vxlan_keep_fixed);
    out.end_nested(data);
  }
  out.end_nested(info);
}

VxlanLink read_vxlan(ByteView data) {
  VxlanLink v;
  for (const Attr& a : Attrs(data)) {
    switch (a.type) {
      case IFLA_VXLAN_ID:
        v.vni = Vni(a.u32());
        break;
      case IFLA_VXLAN_PORT:
        if (a.value.size() == 2) v.port = static_cast<std::uint16_t>(a.value[0] << 8 | a.value[1]);
        break;
      case IFLA_VXLAN_LINK:
        v.parent = IfIndex(a.u32());
        break;
      case IFLA_VXLAN_LOCAL:
      case IFLA_VXLAN_LOCAL6:
        v.local = as_ip(a.value);
        break;
      case IFLA_VXLAN_GROUP:
      case IFLA_VXLAN_GROUP6:
        v.group = as_ip(a.value);
        break;
      case IFLA_VXLAN_LEARNING:
        v.learning = a.u8() != 0;
        break;
      case IFLA_VXLAN_COLLECT_METADATA:
        v.external = a.u8() != 0;
        break;
      default:
        break;
    }
  }
  return v;
}

void read_link_info(ByteView info, Link& link) {
  ByteView data;
  for (const Attr& a : Attrs(info)) {
    if (a.type == IFLA_INFO_KIND) link.kind = std::string(a.text());
    if (a.type == IFLA_INFO_DATA) data = a.value;
  }
  if (link.kind == "vxlan") link.vxlan = read_vxlan(data);
}

}  // namespace

void encode_link(Writer& out, std::uint32_t seq, Verb verb, const LinkChange& change) {
  out.begin(RTM_NEWLINK, request_flags(verb), seq);
  ifinfomsg h{};
  h.ifi_family = AF_UNSPEC;
  h.ifi_index = static_cast<int>(change.index.value());
  if (change.up) {
    h.ifi_flags = *change.up ? IFF_UP : 0;
    h.ifi_change = IFF_UP;
  }
  out.put(h);
  if (!change.name.empty()) out.attr_string(IFLA_IFNAME, change.name);
  if (change.mtu) out.attr_u32(IFLA_MTU, *change.mtu);
  if (change.mac) out.attr(IFLA_ADDRESS, change.mac->bytes);
  put_link_info(out, change);
  out.end();
}

void encode_link_remove(Writer& out, std::uint32_t seq, IfIndex index) {
  out.begin(RTM_DELLINK, NLM_F_REQUEST, seq);
  ifinfomsg h{};
  h.ifi_index = static_cast<int>(index.value());
  out.put(h);
  out.end();
}

void encode_veth(Writer& out, std::uint32_t seq, const VethPair& pair) {
  out.begin(RTM_NEWLINK, request_flags(Verb::create), seq);
  out.put(ifinfomsg{});
  out.attr_string(IFLA_IFNAME, pair.name);
  if (pair.mtu != 0) out.attr_u32(IFLA_MTU, pair.mtu);
  if (pair.mac) out.attr(IFLA_ADDRESS, pair.mac->bytes);
  const std::size_t info = out.begin_nested(IFLA_LINKINFO);
  out.attr_string(IFLA_INFO_KIND, "veth");
  const std::size_t data = out.begin_nested(IFLA_INFO_DATA);
  const std::size_t peer = out.begin_nested(VETH_INFO_PEER);
  out.put(ifinfomsg{});
  out.attr_string(IFLA_IFNAME, pair.peer_name);
  if (pair.mtu != 0) out.attr_u32(IFLA_MTU, pair.mtu);
  if (pair.peer_mac) out.attr(IFLA_ADDRESS, pair.peer_mac->bytes);
  if (pair.peer_namespace >= 0) {
    out.attr_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(pair.peer_namespace));
  }
  out.end_nested(peer);
  out.end_nested(data);
  out.end_nested(info);
  out.end();
}

void encode_link_dump(Writer& out, std::uint32_t seq) {
  out.begin(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, seq);
  out.put(ifinfomsg{});
  out.attr_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  out.end();
}

void encode_link_lookup(Writer& out, std::uint32_t seq, const std::string& name) {
  out.begin(RTM_GETLINK, NLM_F_REQUEST, seq);
  out.put(ifinfomsg{});
  out.attr_string(IFLA_IFNAME, name);
  out.attr_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  out.end();
}

std::optional<LinkMessage> decode_link(const Message& message) {
  if (message.type != RTM_NEWLINK && message.type != RTM_DELLINK) return std::nullopt;
  const auto h = message.header<ifinfomsg>();
  // A bridge reports its ports under AF_BRIDGE: the same link, other attributes.
  if (!h || h->ifi_family != AF_UNSPEC || h->ifi_index <= 0) return std::nullopt;
  LinkMessage out;
  out.removed = message.type == RTM_DELLINK;
  Link& link = out.link;
  link.index = IfIndex(static_cast<std::uint32_t>(h->ifi_index));
  link.up = (h->ifi_flags & IFF_UP) != 0;
  link.running = (h->ifi_flags & IFF_RUNNING) != 0;
  link.loopback = (h->ifi_flags & IFF_LOOPBACK) != 0;
  for (const Attr& a : message.attrs<ifinfomsg>()) {
    switch (a.type) {
      case IFLA_IFNAME:
        link.name = std::string(a.text());
        break;
      case IFLA_MTU:
        link.mtu = a.u32();
        break;
      case IFLA_ADDRESS:
        link.mac = as_mac(a.value);
        break;
      case IFLA_MASTER:
        link.master = IfIndex(a.u32());
        break;
      case IFLA_LINKINFO:
        read_link_info(a.value, link);
        break;
      default:
        break;
    }
  }
  return out;
}

// --- addresses -------------------------------------------------------------------------------

void encode_address(Writer& out, std::uint32_t seq, Verb verb, const Address& address) {
  out.begin(verb == Verb::remove ? RTM_DELADDR : RTM_NEWADDR, request_flags(verb), seq);
  const InterfaceAddress& a = address.address;
  ifaddrmsg h{};
  h.ifa_family = address_family(a.addr.family());
  h.ifa_prefixlen = static_cast<std::uint8_t>(a.length);
  h.ifa_scope = static_cast<std::uint8_t>(address.scope);
  h.ifa_index = address.interface.value();
  if (address.no_dad) h.ifa_flags = IFA_F_NODAD;
  out.put(h);
  out.attr(IFA_LOCAL, a.addr.bytes());
  out.attr(IFA_ADDRESS, a.addr.bytes());
  if (address.protocol != 0) out.attr_u8(IFA_PROTO, address.protocol);
  out.end();
}

void encode_address_dump(Writer& out, std::uint32_t seq, Family family) {
  out.begin(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, seq);
  ifaddrmsg h{};
  h.ifa_family = address_family(family);
  out.put(h);
  out.end();
}

std::optional<AddressMessage> decode_address(const Message& message) {
  if (message.type != RTM_NEWADDR && message.type != RTM_DELADDR) return std::nullopt;
  const auto h = message.header<ifaddrmsg>();
  if (!h) return std::nullopt;
  const auto family = family_of(h->ifa_family);
  if (!family || h->ifa_prefixlen > max_prefix_length(*family)) return std::nullopt;
  std::optional<Ip> local, peer;
  std::uint32_t flags = h->ifa_flags;
  std::uint8_t protocol = 0;
  for (const Attr& a : message.attrs<ifaddrmsg>()) {
    if (a.type == IFA_LOCAL) local = as_ip(a.value);
    if (a.type == IFA_ADDRESS) peer = as_ip(a.value);
    if (a.type == IFA_FLAGS) flags = a.u32();
    if (a.type == IFA_PROTO) protocol = a.u8();
  }
  const auto own = local ? local : peer;  // IPv6 sends IFA_LOCAL only with a peer
  if (!own || own->family() != *family) return std::nullopt;
  AddressMessage out;
  out.removed = message.type == RTM_DELADDR;
  out.address.interface = IfIndex(h->ifa_index);
  out.address.address = InterfaceAddress{*own, h->ifa_prefixlen};
  out.address.scope = static_cast<RouteScope>(h->ifa_scope);
  out.address.protocol = protocol;
  out.address.no_dad = (flags & IFA_F_NODAD) != 0;
  out.address.tentative = (flags & IFA_F_TENTATIVE) != 0;
  return out;
}

}  // namespace margay::netlink
