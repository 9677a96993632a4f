// SPDX-License-Identifier: Apache-2.0
#include "dataplane/policy/matches.h"

#include <algorithm>
#include <array>

#include "dataplane/policy/names.h"

namespace margay::policy {

namespace {

using model::PortRange;
using nft::Dependency;
using nft::Direction;
using nft::Element;
using nft::Exprs;
using nft::Packed;

Ip last_address(const Prefix& p) {
  std::array<std::uint8_t, 16> raw{};
  const auto bytes = p.addr().bytes();
  std::copy(bytes.begin(), bytes.end(), raw.begin());
  for (unsigned i = p.length(); i < max_prefix_length(p.family()); ++i) {
    raw[i / 8] = static_cast<std::uint8_t>(raw[i / 8] | (0x80U >> (i % 8)));
  }
  return Ip::from_bytes(std::span(raw).first(bytes.size()));
}

bool one_length(const std::vector<Prefix>& nets) {
  return std::ranges::all_of(nets,
                             [&](const Prefix& p) { return p.length() == nets.front().length(); });
}

std::vector<PortRange> joined(std::vector<PortRange> ports) {
  std::ranges::sort(ports);
  std::vector<PortRange> out;
  for (const PortRange& p : ports) {
    if (!out.empty() && static_cast<unsigned>(out.back().last) + 1 >= p.first) {
      out.back().last = std::max(out.back().last, p.last);
    } else {
      out.push_back(p);
    }
  }
  return out;
}

void append(Exprs& to, const Exprs& more) { to.insert(to.end(), more.begin(), more.end()); }

}  // namespace

std::string ConstantSets::add(std::string_view stem, nft::SetType type,
                              std::vector<Element> elements) {
  std::string content;
  for (const Element& e : elements) {
    for (const Packed* p : {&e.key, &e.key_end}) {
      content.push_back(static_cast<char>(p->size()));
      for (const std::uint8_t b : p->bytes()) content.push_back(static_cast<char>(b));
    }
  }
  for (const nft::Datatype t : type.key) content += "," + std::to_string(static_cast<unsigned>(t));
  content += type.interval ? "i" : "h";
  std::string name = "c-" + std::string(stem) + "-" + digest(content);
  sets_.try_emplace(name, ConstantSet{{name, std::move(type)}, std::move(elements)});
  return name;
}

nft::Datatype address_type(Family f) {
  return f == Family::v4 ? nft::Datatype::ipv4_addr : nft::Datatype::ipv6_addr;
}

std::vector<Prefix> outermost(const std::vector<Prefix>& nets, Family f) {
  std::vector<Prefix> sorted;
  for (const Prefix& p : nets) {
    if (p.family() == f) sorted.push_back(p);
  }
  std::ranges::sort(sorted);  // a prefix comes right before what it contains
  std::vector<Prefix> out;
  for (const Prefix& p : sorted) {
    if (out.empty() || !out.back().contains(p)) out.push_back(p);
  }
  return out;
}

std::vector<Element> ranges_of(const std::vector<Prefix>& nets) {
  std::vector<std::pair<Ip, Ip>> ranges;
  for (const Prefix& p : nets) {
    const Ip last = last_address(p);
    if (!ranges.empty() && ranges.back().second.plus(1) == p.addr()) {
      ranges.back().second = last;
    } else {
      ranges.emplace_back(p.addr(), last);
    }
  }
  std::vector<Element> out;
  for (const auto& [from, to] : ranges) {
    out.push_back(Element::range(Packed::ip(from), Packed::ip(to)));
  }
  return out;
}

std::optional<Exprs> nets_match(ConstantSets& sets, const std::vector<Prefix>& all, Direction dir,
                                Family f, bool inverted) {
  const std::vector<Prefix> nets = outermost(all, f);
  if (nets.empty()) return inverted ? std::optional(Exprs{}) : std::nullopt;
  if (nets.front().length() == 0) return inverted ? std::nullopt : std::optional(Exprs{});
  if (nets.size() == 1) return nft::address(dir, nets.front(), inverted, Dependency::met);
  if (one_length(nets)) {
    std::vector<Element> elements;
    for (const Prefix& p : nets) elements.push_back(Element::of(Packed::ip(p.addr())));
    const auto name = sets.add("nets", {{address_type(f)}, false, std::nullopt}, elements);
    return nft::masked_address_in(dir, f, nets.front().length(), name, inverted, Dependency::met);
  }
  // A constant never changes, so that one lookup of an interval set is cheapest.
  const auto name = sets.add("nets", {{address_type(f)}, true, std::nullopt}, ranges_of(nets));
  return nft::address_in(dir, f, name, inverted, Dependency::met);
}

Exprs ports_match(ConstantSets& sets, std::vector<PortRange> list, Direction dir, bool inverted) {
  const std::vector<PortRange> ports = joined(std::move(list));
  if (ports.size() == 1) {
    return nft::port_range(dir, ports.front().first, ports.front().last, inverted);
  }
  const bool interval =
      std::ranges::any_of(ports, [](const PortRange& p) { return p.first != p.last; });
  std::vector<Element> elements;
  for (const PortRange& p : ports) {
    elements.push_back(interval ? Element::range(Packed::be16(p.first), Packed::be16(p.last))
                                : Element::of(Packed::be16(p.first)));
  }
  const auto name = sets.add("ports", {{nft::Datatype::inet_service}, interval, std::nullopt},
                             std::move(elements));
  return nft::port_in(dir, name, inverted);
}

std::vector<Exprs> member_of(const model::SetId& id, const FamilyShape& shape, Direction dir,
                             Family f) {
  if (shape.interval) {
    return {nft::address_in(dir, f, interval_set_name(id, f), false, Dependency::met)};
  }
  std::vector<Exprs> out;
  for (const unsigned length : shape.lengths) {
    out.push_back(nft::masked_address_in(dir, f, length, net_set_name(id, f, length), false,
                                         Dependency::met));
  }
  return out;
}

Exprs not_member_of(const model::SetId& id, const FamilyShape& shape, Direction dir, Family f) {
  Exprs out;
  if (shape.interval) {
    append(out, nft::address_in(dir, f, interval_set_name(id, f), true, Dependency::met));
  }
  for (const unsigned length : shape.lengths) {
    append(out, nft::masked_address_in(dir, f, length, net_set_name(id, f, length), true,
                                       Dependency::met));
  }
  return out;
}

}  // namespace margay::policy
