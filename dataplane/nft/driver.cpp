// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/driver.h"

#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <utility>

#include "dataplane/nft/builder.h"
#include "dataplane/nft/table_impl.h"

namespace margay::nft {

namespace {

// Each round sets something aside or reads something again; more than this is a fight.
constexpr int kMaxRounds = 64;
constexpr const char* kStandInComment = "stands in for what the kernel refuses";

bool same_want(const ChainState::Want& a, const ChainState::Want& b) {
  if (a.base != b.base || a.rules.size() != b.rules.size()) return false;
  for (std::size_t i = 0; i < a.rules.size(); ++i) {
    if (a.rules[i].code.fingerprint != b.rules[i].code.fingerprint) return false;
  }
  return true;
}

}  // namespace

Table::Impl::Impl(netlink::Socket& socket, std::string name)
    : socket_(socket), name_(std::move(name)), batch_(name_) {}

void Table::Impl::want_chain(const Chain& chain) {
  ChainState::Want want;
  want.base = chain.base;
  want.rules.reserve(chain.rules.size());
  for (const Rule& r : chain.rules) want.rules.push_back({encode(r, want.refs), 0});
  want.refs.normalise();
  ChainState& c = chains_[chain.name];
  c.fails_closed = chain.fails_closed && !chain.base;
  const auto& before = c.aside ? c.aside : c.want;
  if (before && same_want(*before, want)) return;
  forgive(chain.name, c);
  c.want = std::move(want);
  dirty_chains_.insert(chain.name);
}

void Table::Impl::forget_chain(std::string_view name) {
  const auto it = chains_.find(name);
  if (it == chains_.end() || !it->second.want) return;
  forgive(it->first, it->second);
  it->second.want.reset();
  dirty_chains_.insert(it->first);
}

void Table::Impl::set_aside(ChainState& c) {
  References none;
  c.aside = std::move(c.want);
  c.want = ChainState::Want{{}, {{encode(rule({drop()}, kStandInComment), none), 0}}, {}};
}

void Table::Impl::forgive(const std::string& name, ChainState& c) {
  if (c.aside) c.want = std::move(c.aside);
  c.aside.reset();
  c.refused.reset();
  c.refused_set.clear();
  c.stand_in_refused = false;
  refused_chains_.erase(name);
}

Result<void> Table::Impl::want_set(const SetDef& def) {
  if (def.type.interval && def.type.value && def.type.key.size() == 1) {
    return make_error(Code::invalid, "set " + def.name + ": a map of intervals of one field");
  }
  const auto [it, fresh] = sets_.try_emplace(def.name, def.type);
  SetState& s = it->second;
  if (s.wanted && s.type == def.type) return {};
  if (!fresh) {
    // Wanted anew, or with another type: what the kernel holds is compared before anything is sent.
    SetState next(def.type);
    next.have = s.have;
    next.unread = s.have.has_value();
    s = std::move(next);
  }
  s.wanted = true;
  refused_sets_.erase(def.name);
  dirty_sets_.insert(def.name);
  return {};
}

void Table::Impl::forget_set(std::string_view name) {
  const auto it = sets_.find(name);
  if (it == sets_.end() || !it->second.wanted) return;
  SetState next(it->second.type);
  next.have = it->second.have;
  next.unread = next.have.has_value();
  it->second = std::move(next);
  refused_sets_.erase(it->first);
  incomplete_.erase(it->first);
  dirty_sets_.insert(it->first);
}

SetState* Table::Impl::wanted_set(std::string_view name) {
  const auto it = sets_.find(name);
  return it != sets_.end() && it->second.wanted ? &it->second : nullptr;
}

void Table::Impl::change_elements(SetState& s, const std::string& name, const ElementTable& add,
                                  const ElementTable& remove) {
  ElementTable come(s.type);  // what really comes and goes
  ElementTable go(s.type);
  for (std::size_t i = 0; i < add.size(); ++i) {
    const auto old = s.elements.find(add.full_key(i));
    if (old && s.elements.same_value(*old, add, i)) continue;
    come.append_from(add, i);
    if (old) go.append_from(s.elements, *old);
  }
  for (std::size_t i = 0; i < remove.size(); ++i) {
    if (add.find(remove.full_key(i))) continue;
    if (const auto old = s.elements.find(remove.full_key(i))) go.append_from(s.elements, *old);
  }
  come.seal();
  go.seal();
  if (come.empty() && go.empty()) return;
  s.elements.merge(come, go);
  dirty_sets_.insert(name);
  if (!s.refused_elements.empty()) {
    for (std::size_t i = 0; i < go.size();) {
      // A refused element is not in the kernel: it needs no removal.
      if (s.refused_elements.erase(Packed::of(go.full_key(i))) == 0) {
        ++i;
        continue;
      }
      ElementTable one(s.type);
      one.append_from(go, i);
      one.seal();
      go.merge(ElementTable(s.type), one);
    }
    if (s.refused_elements.empty() && !s.refused) refused_sets_.erase(name);
  }
  if (!s.have || s.unread) return;
  // The difference to the kernel: an addition not yet sent is taken back rather than removed.
  ElementTable more_add(s.type), less_add(s.type), more_remove(s.type), less_remove(s.type);
  for (std::size_t i = 0; i < go.size(); ++i) {
    (s.add.find(go.full_key(i)) ? less_add : more_remove).append_from(go, i);
  }
  for (std::size_t i = 0; i < come.size(); ++i) {
    const auto gone = s.remove.find(come.full_key(i));
    const bool back = gone && s.remove.same_value(*gone, come, i);
    (back ? less_remove : more_add).append_from(come, i);
  }
  for (ElementTable* t : {&more_add, &less_add, &more_remove, &less_remove}) t->seal();
  s.add.merge(more_add, less_add);
  s.remove.merge(more_remove, less_remove);
}

void Table::Impl::retry_refused() {
  for (const std::string& name : std::exchange(refused_chains_, {})) {
    forgive(name, chains_.at(name));
    dirty_chains_.insert(name);
  }
  for (const std::string& name : std::exchange(refused_sets_, {})) {
    SetState& s = sets_.at(name);
    s.refused.reset();
    s.unread = s.have.has_value();
    s.refused_elements.clear();
    dirty_sets_.insert(name);
  }
}

Result<Progress> Table::Impl::apply(Scope scope) {
  Progress p;
  verified_.clear();
  filled_ = false;
  for (int round = 0;; ++round) {
    if (round == kMaxRounds) {
      return make_error(Code::conflict, "table " + name_ + ": the kernel's state keeps changing");
    }
    MARGAY_CHECK(refresh(p));
    MARGAY_TRY(const Step step, push(scope, p));
    if (step == Step::done) break;
  }
  p.more = std::ranges::any_of(bulk_, [this](const auto& n) { return dirty_sets_.contains(n); });
  p.incomplete = !incomplete_.empty();
  report(p);
  return p;
}

Result<void> Table::Impl::destroy() {
  MARGAY_TRY(const bool there, load_table());
  if (there) {
    batch_.begin();
    batch_.delete_table();
    batch_.finish();
    MARGAY_TRY(const auto refused, socket_.transact(batch_.bytes()));
    if (!refused.empty() && refused.front().sys_errno != ENOENT) {
      return sys_error(refused.front().sys_errno, "table " + name_ + ": delete");
    }
  }
  Progress ignored;
  table_gone(ignored);
  return {};
}

// --- the public face -------------------------------------------------------------------------

Table::Table(netlink::Socket& socket, std::string name)
    : impl_(std::make_unique<Impl>(socket, std::move(name))) {}
Table::~Table() = default;

const std::string& Table::name() const { return impl_->name_; }
void Table::want_chain(const Chain& chain) { impl_->want_chain(chain); }
void Table::forget_chain(std::string_view name) { impl_->forget_chain(name); }
Result<void> Table::want_set(const SetDef& def) { return impl_->want_set(def); }
void Table::forget_set(std::string_view name) { impl_->forget_set(name); }

void Table::replace_elements(std::string_view set, ElementTable elements) {
  SetState* s = impl_->wanted_set(set);
  MARGAY_ASSERT(s != nullptr);
  elements.seal();
  if (s->elements.empty() && (!s->have || s->unread)) {
    s->elements = std::move(elements);
    s->elements.shrink();
    impl_->dirty_sets_.emplace(set);
    return;
  }
  const ElementDiff d = diff(s->type, elements, s->elements);
  impl_->change_elements(*s, std::string(set), d.add, d.remove);
}

void Table::change_elements(std::string_view set, ElementTable add, ElementTable remove) {
  SetState* s = impl_->wanted_set(set);
  MARGAY_ASSERT(s != nullptr);
  add.seal();
  remove.seal();
  impl_->change_elements(*s, std::string(set), add, remove);
}

void Table::expect_more(std::string_view set, bool more) {
  MARGAY_ASSERT(impl_->wanted_set(set) != nullptr);
  if (more) {
    impl_->incomplete_.emplace(set);
  } else if (const auto it = impl_->incomplete_.find(set); it != impl_->incomplete_.end()) {
    impl_->incomplete_.erase(it);
  }
}

void Table::add_element(std::string_view set, const Element& e) {
  SetState* s = impl_->wanted_set(set);
  MARGAY_ASSERT(s != nullptr);
  ElementTable add(s->type);
  add.append(e);
  change_elements(set, std::move(add), ElementTable(s->type));
}

void Table::remove_element(std::string_view set, const Element& e) {
  SetState* s = impl_->wanted_set(set);
  MARGAY_ASSERT(s != nullptr);
  ElementTable remove(s->type);
  Element bare = e;  // only the key counts
  if (s->type.value_size() > 0) {
    static constexpr std::uint8_t kZero[Packed::kCapacity] = {};
    bare.value = Packed::of(std::span(kZero).first(s->type.value_size()));
  }
  remove.append(bare);
  change_elements(set, ElementTable(s->type), std::move(remove));
}

const SetType* Table::set_type(std::string_view set) const {
  const SetState* s = impl_->wanted_set(set);
  return s == nullptr ? nullptr : &s->type;
}

const ElementTable* Table::elements(std::string_view set) const {
  const SetState* s = impl_->wanted_set(set);
  return s == nullptr ? nullptr : &s->elements;
}

bool Table::wants_chain(std::string_view name) const {
  const auto it = impl_->chains_.find(name);
  return it != impl_->chains_.end() && it->second.want.has_value();
}

void Table::suspect_all() { impl_->suspect_all_ = true; }
void Table::suspect_chain(std::string_view name) { impl_->suspect_chains_.emplace(name); }
void Table::suspect_set(std::string_view name) { impl_->suspect_sets_.emplace(name); }

void Table::suspect_element(std::string_view set, std::span<const std::uint8_t> key) {
  const auto it = impl_->sets_.find(set);
  const bool askable = it != impl_->sets_.end() && it->second.wanted && !it->second.type.interval &&
                       !it->second.type.value && key.size() == it->second.type.key_size() &&
                       it->second.suspects.size() < kMaxQuestions;
  if (!askable) {
    suspect_set(set);
    return;
  }
  it->second.suspects.push_back(Packed::of(key));
  impl_->asking_.emplace(set);
}

void Table::retry_refused() { impl_->retry_refused(); }

Holding Table::wanted() const {
  Holding out;
  for (const auto& [name, c] : impl_->chains_) {
    const auto& want = c.aside ? c.aside : c.want;
    if (!want) continue;
    ++out.chains;
    out.rules += want->rules.size();
  }
  for (const auto& [name, s] : impl_->sets_) {
    if (!s.wanted) continue;
    ++out.sets;
    out.elements += s.elements.size() + s.refused_elements.size();
  }
  return out;
}

Holding Table::held() const {
  Holding out;
  for (const auto& [name, c] : impl_->chains_) {
    if (!c.have) continue;
    ++out.chains;
    out.rules += c.have->rules.size();
  }
  for (const auto& [name, s] : impl_->sets_) {
    if (!s.have) continue;
    ++out.sets;
    if (!s.unread) out.elements += s.elements.size() - s.add.size() + s.remove.size();
  }
  return out;
}

bool Table::pending() const {
  return impl_->suspect_all_ || !impl_->dirty_chains_.empty() || !impl_->dirty_sets_.empty() ||
         !impl_->suspect_chains_.empty() || !impl_->suspect_sets_.empty() ||
         !impl_->asking_.empty();
}

Result<Progress> Table::apply(Scope scope) { return impl_->apply(scope); }
Result<void> Table::destroy() { return impl_->destroy(); }

}  // namespace margay::nft
