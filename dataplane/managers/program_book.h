// SPDX-License-Identifier: Apache-2.0
// Which policies, profiles, tiers and programs stand as chains: exactly those that some endpoint
// uses, each once. Knows the policies and profiles of this node and compiles them when they, or the
// shapes of their sets, change. No I/O.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "dataplane/managers/unit_store.h"
#include "dataplane/policy/program.h"

namespace margay::managers {

class ProgramBook {
 public:
  ProgramBook(UnitStore& units, const policy::SetShapes& shapes,
              const policy::PolicyConfig& config);

  void set_policy(model::ActivePolicy policy);
  void remove_policy(const model::PolicyKey& key);
  void set_profile(model::ActiveProfile profile);
  void remove_profile(const std::string& name);
  // Everything that looks these sets up is compiled again; `all`: the configuration has changed.
  void shapes_changed(const std::set<model::SetId>& ids);
  void config_changed();

  // Compiles what is due. Returns the policies whose ability to pass has changed: endpoints that
  // have them need their specs anew, before anything is applied.
  [[nodiscard]] std::set<model::PolicyKey> refresh();

  // A use of the program; returns the chain to go to. Release with what acquire returned.
  [[nodiscard]] std::string acquire(const policy::ProgramSpec& spec);
  void release(const std::string& entry);

  [[nodiscard]] const policy::PolicySource& source() const { return source_; }
  [[nodiscard]] const std::map<std::string, std::string>& fails_closed() const { return closed_; }

 private:
  struct PolicyUse {  // one policy or profile chain
    model::PolicyKey key;
    std::string profile;  // for a profile; key is empty then
    policy::Way way = policy::Way::ingress;
    policy::Stage stage = policy::Stage::filter;
    std::size_t users = 0;
  };
  struct TierUse {
    policy::TierSpec spec;
    std::vector<std::string> jumps;  // policy chains in use
    std::size_t users = 0;
  };
  struct ProgramUse {
    policy::ProgramSpec spec;
    std::vector<std::string> tiers, profiles;
    std::size_t users = 0;
  };

  [[nodiscard]] policy::CompileEnv env() const { return {source_, shapes_, config_}; }
  std::string acquire_policy(const PolicyUse& use);
  void release_policy(const std::string& chain);
  void compile(const std::string& chain, const PolicyUse& use);
  void put(const std::string& name, policy::Unit unit);
  std::string acquire_tier(const policy::TierSpec& spec);
  void release_tier(const std::string& chain);
  void compile_tier(const std::string& chain, TierUse& use);
  void note_unknown(const std::string& unit, const std::vector<model::SetId>& unknown);

  UnitStore& units_;
  const policy::SetShapes& shapes_;
  const policy::PolicyConfig& config_;
  std::map<model::PolicyKey, model::ActivePolicy> policies_;
  std::map<std::string, model::ActiveProfile> profiles_;
  policy::PolicySource source_;

  std::map<std::string, PolicyUse> policy_uses_;
  std::map<std::string, TierUse> tiers_;
  std::map<std::string, ProgramUse> programs_;
  std::map<model::PolicyKey, std::set<std::string>> tiers_of_;   // by policy
  std::map<model::PolicyKey, std::set<std::string>> chains_of_;  // by policy
  std::map<std::string, std::set<std::string>> profile_chains_;  // by profile

  std::set<model::PolicyKey> due_, pass_changed_;
  std::set<std::string> due_profiles_;
  std::map<std::string, std::string> closed_;  // unit -> the set it misses
};

}  // namespace margay::managers
