// SPDX-License-Identifier: Apache-2.0
// Native Kubernetes policies -> Calico's form (spec policy-model.md 5), and what can be saved of a
// policy that does not decode. Pure functions of one object.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/kubernetes.h"
#include "model/resources.h"

namespace margay::calc {

struct Converted {
  model::PolicySpec spec;
  std::vector<std::string> problems;  // parts that could not be converted and were left out
};
// Tier `default`, order 1000. A rule that cannot be converted is left out: it could only allow.
[[nodiscard]] Converted convert(const model::KubernetesNetworkPolicy& policy);
// Tier kube-admin or kube-baseline. A rule to deny or pass that cannot be converted denies all; one
// to accept is left out.
[[nodiscard]] Converted convert(const model::ClusterNetworkPolicy& policy);

// Of a (Global)NetworkPolicy's JSON: its selectors, tier, order, types and flags, without rules.
// nullopt: not even these can be read.
[[nodiscard]] std::optional<model::PolicySpec> salvage_policy(std::string_view json);
// The same of a Kubernetes NetworkPolicy, converted.
[[nodiscard]] std::optional<model::PolicySpec> salvage_kubernetes_policy(std::string_view json);

}  // namespace margay::calc
