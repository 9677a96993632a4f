// SPDX-License-Identifier: Apache-2.0
// Table, acting: transactions, their refusals, and what follows from either.
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "dataplane/nft/table_impl.h"

namespace margay::nft {

namespace {

constexpr std::size_t kKeepMemory = 512 * 1024;

// Errors that may come from our view of the kernel being old: look again before blaming an object.
bool is_doubtful(int e) {
  return e == ENOENT || e == EEXIST || e == EBUSY || e == ENOTEMPTY || e == EAGAIN || e == EINTR ||
         e == ESTALE;
}

// Errors that no object is to blame for.
bool is_general(int e) {
  return e == ENOMEM || e == ENOBUFS || e == EPERM || e == EACCES || e == ENFILE;
}

std::string explain(const netlink::Socket::Refusal& r, const std::string& object) {
  return r.text.empty() ? object : object + " (" + r.text + ")";
}

}  // namespace

void Table::Impl::open_batch(bool creates) {
  batch_.begin();
  echoes_.clear();
  sent_.clear();
  opens_table_ = creates && !have_table_;
  if (opens_table_) batch_.add_table();
}

Result<Table::Impl::Step> Table::Impl::push(Scope scope, Progress& p) {
  elements_wait_ = false;
  close_users_of_refused_sets();
  find_bulk();
  find_waiting();
  if (dirty_chains_.empty() && dirty_sets_.empty()) return Step::done;
  if (scope == Scope::members_first) {
    MARGAY_TRY(const Step members, send_members(p));
    if (members == Step::again) return members;
  }
  // What does not depend on the large sets does not wait for them.
  MARGAY_TRY(const Step structure, send_structure(scope, p));
  if (structure == Step::again || bulk_.empty() || filled_) return structure;
  return fill(p);
}

// --- elements --------------------------------------------------------------------------------

Result<Table::Impl::Step> Table::Impl::send_members(Progress& p) {
  std::deque<const std::string*> names;
  for (const std::string& name : dirty_sets_) {
    const auto it = sets_.find(name);
    const SetState& s = it->second;
    if (s.wanted && !s.refused && s.type_matches() && !s.type.is_verdict_map() && s.has_changes() &&
        !bulk_.contains(name)) {
      names.push_back(&it->first);
    }
  }
  while (!names.empty()) {
    MARGAY_TRY(const Step step, send_chunk(names, p));
    if (step == Step::again) return step;
  }
  return Step::done;
}

// One piece of the large sets; when it was the last, what has waited for them is next.
Result<Table::Impl::Step> Table::Impl::fill(Progress& p) {
  std::deque<const std::string*> names;
  for (const std::string& name : bulk_) {
    if (dirty_sets_.contains(name)) names.push_back(&sets_.find(name)->first);
  }
  if (names.empty()) return Step::done;
  MARGAY_TRY(const Step step, send_chunk(names, p));
  if (step == Step::again) return step;
  filled_ = true;
  std::erase_if(bulk_, [this](const std::string& name) {
    return !dirty_sets_.contains(name) && !incomplete_.contains(name);
  });
  return bulk_.empty() ? Step::again : Step::done;
}

Result<Table::Impl::Step> Table::Impl::send_chunk(std::deque<const std::string*>& names,
                                                  Progress& p) {
  struct Part {
    const std::string* name;
    SetState* set;
    bool created;
    std::size_t removed, added;
  };
  open_batch(true);
  std::vector<Part> parts;
  std::size_t room = kMaxElements;
  for (const std::string* name : names) {
    if (room == 0) break;
    SetState& s = sets_.at(*name);
    if (!s.have) {
      s.add = to_fill(s);
      s.remove.clear();
    }
    Part part{name, &s, !s.have, std::min(room, s.remove.size()), 0};
    part.added = std::min(room - part.removed, s.add.size());
    if (part.created) batch_.add_set(*name, s.type);
    batch_.remove_elements(*name, s.type, s.remove, 0, part.removed);
    batch_.add_elements(*name, s.type, s.add, 0, part.added);
    sent_[{name, true}] = &s.remove;
    sent_[{name, false}] = &s.add;
    room -= part.removed + part.added;
    parts.push_back(part);
  }
  MARGAY_TRY(const Step step, transact(p));
  if (step == Step::again) return step;
  for (const Part& part : parts) {
    SetState& s = *part.set;
    if (part.created) {
      s.have = header_of(s.type);
      s.unread = false;
      ++p.sets_added;
    }
    s.remove.drop_front(part.removed);
    s.add.drop_front(part.added);
    p.elements_removed += part.removed;
    p.elements_added += part.added;
    if (s.has_changes()) continue;
    dirty_sets_.erase(*part.name);
    names.pop_front();  // in their order, and only the last one can have more
  }
  return Step::done;
}

// --- chains, maps, and what comes and goes with them -----------------------------------------

Result<Table::Impl::Step> Table::Impl::send_plan(Plan plan, Progress& p) {
  if (plan.empty()) return Step::done;
  build(plan);
  if (!batch_.empty()) {
    MARGAY_TRY(const Step step, transact(p));
    if (step == Step::again) return step;
  }
  for (SetPlan& s : plan.sets) done_set(s, p);
  for (const ChainPlan& c : plan.chains) done_chain(c, p);
  return Step::done;
}

Result<Table::Impl::Step> Table::Impl::send_structure(Scope scope, Progress& p) {
  Plan plan = make_plan(scope);
  if (Plan first = ahead(plan); !first.empty()) {
    MARGAY_TRY(const Step step, send_plan(std::move(first), p));
    if (step == Step::again) return step;
    plan = make_plan(scope);
  }
  MARGAY_TRY(const Step step, send_plan(std::move(plan), p));
  if (step == Step::again) return step;
  std::erase_if(dirty_sets_, [this](const std::string& name) {
    const auto it = sets_.find(name);
    if (it == sets_.end()) return true;
    const SetState& s = it->second;
    return s.wanted && s.type_matches() && !s.unread && !s.has_changes();
  });
  return Step::done;
}

void Table::Impl::build(const Plan& plan) {
  const auto creates = [](const auto& x) { return !x.remove || x.create; };
  open_batch(std::ranges::any_of(plan.chains, creates) || std::ranges::any_of(plan.sets, creates));
  for (const ChainPlan& c : plan.chains) {
    if (c.flush) {
      batch_.flush_chain(*c.name);
    } else if (c.state->have) {
      std::vector<bool> kept(c.state->have->rules.size());
      for (const auto& k : c.keep) {
        if (k) kept[*k] = true;
      }
      for (std::size_t i = 0; i < kept.size(); ++i) {
        if (!kept[i]) batch_.delete_rule(*c.name, c.state->have->rules[i].handle);
      }
    }
  }
  for (const SetPlan& s : plan.sets) {
    sent_[{s.name, true}] = &s.go;
    batch_.remove_elements(*s.name, s.state->type, s.go, 0, s.go.size());
  }
  for (const SetPlan& s : plan.sets) {
    if (s.remove && s.create) batch_.delete_set(*s.name);
  }
  for (const ChainPlan& c : plan.chains) {
    if (c.remove && c.create) batch_.delete_chain(*c.name);
  }
  for (const ChainPlan& c : plan.chains) {
    if (c.create || c.policy) batch_.add_chain(*c.name, c.state->want->base);
  }
  // The kernel finds a set by going through all of a table's in the order of their making. Those
  // that change a member at a time are hash sets; what has intervals changes seldom.
  for (const bool intervals : {false, true}) {
    for (const SetPlan& s : plan.sets) {
      const SetType& type = s.state->type;
      if (s.create && type.interval == intervals) batch_.add_set(*s.name, type);
    }
  }
  for (const SetPlan& s : plan.sets) {
    sent_[{s.name, false}] = &s.come;
    batch_.add_elements(*s.name, s.state->type, s.come, 0, s.come.size());
  }
  for (const ChainPlan& c : plan.chains) build_rules(c);
  for (const SetPlan& s : plan.sets) {
    if (s.remove && !s.create) batch_.delete_set(*s.name);
  }
  for (const ChainPlan& c : plan.chains) {
    if (c.remove && !c.create) batch_.delete_chain(*c.name);
  }
}

void Table::Impl::build_rules(const ChainPlan& c) {
  if (!c.state->want) return;
  const auto& rules = c.state->want->rules;
  // For each rule the handle of the next one that stays: it is inserted before that.
  std::vector<std::optional<std::uint64_t>> before(rules.size());
  std::optional<std::uint64_t> next;
  for (std::size_t i = rules.size(); i-- > 0;) {
    before[i] = next;
    if (c.keep[i]) next = c.state->have->rules[*c.keep[i]].handle;
  }
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!c.keep[i]) batch_.add_rule(*c.name, rules[i].code, i, before[i]);
  }
}

void Table::Impl::done_chain(const ChainPlan& c, Progress& p) {
  const std::string name = *c.name;
  dirty_chains_.erase(name);
  const std::size_t had = c.state->have ? c.state->have->rules.size() : 0;
  if (c.remove) ++p.chains_removed;
  if (!c.state->want) {
    p.rules_removed += had;
    chains_.erase(name);
    return;
  }
  if (c.create) ++p.chains_added;
  ChainState::Want& want = *c.state->want;
  ChainState::Have have{want.base, false, {}, want.refs};
  have.rules.reserve(want.rules.size());
  std::size_t kept = 0;
  for (std::size_t i = 0; i < want.rules.size(); ++i) {
    if (c.keep[i]) {
      ++kept;
      have.rules.push_back(c.state->have->rules[*c.keep[i]]);
      continue;
    }
    const auto echo = echoes_.find({c.name, i});
    if (echo == echoes_.end()) {
      suspect_chains_.insert(name);  // its handle is not known: read it before the next change
      have.rules.push_back({0, want.rules[i].code.fingerprint});
      continue;
    }
    if (echo->second.fingerprint != want.rules[i].code.fingerprint) {
      want.rules[i].kernel_form = echo->second.fingerprint;
    }
    have.rules.push_back(echo->second);
  }
  p.rules_added += want.rules.size() - kept;
  p.rules_removed += had - kept;
  c.state->have = std::move(have);
}

void Table::Impl::done_set(SetPlan& plan, Progress& p) {
  SetState& s = *plan.state;
  if (plan.remove) ++p.sets_removed;
  if (!s.wanted) {
    dirty_sets_.erase(*plan.name);
    sets_.erase(*plan.name);
    return;
  }
  p.elements_added += plan.come.size();
  p.elements_removed += plan.go.size();
  if (plan.create) {
    ++p.sets_added;
    s.have = header_of(s.type);
    s.unread = false;
    s.remove.clear();
    s.add = to_fill(s);
  }
  // What was sent is no longer missing (or too much); what waits stays.
  s.add.merge(ElementTable(s.type), plan.come);
  s.remove.merge(ElementTable(s.type), plan.go);
}

// --- sending ---------------------------------------------------------------------------------

void Table::Impl::note_echo(const Message& m) {
  const auto r = parse_rule(m, name_);
  if (!r) return;
  const Batch::Owner* o = batch_.owner(m.seq);
  if (o == nullptr || o->kind != Batch::Kind::rule || o->removal) return;
  echoes_[{o->object, o->index}] = {r->handle, r->fingerprint};
}

Result<Table::Impl::Step> Table::Impl::transact(Progress& p) {
  const std::size_t messages = batch_.messages();
  batch_.finish();
  auto sent = socket_.transact(batch_.bytes(), [this](const Message& m) { note_echo(m); });
  if (!sent.ok()) {
    if (sent.error().code != Code::overrun) return sent.error();
    suspect_all_ = true;  // answers were lost: whether it is in must be read
    return Step::again;
  }
  if (!sent.value().empty()) return handle(sent.value());
  ++p.transactions;
  p.messages += messages;
  have_table_ = have_table_ || opens_table_;
  if (batch_.bytes().size() > kKeepMemory) batch_.release_memory();
  return Step::done;
}

Result<Table::Impl::Step> Table::Impl::handle(
    const std::vector<netlink::Socket::Refusal>& refusals) {
  for (const auto& r : refusals) {
    const Batch::Owner* o = batch_.owner(r.seq);
    const bool framed = o == nullptr || o->object == nullptr;
    if (framed && is_doubtful(r.sys_errno) && r.sys_errno != EPERM) {
      suspect_all_ = true;
      continue;
    }
    if (framed || is_general(r.sys_errno)) {
      return sys_error(r.sys_errno, explain(r, "table " + name_));
    }
    // Something that we do not know of refers to it: look at everything.
    if (r.sys_errno == EBUSY && (suspect_all_ || verified_.insert("all").second)) {
      suspect_all_ = true;
      continue;
    }
    if (is_doubtful(r.sys_errno) && doubt(*o)) {
      if (r.sys_errno == ENOENT) check_table_ = true;
      continue;
    }
    if (o->kind == Batch::Kind::chain || o->kind == Batch::Kind::rule) {
      refuse_chain(*o, r);
    } else {
      refuse_set(*o, r);
    }
  }
  // Only now: the batch's element numbers count on the tables as they were sent.
  for (const std::string& name : refused_sets_) drop_refused(sets_.at(name));
  return Step::again;
}

bool Table::Impl::doubt(const Batch::Owner& o) {
  const bool chain = o.kind == Batch::Kind::chain || o.kind == Batch::Kind::rule;
  const bool first = verified_.insert((chain ? "c " : "s ") + *o.object).second;
  if (first) (chain ? suspect_chains_ : suspect_sets_).insert(*o.object);
  // Refusals of one batch come together: the same object may be named again before it was read.
  return first || (chain ? suspect_chains_ : suspect_sets_).contains(*o.object);
}

void Table::Impl::refuse_chain(const Batch::Owner& o, const netlink::Socket::Refusal& r) {
  const auto it = chains_.find(*o.object);
  if (it == chains_.end() || it->second.blocked()) return;
  ChainState& c = it->second;
  if (c.aside) {  // even the stand-in; the first reason counts
    c.stand_in_refused = true;
    dirty_chains_.erase(it->first);
    return;
  }
  std::string what = "chain " + it->first;
  if (o.removal) {
    what += " removal";
  } else if (o.kind == Batch::Kind::rule) {
    what += " rule " + std::to_string(o.index + 1);
  }
  c.refused = Refused{what, sys_error(r.sys_errno, explain(r, what))};
  refused_chains_.insert(it->first);
  dirty_chains_.erase(it->first);
  if (!c.fails_closed || !c.want || o.removal) return;
  set_aside(c);
  dirty_chains_.insert(it->first);
}

void Table::Impl::refuse_set(const Batch::Owner& o, const netlink::Socket::Refusal& r) {
  const auto it = sets_.find(*o.object);
  if (it == sets_.end() || it->second.refused) return;
  refused_sets_.insert(it->first);
  if (o.kind == Batch::Kind::elements && !o.removal && refuse_element(o, r, it->second)) return;
  const std::string what = "set " + it->first + (o.removal ? " removal" : "");
  it->second.refused = Refused{what, sys_error(r.sys_errno, explain(r, what))};
  dirty_sets_.erase(it->first);
}

bool Table::Impl::refuse_element(const Batch::Owner& o, const netlink::Socket::Refusal& r,
                                 SetState& s) {
  const auto i = batch_.element_at(o, s.type, r.bad_offset);
  const auto sent = sent_.find({o.object, false});
  if (!i || sent == sent_.end() || *i >= sent->second->size()) return false;
  const ElementTable& table = *sent->second;
  const std::string what = "set " + *o.object + " element " + describe(s.type, table.key(*i));
  s.refused_elements.emplace(Packed::of(table.full_key(*i)),
                             Refused{what, sys_error(r.sys_errno, explain(r, what))});
  return true;
}

void Table::Impl::drop_refused(SetState& s) {
  ElementTable refused(s.type);
  for (const auto& [key, why] : s.refused_elements) {
    if (const auto i = s.add.find(key.bytes())) refused.append_from(s.add, *i);
  }
  refused.seal();
  s.add.merge(ElementTable(s.type), refused);
}

// Its chain is not there, and no filling of sets will bring it.
bool Table::Impl::is_stuck(const Verdict& v) const {
  if (v.chain.empty()) return false;
  const auto it = chains_.find(v.chain);
  const bool known = it != chains_.end() && (it->second.want || it->second.have);
  return !known || stuck_missing_.contains(v.chain);
}

void Table::Impl::report(Progress& p) const {
  for (const std::string& name : refused_chains_) p.refused.push_back(*chains_.at(name).refused);
  for (const std::string& name : refused_sets_) {
    const SetState& s = sets_.at(name);
    if (s.refused) p.refused.push_back(*s.refused);
    for (const auto& [key, why] : s.refused_elements) p.refused.push_back(why);
  }
  for (const std::string& name : stuck_) p.waiting.push_back("chain " + name);
  if (!elements_wait_) return;
  for (const std::string& name : dirty_sets_) {
    const SetState& s = sets_.at(name);
    for (std::size_t i = 0; s.type.is_verdict_map() && i < s.add.size(); ++i) {
      if (!is_stuck(s.add.verdict(i))) continue;
      p.waiting.push_back("set " + name + " element " + describe(s.type, s.add.key(i)));
    }
  }
}

}  // namespace margay::nft
