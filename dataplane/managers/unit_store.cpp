// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/unit_store.h"

#include <algorithm>

namespace margay::managers {

void UnitStore::put(const std::string& key, const std::vector<nft::Chain>& chains,
                    const policy::ConstantSets& sets) {
  Stored fresh;
  for (const auto& [name, set] : sets.all()) {
    fresh.sets.push_back(name);
    if (set_users_[name]++ > 0) continue;
    const auto r = table_.want_set(set.def);
    MARGAY_ASSERT(r.ok());
    nft::ElementTable elements(set.def.type);
    for (const nft::Element& e : set.elements) elements.append(e);
    table_.replace_elements(name, std::move(elements));
  }
  for (const nft::Chain& c : chains) {
    fresh.chains.push_back(c.name);
    fresh.rules += c.rules.size();
    table_.want_chain(c);
  }
  Stored& stored = units_[key];
  for (const std::string& name : stored.chains) {
    if (std::ranges::find(fresh.chains, name) == fresh.chains.end()) table_.forget_chain(name);
  }
  release(stored.sets);
  chains_ += fresh.chains.size() - stored.chains.size();
  rules_ += fresh.rules - stored.rules;
  stored = std::move(fresh);
}

void UnitStore::remove(std::string_view key) {
  const auto it = units_.find(key);
  if (it == units_.end()) return;
  for (const std::string& name : it->second.chains) table_.forget_chain(name);
  release(it->second.sets);
  chains_ -= it->second.chains.size();
  rules_ -= it->second.rules;
  units_.erase(it);
}

void UnitStore::release(const std::vector<std::string>& sets) {
  for (const std::string& name : sets) {
    const auto it = set_users_.find(name);
    if (--it->second > 0) continue;
    table_.forget_set(name);
    set_users_.erase(it);
  }
}

}  // namespace margay::managers
