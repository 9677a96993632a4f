// SPDX-License-Identifier: Apache-2.0
// Table, reading the kernel: the whole table at first and when in doubt about everything, single
// objects and single elements when somebody touched them.
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>

#include <cerrno>
#include <utility>

#include "dataplane/nft/table_impl.h"

namespace margay::nft {

using netlink::Writer;

namespace {

// `dump` fills `found` in one pass. The kernel calls a dump of ours interrupted when anybody has
// changed any table meanwhile; where somebody does so all the time, two passes that agree are
// believed. What they both missed, if it was ours, brings a notification.
template <typename Found, typename Dump>
Result<void> dump_steadily(Found& found, Dump dump) {
  constexpr int kPasses = 10;
  Found before;
  bool comparable = false;
  for (int pass = 1;; ++pass) {
    auto done = dump();
    if (done.ok() || !netlink::Socket::was_disturbed(done.error())) return done;
    const bool complete = done.error().code == Code::conflict;
    if (complete && comparable && before == found) return {};
    if (pass == kPasses) return done;
    comparable = complete;
    if (complete) before = found;
  }
}

}  // namespace

Result<bool> Table::Impl::load_table() {
  Writer w;
  const auto seq = socket_.next_seq();
  begin_request(w, NFT_MSG_GETTABLE, NLM_F_ACK, seq);
  w.attr_string(NFTA_TABLE_NAME, name_);
  w.end();
  const auto done = socket_.request(w, seq);
  if (!done.ok() && done.error().sys_errno != ENOENT) return done.error();
  have_table_ = done.ok();
  return have_table_;
}

Result<void> Table::Impl::load_chains(ByName<ChainState::Have>& found) {
  return dump_steadily(found, [&] {
    found.clear();
    return socket_.dump_retry(
        [](Writer& w, std::uint32_t seq) {
          begin_request(w, NFT_MSG_GETCHAIN, NLM_F_DUMP, seq);
          w.end();
        },
        [&](const Message& m) {
          const auto c = parse_chain(m, name_);
          if (c) found[c->name] = {c->base, c->odd, {}, {}};
        },
        1);
  });
}

Result<void> Table::Impl::load_rules(ByName<ChainState::Have>& found, const std::string* only) {
  const auto request = [&](Writer& w, std::uint32_t seq) {
    begin_request(w, NFT_MSG_GETRULE, NLM_F_DUMP, seq);
    w.attr_string(NFTA_RULE_TABLE, name_);
    if (only != nullptr) w.attr_string(NFTA_RULE_CHAIN, *only);
    w.end();
  };
  const auto take = [&](const Message& m) {
    auto r = parse_rule(m, name_);
    if (!r) return;
    const auto it = found.find(r->chain);
    if (it == found.end()) return;
    it->second.rules.push_back({r->handle, r->fingerprint});
    for (auto& c : r->refs.chains) it->second.refs.chains.push_back(std::move(c));
    for (auto& s : r->refs.sets) it->second.refs.sets.push_back(std::move(s));
  };
  auto done = dump_steadily(found, [&] {
    for (auto& [name, have] : found) {
      have.rules.clear();
      have.refs = {};
    }
    return socket_.dump_retry(request, take, 1);
  });
  for (auto& [name, have] : found) have.refs.normalise();
  return done;
}

Result<void> Table::Impl::load_sets(ByName<SetHeader>& found) {
  return dump_steadily(found, [&] {
    found.clear();
    return socket_.dump_retry(
        [&](Writer& w, std::uint32_t seq) {
          begin_request(w, NFT_MSG_GETSET, NLM_F_DUMP, seq);
          w.attr_string(NFTA_SET_TABLE, name_);
          w.end();
        },
        [&](const Message& m) {
          const auto s = parse_set(m, name_);
          if (s) found[s->name] = s->header;
        },
        1);
  });
}

bool Table::Impl::same_rules(const ChainState& c) const {
  if (!c.want || !c.have) return !c.want && !c.have;
  if (c.have->odd || c.want->base != c.have->base) return false;
  if (c.want->rules.size() != c.have->rules.size()) return false;
  for (std::size_t i = 0; i < c.want->rules.size(); ++i) {
    if (!c.want->rules[i].is(c.have->rules[i].fingerprint)) return false;
  }
  return true;
}

void Table::Impl::settle_chain(const std::string& name, ChainState& c, Progress& p) {
  if (same_rules(c)) {
    dirty_chains_.erase(name);
    return;
  }
  if (c.blocked()) return;
  if (dirty_chains_.insert(name).second && read_before_) ++p.repairs;
}

void Table::Impl::table_gone(Progress& p) {
  if (std::exchange(have_table_, false)) ++p.repairs;
  for (auto it = chains_.begin(); it != chains_.end();) {
    it->second.have.reset();
    if (!it->second.want) {
      dirty_chains_.erase(it->first);
      it = chains_.erase(it);
      continue;
    }
    if (!it->second.blocked()) dirty_chains_.insert(it->first);
    ++it;
  }
  for (auto it = sets_.begin(); it != sets_.end();) {
    SetState& s = it->second;
    s.have.reset();
    s.unread = false;
    s.add.clear();
    s.remove.clear();
    s.suspects.clear();
    if (!s.wanted) {
      dirty_sets_.erase(it->first);
      it = sets_.erase(it);
      continue;
    }
    if (!s.refused) dirty_sets_.insert(it->first);
    ++it;
  }
}

Result<void> Table::Impl::load(Progress& p) {
  const bool had = have_table_;
  MARGAY_TRY(const bool there, load_table());
  if (!there) {
    have_table_ = had;  // so that its loss is counted
    table_gone(p);
    read_before_ = true;
    return {};
  }
  ByName<ChainState::Have> chains;
  ByName<SetHeader> sets;
  MARGAY_CHECK(load_chains(chains));
  MARGAY_CHECK(load_rules(chains, nullptr));
  MARGAY_CHECK(load_sets(sets));
  adopt(std::move(chains), std::move(sets), p);
  for (auto& [name, s] : sets_) {
    if (s.wanted && s.unread && s.type_matches()) MARGAY_CHECK(read_elements(name, s, p));
  }
  read_before_ = true;
  return {};
}

void Table::Impl::adopt(ByName<ChainState::Have> chains, ByName<SetHeader> sets, Progress& p) {
  for (const auto& [name, have] : chains) chains_.try_emplace(name);
  for (auto it = chains_.begin(); it != chains_.end();) {
    const auto found = chains.find(it->first);
    it->second.have.reset();
    if (found != chains.end()) it->second.have = std::move(found->second);
    settle_chain(it->first, it->second, p);
    const bool nothing = !it->second.want && !it->second.have;
    it = nothing ? chains_.erase(it) : std::next(it);
  }
  for (const auto& [name, header] : sets) {
    // A set that nobody wants needs no true type: it is only deleted.
    sets_.try_emplace(name, SetType{{Datatype::integer}, false, std::nullopt});
  }
  for (auto it = sets_.begin(); it != sets_.end();) {
    SetState& s = it->second;
    const auto found = sets.find(it->first);
    const bool had = s.type_matches();
    s.have.reset();
    if (found != sets.end()) s.have = std::move(found->second);
    s.unread = s.have.has_value();
    s.suspects.clear();
    if (!s.have && !s.wanted) {
      dirty_sets_.erase(it->first);
      it = sets_.erase(it);
      continue;
    }
    if ((!s.wanted || !s.type_matches()) && !s.refused) {
      dirty_sets_.insert(it->first);
      if (read_before_ && (had || !s.wanted)) ++p.repairs;
    }
    ++it;
  }
}

Result<void> Table::Impl::reread_chain(const std::string& name, Progress& p) {
  Writer w;
  const auto seq = socket_.next_seq();
  begin_request(w, NFT_MSG_GETCHAIN, NLM_F_ACK, seq);
  w.attr_string(NFTA_CHAIN_TABLE, name_);
  w.attr_string(NFTA_CHAIN_NAME, name);
  w.end();
  ByName<ChainState::Have> found;
  const auto done = socket_.request(w, seq, [&](const Message& m) {
    const auto c = parse_chain(m, name_);
    if (c) found[c->name] = {c->base, c->odd, {}, {}};
  });
  if (!done.ok() && done.error().sys_errno != ENOENT) return done.error();
  if (!found.empty()) MARGAY_CHECK(load_rules(found, &name));
  const auto it = chains_.try_emplace(name).first;
  it->second.have.reset();
  if (!found.empty()) it->second.have = std::move(found.begin()->second);
  settle_chain(it->first, it->second, p);
  if (!it->second.want && !it->second.have) chains_.erase(it);
  return {};
}

Result<void> Table::Impl::reread_set(const std::string& name, Progress& p) {
  Writer w;
  const auto seq = socket_.next_seq();
  begin_request(w, NFT_MSG_GETSET, NLM_F_ACK, seq);
  w.attr_string(NFTA_SET_TABLE, name_);
  w.attr_string(NFTA_SET_NAME, name);
  w.end();
  std::optional<SetHeader> found;
  const auto done = socket_.request(w, seq, [&](const Message& m) {
    const auto s = parse_set(m, name_);
    if (s) found = s->header;
  });
  if (!done.ok() && done.error().sys_errno != ENOENT) return done.error();
  const auto it = sets_.try_emplace(name, SetType{{Datatype::integer}, false, std::nullopt}).first;
  SetState& s = it->second;
  s.have = found;
  s.unread = found.has_value();
  s.suspects.clear();
  if (!s.wanted && !s.have) {
    dirty_sets_.erase(name);
    sets_.erase(it);
    return {};
  }
  if (s.wanted && s.type_matches()) return read_elements(it->first, s, p);
  if (!s.refused && dirty_sets_.insert(name).second) ++p.repairs;
  return {};
}

Result<bool> Table::Impl::dump_elements(const std::string& name, const SetState& s,
                                        ElementTable& found) {
  ElementCollector collector(s.type);
  const auto done = socket_.dump_retry(
      [&](Writer& w, std::uint32_t seq) {
        collector.clear();
        begin_request(w, NFT_MSG_GETSETELEM, NLM_F_DUMP, seq);
        w.attr_string(NFTA_SET_ELEM_LIST_TABLE, name_);
        w.attr_string(NFTA_SET_ELEM_LIST_SET, name);
        w.end();
      },
      [&](const Message& m) { collector.add(m); });
  if (!done.ok() && done.error().sys_errno != ENOENT) return done.error();
  if (done.ok()) found.merge(collector.finish(), ElementTable(s.type));
  return done.ok();
}

// A dump of a hash set misses elements while the kernel grows or shrinks its table in the
// background, and nothing in the dump says so. What seems to be missing is looked for again.
Result<void> Table::Impl::look_again(const std::string& name, SetState& s, ElementTable& found,
                                     ElementDiff& d) {
  if (s.type.interval) return {};
  constexpr int kMoreDumps = 3;
  for (int i = 0; i < kMoreDumps; ++i) {
    const bool askable = !s.type.value && d.add.size() <= kMaxQuestions;
    if (d.add.empty() || askable) break;
    const std::size_t before = found.size();
    MARGAY_CHECK(dump_elements(name, s, found));
    if (found.size() == before) return {};
    d = diff(s.type, s.elements, found);
  }
  if (s.type.value || d.add.size() > kMaxQuestions) return {};
  ElementTable there(s.type);
  for (std::size_t i = 0; i < d.add.size(); ++i) {
    MARGAY_TRY(const bool has, has_element(name, Packed::of(d.add.key(i))));
    if (has) there.append_from(d.add, i);
  }
  there.seal();
  d.add.merge(ElementTable(s.type), there);
  return {};
}

Result<void> Table::Impl::read_elements(const std::string& name, SetState& s, Progress& p) {
  ElementTable found(s.type);
  MARGAY_TRY(const bool exists, dump_elements(name, s, found));
  s.unread = false;
  if (!exists) {
    s.have.reset();
    dirty_sets_.insert(name);
    return {};
  }
  ElementDiff d = diff(s.type, s.elements, found);
  MARGAY_CHECK(look_again(name, s, found, d));
  s.add = std::move(d.add);
  s.remove = std::move(d.remove);
  drop_refused(s);
  if (!s.has_changes()) {
    if (!s.refused) dirty_sets_.erase(name);
  } else if (!s.refused && dirty_sets_.insert(name).second && read_before_) {
    ++p.repairs;
  }
  return {};
}

Result<bool> Table::Impl::has_element(const std::string& set, const Packed& key) {
  Writer w;
  const auto seq = socket_.next_seq();
  begin_request(w, NFT_MSG_GETSETELEM, NLM_F_ACK, seq);
  w.attr_string(NFTA_SET_ELEM_LIST_TABLE, name_);
  w.attr_string(NFTA_SET_ELEM_LIST_SET, set);
  const auto list = w.begin_nested(NFTA_SET_ELEM_LIST_ELEMENTS);
  const auto elem = w.begin_nested(NFTA_LIST_ELEM);
  const auto k = w.begin_nested(NFTA_SET_ELEM_KEY);
  w.attr(NFTA_DATA_VALUE, key.bytes());
  w.end_nested(k);
  w.end_nested(elem);
  w.end_nested(list);
  w.end();
  const auto done = socket_.request(w, seq);
  if (!done.ok() && done.error().sys_errno != ENOENT) return done.error();
  return done.ok();
}

Result<void> Table::Impl::ask_elements(const std::string& name, SetState& s, Progress& p) {
  ElementTable more_add(s.type), less_add(s.type), more_remove(s.type), less_remove(s.type);
  for (const Packed& key : std::exchange(s.suspects, {})) {
    MARGAY_TRY(const bool there, has_element(name, key));
    const bool wanted = s.elements.find(key.bytes()) && !s.refused_elements.contains(key);
    const Element e = Element::of(key);
    (wanted && !there ? more_add : less_add).append(e);
    (!wanted && there ? more_remove : less_remove).append(e);
  }
  for (ElementTable* t : {&more_add, &less_add, &more_remove, &less_remove}) t->seal();
  const std::size_t before = s.add.size() + s.remove.size();
  s.add.merge(more_add, less_add);
  s.remove.merge(more_remove, less_remove);
  const std::size_t after = s.add.size() + s.remove.size();
  if (after > before) p.repairs += after - before;
  if (s.has_changes() && !s.refused) dirty_sets_.insert(name);
  return {};
}

Result<void> Table::Impl::refresh(Progress& p) {
  if (std::exchange(check_table_, false) && !suspect_all_) {
    const bool had = have_table_;
    MARGAY_TRY(const bool there, load_table());
    have_table_ = had;
    if (!there) table_gone(p);
  }
  if (suspect_all_) {
    suspect_chains_.clear();
    suspect_sets_.clear();
    asking_.clear();
    MARGAY_CHECK(load(p));
    suspect_all_ = false;
  }
  // A name leaves its list only when it has been read, so that an error loses no doubt.
  while (!suspect_chains_.empty()) {
    MARGAY_CHECK(reread_chain(*suspect_chains_.begin(), p));
    suspect_chains_.erase(suspect_chains_.begin());
  }
  while (!suspect_sets_.empty()) {
    MARGAY_CHECK(reread_set(*suspect_sets_.begin(), p));
    suspect_sets_.erase(suspect_sets_.begin());
  }
  for (const std::string& name : std::exchange(asking_, {})) {
    const auto it = sets_.find(name);
    if (it == sets_.end() || it->second.suspects.empty()) continue;
    if (!it->second.have || it->second.unread) {
      it->second.suspects.clear();
      continue;
    }
    MARGAY_CHECK(ask_elements(it->first, it->second, p));
  }
  // Sets that came to be wanted after the kernel was read.
  std::vector<std::string> unread;
  for (const std::string& name : dirty_sets_) {
    const SetState& s = sets_.at(name);
    if (s.wanted && s.unread && s.type_matches() && !s.refused) unread.push_back(name);
  }
  for (const std::string& name : unread) {
    const auto it = sets_.find(name);
    MARGAY_CHECK(read_elements(it->first, it->second, p));
  }
  return {};
}

}  // namespace margay::nft
