// SPDX-License-Identifier: Apache-2.0
// What an nftables table should hold, as pure values: chains of rules of expressions, and sets with
// their elements packed into flat memory. A table is `inet NAME`. Expressions mirror the kernel's
// virtual machine one to one (builder.h gives readable combinations). Equality is structural. Must
// not know netlink, policies or pods.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ip.h"
#include "base/result.h"

namespace margay::nft {

// Up to 40 bytes inline: operands of expressions, keys of sets (ip6 . ip6 . port is 36 bytes).
// Network byte order for addresses and ports, host byte order for marks, states and other numbers
// of the kernel; the constructors say which.
class Packed {
 public:
  static constexpr std::size_t kCapacity = 44;  // two IPv6 addresses, protocol, two ports
  constexpr Packed() = default;
  [[nodiscard]] static Packed of(std::span<const std::uint8_t> bytes);  // at most kCapacity
  [[nodiscard]] static Packed u8(std::uint8_t v);
  [[nodiscard]] static Packed be16(std::uint16_t v);
  [[nodiscard]] static Packed be32(std::uint32_t v);
  [[nodiscard]] static Packed host32(std::uint32_t v);
  [[nodiscard]] static Packed ip(const Ip& a);
  // Padded with zeros to 16 bytes; a name that does not fit is cut.
  [[nodiscard]] static Packed interface_name(std::string_view name);
  // The leading bytes only, for "cali*".
  [[nodiscard]] static Packed interface_prefix(std::string_view prefix);

  // Appends a field of a concatenated key, padded to a multiple of four bytes.
  Packed& then(const Packed& field);

  [[nodiscard]] std::span<const std::uint8_t> bytes() const { return {b_.data(), size_}; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  friend bool operator==(const Packed& a, const Packed& b);
  friend std::strong_ordering operator<=>(const Packed& a, const Packed& b);

 private:
  std::array<std::uint8_t, kCapacity> b_{};  // zero beyond size_
  std::uint8_t size_ = 0;
};

// One of the sixteen 32-bit registers (NFT_REG32_00 + index). A value of n bytes takes the
// following ceil(n / 4) registers; single values by convention start at 0, 4, 8 or 12.
struct Reg {
  std::uint8_t index = 0;
  friend auto operator<=>(Reg, Reg) = default;
};

// --- expressions -----------------------------------------------------------------------------

// Values are the kernel's (linux/netfilter/nf_tables.h); encode.cpp asserts it.
enum class MetaKey : std::uint32_t {
  length = 0,
  protocol = 1,
  priority = 2,
  mark = 3,
  iif = 4,
  oif = 5,
  iifname = 6,
  oifname = 7,
  skuid = 10,
  nfproto = 15,
  l4proto = 16,
  pkttype = 19,
};
struct MetaLoad {
  MetaKey key = MetaKey::mark;
  Reg dst;
  friend bool operator==(const MetaLoad&, const MetaLoad&) = default;
};
struct MetaSet {
  MetaKey key = MetaKey::mark;
  Reg src;
  friend bool operator==(const MetaSet&, const MetaSet&) = default;
};

enum class PayloadBase : std::uint32_t { link = 0, network = 1, transport = 2 };
struct PayloadLoad {
  PayloadBase base = PayloadBase::network;
  std::uint32_t offset = 0, length = 0;
  Reg dst;
  friend bool operator==(const PayloadLoad&, const PayloadLoad&) = default;
};
struct PayloadSet {
  PayloadBase base = PayloadBase::network;
  std::uint32_t offset = 0, length = 0;
  Reg src;
  bool ip_checksum = false;  // update the IPv4 header's checksum (at offset 10)
  friend bool operator==(const PayloadSet&, const PayloadSet&) = default;
};

enum class CtKey : std::uint32_t { state = 0, direction = 1, status = 2, mark = 3, zone = 17 };
// Bits of CtKey::state and ::status.
inline constexpr std::uint32_t kCtInvalid = 1, kCtEstablished = 2, kCtRelated = 4, kCtNew = 8,
                               kCtUntracked = 64;
inline constexpr std::uint32_t kCtStatusSnat = 1U << 4, kCtStatusDnat = 1U << 5;
struct CtLoad {
  CtKey key = CtKey::state;
  Reg dst;
  friend bool operator==(const CtLoad&, const CtLoad&) = default;
};
struct CtSet {
  CtKey key = CtKey::mark;
  Reg src;
  friend bool operator==(const CtSet&, const CtSet&) = default;
};

enum class FibResult : std::uint32_t { oif = 1, oifname = 2, address_type = 3 };
inline constexpr std::uint32_t kFibSaddr = 1, kFibDaddr = 2, kFibMark = 4, kFibIif = 8,
                               kFibOif = 16;
inline constexpr std::uint32_t kAddressTypeLocal = 2;  // RTN_LOCAL
struct Fib {
  FibResult result = FibResult::oif;
  std::uint32_t flags = kFibSaddr;  // kFib...: exactly one of saddr, daddr
  Reg dst;
  friend bool operator==(const Fib&, const Fib&) = default;
};

enum class CmpOp : std::uint32_t { eq = 0, neq = 1, lt = 2, lte = 3, gt = 4, gte = 5 };
struct Cmp {
  CmpOp op = CmpOp::eq;
  Reg src;
  Packed value;
  friend bool operator==(const Cmp&, const Cmp&) = default;
};
struct Range {
  bool inverted = false;
  Reg src;
  Packed from, to;  // both ends included
  friend bool operator==(const Range&, const Range&) = default;
};
// dst = (src & mask) ^ xor_with
struct Bitwise {
  Reg src, dst;
  Packed mask, xor_with;  // of one length
  friend bool operator==(const Bitwise&, const Bitwise&) = default;
};

// Membership, or a map's value. With `dst` the set must be a map to data; with `verdict` a verdict
// map whose verdict is taken; neither is combined with inverted.
struct Lookup {
  std::string set;
  Reg src;
  bool inverted = false;
  bool verdict = false;
  std::optional<Reg> dst;
  friend bool operator==(const Lookup&, const Lookup&) = default;
};

struct Verdict {
  enum class Code : std::int32_t {
    drop = 0,
    accept = 1,
    continue_ = -1,
    jump = -3,
    goto_ = -4,
    return_ = -5
  };
  Code code = Code::accept;
  std::string chain;  // jump and goto_ only
  friend bool operator==(const Verdict&, const Verdict&) = default;
};
struct Immediate {
  Reg dst;
  Packed value;
  friend bool operator==(const Immediate&, const Immediate&) = default;
};

struct Counter {  // values are the kernel's business and never compared
  friend bool operator==(const Counter&, const Counter&) = default;
};
struct Log {
  std::string prefix;                  // at most 127 bytes
  std::optional<std::uint32_t> level;  // syslog's numbers; absent: warning (4). Not with group
  std::optional<std::uint16_t> group;  // NFLOG group instead of the kernel's log
  friend bool operator==(const Log&, const Log&) = default;
};
struct Limit {
  std::uint64_t rate = 1, per_seconds = 1;  // 1, 60, 3600, 86400
  std::uint32_t burst = 5;
  bool bytes = false;     // rate counts bytes, else packets
  bool inverted = false;  // matches what is over the rate
  friend bool operator==(const Limit&, const Limit&) = default;
};
struct ConnLimit {
  std::uint32_t count = 0;
  bool inverted = false;  // matches above count
  friend bool operator==(const ConnLimit&, const ConnLimit&) = default;
};

// NF_NAT_RANGE_...
inline constexpr std::uint32_t kNatRandom = 1U << 2, kNatPersistent = 1U << 3,
                               kNatFullyRandom = 1U << 4;
struct Masquerade {
  std::uint32_t flags = 0;
  std::optional<Reg> port_min, port_max;  // be16 loaded before; max needs min
  friend bool operator==(const Masquerade&, const Masquerade&) = default;
};
struct Nat {
  enum class Kind : std::uint32_t { snat = 0, dnat = 1 };
  Kind kind = Kind::dnat;
  Family family = Family::v4;
  std::optional<Reg> address, port_min, port_max;
  std::uint32_t flags = 0;
  friend bool operator==(const Nat&, const Nat&) = default;
};
struct Notrack {
  friend bool operator==(const Notrack&, const Notrack&) = default;
};
struct Reject {
  enum class Kind : std::uint32_t { icmp = 0, tcp_reset = 1, icmpx = 2 };
  Kind kind = Kind::icmpx;
  std::uint8_t code = 1;  // icmpx: 0 no route, 1 port, 2 host unreachable, 3 prohibited
  friend bool operator==(const Reject&, const Reject&) = default;
};

using Expr = std::variant<MetaLoad, MetaSet, PayloadLoad, PayloadSet, CtLoad, CtSet, Fib, Cmp,
                          Range, Bitwise, Lookup, Verdict, Immediate, Counter, Log, Limit,
                          ConnLimit, Masquerade, Nat, Notrack, Reject>;

// --- rules and chains ------------------------------------------------------------------------

// A rule is what it does and its comment: two rules equal in both are the same rule, also after a
// restart (the kernel's copy is compared, not a label).
struct Rule {
  std::vector<Expr> exprs;
  std::string comment;  // shown by `nft list`; at most 127 bytes, longer ones are cut
  friend bool operator==(const Rule&, const Rule&) = default;
};

enum class ChainType { filter, nat, route };
enum class Hook : std::uint32_t {
  prerouting = 0,
  input = 1,
  forward = 2,
  output = 3,
  postrouting = 4
};
struct BaseChain {
  ChainType type = ChainType::filter;
  Hook hook = Hook::forward;
  std::int32_t priority = 0;
  bool drop_policy = false;
  friend bool operator==(const BaseChain&, const BaseChain&) = default;
};
struct Chain {
  std::string name;  // at most 127 bytes here, so that it also fits where 128 is the limit
  std::optional<BaseChain> base;
  std::vector<Rule> rules;
  // While the kernel refuses it, or a set or an element that it looks up, it holds one drop
  // instead; otherwise what stood before stays, or nothing. Not for base chains.
  bool fails_closed = false;
  friend bool operator==(const Chain&, const Chain&) = default;
};

// --- sets ------------------------------------------------------------------------------------

// nft's numbers of data types: they only make `nft list` show the elements well.
enum class Datatype : std::uint32_t {
  verdict = 1,
  integer = 4,
  ipv4_addr = 7,
  ipv6_addr = 8,
  inet_proto = 12,
  inet_service = 13,
  icmp_type = 14,
  mark = 19,
  icmpv6_type = 29,
  ifname = 41,
};
[[nodiscard]] std::size_t size_of(Datatype t);  // bytes, without padding

struct SetType {
  std::vector<Datatype> key;  // more than one: a concatenation, each field padded to four bytes
  bool interval = false;      // elements are ranges (of each field, in a concatenation)
  // A map: Datatype::verdict for a verdict map.
  std::optional<Datatype> value;
  [[nodiscard]] std::size_t key_size() const;
  [[nodiscard]] std::size_t value_size() const;  // 0 unless a map to data
  [[nodiscard]] bool is_verdict_map() const { return value == Datatype::verdict; }
  friend bool operator==(const SetType&, const SetType&) = default;
};

struct Element {
  Packed key;
  Packed key_end;                  // interval sets only: last key of the range, else empty
  Packed value;                    // maps to data only
  std::optional<Verdict> verdict;  // verdict maps only
  friend bool operator==(const Element&, const Element&) = default;
  [[nodiscard]] static Element of(const Packed& key) { return {key, {}, {}, std::nullopt}; }
  [[nodiscard]] static Element range(const Packed& from, const Packed& to) {
    return {from, to, {}, std::nullopt};
  }
  [[nodiscard]] static Element prefix(const Prefix& p);  // for interval sets of one address
  [[nodiscard]] static Element verdict_for(const Packed& key, Verdict v) {
    return {key, {}, {}, std::move(v)};
  }
};

struct SetDef {
  std::string name;
  SetType type;
  friend bool operator==(const SetDef&, const SetDef&) = default;
};

}  // namespace margay::nft
