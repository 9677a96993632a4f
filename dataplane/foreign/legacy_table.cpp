// SPDX-License-Identifier: Apache-2.0
#include "dataplane/foreign/legacy_table.h"

#include <linux/netfilter.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <span>

#include "dataplane/foreign/extensions.h"

namespace margay::foreign {
namespace {

using netlink::ByteView;

// Where the fields of a rule are; the two families differ in their headers only.
struct Layout {
  std::size_t size;  // of the header
  std::size_t target_offset, next_offset;
  std::size_t addresses, addresses_end;  // zero when every address matches
  std::size_t in, out, in_mask, out_mask;
  std::size_t protocol, flags, inverted;
  std::uint8_t go_to, with_protocol, other_flags;
};
constexpr Layout kV4{sizeof(ipt_entry),
                     offsetof(ipt_entry, target_offset),
                     offsetof(ipt_entry, next_offset),
                     offsetof(ipt_entry, ip.smsk),
                     offsetof(ipt_entry, ip.iniface),
                     offsetof(ipt_entry, ip.iniface),
                     offsetof(ipt_entry, ip.outiface),
                     offsetof(ipt_entry, ip.iniface_mask),
                     offsetof(ipt_entry, ip.outiface_mask),
                     offsetof(ipt_entry, ip.proto),
                     offsetof(ipt_entry, ip.flags),
                     offsetof(ipt_entry, ip.invflags),
                     IPT_F_GOTO,
                     0,
                     IPT_F_FRAG};
constexpr Layout kV6{sizeof(ip6t_entry),
                     offsetof(ip6t_entry, target_offset),
                     offsetof(ip6t_entry, next_offset),
                     offsetof(ip6t_entry, ipv6.smsk),
                     offsetof(ip6t_entry, ipv6.iniface),
                     offsetof(ip6t_entry, ipv6.iniface),
                     offsetof(ip6t_entry, ipv6.outiface),
                     offsetof(ip6t_entry, ipv6.iniface_mask),
                     offsetof(ip6t_entry, ipv6.outiface_mask),
                     offsetof(ip6t_entry, ipv6.proto),
                     offsetof(ip6t_entry, ipv6.flags),
                     offsetof(ip6t_entry, ipv6.invflags),
                     IP6T_F_GOTO,
                     IP6T_F_PROTO,
                     IP6T_F_TOS};
const Layout& layout_of(Family f) { return f == Family::v4 ? kV4 : kV6; }

template <typename T>
T read(ByteView bytes, std::size_t at) {
  T out{};
  if (at + sizeof(T) <= bytes.size()) std::memcpy(&out, bytes.data() + at, sizeof(T));
  return out;
}
template <typename T>
void write(std::span<std::uint8_t> bytes, std::size_t at, const T& value) {
  std::memcpy(bytes.data() + at, &value, sizeof(T));
}

constexpr std::size_t align(std::size_t n) {
  constexpr std::size_t kAlign = alignof(_xt_align);
  return (n + kAlign - 1) / kAlign * kAlign;
}
constexpr std::size_t kVerdict = offsetof(xt_standard_target, verdict);
constexpr std::size_t kErrorName = offsetof(xt_error_target, errorname);

// Offsets of all rules; an error when they do not fill the table one behind the other.
Result<std::vector<std::uint32_t>> offsets_of(const LegacyTable& t) {
  const Layout& l = layout_of(t.family);
  std::vector<std::uint32_t> out;
  const ByteView all(t.bytes);
  std::size_t at = 0;
  while (at < all.size()) {
    const auto target = read<std::uint16_t>(all, at + l.target_offset);
    const auto next = read<std::uint16_t>(all, at + l.next_offset);
    const bool good = at + l.size <= all.size() && target >= l.size &&
                      next >= target + sizeof(xt_entry_target) && at + next <= all.size();
    if (!good)
      return make_error(Code::invalid,
                        "legacy table " + t.name + ": no rule at byte " + std::to_string(at));
    out.push_back(static_cast<std::uint32_t>(at));
    at += next;
  }
  return out;
}

struct Entry {  // a rule's bytes
  ByteView bytes;
  std::size_t target = 0;
  [[nodiscard]] std::string_view target_name() const {
    return text_in(
        bytes.subspan(target + offsetof(xt_entry_target, u.user.name), XT_EXTENSION_MAXNAMELEN));
  }
  [[nodiscard]] bool standard() const {
    return target_name().empty() && bytes.size() >= target + kVerdict + sizeof(std::int32_t);
  }
  [[nodiscard]] std::int32_t verdict() const {
    return read<std::int32_t>(bytes, target + kVerdict);
  }
};
Entry entry_at(const LegacyTable& t, std::uint32_t at) {
  const Layout& l = layout_of(t.family);
  const ByteView all(t.bytes);
  return {all.subspan(at, read<std::uint16_t>(all, at + l.next_offset)),
          read<std::uint16_t>(all, at + l.target_offset)};
}

constexpr std::array<std::string_view, LegacyTable::kHooks> kBuiltIn{
    "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"};

// First rule -> chain.
std::map<std::uint32_t, std::string> chain_starts(const LegacyTable& t,
                                                  const std::vector<std::uint32_t>& offsets) {
  std::map<std::uint32_t, std::string> out;
  for (std::size_t h = 0; h < LegacyTable::kHooks; ++h) {
    if ((t.valid_hooks >> h & 1U) != 0) out[t.entry[h]] = kBuiltIn[h];
  }
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {  // the last one ends the table
    const Entry e = entry_at(t, offsets[i]);
    if (e.target_name() != XT_ERROR_TARGET || e.bytes.size() <= e.target + kErrorName) continue;
    out[offsets[i + 1]] = std::string(text_in(e.bytes.subspan(e.target + kErrorName)));
  }
  return out;
}

std::optional<std::string> interface_in(ByteView rule, std::size_t name_at, std::size_t mask_at) {
  const ByteView name = rule.subspan(name_at, IFNAMSIZ), mask = rule.subspan(mask_at, IFNAMSIZ);
  const auto end = std::ranges::find_if(mask, [](std::uint8_t b) { return b != 0xff; });
  const auto compared = static_cast<std::size_t>(end - mask.begin());
  if (compared == 0) return std::nullopt;
  const std::string_view text = text_in(name.first(compared));
  return std::string(text) + (text.size() == compared ? "*" : "");
}

void read_matches(const Entry& e, std::size_t at, Rule& r) {
  while (at + sizeof(xt_entry_match) <= e.target) {
    const auto size = read<std::uint16_t>(e.bytes, at);
    if (size < sizeof(xt_entry_match) || at + size > e.target) {
      r.more = true;
      return;
    }
    const auto name = text_in(
        e.bytes.subspan(at + offsetof(xt_entry_match, u.user.name), XT_EXTENSION_MAXNAMELEN));
    add_match(name, e.bytes.subspan(at + sizeof(xt_entry_match), size - sizeof(xt_entry_match)), r);
    at += size;
  }
}

void read_verdict(const Entry& e, std::uint32_t at, bool go_to,
                  const std::map<std::uint32_t, std::string>& starts, Rule& r) {
  if (!e.standard()) {
    r.verdict = verdict_of_target(e.target_name());
    return;
  }
  const std::int32_t v = e.verdict();
  if (v >= 0) {
    const auto to = static_cast<std::uint32_t>(v);
    if (to == at + e.bytes.size()) return;  // a rule without a target
    const auto it = starts.find(to);
    if (it == starts.end()) return;
    r.verdict = go_to ? Rule::Verdict::goto_ : Rule::Verdict::jump;
    r.target = it->second;
  } else if (v == -NF_ACCEPT - 1) {
    r.verdict = Rule::Verdict::accept;
  } else if (v == -NF_DROP - 1) {
    r.verdict = Rule::Verdict::drop;
  } else if (v == XT_RETURN) {
    r.verdict = Rule::Verdict::return_;
  }
}

Rule read_rule(const LegacyTable& t, std::uint32_t at,
               const std::map<std::uint32_t, std::string>& starts) {
  const Layout& l = layout_of(t.family);
  const Entry e = entry_at(t, at);
  Rule r;
  r.handle = at;
  r.match.in = interface_in(e.bytes, l.in, l.in_mask);
  r.match.out = interface_in(e.bytes, l.out, l.out_mask);
  const auto protocol = read<std::uint16_t>(e.bytes, l.protocol);
  if (protocol != 0) r.match.protocol = static_cast<std::uint8_t>(protocol);
  const ByteView masks = e.bytes.subspan(l.addresses, l.addresses_end - l.addresses);
  const bool addresses = std::ranges::any_of(masks, [](std::uint8_t b) { return b != 0; });
  const auto flags = e.bytes[l.flags];
  if (addresses || (flags & l.other_flags) != 0 || e.bytes[l.inverted] != 0) r.more = true;
  read_matches(e, l.size, r);
  read_verdict(e, at, (flags & l.go_to) != 0, starts, r);
  return r;
}

// --- changing --------------------------------------------------------------------------------

void append_match(std::vector<std::uint8_t>& rule, std::string_view name, ByteView content) {
  const std::size_t at = rule.size();
  rule.resize(at + align(sizeof(xt_entry_match) + content.size()));
  write(rule, at, static_cast<std::uint16_t>(rule.size() - at));
  std::memcpy(rule.data() + at + offsetof(xt_entry_match, u.user.name), name.data(), name.size());
  std::memcpy(rule.data() + at + sizeof(xt_entry_match), content.data(), content.size());
}

void put_interface(std::vector<std::uint8_t>& rule, std::size_t name_at, std::size_t mask_at,
                   const std::optional<std::string>& pattern) {
  if (!pattern) return;
  const bool prefix = pattern->ends_with('*');
  const std::string_view text =
      std::string_view(*pattern).substr(0, pattern->size() - (prefix ? 1 : 0));
  std::memcpy(rule.data() + name_at, text.data(), std::min<std::size_t>(text.size(), IFNAMSIZ - 1));
  const std::size_t compared = std::min<std::size_t>(text.size() + (prefix ? 0 : 1), IFNAMSIZ);
  std::memset(rule.data() + mask_at, 0xff, compared);
}

std::vector<std::uint8_t> accept_rule(Family f, const Traits& match) {
  const Layout& l = layout_of(f);
  std::vector<std::uint8_t> rule(l.size);
  put_interface(rule, l.in, l.in_mask, match.in);
  put_interface(rule, l.out, l.out_mask, match.out);
  if (match.protocol) {
    write(rule, l.protocol, std::uint16_t{*match.protocol});
    rule[l.flags] |= l.with_protocol;
  }
  if (match.port) {  // of UDP, the only protocol that is asked for
    xt_udp ports{};
    ports.spts[1] = 0xffff;
    ports.dpts[0] = ports.dpts[1] = *match.port;
    std::uint8_t raw[sizeof ports];
    std::memcpy(raw, &ports, sizeof ports);
    append_match(rule, "udp", raw);
  }
  std::uint8_t comment[XT_MAX_COMMENT_LEN]{};
  const std::string text = std::string(kComment) + " is Accept";
  std::memcpy(comment, text.data(), std::min<std::size_t>(text.size(), sizeof comment - 1));
  append_match(rule, "comment", comment);
  const std::size_t target = rule.size();
  rule.resize(target + align(sizeof(xt_standard_target)));
  write(rule, target, static_cast<std::uint16_t>(rule.size() - target));
  write(rule, target + kVerdict, std::int32_t{-NF_ACCEPT - 1});
  write(rule, l.target_offset, static_cast<std::uint16_t>(target));
  write(rule, l.next_offset, static_cast<std::uint16_t>(rule.size()));
  return rule;
}

// Everything that points behind `at` moves by `by`; policies also when they stand at it.
void move_references(LegacyTable& t, std::uint32_t at, std::int64_t by) {
  const auto moved = [by](std::uint32_t r) { return static_cast<std::uint32_t>(r + by); };
  for (std::size_t h = 0; h < LegacyTable::kHooks; ++h) {
    if ((t.valid_hooks >> h & 1U) == 0) continue;
    if (t.entry[h] > at) t.entry[h] = moved(t.entry[h]);
    if (t.policy[h] > at || (by > 0 && t.policy[h] == at)) t.policy[h] = moved(t.policy[h]);
  }
}

Result<void> move_jumps(LegacyTable& t, std::uint32_t at, std::int64_t by) {
  MARGAY_TRY(const auto offsets, offsets_of(t));
  for (const std::uint32_t o : offsets) {
    const Entry e = entry_at(t, o);
    if (!e.standard() || e.verdict() <= static_cast<std::int64_t>(at)) continue;
    write(t.bytes, o + e.target + kVerdict, static_cast<std::int32_t>(e.verdict() + by));
  }
  return {};
}

Result<void> insert(LegacyTable& t, std::uint32_t at, const std::vector<std::uint8_t>& rule) {
  MARGAY_TRY(const auto offsets, offsets_of(t));
  const auto place = std::ranges::lower_bound(offsets, at) - offsets.begin();
  const auto by = static_cast<std::int64_t>(rule.size());
  MARGAY_CHECK(move_jumps(t, at, by));
  move_references(t, at, by);
  t.bytes.insert(t.bytes.begin() + at, rule.begin(), rule.end());
  t.origins.insert(t.origins.begin() + place, std::nullopt);
  return {};
}

Result<void> remove(LegacyTable& t, std::uint32_t at) {
  MARGAY_TRY(const auto offsets, offsets_of(t));
  const auto place = std::ranges::lower_bound(offsets, at);
  if (place == offsets.end() || *place != at) return make_error(Code::not_found, "legacy rule");
  const auto size = static_cast<std::int64_t>(entry_at(t, at).bytes.size());
  MARGAY_CHECK(move_jumps(t, at, -size));
  move_references(t, at, -size);
  t.bytes.erase(t.bytes.begin() + at, t.bytes.begin() + at + size);
  t.origins.erase(t.origins.begin() + (place - offsets.begin()));
  return {};
}

}  // namespace

Result<Table> read_table(const LegacyTable& t) {
  MARGAY_TRY(const auto offsets, offsets_of(t));
  for (std::size_t h = 0; h < LegacyTable::kHooks; ++h) {
    const bool good =
        (t.valid_hooks >> h & 1U) == 0 || (std::ranges::binary_search(offsets, t.entry[h]) &&
                                           std::ranges::binary_search(offsets, t.policy[h]));
    if (!good)
      return make_error(Code::invalid, "legacy table " + t.name + ": a hook without rules");
  }
  const auto starts = chain_starts(t, offsets);
  Table out{Backend::legacy, t.family == Family::v4 ? Families::v4 : Families::v6, t.name, {}, {}};
  const auto hook_of_policy = [&](std::uint32_t at) -> std::optional<std::size_t> {
    for (std::size_t h = 0; h < LegacyTable::kHooks; ++h) {
      if ((t.valid_hooks >> h & 1U) != 0 && t.policy[h] == at) return h;
    }
    return std::nullopt;
  };
  Chain* chain = nullptr;
  for (const std::uint32_t at : offsets) {
    if (const auto it = starts.find(at); it != starts.end()) {
      chain = &out.chains[it->second];
      if (const auto m = manager_of_chain(it->second); !m.empty()) out.managers.emplace(m);
    }
    if (entry_at(t, at).target_name() == XT_ERROR_TARGET)
      chain = nullptr;  // a chain's name follows
    if (chain == nullptr) continue;
    Rule r = read_rule(t, at, starts);
    if (const auto h = hook_of_policy(at)) {
      chain->base = Base{static_cast<Hook>(*h), 0, r.verdict == Rule::Verdict::drop};
    } else {
      chain->rules.push_back(std::move(r));
    }
  }
  return out;
}

Result<std::size_t> number_rules(LegacyTable& t) {
  MARGAY_TRY(const auto offsets, offsets_of(t));
  t.origins.clear();
  for (std::size_t i = 0; i < offsets.size(); ++i)
    t.origins.emplace_back(static_cast<std::uint32_t>(i));
  return offsets.size();
}

Result<LegacyTable> with_edit(LegacyTable t, const Edit& edit) {
  std::vector<std::uint32_t> gone;
  for (const auto& [chain, at] : edit.remove) gone.push_back(static_cast<std::uint32_t>(at));
  std::ranges::sort(gone, std::greater<>{});  // from behind: what is left keeps its place
  for (const std::uint32_t at : gone) MARGAY_CHECK(remove(t, at));
  for (const Accept& a : edit.insert) {
    MARGAY_TRY(const auto offsets, offsets_of(t));
    const auto starts = chain_starts(t, offsets);
    const auto it =
        std::ranges::find_if(starts, [&](const auto& s) { return s.second == a.chain; });
    if (it == starts.end()) return make_error(Code::not_found, "chain " + a.chain);
    MARGAY_CHECK(insert(t, it->first, accept_rule(t.family, a.match)));
  }
  return t;
}

}  // namespace margay::foreign
