// SPDX-License-Identifier: Apache-2.0
// Readable combinations of expressions: `rule({iifname("eth0"), l4proto(6), tcp_dport(80),
// accept()})`. Every match function returns the whole sequence of expressions, scratch registers
// included, and leaves no register that a later one relies on. In an inet table a match on an
// address, or on an ICMP header, holds its own `meta nfproto` / `meta l4proto` dependency: call
// family(...) first and pass Dependency::met to leave it out. Pure.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "dataplane/nft/objects.h"

namespace margay::nft {

using Exprs = std::vector<Expr>;

[[nodiscard]] Exprs join(std::initializer_list<Exprs> parts);
[[nodiscard]] Rule rule(std::initializer_list<Exprs> parts, std::string comment = {});

enum class Direction { source, destination };
enum class Dependency { add, met };  // met: the rule has matched family or protocol already

// Interfaces. "cali*": the star matches any rest; "*" alone is every interface (no expression).
[[nodiscard]] Exprs iifname(std::string_view name, CmpOp op = CmpOp::eq);
[[nodiscard]] Exprs oifname(std::string_view name, CmpOp op = CmpOp::eq);
[[nodiscard]] Exprs iifname_vmap(std::string map);
[[nodiscard]] Exprs oifname_vmap(std::string map);
[[nodiscard]] Exprs iifname_in(std::string set, bool inverted = false);
[[nodiscard]] Exprs oifname_in(std::string set, bool inverted = false);

// Family and protocol.
[[nodiscard]] Exprs family(Family f);
[[nodiscard]] Exprs l4proto(std::uint8_t protocol, CmpOp op = CmpOp::eq);
[[nodiscard]] Exprs icmp(Family f, std::uint8_t type, Dependency d = Dependency::add);
[[nodiscard]] Exprs icmp(Family f, std::uint8_t type, std::uint8_t code,
                         Dependency d = Dependency::add);

// Addresses.
[[nodiscard]] Exprs address(Direction dir, const Prefix& p, bool inverted = false,
                            Dependency d = Dependency::add);
[[nodiscard]] Exprs address_in(Direction dir, Family f, std::string set, bool inverted = false,
                               Dependency d = Dependency::add);
// The address masked to `length` bits is a member: a hash set per prefix length.
[[nodiscard]] Exprs masked_address_in(Direction dir, Family f, unsigned length, std::string set,
                                      bool inverted = false, Dependency d = Dependency::add);

// Ports of TCP, UDP, UDP-Lite, SCTP, DCCP alike: the rule must have matched the protocol.
[[nodiscard]] Exprs port(Direction dir, std::uint16_t value, bool inverted = false);
[[nodiscard]] Exprs port_range(Direction dir, std::uint16_t first, std::uint16_t last,
                               bool inverted = false);
[[nodiscard]] Exprs port_in(Direction dir, std::string set, bool inverted = false);

// One lookup of several fields: what each field loads, in the set's order.
struct KeyField {
  enum class Kind { iifname, oifname, saddr, daddr, l4proto, sport, dport };
  Kind kind = Kind::saddr;
  unsigned prefix_length = 128;  // addresses: masked to this length when shorter than the family's
};
[[nodiscard]] Exprs concat_in(Family f, std::span<const KeyField> fields, std::string set,
                              bool inverted = false, Dependency d = Dependency::add);
[[nodiscard]] Exprs concat_vmap(Family f, std::span<const KeyField> fields, std::string map,
                                Dependency d = Dependency::add);

// Marks: (mark & mask) == value; and mark = (mark & ~mask) | value.
[[nodiscard]] Exprs mark_is(std::uint32_t value, std::uint32_t mask, bool inverted = false);
[[nodiscard]] Exprs set_mark(std::uint32_t value, std::uint32_t mask);

// Connection tracking: any of the bits.
[[nodiscard]] Exprs ct_state(std::uint32_t any_of, bool inverted = false);
[[nodiscard]] Exprs ct_status(std::uint32_t any_of, bool inverted = false);

// Routing. No reverse path: drop candidates of anti-spoofing.
[[nodiscard]] Exprs fib_no_route(std::uint32_t flags);  // oif is 0
[[nodiscard]] Exprs fib_type(std::uint32_t flags, std::uint32_t type, bool inverted = false);

// Statements.
[[nodiscard]] Exprs accept();
[[nodiscard]] Exprs drop();
[[nodiscard]] Exprs return_();
[[nodiscard]] Exprs jump(std::string chain);
[[nodiscard]] Exprs goto_(std::string chain);
[[nodiscard]] Exprs counter();
[[nodiscard]] Exprs log(std::string prefix, std::uint32_t level);
[[nodiscard]] Exprs nflog(std::string prefix, std::uint16_t group);
[[nodiscard]] Exprs limit(std::uint64_t rate, std::uint64_t per_seconds, std::uint32_t burst,
                          bool over);
[[nodiscard]] Exprs connections_over(std::uint32_t count);
[[nodiscard]] Exprs notrack();
[[nodiscard]] Exprs masquerade(std::uint32_t flags);
[[nodiscard]] Exprs masquerade_ports(std::uint16_t first, std::uint16_t last, std::uint32_t flags);
[[nodiscard]] Exprs dnat(const Ip& to);
[[nodiscard]] Exprs dnat(const Ip& to, std::uint16_t port);
[[nodiscard]] Exprs snat(const Ip& to, std::uint32_t flags = 0);
// DSCP of the packet; the family must have been matched.
[[nodiscard]] Exprs set_dscp(Family f, std::uint8_t dscp);
[[nodiscard]] Exprs reject();            // icmpx port unreachable
[[nodiscard]] Exprs reject_tcp_reset();  // the rule must have matched TCP

}  // namespace margay::nft
