// SPDX-License-Identifier: Apache-2.0
// The keys of TCP-MD5 that a listening socket needs. The kernel's memory for them is bounded per
// socket (net.core.optmem_max: some 150 keys at its old default), so neighbours with the same
// password share one for a whole prefix. Pure.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/ip.h"
#include "bgp/speaker/transport.h"

namespace margay::bgp {

struct Md5Key {
  Prefix prefix;
  std::string password;
  friend bool operator==(const Md5Key&, const Md5Key&) = default;
};

// As few keys as give every address of a rule its own password, and none to one without. Addresses
// of no rule may fall under a key: the kernel then drops their connections, which nobody would
// accept anyway.
[[nodiscard]] std::vector<Md5Key> md5_keys(std::span<const AcceptRule> rules);

}  // namespace margay::bgp
