// SPDX-License-Identifier: Apache-2.0
// What the kernel's own routes tell BGP: which interface leads to a next hop, if any does. Longest
// match, then lowest metric. Before the first set() every next hop counts as reachable: a reflector
// on a machine without a dataplane stays that way. Pure.
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
  [[nodiscard]] const std::string& interface_to(const Ip& to) const;

 private:
  struct Way {
    std::string interface;
    std::uint32_t metric = 0;
  };
  [[nodiscard]] const std::string& look(const Ip& to) const;

  bool known_ = false;
  std::unordered_map<Prefix, Way> ways_;
  std::array<std::size_t, 33> lengths_v4_{};  // how many there are of each length
  std::array<std::size_t, 129> lengths_v6_{};
  mutable std::unordered_map<Ip, std::string> asked_;
};

}  // namespace margay::bgp
