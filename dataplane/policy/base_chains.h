// SPDX-License-Identifier: Apache-2.0
// The base chains of table `margay`: how packets find the programs of their endpoints. One lookup
// of the interface name each way; a workload interface without a program drops both ways. Egress of
// the source and ingress of the destination stand in base chains of their own, one after the other:
// accept in a program ends only its base chain, so both must accept and no mark is needed. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/policy/rules.h"

namespace margay::policy {

// Verdict maps interface -> program, and sets of what a workload may send from.
inline constexpr std::string_view kFromWorkload = "from-workload", kToWorkload = "to-workload";
inline constexpr std::string_view kWorkloads = "workloads";  // interfaces of active ones
[[nodiscard]] std::string workload_source_set(Family f);     // ifname . address
// Tuples of the answering side of connections that were cut: source . destination . protocol .
// ports
[[nodiscard]] std::string cut_flow_set(Family f);

// Host endpoints at one hook: named interfaces in a verdict map of this name, and the program for
// every other interface.
struct HostHook {
  std::string map;
  bool named = false;
  std::optional<std::string> others;
  [[nodiscard]] bool used() const { return named || others.has_value(); }
};
struct HostHooks {
  HostHook input{"host-input", false, {}}, output{"host-output", false, {}};
  HostHook output_after_nat{"host-output-after-nat", false, {}};
  HostHook forward_in{"host-forward-in", false, {}}, forward_out{"host-forward-out", false, {}};
  HostHook before_nat{"host-before-nat", false, {}};
  HostHook untracked_in{"host-untracked-in", false, {}};
  HostHook untracked_out{"host-untracked-out", false, {}};
  [[nodiscard]] bool any() const;
};

struct BaseSpec {
  HostHooks host;
  std::vector<std::pair<std::string, Prefix>> spoofable;  // interface, what else it may send from
  bool vxlan = false, ipip = false;  // in use: host endpoints let their underlay packets through
  bool cut_flows = false;  // connections that were cut must not begin from their other end
};

// `shapes` knows kVxlanHosts and kAllHosts (static_table.h).
[[nodiscard]] std::vector<nft::Chain> base_chains(const BaseSpec& spec, const SetShapes& shapes,
                                                  const PolicyConfig& config, ConstantSets& sets);
// The sets and maps that those chains name, which stand whether they have elements or not.
[[nodiscard]] std::vector<nft::SetDef> base_sets(const BaseSpec& spec);

}  // namespace margay::policy
