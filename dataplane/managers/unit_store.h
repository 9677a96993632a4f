// SPDX-License-Identifier: Apache-2.0
// Compiled units (policy/program.h) as wants of one table: what a unit no longer has is forgotten,
// and constant sets stand as long as some unit looks them up. No I/O.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/nft/driver.h"
#include "dataplane/policy/matches.h"

namespace margay::managers {

class UnitStore {
 public:
  explicit UnitStore(nft::Table& table) : table_(table) {}

  // What the unit called `key` consists of from now on.
  void put(const std::string& key, const std::vector<nft::Chain>& chains,
           const policy::ConstantSets& sets);
  void remove(std::string_view key);

  [[nodiscard]] std::size_t chains() const { return chains_; }
  [[nodiscard]] std::size_t rules() const { return rules_; }
  [[nodiscard]] std::size_t sets() const { return set_users_.size(); }

 private:
  struct Stored {
    std::vector<std::string> chains;
    std::vector<std::string> sets;
    std::size_t rules = 0;
  };
  void release(const std::vector<std::string>& sets);

  nft::Table& table_;
  std::map<std::string, Stored, std::less<>> units_;
  std::map<std::string, std::size_t, std::less<>> set_users_;
  std::size_t chains_ = 0, rules_ = 0;
};

}  // namespace margay::managers
