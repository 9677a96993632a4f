// SPDX-License-Identifier: Apache-2.0
#include "model/desired.h"

#include <algorithm>

namespace margay::model {

const std::string* find_label(const Labels& labels, std::string_view key) {
  const auto it =
      std::lower_bound(labels.begin(), labels.end(), key,
                       [](const auto& label, std::string_view k) { return label.first < k; });
  return it != labels.end() && it->first == key ? &it->second : nullptr;
}

bool is_staged(PolicyKind kind) {
  switch (kind) {
    case PolicyKind::network_policy:
    case PolicyKind::global_network_policy:
    case PolicyKind::kubernetes_network_policy:
    case PolicyKind::cluster_network_policy:
      return false;
    case PolicyKind::staged_network_policy:
    case PolicyKind::staged_global_network_policy:
    case PolicyKind::staged_kubernetes_network_policy:
      return true;
  }
  return false;
}

std::string_view short_code(PolicyKind kind) {
  switch (kind) {
    case PolicyKind::network_policy:
      return "np";
    case PolicyKind::global_network_policy:
      return "gnp";
    case PolicyKind::kubernetes_network_policy:
      return "knp";
    case PolicyKind::cluster_network_policy:
      return "kcnp";
    case PolicyKind::staged_network_policy:
      return "snp";
    case PolicyKind::staged_global_network_policy:
      return "sgnp";
    case PolicyKind::staged_kubernetes_network_policy:
      return "sknp";
  }
  return "";
}

std::string PolicyKey::to_string() const {
  std::string out(short_code(kind));
  if (!ns.empty()) out += "/" + ns;
  return out + "/" + name;
}

std::string EndpointId::to_string() const {
  if (workload.empty()) return endpoint;
  return orchestrator + "/" + workload + "/" + endpoint;
}

bool operator==(const LocalWorkload& a, const LocalWorkload& b) {
  const auto same_nat = [](const IpNat& x, const IpNat& y) {
    return x.internal_ip == y.internal_ip && x.external_ip == y.external_ip;
  };
  return a.id == b.id && a.interface_name == b.interface_name && a.active == b.active &&
         a.mac == b.mac && a.addresses == b.addresses && a.spoofable == b.spoofable &&
         std::equal(a.nats.begin(), a.nats.end(), b.nats.begin(), b.nats.end(), same_nat) &&
         a.tiers == b.tiers && a.profiles == b.profiles;
}

}  // namespace margay::model
