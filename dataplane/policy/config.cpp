// SPDX-License-Identifier: Apache-2.0
#include "dataplane/policy/config.h"

#include <initializer_list>

namespace margay::policy {

namespace {
constexpr std::uint8_t kTcp = 6, kUdp = 17;
}

std::vector<FailsafePort> default_failsafe_in() {
  std::vector<FailsafePort> out;
  for (const std::uint16_t port :
       std::initializer_list<std::uint16_t>{22, 179, 2379, 2380, 5473, 5474, 6443, 6666, 6667}) {
    out.push_back({kTcp, port, std::nullopt});
  }
  out.push_back({kUdp, 68, std::nullopt});
  return out;
}

std::vector<FailsafePort> default_failsafe_out() {
  std::vector<FailsafePort> out{{kUdp, 53, std::nullopt}, {kUdp, 67, std::nullopt}};
  for (const std::uint16_t port :
       std::initializer_list<std::uint16_t>{179, 2379, 2380, 5473, 5474, 6443, 6666, 6667}) {
    out.push_back({kTcp, port, std::nullopt});
  }
  return out;
}

}  // namespace margay::policy
