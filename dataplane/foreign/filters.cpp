// SPDX-License-Identifier: Apache-2.0
#include "dataplane/foreign/filters.h"

#include <algorithm>
#include <array>

namespace margay::foreign {
namespace {

constexpr std::uint8_t kUdp = 17;
constexpr int kMaxDepth = 16;  // of jumps: the kernel's own limit

struct Mark {
  std::string_view prefix, manager;
};
constexpr std::array kTableMarks{Mark{"firewalld", "firewalld"}, Mark{"docker-bridges", "Docker"}};
constexpr std::array kChainMarks{Mark{"DOCKER", "Docker"}, Mark{"ufw-", "ufw"},
                                 Mark{"ufw6-", "ufw"}, Mark{"KUBE-ROUTER-", "kube-router"}};
constexpr std::array<std::string_view, 1> kUserChains{"DOCKER-USER"};

template <typename Marks>
std::string_view manager_in(const Marks& marks, std::string_view name) {
  const auto it =
      std::ranges::find_if(marks, [&](const Mark& m) { return name.starts_with(m.prefix); });
  return it == marks.end() ? std::string_view{} : it->manager;
}

// One thing that has to get through one hook.
struct Need {
  Hook hook = Hook::forward;
  Traits packet;
  bool v4 = false, v6 = false;
  std::string_view what;
};

std::vector<Need> needs_of(const Subject& s) {
  std::vector<Need> out;
  for (const std::string& prefix : s.prefixes) {
    const Traits from{prefix + "*", {}, {}, {}}, to{{}, prefix + "*", {}, {}};
    const auto add = [&](Hook hook, const Traits& packet, std::string_view what) {
      out.push_back({hook, packet, s.v4, s.v6, what});
    };
    add(Hook::prerouting, from, "packets from workloads");
    add(Hook::forward, from, "packets from workloads");
    add(Hook::forward, to, "packets to workloads");
    add(Hook::postrouting, to, "packets to workloads");
    add(Hook::output, to, "packets of this host to workloads");
    if (s.workloads_to_host) add(Hook::input, from, "packets of workloads to this host");
  }
  // From whom VXLAN may come is the matter of our own tables, which every packet passes too.
  const auto vxlan = [&](const std::optional<std::uint16_t>& port, bool v4) {
    if (!port) return;
    for (const Hook hook : {Hook::input, Hook::output}) {
      out.push_back({hook, {{}, {}, kUdp, port}, v4, !v4, "VXLAN"});
    }
  };
  vxlan(s.vxlan_v4_port, true);
  vxlan(s.vxlan_v6_port, false);
  return out;
}

// Whether every packet of which `known` is known meets the rule's condition on an interface.
bool covers(const std::optional<std::string>& pattern, const std::optional<std::string>& known) {
  if (!pattern) return true;
  if (!known) return false;
  if (!pattern->ends_with('*')) return *pattern == *known;
  return known->starts_with(std::string_view(*pattern).substr(0, pattern->size() - 1));
}

bool meets(const Rule& r, const Traits& p, Family f) {
  const auto equal = [](const auto& wanted, const auto& known) {
    return !wanted || wanted == known;
  };
  return !r.more && (!r.family || r.family == f) && covers(r.match.in, p.in) &&
         covers(r.match.out, p.out) && equal(r.match.protocol, p.protocol) &&
         equal(r.match.port, p.port);
}

// Follows a packet of which little is known: rules that depend on more are passed over, as what
// they accept is an exception and what they drop is meant.
class Walk {
 public:
  Walk(const Table& table, const Traits& packet, Family f, bool without_ours)
      : table_(table), packet_(packet), family_(f), without_ours_(without_ours) {}

  // What drops the packet ("policy drop", or a chain's name); nullopt: it passes.
  std::optional<std::string> dropped_by(const std::string& name) {
    const Chain& chain = table_.chains.find(name)->second;
    switch (run(name, chain, 0)) {
      case End::accepted:
        return std::nullopt;
      case End::dropped:
        return by_;
      case End::fell_through:
        break;
    }
    return chain.base->drops ? std::optional<std::string>("policy drop") : std::nullopt;
  }

 private:
  enum class End { accepted, dropped, fell_through };

  End run(const std::string& name, const Chain& chain, int depth) {
    for (const Rule& r : chain.rules) {
      if ((r.ours && without_ours_) || !meets(r, packet_, family_)) continue;
      switch (r.verdict) {
        case Rule::Verdict::none:
          continue;
        case Rule::Verdict::accept:
          return End::accepted;
        case Rule::Verdict::drop:
          by_ = "a rule of chain " + name;
          return End::dropped;
        case Rule::Verdict::return_:
          return End::fell_through;
        case Rule::Verdict::jump:
        case Rule::Verdict::goto_:
          const auto it = table_.chains.find(r.target);
          if (it == table_.chains.end() || depth == kMaxDepth) continue;
          const End end = run(it->first, it->second, depth + 1);
          if (end != End::fell_through || r.verdict == Rule::Verdict::goto_) return end;
          continue;
      }
    }
    return End::fell_through;
  }

  const Table& table_;
  const Traits& packet_;
  const Family family_;
  const bool without_ours_;
  std::string by_;
};

// Of a need at a base chain: what drops it, with our own rules and without them.
struct Outcome {
  std::optional<std::string> bare, now;
};
Outcome outcome(const Table& t, const std::string& chain, const Need& n) {
  Outcome out;
  for (const Family f : kFamilies) {
    const bool used = f == Family::v4 ? n.v4 : n.v6;
    if (!used || !includes(t.families, f)) continue;
    if (auto by = Walk(t, n.packet, f, true).dropped_by(chain)) out.bare = std::move(by);
    if (auto by = Walk(t, n.packet, f, false).dropped_by(chain)) out.now = std::move(by);
  }
  return out;
}

void note(std::vector<std::string>& list, std::string_view what) {
  if (std::ranges::find(list, what) == list.end()) list.emplace_back(what);
}

bool is_xtables_name(std::string_view table) {
  for (const std::string_view name : {"filter", "mangle", "raw", "security", "nat"}) {
    if (table == name) return true;
  }
  return false;
}

std::string manager_of(const Table& t) {
  std::string out;
  if (t.backend == Backend::legacy) out = "iptables-legacy";
  if (t.backend == Backend::nft && t.families != Families::both && is_xtables_name(t.name)) {
    out = "iptables-nft";
  }
  for (const std::string& m : t.managers) out += (out.empty() ? "" : ", ") + m;
  return out;
}

// Where an accept for packets through `base` belongs: before everything, unless the manager has a
// place for it.
const std::string& place_in(const Table& t, const std::string& base) {
  for (const Rule& r : t.chains.find(base)->second.rules) {
    const bool always = !r.more && !r.family && r.match == Traits{};
    if (!always || r.verdict != Rule::Verdict::jump || !is_user_chain(r.target)) continue;
    if (const auto it = t.chains.find(r.target); it != t.chains.end()) return it->first;
  }
  return base;
}

bool can_hold_accepts(Hook h) {
  return h == Hook::forward || h == Hook::input || h == Hook::output;
}

std::string_view family_word(Families families) {
  switch (families) {
    case Families::v4:
      return "ip";
    case Families::v6:
      return "ip6";
    case Families::both:
      return "inet";
  }
  return "";
}

// The rules, in words of the tool that keeps the table.
std::string commands(const Drop& d, const Table& t, const Subject& s) {
  const std::string prefix = s.prefixes.empty() ? "cali" : s.prefixes.front();
  const bool vxlan = d.hook != Hook::forward && !d.drops.empty() && d.drops.back() == "VXLAN";
  const auto port = s.vxlan_v4_port ? s.vxlan_v4_port : s.vxlan_v6_port;
  const std::string& place = place_in(t, d.chain);
  if (d.backend == Backend::legacy || d.manager.starts_with("iptables-nft")) {
    const std::string tool = std::string(d.families == Families::v6 ? "ip6tables" : "iptables") +
                             (d.backend == Backend::legacy ? "-legacy" : "-nft") +
                             (t.name == "filter" ? "" : " -t " + t.name) + " -I " + place;
    if (vxlan) return tool + " -p udp --dport " + std::to_string(port.value_or(0)) + " -j ACCEPT";
    if (d.hook == Hook::input || d.hook == Hook::prerouting)
      return tool + " -i " + prefix + "+ -j ACCEPT";
    if (d.hook != Hook::forward) return tool + " -o " + prefix + "+ -j ACCEPT";
    return tool + " -i " + prefix + "+ -j ACCEPT; " + tool + " -o " + prefix + "+ -j ACCEPT";
  }
  const std::string insert =
      "nft insert rule " + std::string(family_word(d.families)) + " " + t.name + " " + place;
  if (vxlan) return insert + " udp dport " + std::to_string(port.value_or(0)) + " accept";
  if (d.hook == Hook::input || d.hook == Hook::prerouting)
    return insert + " iifname '" + prefix + "*' accept";
  if (d.hook != Hook::forward) return insert + " oifname '" + prefix + "*' accept";
  return insert + " iifname '" + prefix + "*' accept; " + insert + " oifname '" + prefix +
         "*' accept";
}

std::string remedy_of(const Drop& d, const Table& t, const Subject& s) {
  std::string out;
  if (t.managers.contains("firewalld")) {
    out = "give pods a firewalld zone or policy that accepts them, or stop firewalld";
  } else if (t.managers.contains("ufw") && d.hook == Hook::forward) {
    out = "set DEFAULT_FORWARD_POLICY=\"ACCEPT\" in /etc/default/ufw and reload ufw";
  } else {
    out = commands(d, t, s);
  }
  return can_hold_accepts(d.hook) ? out + "; or set ForeignDropAction to Accept" : out;
}

}  // namespace

bool includes(Families families, Family f) {
  return families == Families::both || (families == Families::v4) == (f == Family::v4);
}

bool is_user_chain(std::string_view chain) {
  return std::ranges::find(kUserChains, chain) != kUserChains.end();
}

std::string_view manager_of_table(std::string_view table) { return manager_in(kTableMarks, table); }
std::string_view manager_of_chain(std::string_view chain) { return manager_in(kChainMarks, chain); }

std::string_view to_string(Hook h) {
  switch (h) {
    case Hook::prerouting:
      return "prerouting";
    case Hook::input:
      return "input";
    case Hook::forward:
      return "forward";
    case Hook::output:
      return "output";
    case Hook::postrouting:
      return "postrouting";
  }
  return "";
}

std::string describe_table(Backend backend, Families families, std::string_view name) {
  return std::string(backend == Backend::legacy ? "legacy table " : "table ") +
         std::string(family_word(families)) + " " + std::string(name);
}

std::string describe(const Drop& d) {
  const std::string manager = d.manager.empty() ? "" : " (" + d.manager + ")";
  return "chain " + d.chain + " of " + describe_table(d.backend, d.families, d.table) + manager;
}

std::string sentence(const Drop& d) {
  std::string what;
  for (const std::string& w : d.drops) what += (what.empty() ? "" : ", ") + w;
  const std::string error = d.error.empty() ? "" : "; accepts could not be put there: " + d.error;
  return describe(d) + " drops " + what + " (" + d.by + "): " + d.remedy + error;
}

std::vector<Drop> find_drops(const Table& t, const Subject& s) {
  const std::vector<Need> needs = needs_of(s);
  std::vector<Drop> out;
  for (const auto& [name, chain] : t.chains) {
    if (!chain.base) continue;
    Drop d{t.backend, t.families, t.name, name, chain.base->hook, {}, manager_of(t),
           {},        {},         {},     {}};
    // A packet of which nothing is known.
    for (const Family f : kFamilies) {
      if (!includes(t.families, f)) continue;
      if (auto by = Walk(t, {}, f, true).dropped_by(name)) d.by = std::move(*by);
    }
    if (d.by.empty()) continue;
    for (const Need& n : needs) {
      if (n.hook != chain.base->hook) continue;
      const Outcome o = outcome(t, name, n);
      if (o.now) note(d.drops, n.what);
      if (o.bare && !o.now) note(d.spared, n.what);
    }
    if (!d.drops.empty()) d.remedy = remedy_of(d, t, s);
    out.push_back(std::move(d));
  }
  return out;
}

Edit edit_for(const Table& t, const Subject& s, bool accepting) {
  std::vector<Accept> wanted;
  if (accepting) {
    const std::vector<Need> needs = needs_of(s);
    for (const auto& [name, chain] : t.chains) {
      if (!chain.base || !can_hold_accepts(chain.base->hook)) continue;
      for (const Need& n : needs) {
        if (n.hook != chain.base->hook || !outcome(t, name, n).bare) continue;
        Accept a{place_in(t, name), n.packet};
        if (std::ranges::find(wanted, a) == wanted.end()) wanted.push_back(std::move(a));
      }
    }
  }
  Edit out;
  for (const auto& [name, chain] : t.chains) {
    for (const Rule& r : chain.rules) {
      if (!r.ours) continue;
      const auto it = std::ranges::find(wanted, Accept{name, r.match});
      const bool good =
          it != wanted.end() && !r.more && !r.family && r.verdict == Rule::Verdict::accept;
      if (good) {
        wanted.erase(it);
      } else {
        out.remove.emplace_back(name, r.handle);
      }
    }
  }
  out.insert = std::move(wanted);
  return out;
}

}  // namespace margay::foreign
