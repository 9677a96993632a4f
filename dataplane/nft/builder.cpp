// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/builder.h"

#include <algorithm>
#include <array>

namespace margay::nft {

namespace {

constexpr Reg kScratch{0};
constexpr Reg kScratch2{4};
constexpr std::uint8_t kNfprotoIpv4 = 2, kNfprotoIpv6 = 10;
constexpr std::uint8_t kIcmp = 1, kIcmpv6 = 58;

struct Field {
  std::uint32_t offset, length;
};

Field address_field(Direction dir, Family f) {
  if (f == Family::v4) return {dir == Direction::source ? 12U : 16U, 4};
  return {dir == Direction::source ? 8U : 24U, 16};
}

std::uint32_t port_offset(Direction dir) { return dir == Direction::source ? 0 : 2; }

PayloadLoad load_address(Direction dir, Family f, Reg dst) {
  const Field at = address_field(dir, f);
  return {PayloadBase::network, at.offset, at.length, dst};
}

PayloadLoad load_port(Direction dir, Reg dst) {
  return {PayloadBase::transport, port_offset(dir), 2, dst};
}

Packed prefix_mask(Family f, unsigned length) {
  std::array<std::uint8_t, 16> raw{};
  for (unsigned i = 0; i < 16; ++i) {
    const unsigned bits = std::min(8U, length > 8 * i ? length - 8 * i : 0U);
    raw[i] = static_cast<std::uint8_t>(0xff00U >> bits);
  }
  return Packed::of(std::span(raw).first(address_size(f)));
}

Packed zeros(std::size_t n) {
  static constexpr std::array<std::uint8_t, Packed::kCapacity> kZero{};
  return Packed::of(std::span(kZero).first(n));
}

CmpOp equality(bool inverted) { return inverted ? CmpOp::neq : CmpOp::eq; }

Exprs with_family(Family f, Dependency d) { return d == Dependency::add ? family(f) : Exprs{}; }

void append(Exprs& to, Exprs more) { std::move(more.begin(), more.end(), std::back_inserter(to)); }

Exprs interface(MetaKey key, std::string_view name, CmpOp op) {
  if (name == "*") return {};
  const bool prefix = name.ends_with('*');
  Packed value = prefix ? Packed::interface_prefix(name.substr(0, name.size() - 1))
                        : Packed::interface_name(name);
  return {MetaLoad{key, kScratch}, Cmp{op, kScratch, value}};
}

Lookup member(std::string set, bool inverted) {
  return {std::move(set), kScratch, inverted, false, std::nullopt};
}

Lookup verdict_of(std::string map) { return {std::move(map), kScratch, false, true, std::nullopt}; }

Exprs bits_of_ct(CtKey key, std::uint32_t any_of, bool inverted) {
  // "any bit set" is "masked value is not zero".
  return {CtLoad{key, kScratch},
          Bitwise{kScratch, kScratch, Packed::host32(any_of), Packed::host32(0)},
          Cmp{equality(!inverted), kScratch, Packed::host32(0)}};
}

// Loads one field of a concatenation and returns the registers it takes.
std::uint8_t load_field(Exprs& out, Family f, const KeyField& field, Reg dst) {
  const auto address = [&](Direction dir) {
    out.emplace_back(load_address(dir, f, dst));
    if (field.prefix_length < max_prefix_length(f)) {
      out.emplace_back(
          Bitwise{dst, dst, prefix_mask(f, field.prefix_length), zeros(address_size(f))});
    }
    return static_cast<std::uint8_t>(address_size(f) / 4);
  };
  switch (field.kind) {
    case KeyField::Kind::iifname:
      out.emplace_back(MetaLoad{MetaKey::iifname, dst});
      return 4;
    case KeyField::Kind::oifname:
      out.emplace_back(MetaLoad{MetaKey::oifname, dst});
      return 4;
    case KeyField::Kind::saddr:
      return address(Direction::source);
    case KeyField::Kind::daddr:
      return address(Direction::destination);
    case KeyField::Kind::l4proto:
      out.emplace_back(MetaLoad{MetaKey::l4proto, dst});
      return 1;
    case KeyField::Kind::sport:
      out.emplace_back(load_port(Direction::source, dst));
      return 1;
    case KeyField::Kind::dport:
      out.emplace_back(load_port(Direction::destination, dst));
      return 1;
  }
  return 0;
}

Exprs load_fields(Family f, std::span<const KeyField> fields, Dependency d) {
  const bool has_address = std::ranges::any_of(fields, [](const KeyField& k) {
    return k.kind == KeyField::Kind::saddr || k.kind == KeyField::Kind::daddr;
  });
  Exprs out = has_address ? with_family(f, d) : Exprs{};
  Reg at{0};
  for (const KeyField& field : fields) {
    at.index = static_cast<std::uint8_t>(at.index + load_field(out, f, field, at));
  }
  MARGAY_ASSERT(at.index <= 16);
  return out;
}

Exprs verdict(Verdict::Code code, std::string chain = {}) {
  return {Verdict{code, std::move(chain)}};
}

Exprs translate(Nat::Kind kind, const Ip& to, std::optional<std::uint16_t> port,
                std::uint32_t flags) {
  Nat nat{kind, to.family(), kScratch, std::nullopt, std::nullopt, flags};
  Exprs out{Immediate{kScratch, Packed::ip(to)}};
  if (port) {
    out.emplace_back(Immediate{kScratch2, Packed::be16(*port)});
    nat.port_min = kScratch2;
  }
  out.emplace_back(nat);
  return out;
}

}  // namespace

Exprs join(std::initializer_list<Exprs> parts) {
  Exprs out;
  for (const Exprs& p : parts) append(out, p);
  return out;
}

Rule rule(std::initializer_list<Exprs> parts, std::string comment) {
  return {join(parts), std::move(comment)};
}

Exprs iifname(std::string_view name, CmpOp op) { return interface(MetaKey::iifname, name, op); }
Exprs oifname(std::string_view name, CmpOp op) { return interface(MetaKey::oifname, name, op); }

Exprs iifname_vmap(std::string map) {
  return {MetaLoad{MetaKey::iifname, kScratch}, verdict_of(std::move(map))};
}
Exprs oifname_vmap(std::string map) {
  return {MetaLoad{MetaKey::oifname, kScratch}, verdict_of(std::move(map))};
}
Exprs iifname_in(std::string set, bool inverted) {
  return {MetaLoad{MetaKey::iifname, kScratch}, member(std::move(set), inverted)};
}
Exprs oifname_in(std::string set, bool inverted) {
  return {MetaLoad{MetaKey::oifname, kScratch}, member(std::move(set), inverted)};
}

Exprs family(Family f) {
  return {MetaLoad{MetaKey::nfproto, kScratch},
          Cmp{CmpOp::eq, kScratch, Packed::u8(f == Family::v4 ? kNfprotoIpv4 : kNfprotoIpv6)}};
}

Exprs l4proto(std::uint8_t protocol, CmpOp op) {
  return {MetaLoad{MetaKey::l4proto, kScratch}, Cmp{op, kScratch, Packed::u8(protocol)}};
}

Exprs icmp(Family f, std::uint8_t type, Dependency d) {
  Exprs out;
  if (d == Dependency::add) {
    // Family too: ICMP may ride on IPv6 by number, and then it is not what the user meant.
    append(out, family(f));
    append(out, l4proto(f == Family::v4 ? kIcmp : kIcmpv6));
  }
  out.emplace_back(PayloadLoad{PayloadBase::transport, 0, 1, kScratch});
  out.emplace_back(Cmp{CmpOp::eq, kScratch, Packed::u8(type)});
  return out;
}

Exprs icmp(Family f, std::uint8_t type, std::uint8_t code, Dependency d) {
  Exprs out = icmp(f, type, d);
  out.emplace_back(PayloadLoad{PayloadBase::transport, 1, 1, kScratch});
  out.emplace_back(Cmp{CmpOp::eq, kScratch, Packed::u8(code)});
  return out;
}

Exprs address(Direction dir, const Prefix& p, bool inverted, Dependency d) {
  const Family f = p.family();
  Exprs out = with_family(f, d);
  if (p.length() == 0 && !inverted) return out;
  PayloadLoad load = load_address(dir, f, kScratch);
  Packed value = Packed::ip(p.addr());
  if (p.length() > 0 && p.length() % 8 == 0) {  // whole bytes: no mask is needed
    load.length = p.length() / 8;
    value = Packed::of(p.addr().bytes().first(load.length));
    out.emplace_back(load);
  } else {
    out.emplace_back(load);
    out.emplace_back(
        Bitwise{kScratch, kScratch, prefix_mask(f, p.length()), zeros(address_size(f))});
  }
  out.emplace_back(Cmp{equality(inverted), kScratch, value});
  return out;
}

Exprs address_in(Direction dir, Family f, std::string set, bool inverted, Dependency d) {
  return masked_address_in(dir, f, max_prefix_length(f), std::move(set), inverted, d);
}

Exprs masked_address_in(Direction dir, Family f, unsigned length, std::string set, bool inverted,
                        Dependency d) {
  const KeyField field{dir == Direction::source ? KeyField::Kind::saddr : KeyField::Kind::daddr,
                       length};
  return concat_in(f, std::span(&field, 1), std::move(set), inverted, d);
}

Exprs port(Direction dir, std::uint16_t value, bool inverted) {
  return {load_port(dir, kScratch), Cmp{equality(inverted), kScratch, Packed::be16(value)}};
}

Exprs port_range(Direction dir, std::uint16_t first, std::uint16_t last, bool inverted) {
  if (first == last) return port(dir, first, inverted);
  return {load_port(dir, kScratch),
          Range{inverted, kScratch, Packed::be16(first), Packed::be16(last)}};
}

Exprs port_in(Direction dir, std::string set, bool inverted) {
  return {load_port(dir, kScratch), member(std::move(set), inverted)};
}

Exprs concat_in(Family f, std::span<const KeyField> fields, std::string set, bool inverted,
                Dependency d) {
  Exprs out = load_fields(f, fields, d);
  out.emplace_back(member(std::move(set), inverted));
  return out;
}

Exprs concat_vmap(Family f, std::span<const KeyField> fields, std::string map, Dependency d) {
  Exprs out = load_fields(f, fields, d);
  out.emplace_back(verdict_of(std::move(map)));
  return out;
}

Exprs mark_is(std::uint32_t value, std::uint32_t mask, bool inverted) {
  Exprs out{MetaLoad{MetaKey::mark, kScratch}};
  if (mask != 0xffffffff) {
    out.emplace_back(Bitwise{kScratch, kScratch, Packed::host32(mask), Packed::host32(0)});
  }
  out.emplace_back(Cmp{equality(inverted), kScratch, Packed::host32(value)});
  return out;
}

Exprs set_mark(std::uint32_t value, std::uint32_t mask) {
  // (mark & ~mask) ^ value sets exactly the masked bits, as value lies within mask.
  return {MetaLoad{MetaKey::mark, kScratch},
          Bitwise{kScratch, kScratch, Packed::host32(~mask), Packed::host32(value & mask)},
          MetaSet{MetaKey::mark, kScratch}};
}

Exprs ct_state(std::uint32_t any_of, bool inverted) {
  return bits_of_ct(CtKey::state, any_of, inverted);
}
Exprs ct_status(std::uint32_t any_of, bool inverted) {
  return bits_of_ct(CtKey::status, any_of, inverted);
}

Exprs fib_no_route(std::uint32_t flags) {
  return {Fib{FibResult::oif, flags, kScratch}, Cmp{CmpOp::eq, kScratch, Packed::host32(0)}};
}

Exprs fib_type(std::uint32_t flags, std::uint32_t type, bool inverted) {
  return {Fib{FibResult::address_type, flags, kScratch},
          Cmp{equality(inverted), kScratch, Packed::host32(type)}};
}

Exprs accept() { return verdict(Verdict::Code::accept); }
Exprs drop() { return verdict(Verdict::Code::drop); }
Exprs return_() { return verdict(Verdict::Code::return_); }
Exprs jump(std::string chain) { return verdict(Verdict::Code::jump, std::move(chain)); }
Exprs goto_(std::string chain) { return verdict(Verdict::Code::goto_, std::move(chain)); }
Exprs counter() { return {Counter{}}; }
Exprs log(std::string prefix, std::uint32_t level) {
  return {Log{std::move(prefix), level, std::nullopt}};
}
Exprs nflog(std::string prefix, std::uint16_t group) {
  return {Log{std::move(prefix), std::nullopt, group}};
}
Exprs limit(std::uint64_t rate, std::uint64_t per_seconds, std::uint32_t burst, bool over) {
  return {Limit{rate, per_seconds, burst, false, over}};
}
Exprs connections_over(std::uint32_t count) { return {ConnLimit{count, true}}; }
Exprs notrack() { return {Notrack{}}; }
Exprs masquerade(std::uint32_t flags) { return {Masquerade{flags, std::nullopt, std::nullopt}}; }
Exprs masquerade_ports(std::uint16_t first, std::uint16_t last, std::uint32_t flags) {
  return {Immediate{kScratch, Packed::be16(first)}, Immediate{kScratch2, Packed::be16(last)},
          Masquerade{flags, kScratch, kScratch2}};
}
Exprs dnat(const Ip& to) { return translate(Nat::Kind::dnat, to, std::nullopt, 0); }
Exprs dnat(const Ip& to, std::uint16_t port) { return translate(Nat::Kind::dnat, to, port, 0); }
Exprs snat(const Ip& to, std::uint32_t flags) {
  return translate(Nat::Kind::snat, to, std::nullopt, flags);
}

Exprs set_dscp(Family f, std::uint8_t dscp) {
  // IPv4: second byte of the header, upper six bits; IPv6: bits 4 to 9 of the first two bytes.
  const std::uint16_t shifted = static_cast<std::uint16_t>(f == Family::v4 ? dscp << 2 : dscp << 6);
  const std::uint16_t keep = f == Family::v4 ? 0xff03 : 0xf03f;
  return {PayloadLoad{PayloadBase::network, 0, 2, kScratch},
          Bitwise{kScratch, kScratch, Packed::be16(keep), Packed::be16(shifted)},
          PayloadSet{PayloadBase::network, 0, 2, kScratch, f == Family::v4}};
}

Exprs reject() { return {Reject{Reject::Kind::icmpx, 1}}; }
Exprs reject_tcp_reset() { return {Reject{Reject::Kind::tcp_reset, 0}}; }

}  // namespace margay::nft
