// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/workloads.h"

#include <algorithm>

namespace margay::dataplane {

Workloads::Touched Workloads::set(const model::LocalWorkload& workload) {
  Touched touched;
  const auto it = workloads_.find(workload.id);
  if (it != workloads_.end() && it->second.interface_name != workload.interface_name) {
    touched = remove(workload.id);
  }
  workloads_.insert_or_assign(workload.id, workload);
  by_interface_[workload.interface_name].insert(workload.id);
  activate(workload.interface_name, touched);
  return touched;
}

Workloads::Touched Workloads::remove(const model::EndpointId& id) {
  Touched touched;
  const auto it = workloads_.find(id);
  if (it == workloads_.end()) return touched;
  const std::string interface = it->second.interface_name;
  workloads_.erase(it);
  by_interface_[interface].erase(id);
  if (by_interface_[interface].empty()) by_interface_.erase(interface);
  activate(interface, touched);
  return touched;
}

Workloads::Touched Workloads::set_floating_ips(bool on) {
  Touched touched;
  if (on == floating_ips_) return touched;
  floating_ips_ = on;
  for (const std::string& interface : interfaces()) activate(interface, touched);
  return touched;
}

// Makes the claims of an interface those of its active endpoint.
void Workloads::activate(const std::string& interface, Touched& touched) {
  const model::LocalWorkload* active = on(interface);
  std::vector<Prefix> now = active == nullptr ? std::vector<Prefix>{} : addresses_of(*active);
  std::vector<Prefix>& before = active_[interface];
  touched.interfaces.insert(interface);
  for (const Prefix& p : before) {
    if (std::ranges::find(now, p) != now.end()) continue;
    const auto claim = claims_.find(p);
    claim->second.erase(interface);
    if (claim->second.empty()) claims_.erase(claim);
    touched.addresses.push_back(p);
  }
  for (const Prefix& p : now) {
    if (claims_[p].insert(interface).second) touched.addresses.push_back(p);
  }
  before = std::move(now);
  if (active == nullptr) active_.erase(interface);
}

std::vector<Prefix> Workloads::addresses_of(const model::LocalWorkload& w) const {
  std::vector<Prefix> out;
  if (!w.active) return out;
  out = w.addresses;
  if (floating_ips_) {
    for (const model::IpNat& nat : w.nats) out.push_back(Prefix::host(nat.external_ip));
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

const model::LocalWorkload* Workloads::on(const std::string& interface) const {
  const auto it = by_interface_.find(interface);
  return it == by_interface_.end() ? nullptr : &workloads_.at(*it->second.begin());
}

std::vector<Prefix> Workloads::addresses_on(const std::string& interface) const {
  const auto it = active_.find(interface);
  return it == active_.end() ? std::vector<Prefix>{} : it->second;
}

const std::set<std::string>* Workloads::claims(const Prefix& address) const {
  const auto it = claims_.find(address);
  return it == claims_.end() ? nullptr : &it->second;
}

std::vector<std::string> Workloads::interfaces() const {
  std::vector<std::string> out;
  for (const auto& [name, ids] : by_interface_) out.push_back(name);
  return out;
}

}  // namespace margay::dataplane
