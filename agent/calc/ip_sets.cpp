// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/ip_sets.h"

#include <algorithm>
#include <charconv>

#include "agent/calc/endpoints.h"
#include "agent/calc/services.h"

namespace margay::calc {

namespace {

// One to look at an endpoint, one for each network: a length and at least four bytes.
std::size_t work_of(std::span<const std::uint8_t> nets) { return 1 + nets.size() / 5; }

}  // namespace

std::string named_port_spec(std::uint8_t protocol, std::string_view port,
                            std::string_view canonical_selector) {
  std::string out(1, kNamedPortSpec);
  out += std::to_string(protocol);
  out += ',';
  out += port;
  out += ',';
  out += canonical_selector;
  return out;
}

void IpSets::connect(const Endpoints& endpoints, const Services& services) {
  endpoints_ = &endpoints;
  services_ = &services;
}

std::uint32_t IpSets::acquire(std::string_view spec) {
  const auto [it, created] = by_spec_.try_emplace(std::string(spec), kNone);
  if (created) {
    it->second = sets_.take();
    make(it->second, spec);
    fresh_.push_back(it->second);
  }
  ++sets_[it->second]->users;
  return it->second;
}

void IpSets::release(std::uint32_t set) {
  MARGAY_ASSERT(sets_[set]->users > 0);
  if (--sets_[set]->users == 0) unused_.push_back(set);
}

void IpSets::make(std::uint32_t index, std::string_view spec) {
  sets_[index] = std::make_unique<Set>();
  Set& set = *sets_[index];
  set.spec = spec;
  std::string_view content = spec.substr(1);
  if (spec[0] == kServiceSpec || spec[0] == kServicePortSpec) {
    set.by_selector = false;
    set.reached = kNone;
    set.kind = spec[0] == kServiceSpec ? model::SetKind::nets : model::SetKind::ip_port;
    const std::size_t slash = content.find('/');
    set.id = model::service_id(content.substr(0, slash), content.substr(slash + 1),
                               spec[0] == kServicePortSpec);
    return;
  }
  std::string_view port;
  if (spec[0] == kNamedPortSpec) {
    const std::size_t first = content.find(',');
    const std::size_t second = content.find(',', first + 1);
    std::from_chars(content.data(), content.data() + first, set.protocol);
    port = content.substr(first + 1, second - first - 1);
    content = content.substr(second + 1);
    set.kind = model::SetKind::ip_port;
    set.port_name = classes_.names().acquire(port);
  }
  const auto selector = model::Selector::parse(content);
  MARGAY_ASSERT(selector.ok());  // a spec holds canonical text
  set.id = selector->id();
  if (set.kind == model::SetKind::ip_port) {
    set.id = model::named_port_id(set.id, set.protocol, port);
  }
  set.selector = CompiledSelector(*selector, classes_.labels());
  index_.add(index, *selector, classes_);
}

void IpSets::put(std::uint32_t index, const model::SetMember& member, bool add) {
  Set& set = *sets_[index];
  if (add) {
    set.members.add(member, set.kind);
  } else {
    set.members.remove(member, set.kind);
  }
  mark_dirty(index);
}

void IpSets::mark_dirty(std::uint32_t index) {
  Set& set = *sets_[index];
  if (set.dirty || !set.sent) return;
  set.dirty = true;
  dirty_.push_back(index);
}

void IpSets::apply(std::uint32_t index, ClassId cls, std::span<const std::uint8_t> nets, bool add) {
  const Set& set = *sets_[index];
  if (set.kind == model::SetKind::nets) {
    for (const Prefix& net : unpack(nets)) put(index, {net, 0, 0}, add);
    return;
  }
  for (const NamedPort& port : classes_.ports(cls)) {
    if (port.name != set.port_name) continue;
    if (set.protocol != 0 && set.protocol != port.protocol) continue;
    for (const Prefix& net : unpack(nets)) {
      if (net.is_host()) put(index, {net, port.protocol, port.port}, add);
    }
  }
}

void IpSets::contribute(std::uint32_t endpoint, ClassId cls, std::span<const std::uint8_t> nets) {
  for (const std::uint32_t set : classes_.sets(cls).span()) {
    if (endpoint < sets_[set]->reached) apply(set, cls, nets, true);
  }
}

void IpSets::withdraw(std::uint32_t endpoint, ClassId cls, std::span<const std::uint8_t> nets) {
  for (const std::uint32_t set : classes_.sets(cls).span()) {
    if (endpoint < sets_[set]->reached) apply(set, cls, nets, false);
  }
}

void IpSets::apply_reached(std::uint32_t set, ClassId cls, bool add) {
  const std::uint32_t reached = sets_[set]->reached;
  if (reached == 0) return;
  endpoints_->for_each_in(cls, [&](std::uint32_t endpoint, auto nets) {
    if (endpoint < reached) apply(set, cls, nets, add);
    return true;
  });
}

void IpSets::join(std::uint32_t set, ClassId cls) { apply_reached(set, cls, true); }
void IpSets::leave(std::uint32_t set, ClassId cls) { apply_reached(set, cls, false); }

bool IpSets::joins(const Set& set, ClassId cls, const EffectiveLabels& labels) const {
  if (set.port_name != kNone) {
    const auto ports = classes_.ports(cls);
    const bool has = std::any_of(ports.begin(), ports.end(), [&](const NamedPort& port) {
      return port.name == set.port_name && (set.protocol == 0 || set.protocol == port.protocol);
    });
    if (!has) return false;
  }
  return set.selector.matches(labels, classes_.labels());
}

void IpSets::evaluate(ClassId cls) {
  if (by_spec_.empty()) return;
  classes_.effective(cls, labels_);
  joined_.clear();
  index_.candidates(labels_, [&](std::uint32_t set) {
    if (joins(*sets_[set], cls, labels_)) joined_.push_back(set);
  });
  std::sort(joined_.begin(), joined_.end());
  const auto old = classes_.sets(cls).span();
  std::vector<std::uint32_t> have(old.begin(), old.end());
  std::sort(have.begin(), have.end());
  if (joined_ == have) return;
  for (const std::uint32_t set : joined_) {
    if (!std::binary_search(have.begin(), have.end(), set)) join(set, cls);
  }
  for (const std::uint32_t set : have) {
    if (!std::binary_search(joined_.begin(), joined_.end(), set)) leave(set, cls);
  }
  classes_.sets(cls).assign(joined_);
}

bool IpSets::joined(std::uint32_t set, ClassId cls) {
  const auto have = classes_.sets(cls).span();
  return std::find(have.begin(), have.end(), set) != have.end();
}

void IpSets::join_if_matching(std::uint32_t set, ClassId cls) {
  if (!classes_.live(cls) || joined(set, cls)) return;
  classes_.effective(cls, labels_);
  if (!joins(*sets_[set], cls, labels_)) return;
  classes_.sets(cls).push(set);
  join(set, cls);
}

void IpSets::fill(std::uint32_t set) {
  classes_.candidates(index_.filed_under(set), candidates_);
  for (const ClassId cls : candidates_) join_if_matching(set, cls);
}

void IpSets::fill_from_service(Set& set) {
  services_->for_each_member(std::string_view(set.spec).substr(1),
                             set.kind == model::SetKind::ip_port,
                             [&](const model::SetMember& m) { set.members.add(m, set.kind); });
}

void IpSets::fill_whole(const std::vector<std::uint32_t>& fresh) {
  std::size_t work = 0;
  for (const std::uint32_t set : fresh) {
    const Requirement& r = index_.filed_under(set);
    work += r.key == kNone ? classes_.size() : classes_.cost(r);
  }
  // Many sets at once (after in-sync): one pass over the classes finds all of them.
  if (work > 2 * classes_.size()) {
    for (ClassId cls = 0; cls < classes_.bound(); ++cls) {
      if (classes_.live(cls)) evaluate(cls);
    }
    return;
  }
  for (const std::uint32_t set : fresh) fill(set);
}

// --- by pieces -------------------------------------------------------------------------------

// A set that the budget covers is filled class by class: those are a few of all endpoints.
bool IpSets::fill_small(const Filling& filling, std::size_t& budget) {
  std::size_t left = budget;
  const auto each_class = [&](const auto& f) {
    for (const ClassId cls : filling.classes) {
      if (joined(filling.set, cls)) f(cls);
    }
  };
  each_class([&](ClassId cls) {
    endpoints_->for_each_in(cls, [&](std::uint32_t, auto nets) {
      left -= std::min(left, work_of(nets));
      return left > 0;
    });
  });
  if (left == 0) return false;
  budget = left;
  sets_[filling.set]->reached = kNone;
  each_class([&](ClassId cls) { join(filling.set, cls); });
  return true;
}

bool IpSets::go_on(Filling& filling, std::size_t& budget) {
  const bool first = !std::exchange(filling.begun, true);
  if (first) classes_.candidates(index_.filed_under(filling.set), filling.classes);
  const bool at_once = first && filling.classes.size() <= budget;
  for (; filling.next < filling.classes.size(); --budget) {
    if (budget == 0) return false;
    join_if_matching(filling.set, filling.classes[filling.next++]);
  }
  if (at_once && fill_small(filling, budget)) return true;
  for (std::uint32_t& i = sets_[filling.set]->reached; i < endpoints_->bound(); ++i) {
    if (budget == 0) return false;
    const auto [cls, nets] = endpoints_->at(i);
    const bool member = cls != kNone && joined(filling.set, cls);
    if (member) apply(filling.set, cls, nets, true);
    budget -= std::min(budget, member ? work_of(nets) : 1);
  }
  sets_[filling.set]->reached = kNone;
  return true;
}

void IpSets::refresh(std::span<const ClassId> stale, std::size_t budget) {
  const bool whole = budget == kNoLimit;
  for (const std::uint32_t set : fresh_) {
    if (whole) sets_[set]->reached = kNone;
  }
  for (const ClassId cls : stale) {
    if (classes_.live(cls)) evaluate(cls);
  }
  for (const std::uint32_t set : std::exchange(unused_, {})) {
    if (sets_[set] == nullptr || sets_[set]->users != 0) continue;  // found another user since
    drop(set);
  }
  std::vector<std::uint32_t> fresh = std::exchange(fresh_, {});
  std::erase_if(fresh, [this](std::uint32_t set) { return sets_[set] == nullptr; });
  unsent_.insert(unsent_.end(), fresh.begin(), fresh.end());
  for (const std::uint32_t set : fresh) {
    sets_[set]->filled = true;
    if (!sets_[set]->by_selector) fill_from_service(*sets_[set]);
  }
  std::erase_if(fresh, [this](std::uint32_t set) { return !sets_[set]->by_selector; });
  if (whole) {
    fill_whole(fresh);
  } else {
    for (const std::uint32_t set : fresh) filling_.emplace_back().set = set;
  }
  while (!filling_.empty() && go_on(filling_.back(), budget)) {
    mark_dirty(filling_.back().set);
    filling_.pop_back();
  }
}

void IpSets::drop(std::uint32_t index) {
  Set& set = *sets_[index];
  if (set.by_selector) {
    classes_.candidates(index_.filed_under(index), candidates_);
    for (const ClassId cls : candidates_) classes_.sets(cls).erase(index);
    index_.remove(index);
    set.selector.release(classes_.labels());
    if (set.port_name != kNone) classes_.names().release(set.port_name);
  }
  std::erase_if(filling_, [&](const Filling& f) { return f.set == index; });
  if (set.sent) removed_.emplace_back(model::SetRemove{set.id});
  by_spec_.erase(set.spec);
  sets_.give_back(index);
}

IpSets::Changes IpSets::take_changes() {
  Changes out;
  // Both lists may name a set that was dropped since, or its place's new owner.
  for (const std::uint32_t i : std::exchange(unsent_, {})) {
    Set* set = sets_[i].get();
    if (set == nullptr || set->sent || !set->filled) continue;
    set->more = set->reached != kNone;
    model::SetUpdate update{set->id, set->kind, true, {}, {}, set->more};
    set->members.send_all(update);
    set->sent = true;
    out.fresh.emplace_back(std::move(update));
  }
  for (const std::uint32_t i : std::exchange(dirty_, {})) {
    if (sets_[i] == nullptr || !sets_[i]->dirty) continue;
    Set& set = *sets_[i];
    set.dirty = false;
    const bool more = set.reached != kNone;
    const bool ends = std::exchange(set.more, more) && !more;
    if (!set.members.changed() && !ends) continue;
    model::SetUpdate update{set.id, set.kind, false, {}, {}, more};
    set.members.send_changes(update);
    if (ends || !update.added.empty() || !update.removed.empty())
      out.deltas.emplace_back(std::move(update));
  }
  out.removed = std::exchange(removed_, {});
  return out;
}

void IpSets::service_member(std::string_view service, bool with_ports,
                            const model::SetMember& member, bool add) {
  std::string spec(1, with_ports ? kServicePortSpec : kServiceSpec);
  spec += service;
  const auto it = by_spec_.find(spec);
  if (it != by_spec_.end() && sets_[it->second]->filled) put(it->second, member, add);
}

std::size_t IpSets::member_count() const {
  std::size_t sum = 0;
  for (std::uint32_t i = 0; i < sets_.bound(); ++i) {
    if (sets_[i]) sum += sets_[i]->members.size();
  }
  return sum;
}

}  // namespace margay::calc
