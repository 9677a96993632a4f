// SPDX-License-Identifier: Apache-2.0
// What the kernel's own routes tell BGP: which interface leads to a next hop, if any does, and how
// far it is (the interior cost of RFC 4271 9.1.2.2 e): nothing on a connected network, as in BIRD,
// else more than the metric of the route. Longest match, then lowest metric. Before the first set()
// every next hop counts as reachable: a reflector on a machine without a dataplane stays that way.
// Pure.
#pragma once

#include <array>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ip.h"
#include "bgp/rib/rib_types.h"

namespace margay::bgp {

class KernelView {
 public:
  // True when what was asked for since the last call has other answers now.
  bool set(const std::vector<LearntRoute>& routes);
  [[nodiscard]] bool reachable(const Ip& to) const { return !known_ || !interface_to(to).empty(); }
  // Empty: none is known. Valid until the next call.
  [[nodiscard]] const std::string& interface_to(const Ip& to) const { return way_to(to).interface; }
  [[nodiscard]] std::uint32_t cost_to(const Ip& to) const { return known_ ? way_to(to).cost : 0; }

 private:
  struct Way {
    std::string interface;
    std::uint32_t metric = 0, cost = 0;
    friend bool operator==(const Way&, const Way&) = default;
  };
  [[nodiscard]] const Way& way_to(const Ip& to) const;
  [[nodiscard]] const Way& look(const Ip& to) const;

  bool known_ = false;
  std::unordered_map<Prefix, Way> ways_;
  std::array<std::size_t, 33> lengths_v4_{};  // how many there are of each length
  std::array<std::size_t, 129> lengths_v6_{};
  mutable std::unordered_map<Ip, Way> asked_;
};

}  // namespace margay::bgp
