// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/host_flows.h"

#include <algorithm>

namespace margay::managers {

namespace {

constexpr std::uint8_t kIpip = 4, kUdp = 17;

bool names_any(const std::vector<model::PolicyKey>& list, const std::set<model::PolicyKey>& keys) {
  return std::ranges::any_of(list, [&](const auto& k) { return keys.contains(k); });
}

}  // namespace

void HostFlows::look() {
  judged_.clear();
  addresses_.clear();
  const auto resolved = endpoints_.host_endpoints_by_interface();
  std::set<const model::LocalHostEndpoint*> all;
  for (const auto& [interface, h] : resolved) all.insert(h);
  for (const model::LocalHostEndpoint* h : all) {
    Judged j;
    j.policy.tiers = h->tiers;
    j.policy.profiles = h->profiles;
    j.early_out = !h->untracked_tiers.empty();
    j.early_in = j.early_out || !h->pre_dnat_tiers.empty();
    judged_.push_back(std::move(j));
  }
  for (const auto& [interface, own] : endpoints_.interfaces()) {
    if (!resolved.contains(interface) && !resolved.contains("*")) continue;
    for (const Ip& a : own) {
      if (!a.is_loopback() && !a.is_link_local()) addresses_.insert(a);
    }
  }
}

bool HostFlows::names(const std::set<model::PolicyKey>& policies,
                      const std::set<std::string>& profiles) const {
  return std::ranges::any_of(judged_, [&](const Judged& j) {
    return std::ranges::any_of(j.policy.profiles,
                               [&](const std::string& p) { return profiles.contains(p); }) ||
           std::ranges::any_of(j.policy.tiers, [&](const model::EndpointTier& t) {
             return names_any(t.ingress, policies) || names_any(t.egress, policies);
           });
  });
}

bool HostFlows::exempt(const conntrack::Tuple& packet, bool in) const {
  if (packet.protocol == kIpip) return true;
  if (packet.protocol == kUdp && packet.destination_port == config_.vxlan_port) return true;
  const auto& list = in ? config_.failsafe_in : config_.failsafe_out;
  const Ip& other = in ? packet.source : packet.destination;
  return std::ranges::any_of(list, [&](const policy::FailsafePort& f) {
    return f.protocol == packet.protocol && f.port == packet.destination_port &&
           (!f.net || f.net->length() == 0 || f.net->contains(other));
  });
}

bool HostFlows::denies(const conntrack::Tuple& packet, const model::PolicyTables& tables,
                       const std::function<bool(const Ip&)>& elsewhere) const {
  const bool in = addresses_.contains(packet.destination);
  if (judged_.empty() || in == addresses_.contains(packet.source)) return false;
  if (!elsewhere(in ? packet.source : packet.destination) || exempt(packet, in)) return false;
  const FlowWay way = in ? FlowWay::to_workload : FlowWay::from_workload;
  return std::ranges::all_of(judged_, [&](const Judged& j) {
    return !(in ? j.early_in : j.early_out) && !judge_(j.policy, way, packet, tables);
  });
}

}  // namespace margay::managers
