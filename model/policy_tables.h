// SPDX-License-Identifier: Apache-2.0
// Active policies, profiles and sets as somebody who judges packets reads them, whoever keeps them
// and however. Pure values; the answers live as long as the tables do not change.
#pragma once

#include <cstdint>
#include <string>

#include "model/desired.h"

namespace margay::model {

class PolicyTables {
 public:
  virtual ~PolicyTables() = default;
  // nullptr: unknown.
  [[nodiscard]] virtual const ActivePolicy* policy(const PolicyKey& key) const = 0;
  [[nodiscard]] virtual const ActiveProfile* profile(const std::string& name) const = 0;
  // Is the address in a set of networks? False for an unknown set.
  [[nodiscard]] virtual bool contains(const SetId& id, const Ip& address) const = 0;
  // Is (address, protocol, port) in a set of kind ip_port?
  [[nodiscard]] virtual bool contains(const SetId& id, const Ip& address, std::uint8_t protocol,
                                      std::uint16_t port) const = 0;
};

}  // namespace margay::model
