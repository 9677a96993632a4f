// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/services.h"

#include "agent/calc/ip_sets.h"

namespace margay::calc {
namespace {

constexpr std::string_view kServiceNameLabel = "kubernetes.io/service-name";

}  // namespace

void Services::contribute(const std::string& service, const Slice& slice, bool add) {
  for (const auto& m : slice.addresses) sets_.service_member(service, false, m, add);
  for (const auto& m : slice.with_ports) sets_.service_member(service, true, m, add);
}

void Services::set(const std::string& key, const std::string& ns,
                   const model::EndpointSlice& slice) {
  const std::string* name = model::find_label(slice.metadata.labels, kServiceNameLabel);
  if (name == nullptr) return erase(key);
  Slice value;
  for (const auto& endpoint : slice.endpoints) {
    for (const auto& text : endpoint.addresses) {
      const auto ip = Ip::parse(text);
      if (!ip.ok()) continue;  // slices of type FQDN hold names
      value.addresses.push_back({Prefix::host(*ip), 0, 0});
      for (const auto& port : slice.ports) {
        if (!port.port) continue;
        value.with_ports.push_back({Prefix::host(*ip), port.protocol.number, *port.port});
      }
    }
  }
  std::string service = ns + "/" + *name;
  contribute(service, value, true);  // before the old goes: what stays never leaves the set
  erase(key);
  by_service_[service].emplace(key, std::move(value));
  service_of_[key] = std::move(service);
}

void Services::erase(const std::string& key) {
  const auto it = service_of_.find(key);
  if (it == service_of_.end()) return;
  const auto slices = by_service_.find(it->second);
  contribute(it->second, slices->second.at(key), false);
  slices->second.erase(key);
  if (slices->second.empty()) by_service_.erase(slices);
  service_of_.erase(it);
}

}  // namespace margay::calc
