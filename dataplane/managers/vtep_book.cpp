// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/vtep_book.h"

namespace margay::dataplane {

namespace {

// The last of the nodes that claim the key; null when none does.
template <typename Key>
const std::string* owner(const std::set<std::pair<Key, std::string>>& claims, const Key& key) {
  const std::string* last = nullptr;
  for (auto it = claims.lower_bound({key, {}}); it != claims.end() && it->first == key; ++it) {
    last = &it->second;
  }
  return last;
}

}  // namespace

void VtepBook::change(const model::Vtep* before, const model::Vtep* after) {
  for (const model::Vtep* v : {before, after}) {
    if (v == nullptr) continue;
    touched_addresses_.insert(v->tunnel_ip);
    touched_macs_.insert(v->mac);
  }
  if (before != nullptr) {
    addresses_.erase({before->tunnel_ip, before->node});
    macs_.erase({before->mac, before->node});
  }
  if (after != nullptr) {
    addresses_.insert({after->tunnel_ip, after->node});
    macs_.insert({after->mac, after->node});
  }
}

// Everything is of another device: what was wanted of the one before goes with it.
void VtepBook::move_to(neigh::NeighTable& table, IfIndex device) {
  for (const auto& [address, node] : addresses_) touched_addresses_.insert(address);
  for (const auto& [mac, node] : macs_) touched_macs_.insert(mac);
  if (device_.value() != 0) {
    for (const Ip& address : touched_addresses_) table.forget_neighbour({device_, address});
    for (const Mac& mac : touched_macs_) table.forget_fdb({device_, mac});
  }
  device_ = device;
}

void VtepBook::refresh(neigh::NeighTable& table, IfIndex device,
                       const std::map<std::string, model::Vtep>& vteps) {
  if (device != device_) move_to(table, device);
  const auto addresses = std::exchange(touched_addresses_, {});
  const auto macs = std::exchange(touched_macs_, {});
  if (device.value() == 0) return;
  for (const Ip& address : addresses) {
    const std::string* node = owner(addresses_, address);
    const neigh::NeighKey key{device, address};
    node == nullptr ? table.forget_neighbour(key) : table.want_neighbour(key, vteps.at(*node).mac);
  }
  for (const Mac& mac : macs) {
    const std::string* node = owner(macs_, mac);
    const neigh::FdbKey key{device, mac};
    node == nullptr ? table.forget_fdb(key) : table.want_fdb(key, vteps.at(*node).parent_ip);
  }
}

}  // namespace margay::dataplane
