// SPDX-License-Identifier: Apache-2.0
// Table `margay-static`: NAT of what leaves the pools, protection of the tunnels' ports, service
// loop prevention, floating addresses. A table of its own, so that no endpoint's object can hold it
// up. Pure.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "dataplane/policy/config.h"
#include "dataplane/policy/matches.h"

namespace margay::policy {

// Ids of the sets that the plane keeps like model sets.
inline constexpr std::string_view kAllPools = "all-pools";      // every pool
inline constexpr std::string_view kNatPools = "nat-pools";      // pools with outgoing NAT
inline constexpr std::string_view kAllHosts = "all-hosts";      // addresses of every node
inline constexpr std::string_view kVxlanHosts = "vxlan-hosts";  // underlay addresses of VTEPs

struct StaticSpec {
  model::EncapInUse encap;
  std::optional<Ip> vxlan_v4, vxlan_v6, ipip_v4;  // our tunnel addresses
  model::ServiceRanges services;
  std::vector<model::IpNat> floating;
};

// `shapes` knows the four ids above.
[[nodiscard]] std::vector<nft::Chain> static_chains(const StaticSpec& spec, const SetShapes& shapes,
                                                    const PolicyConfig& config, ConstantSets& sets);

}  // namespace margay::policy
