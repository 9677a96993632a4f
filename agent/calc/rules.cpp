// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/rules.h"

#include <algorithm>
#include <optional>

#include "agent/calc/ip_sets.h"
#include "model/selector_merge.h"

namespace margay::calc {
namespace {

using model::ActiveRule;
using model::Rule;

// A list, positive or negated, with addresses of one family only limits its rule to that family.
// Without one both lists of the rule, `never` holds: no packet has both families.
class FamilyLimit {
 public:
  void require(Family family) {
    never_ = never_ || (family_ && *family_ != family);
    family_ = family;
  }
  void require_of(const std::vector<Prefix>& nets) {
    if (nets.empty()) return;
    const Family first = nets.front().family();
    const bool mixed = std::any_of(nets.begin(), nets.end(),
                                   [first](const Prefix& p) { return p.family() != first; });
    if (!mixed) require(first);
  }
  [[nodiscard]] std::optional<Family> family() const { return never_ ? std::nullopt : family_; }
  [[nodiscard]] bool never() const { return never_; }

 private:
  std::optional<Family> family_;
  bool never_ = false;
};

void translate_ports(const std::vector<model::Port>& ports, const std::string& selector,
                     std::uint8_t protocol, std::vector<model::PortRange>& ranges,
                     std::vector<model::SetId>& sets) {
  for (const auto& port : ports) {
    if (const auto* range = std::get_if<model::PortRange>(&port)) {
      ranges.push_back(*range);
    } else {
      sets.push_back(named_port_spec(protocol, std::get<std::string>(port), selector));
    }
  }
}

Result<ActiveRule::Side> translate_side(const model::EntityRule& entity, std::string_view ns,
                                        std::uint8_t protocol) {
  ActiveRule::Side side;
  side.nets = entity.nets;
  side.not_nets = entity.not_nets;
  MARGAY_TRY(const auto selectors, model::entity_selectors(entity, ns));
  const std::string positive = selectors.positive ? selectors.positive->canonical() : "";
  const std::string scope = selectors.positive ? positive : "all()";
  translate_ports(entity.ports, scope, protocol, side.ports, side.port_sets);
  translate_ports(entity.not_ports, scope, protocol, side.not_ports, side.not_port_sets);
  // Named ports alone imply the selector: their sets hold only addresses that match it.
  const bool implied = !side.port_sets.empty() && side.ports.empty();
  if (selectors.positive && !implied) side.sets.push_back(kSelectorSpec + positive);
  if (selectors.negative) {
    side.not_sets.push_back(kSelectorSpec + selectors.negative->canonical());
  }
  return side;
}

// Where a service match has no meaning the rule matches nothing: validation refuses such rules.
void translate_services(const Rule& rule, std::string_view ns, Direction direction,
                        ActiveRule& out) {
  const auto name = [ns](const model::ServiceMatch& match) {
    return (match.ns.empty() ? std::string(ns) : match.ns) + "/" + match.name;
  };
  if (rule.source.services) {
    out.source.sets.push_back(kServiceSpec + name(*rule.source.services));
    out.never |= direction != Direction::ingress;
  }
  if (rule.destination.services) {
    out.destination_service_sets.push_back(kServicePortSpec + name(*rule.destination.services));
    out.never |= direction != Direction::egress;
  }
}

Result<ActiveRule> translate_rule(const Rule& rule, std::string_view ns, Direction direction) {
  ActiveRule out;
  out.action = rule.action;
  out.protocol = rule.protocol;
  out.not_protocol = rule.not_protocol;
  out.icmp = rule.icmp;
  out.not_icmp = rule.not_icmp;
  const std::uint8_t protocol = rule.protocol ? rule.protocol->number : std::uint8_t{0};
  MARGAY_TRY(out.source, translate_side(rule.source, ns, protocol));
  MARGAY_TRY(out.destination, translate_side(rule.destination, ns, protocol));
  translate_services(rule, ns, direction, out);
  out.never |= rule.http.has_value();
  FamilyLimit limit;
  if (rule.ip_version) limit.require(*rule.ip_version == 4 ? Family::v4 : Family::v6);
  for (const auto* side : {&out.source, &out.destination}) {
    limit.require_of(side->nets);
    limit.require_of(side->not_nets);
  }
  out.family = limit.family();
  out.never |= limit.never();
  if (rule.metadata) {
    for (const auto& [key, value] : rule.metadata->annotations) {
      out.annotations += (out.annotations.empty() ? "" : ", ") + key + "=" + value;
    }
  }
  return out;
}

// --- packed form: fixed bytes, and strings and lists behind their length ----------------------

class Packer {
 public:
  void byte(std::uint8_t b) { out_ += static_cast<char>(b); }
  void number(std::size_t n) {  // seven bits a byte, the lowest first
    for (; n >= 0x80; n >>= 7) byte(static_cast<std::uint8_t>(n | 0x80));
    byte(static_cast<std::uint8_t>(n));
  }
  void text(std::string_view s) {
    number(s.size());
    out_ += s;
  }
  void port(std::uint16_t p) {
    byte(static_cast<std::uint8_t>(p >> 8));
    byte(static_cast<std::uint8_t>(p));
  }
  void optional(std::optional<std::uint8_t> v) {
    byte(v ? 1 : 0);
    if (v) byte(*v);
  }
  void texts(const std::vector<std::string>& list) {
    number(list.size());
    for (const auto& s : list) text(s);
  }
  void ports(const std::vector<model::PortRange>& list) {
    number(list.size());
    for (const auto& range : list) {
      port(range.first);
      port(range.last);
    }
  }
  void nets(const std::vector<Prefix>& list) {
    number(list.size());
    for (const Prefix& net : list) {
      byte(net.family() == Family::v6 ? 6 : 4);
      byte(static_cast<std::uint8_t>(net.length()));
      for (const std::uint8_t b : net.addr().bytes()) byte(b);
    }
  }
  void side(const ActiveRule::Side& s) {
    nets(s.nets);
    nets(s.not_nets);
    texts(s.sets);
    texts(s.not_sets);
    ports(s.ports);
    ports(s.not_ports);
    texts(s.port_sets);
    texts(s.not_port_sets);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

class Unpacker {
 public:
  explicit Unpacker(std::string_view in) : in_(in) {}
  [[nodiscard]] bool at_end() const { return in_.empty(); }
  std::uint8_t byte() {
    MARGAY_ASSERT(!in_.empty());
    const auto b = static_cast<std::uint8_t>(in_.front());
    in_.remove_prefix(1);
    return b;
  }
  std::size_t number() {
    std::size_t n = 0;
    for (unsigned shift = 0;; shift += 7) {
      const std::uint8_t b = byte();
      n |= std::size_t{b & 0x7fU} << shift;
      if (b < 0x80) return n;
    }
  }
  std::string text() {
    const std::size_t size = number();
    MARGAY_ASSERT(size <= in_.size());
    std::string out(in_.substr(0, size));
    in_.remove_prefix(size);
    return out;
  }
  std::uint16_t port() {
    const unsigned high = byte();
    return static_cast<std::uint16_t>(high << 8 | byte());
  }
  std::optional<std::uint8_t> optional() {
    if (byte() == 0) return std::nullopt;
    return byte();
  }
  std::vector<std::string> texts() {
    std::vector<std::string> out(number());
    for (auto& s : out) s = text();
    return out;
  }
  std::vector<model::PortRange> ports() {
    std::vector<model::PortRange> out(number());
    for (auto& range : out) {
      range.first = port();
      range.last = port();
    }
    return out;
  }
  std::vector<Prefix> nets() {
    std::vector<Prefix> out(number());
    for (Prefix& net : out) {
      const std::size_t size = byte() == 6 ? 16 : 4;
      const unsigned length = byte();
      std::array<std::uint8_t, 16> bytes{};
      for (std::size_t i = 0; i < size; ++i) bytes[i] = byte();
      net = Prefix::containing(Ip::from_bytes(std::span(bytes).first(size)), length);
    }
    return out;
  }
  ActiveRule::Side side() {
    ActiveRule::Side s;
    s.nets = nets();
    s.not_nets = nets();
    s.sets = texts();
    s.not_sets = texts();
    s.ports = ports();
    s.not_ports = ports();
    s.port_sets = texts();
    s.not_port_sets = texts();
    return s;
  }

 private:
  std::string_view in_;
};

std::optional<std::uint8_t> number_of(const std::optional<model::Protocol>& p) {
  if (!p) return std::nullopt;
  return p->number;
}

std::optional<model::Protocol> protocol_of(std::optional<std::uint8_t> n) {
  if (!n) return std::nullopt;
  return model::Protocol{*n};
}

void pack_icmp(Packer& out, const std::optional<model::Icmp>& icmp) {
  out.byte(icmp ? 1 : 0);
  if (!icmp) return;
  out.optional(icmp->type);
  out.optional(icmp->code);
}

std::optional<model::Icmp> unpack_icmp(Unpacker& in) {
  if (in.byte() == 0) return std::nullopt;
  model::Icmp icmp;
  icmp.type = in.optional();
  icmp.code = in.optional();
  return icmp;
}

}  // namespace

Result<std::vector<ActiveRule>> translate(const std::vector<Rule>& rules, std::string_view ns,
                                          Direction direction) {
  std::vector<ActiveRule> out;
  out.reserve(rules.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    auto rule = translate_rule(rules[i], ns, direction);
    if (!rule.ok()) {
      const char* list = direction == Direction::ingress ? "ingress[" : "egress[";
      return make_error(Code::invalid, list + std::to_string(i) + "]." + rule.error().context);
    }
    out.push_back(std::move(rule).value());
  }
  return out;
}

std::string pack_rules(std::span<const ActiveRule> rules) {
  Packer out;
  for (const auto& rule : rules) {
    out.byte(static_cast<std::uint8_t>(rule.action));
    out.byte(rule.never ? 1 : 0);
    out.byte(rule.family ? static_cast<std::uint8_t>(*rule.family) : std::uint8_t{0});
    out.optional(number_of(rule.protocol));
    out.optional(number_of(rule.not_protocol));
    pack_icmp(out, rule.icmp);
    pack_icmp(out, rule.not_icmp);
    out.side(rule.source);
    out.side(rule.destination);
    out.texts(rule.destination_service_sets);
    out.text(rule.annotations);
  }
  std::string packed = out.take();
  packed.shrink_to_fit();
  return packed;
}

std::vector<ActiveRule> unpack_rules(std::string_view packed) {
  std::vector<ActiveRule> out;
  for (Unpacker in(packed); !in.at_end();) {
    ActiveRule& rule = out.emplace_back();
    rule.action = static_cast<model::Action>(in.byte());
    rule.never = in.byte() != 0;
    const std::uint8_t family = in.byte();
    if (family != 0) rule.family = static_cast<Family>(family);
    rule.protocol = protocol_of(in.optional());
    rule.not_protocol = protocol_of(in.optional());
    rule.icmp = unpack_icmp(in);
    rule.not_icmp = unpack_icmp(in);
    rule.source = in.side();
    rule.destination = in.side();
    rule.destination_service_sets = in.texts();
    rule.annotations = in.text();
  }
  return out;
}

}  // namespace margay::calc
