// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/set_keeper.h"

#include <algorithm>

#include "dataplane/policy/matches.h"
#include "dataplane/policy/names.h"

namespace margay::managers {

namespace {

using nft::Datatype;
using nft::ElementTable;
using policy::interval_set_name;
using policy::kMaxLengths;
using policy::net_set_name;
using policy::port_set_name;

nft::SetType nets_type(Family f) { return {{policy::address_type(f)}, false, std::nullopt}; }

nft::SetType ports_type(Family f) {
  return {
      {policy::address_type(f), Datatype::inet_proto, Datatype::inet_service}, false, std::nullopt};
}

ElementTable keys_of(const nft::SetType& type, const std::vector<Prefix>& members) {
  ElementTable out(type);
  out.reserve(members.size());
  for (const Prefix& p : members) out.append_key(p.addr().bytes());
  out.seal();
  return out;
}

nft::Packed port_key(const model::SetMember& m) {
  nft::Packed key;
  key.then(nft::Packed::ip(m.prefix.addr()))
      .then(nft::Packed::u8(m.protocol))
      .then(nft::Packed::be16(m.port));
  return key;
}

bool has(const nft::Table& table, const std::string& set, std::span<const std::uint8_t> key) {
  const ElementTable* elements = table.elements(set);
  return elements != nullptr && elements->find(key).has_value();
}

}  // namespace

// --- the kernel's sets, counted --------------------------------------------------------------

void SetKeeper::make(const std::string& name, nft::SetType type) {
  const auto r = table_.want_set({name, std::move(type)});
  MARGAY_ASSERT(r.ok());  // refused are only maps of intervals
  ++count_.sets;
}

void SetKeeper::drop(const std::string& name) {
  --count_.sets;
  count_.elements -= table_.elements(name)->size();
  table_.forget_set(name);
}

void SetKeeper::fill(const std::string& name, ElementTable elements) {
  count_.elements -= table_.elements(name)->size();
  table_.replace_elements(name, std::move(elements));
  count_.elements += table_.elements(name)->size();
}

void SetKeeper::change(const std::string& name, ElementTable add, ElementTable remove) {
  count_.elements -= table_.elements(name)->size();
  table_.change_elements(name, std::move(add), std::move(remove));
  count_.elements += table_.elements(name)->size();
}

// --- model sets ------------------------------------------------------------------------------

void SetKeeper::apply(const model::SetUpdate& update) {
  auto [it, fresh] = sets_.try_emplace(update.id);
  Entry& entry = it->second;
  if (!fresh && entry.kind != update.kind) {  // ids name one kind; another one begins anew
    for (const Family f : kFamilies) drop_part(update.id, entry.of(f), f);
    entry = {};
  }
  entry.kind = update.kind;
  const bool ends = std::exchange(entry.more, update.more) && !update.more;
  for (const Family f : kFamilies) {
    Part& part = entry.of(f);
    if (update.kind == model::SetKind::ip_port) {
      apply_ports(update, part, f);
      continue;
    }
    ByLength added, removed;
    for (const auto& m : update.added) {
      if (m.prefix.family() == f) added[m.prefix.length()].push_back(m.prefix);
    }
    for (const auto& m : update.removed) {
      if (m.prefix.family() == f) removed[m.prefix.length()].push_back(m.prefix);
    }
    if (part.intervals) {
      change_intervals(update.id, part, f, update.replace, added, removed);
      // Not at the bound already: the set of host addresses may come besides, and a set that
      // hovers there is not written anew each time.
      if (!entry.more && part.intervals->lengths() < kMaxLengths) {
        from_intervals(update.id, part, f);
      }
    } else {
      change_lengths(update.id, part, f, update.replace, added, removed);
      if (part.lengths.size() > kMaxLengths) to_intervals(update.id, part, f);
    }
  }
  settle(update.id, entry);
  if (!entry.more && !ends) return;
  for (const Family f : kFamilies) {
    for (const std::string& name : names_of(update.id, entry.of(f), f)) {
      table_.expect_more(name, entry.more);
    }
  }
}

void SetKeeper::replace(std::string_view id, const std::vector<Prefix>& members) {
  model::SetUpdate update;
  update.id = id;
  update.replace = true;
  for (const Prefix& p : members) update.added.push_back({p, 0, 0});
  std::ranges::sort(update.added);
  const auto last = std::unique(update.added.begin(), update.added.end());
  update.added.erase(last, update.added.end());
  apply(update);
}

void SetKeeper::change_intervals(const model::SetId& id, Part& part, Family f, bool replace,
                                 const ByLength& added, const ByLength& removed) {
  const auto listed = [](const ByLength& by_length) {
    std::vector<Prefix> out;
    for (const auto& [length, list] : by_length) out.insert(out.end(), list.begin(), list.end());
    return out;
  };
  const std::string name = interval_set_name(id, f);
  if (replace) {
    part.intervals.emplace();
    auto whole =
        part.intervals->change(f, ElementTable(IntervalMembers::type(f)), {}, listed(added));
    return fill(name, std::move(whole.add));
  }
  auto c = part.intervals->change(f, *table_.elements(name), listed(removed), listed(added));
  change(name, std::move(c.add), std::move(c.remove));
}

void SetKeeper::change_lengths(const model::SetId& id, Part& part, Family f, bool replace,
                               const ByLength& added, const ByLength& removed) {
  std::set<unsigned> lengths;
  for (const auto& [length, list] : added) lengths.insert(length);
  for (const auto& [length, list] : removed) lengths.insert(length);
  if (replace) lengths.insert(part.lengths.begin(), part.lengths.end());
  static const std::vector<Prefix> kNone;
  const auto list = [](const ByLength& from, unsigned length) -> const std::vector<Prefix>& {
    const auto it = from.find(length);
    return it == from.end() ? kNone : it->second;
  };
  for (const unsigned length : lengths) {
    change_length(id, part, f, length, replace, list(added, length), list(removed, length));
  }
}

void SetKeeper::change_length(const model::SetId& id, Part& part, Family f, unsigned length,
                              bool replace, const std::vector<Prefix>& added,
                              const std::vector<Prefix>& removed) {
  const std::string name = net_set_name(id, f, length);
  const bool stands = part.lengths.contains(length);
  if (!stands && added.empty()) return;
  const nft::SetType type = nets_type(f);
  if (!stands) {
    make(name, type);
    part.lengths.insert(length);
  }
  if (replace) {
    fill(name, keys_of(type, added));
  } else {
    change(name, keys_of(type, added), keys_of(type, removed));
  }
  if (table_.elements(name)->empty() && !(length == max_prefix_length(f) && used(f))) {
    drop(name);
    part.lengths.erase(length);
  }
}

void SetKeeper::to_intervals(const model::SetId& id, Part& part, Family f) {
  ByLength members;
  for (const unsigned length : std::exchange(part.lengths, {})) {
    const std::string name = net_set_name(id, f, length);
    const ElementTable* elements = table_.elements(name);
    for (std::size_t i = 0; i < elements->size(); ++i) {
      members[length].push_back(Prefix::containing(Ip::from_bytes(elements->key(i)), length));
    }
    drop(name);
  }
  make(interval_set_name(id, f), IntervalMembers::type(f));
  change_intervals(id, part, f, true, members, {});
}

// Its members have few enough lengths again.
void SetKeeper::from_intervals(const model::SetId& id, Part& part, Family f) {
  ByLength members;
  for (const Prefix& p : part.intervals->all()) members[p.length()].push_back(p);
  part.intervals.reset();
  drop(interval_set_name(id, f));
  change_lengths(id, part, f, true, members, {});
}

void SetKeeper::apply_ports(const model::SetUpdate& update, Part& part, Family f) {
  const nft::SetType type = ports_type(f);
  ElementTable added(type), removed(type);
  for (const auto& m : update.added) {
    if (m.prefix.family() == f) added.append_key(port_key(m).bytes());
  }
  for (const auto& m : update.removed) {
    if (m.prefix.family() == f) removed.append_key(port_key(m).bytes());
  }
  added.seal();
  removed.seal();
  const std::string name = port_set_name(update.id, f);
  if (!part.ports && added.empty()) return;
  if (!part.ports) make(name, type);
  part.ports = true;
  if (update.replace) {
    fill(name, std::move(added));
  } else {
    change(name, std::move(added), std::move(removed));
  }
}

std::vector<std::string> SetKeeper::names_of(const model::SetId& id, const Part& part, Family f) {
  std::vector<std::string> out;
  for (const unsigned length : part.lengths) out.push_back(net_set_name(id, f, length));
  if (part.intervals) out.push_back(interval_set_name(id, f));
  if (part.ports) out.push_back(port_set_name(id, f));
  return out;
}

void SetKeeper::drop_part(const model::SetId& id, Part& part, Family f) {
  for (const std::string& name : names_of(id, part, f)) drop(name);
  part = {};
}

void SetKeeper::remove(const model::SetId& id) {
  const auto it = sets_.find(id);
  if (it == sets_.end()) return;
  for (const Family f : kFamilies) drop_part(id, it->second.of(f), f);
  sets_.erase(it);
  shapes_.erase(id);
  changed_.insert(id);
}

void SetKeeper::set_families(bool v4, bool v6) {
  if (use_v4_ == v4 && use_v6_ == v6) return;
  use_v4_ = v4;
  use_v6_ = v6;
  for (auto& [id, entry] : sets_) settle(id, entry);
}

// Brings the sets that stand without members in line with the families in use, then the shape.
void SetKeeper::settle(const model::SetId& id, Entry& entry) {
  policy::SetShape shape;
  shape.kind = entry.kind;
  for (const Family f : kFamilies) {
    Part& part = entry.of(f);
    if (entry.kind == model::SetKind::ip_port) {
      const std::string name = port_set_name(id, f);
      const bool empty = !part.ports || table_.elements(name)->empty();
      if (empty && used(f) && !part.ports) make(name, ports_type(f));
      if (empty && !used(f) && part.ports) drop(name);
      part.ports = !empty || used(f);
    } else if (!part.intervals) {
      const unsigned host = max_prefix_length(f);
      const std::string name = net_set_name(id, f, host);
      const bool stands = part.lengths.contains(host);
      if (used(f) && !stands) {
        make(name, nets_type(f));
        part.lengths.insert(host);
      } else if (!used(f) && stands && table_.elements(name)->empty()) {
        drop(name);
        part.lengths.erase(host);
      }
    }
    policy::FamilyShape& out = shape.of(f);
    out.interval = part.intervals.has_value();
    out.lengths.assign(part.lengths.rbegin(), part.lengths.rend());
    out.ports = part.ports;
  }
  const auto [it, fresh] = shapes_.try_emplace(id, shape);
  if (fresh || it->second != shape) changed_.insert(id);
  it->second = std::move(shape);
}

bool SetKeeper::contains(const model::SetId& id, const Ip& address) const {
  const auto it = sets_.find(id);
  if (it == sets_.end()) return false;
  const Family f = address.family();
  const Part& part = it->second.of(f);
  if (part.intervals) {
    return IntervalMembers::covers(*table_.elements(interval_set_name(id, f)), address);
  }
  return std::ranges::any_of(part.lengths, [&](unsigned length) {
    return has(table_, net_set_name(id, f, length), address.masked(length).bytes());
  });
}

bool SetKeeper::contains(const model::SetId& id, const Ip& address, std::uint8_t protocol,
                         std::uint16_t port) const {
  const auto it = sets_.find(id);
  const Family f = address.family();
  return it != sets_.end() && it->second.of(f).ports &&
         has(table_, port_set_name(id, f),
             port_key({Prefix::host(address), protocol, port}).bytes());
}

bool SetKeeper::incomplete(const model::SetId& id) const {
  const auto it = sets_.find(id);
  return it != sets_.end() && it->second.more;
}

std::set<model::SetId> SetKeeper::take_changed() { return std::exchange(changed_, {}); }

}  // namespace margay::managers
