// SPDX-License-Identifier: Apache-2.0
// rtnetlink messages as plain values: links, addresses, routes, neighbours, FDB entries, both
// directions. encode_* append one whole request with the given sequence number (the socket decides
// on acknowledgements); decode_* read one message and answer nothing for what is not well formed or
// not of their kind. Pure: no sockets, no kernel state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ip.h"
#include "base/types.h"
#include "dataplane/netlink/message.h"

namespace margay::netlink {

enum class Verb {
  create,   // must not exist
  replace,  // create, or put in the place of what has the same key
  change,   // must exist
  append,   // beside what exists
  remove,
};

// --- routes ----------------------------------------------------------------------------------

enum class RouteType : std::uint8_t {
  unspecified = 0,
  unicast = 1,
  local = 2,
  broadcast = 3,
  anycast = 4,
  multicast = 5,
  blackhole = 6,
  unreachable = 7,
  prohibit = 8,
  throw_on = 9,
  nat = 10,
};
enum class RouteScope : std::uint8_t { universe = 0, site = 200, link = 253, host = 254 };

struct NextHop {
  std::optional<Ip> gateway;  // may be of the other family (RTA_VIA)
  IfIndex interface;
  std::uint8_t weight = 1;
  bool onlink = false;
  friend bool operator==(const NextHop&, const NextHop&) = default;
  friend auto operator<=>(const NextHop&, const NextHop&) = default;
};

// IPv6 blackholes hang on the loopback device in the kernel; here they have no hops.
struct Route {
  Prefix dst;
  TableId table = kMainTable;
  std::uint32_t metric = 0;
  std::uint32_t mtu = 0;  // 0: the interface's
  std::uint8_t tos = 0;
  std::uint8_t protocol = 0;
  RouteType type = RouteType::unicast;
  RouteScope scope = RouteScope::universe;  // IPv4 only; always universe for IPv6
  std::optional<Ip> src;                    // preferred source
  std::vector<NextHop> hops;                // sorted
  friend bool operator==(const Route&, const Route&) = default;
};

struct RouteMessage {
  Route route;
  bool removed = false;
  bool replaced = false;  // NLM_F_REPLACE: it took the place of another of the same key
  bool cloned = false;    // a cache entry
};

struct RouteDump {
  Family family = Family::v4;
  TableId table = kMainTable;  // 0: all
  std::uint8_t protocol = 0;   // 0: all
  IfIndex interface;           // 0: all
};

void encode_route(Writer& out, std::uint32_t seq, Verb verb, const Route& route);
void encode_route_dump(Writer& out, std::uint32_t seq, const RouteDump& what);
// The route by which the kernel would reach `dst`.
void encode_route_lookup(Writer& out, std::uint32_t seq, const Ip& dst);
[[nodiscard]] std::optional<RouteMessage> decode_route(const Message& message);

// --- links -----------------------------------------------------------------------------------

struct VxlanLink {
  Vni vni;
  std::uint16_t port = 0;
  IfIndex parent;
  std::optional<Ip> local;
  std::optional<Ip> group;  // of a multicast or default remote: never ours
  bool learning = false;
  bool external = false;  // metadata mode, never ours
  friend bool operator==(const VxlanLink&, const VxlanLink&) = default;
};

struct Link {
  IfIndex index;
  std::string name;
  std::string kind;  // "veth", "vxlan", ...; empty for hardware
  std::uint32_t mtu = 0;
  bool up = false;       // IFF_UP
  bool running = false;  // IFF_RUNNING
  bool loopback = false;
  std::optional<Mac> mac;
  IfIndex master;
  std::optional<VxlanLink> vxlan;
  friend bool operator==(const Link&, const Link&) = default;
};

struct LinkMessage {
  Link link;
  bool removed = false;
};

// What to create or to change: absent fields are left alone.
struct LinkChange {
  IfIndex index;     // of an existing link; 0 to create, or to find it by name
  std::string name;  // the new name when `index` is given
  std::string kind;  // with vxlan: "vxlan"
  std::optional<VxlanLink> vxlan;
  bool vxlan_keep_fixed = false;  // a live change: VNI and port cannot be sent
  std::optional<Mac> mac;
  std::optional<std::uint32_t> mtu;
  std::optional<bool> up;
};

// A pair; the peer may be created in another network namespace.
struct VethPair {
  std::string name, peer_name;
  std::optional<Mac> mac, peer_mac;
  std::uint32_t mtu = 0;    // 0: the kernel's default
  int peer_namespace = -1;  // descriptor; -1: the same
};

void encode_link(Writer& out, std::uint32_t seq, Verb verb, const LinkChange& change);
void encode_link_remove(Writer& out, std::uint32_t seq, IfIndex index);
void encode_veth(Writer& out, std::uint32_t seq, const VethPair& pair);
void encode_link_dump(Writer& out, std::uint32_t seq);
void encode_link_lookup(Writer& out, std::uint32_t seq, const std::string& name);
[[nodiscard]] std::optional<LinkMessage> decode_link(const Message& message);

// --- addresses -------------------------------------------------------------------------------

struct Address {
  IfIndex interface;
  InterfaceAddress address;
  RouteScope scope = RouteScope::universe;
  bool no_dad = false;     // IPv6: no duplicate detection
  bool tentative = false;  // read only
  // Who gave it, as of a route; 0: nobody says (kernels before 5.18 forget it).
  std::uint8_t protocol = 0;
  friend bool operator==(const Address&, const Address&) = default;
};
struct AddressMessage {
  Address address;
  bool removed = false;
};

void encode_address(Writer& out, std::uint32_t seq, Verb verb, const Address& address);
void encode_address_dump(Writer& out, std::uint32_t seq, Family family);
[[nodiscard]] std::optional<AddressMessage> decode_address(const Message& message);

// --- neighbours and FDB ----------------------------------------------------------------------

struct Neighbour {
  IfIndex interface;
  Ip address;
  std::optional<Mac> mac;
  bool permanent = false;
  bool proxy = false;
  friend bool operator==(const Neighbour&, const Neighbour&) = default;
};
struct NeighbourMessage {
  Neighbour neighbour;
  bool removed = false;
};
// A forwarding entry of a VXLAN device itself (NTF_SELF).
struct FdbEntry {
  IfIndex interface;
  Mac mac;
  std::optional<Ip> remote;
  bool permanent = false;
  bool self = false;
  friend bool operator==(const FdbEntry&, const FdbEntry&) = default;
};
struct FdbMessage {
  FdbEntry entry;
  bool removed = false;
};

void encode_neighbour(Writer& out, std::uint32_t seq, Verb verb, const Neighbour& neighbour);
void encode_neighbour_dump(Writer& out, std::uint32_t seq, Family family);
[[nodiscard]] std::optional<NeighbourMessage> decode_neighbour(const Message& message);

void encode_fdb(Writer& out, std::uint32_t seq, Verb verb, const FdbEntry& entry);
void encode_fdb_dump(Writer& out, std::uint32_t seq, IfIndex interface);
[[nodiscard]] std::optional<FdbMessage> decode_fdb(const Message& message);

}  // namespace margay::netlink
