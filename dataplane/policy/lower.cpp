// SPDX-License-Identifier: Apache-2.0
#include "dataplane/policy/lower.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "dataplane/policy/names.h"

namespace margay::policy {

namespace {

using model::ActiveRule;
using model::PortRange;
using nft::CmpOp;
using nft::Datatype;
using nft::Dependency;
using nft::Direction;
using nft::Exprs;
using nft::KeyField;

constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpv6 = 58, kSctp = 132,
                       kUdplite = 136;
constexpr std::array kPortProtocols{kTcp, kUdp, kSctp, kUdplite};

bool has_ports(std::uint8_t protocol) {
  return std::ranges::find(kPortProtocols, protocol) != kPortProtocols.end();
}

std::uint8_t icmp_of(Family f) { return f == Family::v4 ? kIcmp : kIcmpv6; }

void append(Exprs& to, const Exprs& more) { to.insert(to.end(), more.begin(), more.end()); }

// One alternative is no choice; none is a contradiction.
bool add_choice(Match& out, std::vector<Exprs> alternatives) {
  if (alternatives.empty()) return false;
  if (alternatives.size() == 1) {
    append(out.all, alternatives.front());
  } else {
    out.choices.push_back(std::move(alternatives));
  }
  return true;
}

Exprs protocol_has_ports(ConstantSets& sets, bool inverted) {
  std::vector<nft::Element> all;
  for (const std::uint8_t p : kPortProtocols) all.push_back(nft::Element::of(nft::Packed::u8(p)));
  const auto name =
      sets.add("protocols", {{Datatype::inet_proto}, false, std::nullopt}, std::move(all));
  const std::array key{KeyField{KeyField::Kind::l4proto}};
  return nft::concat_in(Family::v4, key, name, inverted);
}

// `field` (one byte of the ICMP header) against a value.
Exprs icmp_field(std::uint32_t offset, CmpOp op, std::uint8_t value) {
  return {nft::PayloadLoad{nft::PayloadBase::transport, offset, 1, nft::Reg{0}},
          nft::Cmp{op, nft::Reg{0}, nft::Packed::u8(value)}};
}

bool add_icmp(Match& out, const ActiveRule& rule, Family f) {
  if (!rule.icmp) return true;
  if (rule.protocol && rule.protocol->number != icmp_of(f)) return false;
  if (!rule.protocol) append(out.all, nft::l4proto(icmp_of(f)));
  if (rule.icmp->type) append(out.all, icmp_field(0, CmpOp::eq, *rule.icmp->type));
  if (rule.icmp->code) append(out.all, icmp_field(1, CmpOp::eq, *rule.icmp->code));
  return true;
}

bool add_not_icmp(Match& out, const ActiveRule& rule, Family f) {
  if (!rule.not_icmp || (rule.protocol && rule.protocol->number != icmp_of(f))) return true;
  std::vector<Exprs> alternatives;
  Exprs is_icmp;
  if (!rule.protocol) {
    is_icmp = nft::l4proto(icmp_of(f));
    alternatives.push_back(nft::l4proto(icmp_of(f), CmpOp::neq));
  }
  if (rule.not_icmp->type) {
    alternatives.push_back(nft::join({is_icmp, icmp_field(0, CmpOp::neq, *rule.not_icmp->type)}));
    if (rule.not_icmp->code) {
      alternatives.push_back(nft::join({is_icmp, icmp_field(0, CmpOp::eq, *rule.not_icmp->type),
                                        icmp_field(1, CmpOp::neq, *rule.not_icmp->code)}));
    }
  }
  return add_choice(out, std::move(alternatives));
}

bool names_addresses(const ActiveRule::Side& s) {
  return !s.nets.empty() || !s.not_nets.empty() || !s.sets.empty() || !s.not_sets.empty() ||
         !s.port_sets.empty() || !s.not_port_sets.empty();
}

std::array<KeyField, 3> port_key(Direction dir) {
  const bool source = dir == Direction::source;
  return {KeyField{source ? KeyField::Kind::saddr : KeyField::Kind::daddr},
          KeyField{KeyField::Kind::l4proto},
          KeyField{source ? KeyField::Kind::sport : KeyField::Kind::dport}};
}

}  // namespace

bool Lowering::needs_family(const MergedRule& m) {
  const ActiveRule& r = m.rule;
  return r.family || r.icmp || r.not_icmp || names_addresses(r.source) ||
         names_addresses(r.destination) || !r.destination_service_sets.empty() ||
         (!m.tuples.empty() && (m.tuples.front().source || m.tuples.front().destination));
}

std::vector<model::SetId> Lowering::unknown_sets(const ActiveRule& rule) const {
  std::vector<model::SetId> out;
  const auto check = [&](const std::vector<model::SetId>& ids, model::SetKind kind) {
    for (const model::SetId& id : ids) {
      const auto it = shapes_.find(id);
      if (it == shapes_.end() || it->second.kind != kind) out.push_back(id);
    }
  };
  for (const ActiveRule::Side* side : {&rule.source, &rule.destination}) {
    check(side->sets, model::SetKind::nets);
    check(side->not_sets, model::SetKind::nets);
    check(side->port_sets, model::SetKind::ip_port);
    check(side->not_port_sets, model::SetKind::ip_port);
  }
  check(rule.destination_service_sets, model::SetKind::ip_port);
  return out;
}

bool Lowering::addresses(Match& out, const ActiveRule::Side& side, Direction dir, Family f) {
  for (const model::SetId& id : side.sets) {
    if (!add_choice(out, member_of(id, shapes_.find(id)->second.of(f), dir, f))) return false;
  }
  if (!side.not_nets.empty()) {
    const auto match = nets_match(sets_, side.not_nets, dir, f, true);
    if (!match) return false;
    append(out.all, *match);
  }
  for (const model::SetId& id : side.not_sets) {
    append(out.all, not_member_of(id, shapes_.find(id)->second.of(f), dir, f));
  }
  return true;
}

bool Lowering::ports(Match& out, const ActiveRule& rule, const ActiveRule::Side& side,
                     Direction dir, std::optional<Family> f) {
  if (side.ports.empty() && side.port_sets.empty()) return true;
  std::vector<Exprs> alternatives;
  if (!side.ports.empty()) {
    const Exprs match = ports_match(sets_, side.ports, dir);
    if (!rule.protocol) {
      alternatives.push_back(nft::join({protocol_has_ports(sets_, false), match}));
    } else if (has_ports(rule.protocol->number)) {
      alternatives.push_back(match);
    }
  }
  for (const model::SetId& id : side.port_sets) {
    if (shapes_.find(id)->second.of(*f).empty()) continue;
    alternatives.push_back(
        nft::concat_in(*f, port_key(dir), port_set_name(id, *f), false, Dependency::met));
  }
  return add_choice(out, std::move(alternatives));
}

void Lowering::not_ports(Match& out, const ActiveRule& rule, const ActiveRule::Side& side,
                         Direction dir, std::optional<Family> f) {
  if (!side.not_ports.empty()) {
    const Exprs match = ports_match(sets_, side.not_ports, dir, true);
    if (!rule.protocol) {  // a packet without ports has none of these
      out.choices.push_back(
          {protocol_has_ports(sets_, true), nft::join({protocol_has_ports(sets_, false), match})});
    } else if (has_ports(rule.protocol->number)) {
      append(out.all, match);
    }
  }
  for (const model::SetId& id : side.not_port_sets) {
    if (shapes_.find(id)->second.of(*f).empty()) continue;
    append(out.all,
           nft::concat_in(*f, port_key(dir), port_set_name(id, *f), true, Dependency::met));
  }
}

bool Lowering::tuples(Match& out, const std::vector<Tuple>& rows, std::optional<Family> f) {
  if (rows.empty()) return true;
  // One set for each pair of prefix lengths.
  std::map<std::pair<unsigned, unsigned>, std::vector<nft::Element>> tables;
  const Tuple& first = rows.front();
  for (const Tuple& t : rows) {
    const Prefix* any = t.source ? &*t.source : t.destination ? &*t.destination : nullptr;
    if (any != nullptr && any->family() != *f) continue;
    nft::Packed key;
    if (t.source) key.then(nft::Packed::ip(t.source->addr()));
    if (t.destination) key.then(nft::Packed::ip(t.destination->addr()));
    key.then(nft::Packed::u8(*t.protocol));
    if (t.source_port) key.then(nft::Packed::be16(*t.source_port));
    if (t.destination_port) key.then(nft::Packed::be16(*t.destination_port));
    tables[{t.source ? t.source->length() : 0, t.destination ? t.destination->length() : 0}]
        .push_back(nft::Element::of(key));
  }
  std::vector<Exprs> alternatives;
  for (auto& [lengths, elements] : tables) {
    std::vector<KeyField> fields;
    nft::SetType type;
    const auto field = [&](bool present, KeyField::Kind kind, unsigned length, Datatype t) {
      if (!present) return;
      fields.push_back({kind, length});
      type.key.push_back(t);
    };
    const Datatype address = address_type(f.value_or(Family::v4));
    field(first.source.has_value(), KeyField::Kind::saddr, lengths.first, address);
    field(first.destination.has_value(), KeyField::Kind::daddr, lengths.second, address);
    field(true, KeyField::Kind::l4proto, 128, Datatype::inet_proto);
    field(first.source_port.has_value(), KeyField::Kind::sport, 128, Datatype::inet_service);
    field(first.destination_port.has_value(), KeyField::Kind::dport, 128, Datatype::inet_service);
    const auto name = sets_.add("rows", std::move(type), std::move(elements));
    alternatives.push_back(
        nft::concat_in(f.value_or(Family::v4), fields, name, false, Dependency::met));
  }
  return add_choice(out, std::move(alternatives));
}

std::optional<Match> Lowering::lower(const MergedRule& m, std::optional<Family> f) {
  const ActiveRule& r = m.rule;
  if (r.family && f && *r.family != *f) return std::nullopt;
  Match out;
  out.family = f;
  if (f) {
    append(out.all, nft::family(*f));
    // Single addresses first: they tell most packets apart at the lowest price.
    for (const auto& [side, dir] : {std::pair(&r.source, Direction::source),
                                    std::pair(&r.destination, Direction::destination)}) {
      if (side->nets.empty()) continue;
      const auto match = nets_match(sets_, side->nets, dir, *f);
      if (!match) return std::nullopt;
      append(out.all, *match);
    }
  }
  if (r.protocol) append(out.all, nft::l4proto(r.protocol->number));
  if (r.not_protocol) append(out.all, nft::l4proto(r.not_protocol->number, CmpOp::neq));
  if (f && !add_icmp(out, r, *f)) return std::nullopt;
  if (!ports(out, r, r.source, Direction::source, f) ||
      !ports(out, r, r.destination, Direction::destination, f) || !tuples(out, m.tuples, f)) {
    return std::nullopt;
  }
  if (f) {
    for (const model::SetId& id : r.destination_service_sets) {
      if (shapes_.find(id)->second.of(*f).empty()) return std::nullopt;
      append(out.all, nft::concat_in(*f, port_key(Direction::destination), port_set_name(id, *f),
                                     false, Dependency::met));
    }
    if (!addresses(out, r.source, Direction::source, *f) ||
        !addresses(out, r.destination, Direction::destination, *f) || !add_not_icmp(out, r, *f)) {
      return std::nullopt;
    }
  }
  not_ports(out, r, r.source, Direction::source, f);
  not_ports(out, r, r.destination, Direction::destination, f);
  return out;
}

}  // namespace margay::policy
