// SPDX-License-Identifier: Apache-2.0
// Table, deciding: from want and have of the dirty objects to one plan for the structural
// transaction. No I/O.
#include <algorithm>
#include <functional>

#include "dataplane/nft/rule_diff.h"
#include "dataplane/nft/table_impl.h"

namespace margay::nft {

bool Table::Impl::chain_available(std::string_view name) const {
  if (missing_chains_.contains(name)) return false;
  const auto it = chains_.find(name);
  return it != chains_.end() && (it->second.want || it->second.have);
}

bool Table::Impl::set_available(std::string_view name) const {
  if (missing_sets_.contains(name)) return false;
  const auto it = sets_.find(name);
  return it != sets_.end() && (it->second.wanted || it->second.have);
}

bool Table::Impl::in_use(std::string_view set) const {
  return std::ranges::any_of(chains_, [&](const auto& entry) {
    const auto& have = entry.second.have;
    return have && std::ranges::binary_search(have->refs.sets, set);
  });
}

// The smallest changes of sets go with the rules, as far as one transaction bears them.
void Table::Impl::find_bulk() {
  bulk_ = incomplete_;
  std::erase_if(bulk_, [this](const std::string& name) { return sets_.at(name).refused; });
  std::vector<std::pair<std::size_t, std::string_view>> sizes;
  for (const std::string& name : dirty_sets_) {
    const SetState& s = sets_.at(name);
    if (!s.wanted || s.refused || s.type.is_verdict_map() || bulk_.contains(name)) continue;
    // Verdicts belong to their chains, and bounds of intervals to one another where packets are
    // judged by them; a set of another type goes and comes at once with its rules.
    const bool rigid = s.have && (!s.type_matches() || (s.type.interval && in_use(name)));
    if (rigid) continue;
    sizes.emplace_back(s.have ? s.add.size() + s.remove.size() : s.elements.size(), name);
  }
  std::ranges::sort(sizes);
  std::size_t room = kMaxElements;
  for (const auto& [size, name] : sizes) {
    if (size > room) bulk_.emplace(name);
    room -= std::min(size, room);
  }
}

// What looks up a refused set, or one that lacks an element, is refused with it.
void Table::Impl::close_users_of_refused_sets() {
  for (const std::string& name : Names(refused_chains_)) {
    ChainState& c = chains_.at(name);
    if (c.refused_set.empty() || refused_sets_.contains(c.refused_set)) continue;
    forgive(name, c);
    dirty_chains_.insert(name);
  }
  if (refused_sets_.empty()) return;
  for (auto& [name, c] : chains_) {
    if (!c.want || !c.fails_closed || c.aside) continue;
    const auto& sets = c.want->refs.sets;
    const auto it = std::ranges::find_if(
        sets, [&](const std::string& set) { return refused_sets_.contains(set); });
    if (it == sets.end()) continue;
    c.refused_set = *it;
    c.refused =
        Refused{"chain " + name,
                make_error(Code::conflict, "chain " + name + ": the kernel refuses set " + *it)};
    refused_chains_.insert(name);
    dirty_chains_.insert(name);
    set_aside(c);
  }
}

void Table::Impl::find_waiting() {
  waiting_.clear();
  missing_chains_.clear();
  missing_sets_.clear();
  for (const std::string& name : refused_chains_) {
    const ChainState& c = chains_.at(name);
    if (c.blocked() && !c.have) missing_chains_.insert(name);
  }
  for (const std::string& name : refused_sets_) {
    const SetState& s = sets_.at(name);
    if (s.refused && !s.have) missing_sets_.insert(name);
  }
  spread_waiting(false);
  stuck_ = waiting_;
  stuck_missing_ = missing_chains_;
  if (!bulk_.empty()) spread_waiting(true);
}

// A chain that cannot come makes those wait that jump to it.
void Table::Impl::spread_waiting(bool for_bulk) {
  for (bool changed = true; changed;) {
    changed = false;
    for (const std::string& name : dirty_chains_) {
      const ChainState& c = chains_.at(name);
      if (!c.want || waiting_.contains(name)) continue;
      const auto absent = [&](const std::string& n) { return !chain_available(n); };
      // What looks up a set already goes on with what that set holds so far.
      const auto absent_set = [&](const std::string& n) {
        if (!set_available(n)) return true;
        return for_bulk && bulk_.contains(n) &&
               !(c.have && std::ranges::binary_search(c.have->refs.sets, n));
      };
      if (std::ranges::none_of(c.want->refs.chains, absent) &&
          std::ranges::none_of(c.want->refs.sets, absent_set)) {
        continue;
      }
      waiting_.insert(name);
      if (!c.have) missing_chains_.insert(name);
      changed = true;
    }
  }
}

ElementTable Table::Impl::to_fill(const SetState& s) const {
  if (s.refused_elements.empty()) return s.elements;
  ElementTable refused(s.type);
  for (const auto& [key, why] : s.refused_elements) {
    if (const auto i = s.elements.find(key.bytes())) refused.append_from(s.elements, *i);
  }
  refused.seal();
  ElementTable out = s.elements;
  out.merge(ElementTable(s.type), refused);
  return out;
}

ElementTable Table::Impl::ready(const ElementTable& elements, SetState& s) {
  if (!s.type.is_verdict_map()) return elements;
  ElementTable out(s.type);
  for (std::size_t i = 0; i < elements.size(); ++i) {
    const Verdict& v = elements.verdict(i);
    if (v.chain.empty() || chain_available(v.chain)) {
      out.append_from(elements, i);
    } else {
      elements_wait_ = true;
    }
  }
  out.seal();
  return out;
}

// An old verdict stands until the chain of the new one does, unless that will never be.
bool Table::Impl::is_held(const SetState& s, std::size_t removal) const {
  if (!s.type.is_verdict_map()) return false;
  const auto next = s.add.find(s.remove.full_key(removal));
  if (!next) return false;
  const Verdict& v = s.add.verdict(*next);
  return !v.chain.empty() && !chain_available(v.chain) && !is_stuck(v);
}

void Table::Impl::plan_chain(const std::string& name, ChainState& c, Plan& plan) {
  ChainPlan out;
  out.name = &name;
  out.state = &c;
  const bool has_rules = c.have && !c.have->rules.empty();
  if (!c.want) {
    out.remove = true;
    out.flush = has_rules;
    plan.chains.push_back(std::move(out));
    return;
  }
  const auto kind = [](const std::optional<BaseChain>& b) {
    auto k = b;
    if (k) k->drop_policy = false;  // the one thing about a base chain that can be changed
    return k;
  };
  out.create = !c.have;
  if (c.have && (c.have->odd || kind(c.have->base) != kind(c.want->base))) {
    out.create = out.remove = true;
  } else if (c.have && c.have->base != c.want->base) {
    out.policy = true;
  }
  out.keep.resize(c.want->rules.size());
  if (c.have && !out.create) {
    std::vector<std::uint64_t> have, want;
    for (const HaveRule& r : c.have->rules) have.push_back(r.fingerprint);
    for (const WantedRule& r : c.want->rules) {
      want.push_back(r.kernel_form != 0 ? r.kernel_form : r.code.fingerprint);
    }
    out.keep = match_rules(have, want);
  }
  out.flush =
      has_rules && std::ranges::none_of(out.keep, [](const auto& k) { return k.has_value(); });
  plan.chains.push_back(std::move(out));
}

void Table::Impl::plan_set(const std::string& name, SetState& s, Scope scope, Plan& plan) {
  SetPlan out{&name, &s, false, false, ElementTable(s.type), ElementTable(s.type)};
  if (!s.wanted) {
    out.remove = true;
  } else if (!s.type_matches()) {
    out.create = true;
    out.remove = s.have.has_value();
    out.come = ready(to_fill(s), s);
  } else if (scope == Scope::atomic || s.type.is_verdict_map()) {
    out.come = ready(s.add, s);
    for (std::size_t i = 0; i < s.remove.size(); ++i) {
      if (!is_held(s, i)) out.go.append_from(s.remove, i);
    }
    out.go.seal();
    if (out.come.empty() && out.go.empty()) return;
  } else {
    return;  // a matter of send_members
  }
  plan.sets.push_back(std::move(out));
}

void Table::Impl::plan_rebuilds(Plan& plan) {
  // The kernel does not let go of a set or chain that rules refer to: those rules go and come back.
  References again;
  for (const SetPlan& s : plan.sets) {
    if (s.create && s.remove) again.sets.push_back(*s.name);
  }
  for (const ChainPlan& c : plan.chains) {
    if (c.create && c.remove) again.chains.push_back(*c.name);
  }
  if (again.sets.empty() && again.chains.empty()) return;
  again.normalise();
  const auto touches = [](const std::vector<std::string>& refs,
                          const std::vector<std::string>& in) {
    return std::ranges::any_of(
        refs, [&](const std::string& n) { return std::ranges::binary_search(in, n); });
  };
  for (auto& [name, c] : chains_) {
    if (!c.have ||
        !(touches(c.have->refs.sets, again.sets) || touches(c.have->refs.chains, again.chains))) {
      continue;
    }
    auto it = std::ranges::find(plan.chains, &name, &ChainPlan::name);
    if (it == plan.chains.end()) {
      if (!c.want || c.blocked() || waiting_.contains(name)) continue;
      plan_chain(name, c, plan);
      it = std::prev(plan.chains.end());
    }
    it->flush = !c.have->rules.empty();
    std::ranges::fill(it->keep, std::nullopt);
  }
  for (auto& [name, s] : sets_) {
    if (!s.wanted || !s.type.is_verdict_map() || !s.type_matches() || again.chains.empty())
      continue;
    SetPlan* p = nullptr;
    for (std::size_t i = 0; i < s.elements.size(); ++i) {
      const bool hit = std::ranges::binary_search(again.chains, s.elements.verdict(i).chain);
      if (!hit || s.add.find(s.elements.full_key(i))) continue;
      if (p == nullptr) {
        const auto it = std::ranges::find(plan.sets, &name, &SetPlan::name);
        if (it == plan.sets.end()) {
          plan.sets.push_back(
              {&name, &s, false, false, ElementTable(s.type), ElementTable(s.type)});
        }
        p = it == plan.sets.end() ? &plan.sets.back() : &*it;
      }
      p->go.append_from(s.elements, i);
      p->come.append_from(s.elements, i);
    }
    if (p != nullptr) {
      p->go.seal();
      p->come.seal();
    }
  }
}

void Table::Impl::spare_what_is_used(Plan& plan) {
  for (bool changed = true; changed;) {
    // What is to go, and of that, what something will still name that stays.
    std::set<std::string_view> chains, sets, used_chains, used_sets;
    std::set<const std::string*> planned;
    for (const ChainPlan& c : plan.chains) {
      planned.insert(c.name);
      if (c.remove && !c.create) chains.insert(*c.name);
    }
    for (const SetPlan& s : plan.sets) {
      if (s.remove && !s.create) sets.insert(*s.name);
    }
    if (chains.empty() && sets.empty()) return;
    const auto use = [&](const References& r) {
      for (const std::string& n : r.chains) {
        if (chains.contains(n)) used_chains.insert(n);
      }
      for (const std::string& n : r.sets) {
        if (sets.contains(n)) used_sets.insert(n);
      }
    };
    for (const auto& [name, c] : chains_) {
      if (planned.contains(&name)) {
        if (c.want) use(c.want->refs);
      } else if (c.have) {
        use(c.have->refs);
      }
    }
    for (const auto& [name, s] : sets_) {
      if (!s.wanted || !s.type.is_verdict_map()) continue;
      const auto use_chain = [&](const Verdict& v) {
        if (chains.contains(v.chain)) used_chains.insert(v.chain);
      };
      for (std::size_t i = 0; i < s.elements.size(); ++i) use_chain(s.elements.verdict(i));
      for (std::size_t i = 0; i < s.remove.size(); ++i) {
        if (is_held(s, i)) use_chain(s.remove.verdict(i));
      }
    }
    const auto spare = [](const auto& used) {
      return [&](const auto& x) { return x.remove && !x.create && used.contains(*x.name); };
    };
    changed = std::erase_if(plan.chains, spare(used_chains)) +
                  std::erase_if(plan.sets, spare(used_sets)) >
              0;
  }
}

// A packet on its way while a transaction comes into force sees maps as they are now, but chains as
// they were when it set out. A goto to a chain of the same transaction would end its base chain
// without a rule having been asked. So new chains, and new sets that they look up, come first:
// nothing leads to them yet. What comes back from a jump goes on with the rules behind it.
Table::Impl::Plan Table::Impl::ahead(const Plan& plan) {
  std::set<std::string_view> made, again;  // chains, and what goes and comes back
  for (const ChainPlan& c : plan.chains) {
    if (c.create) (c.remove ? again : made).insert(*c.name);
  }
  for (const SetPlan& s : plan.sets) {
    if (s.create && s.remove) again.insert(*s.name);
  }
  const auto leads_to_new = [&](const SetPlan& s) {
    if (s.create || !s.state->type.is_verdict_map()) return false;
    for (std::size_t i = 0; i < s.come.size(); ++i) {
      const Verdict& v = s.come.verdict(i);
      if (v.code == Verdict::Code::goto_ && made.contains(v.chain)) return true;
    }
    return false;
  };
  Plan out;
  if (!again.empty() || std::ranges::none_of(plan.sets, leads_to_new)) return out;
  for (const ChainPlan& c : plan.chains) {
    if (c.create && !c.state->want->base) out.chains.push_back(c);
  }
  for (const SetPlan& s : plan.sets) {
    if (s.create) out.sets.push_back(s);
  }
  return out;
}

Table::Impl::Plan Table::Impl::make_plan(Scope scope) {
  Plan plan;
  for (const std::string& name : dirty_sets_) {
    const auto it = sets_.find(name);
    if (it->second.refused || bulk_.contains(name)) continue;
    plan_set(it->first, it->second, scope, plan);
  }
  for (const std::string& name : dirty_chains_) {
    const auto it = chains_.find(name);
    if (!waiting_.contains(name)) plan_chain(it->first, it->second, plan);
  }
  plan_rebuilds(plan);
  spare_what_is_used(plan);
  return plan;
}

}  // namespace margay::nft
