// SPDX-License-Identifier: Apache-2.0
// The endpoints of this node: which policies select each, in which order their tiers and policies
// apply (spec calc-graph.md 5, policy-model.md 2), and the resulting values for the consumer.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/calc/classes.h"
#include "agent/calc/policies.h"
#include "agent/calc/profiles.h"
#include "model/desired.h"

namespace margay::calc {

// Tiers that have an object, and the three that are known without one.
class Tiers {
 public:
  void set(const std::string& name, const model::TierSpec& spec);
  void erase(const std::string& name);
  // Sorts before another tier by (known, order, name): a tier without an object comes last and
  // denies at its end, so that its policies stay in force.
  struct Rank {
    bool unknown = false;
    double order = 0;
    std::string_view name;
    bool default_pass = false;
    friend bool operator<(const Rank& a, const Rank& b) {
      return std::tie(a.unknown, a.order, a.name) < std::tie(b.unknown, b.order, b.name);
    }
  };
  [[nodiscard]] Rank rank(std::string_view name) const;
  [[nodiscard]] static bool built_in(std::string_view name);
  [[nodiscard]] std::size_t size() const { return tiers_.size(); }

 private:
  std::map<std::string, model::TierSpec, std::less<>> tiers_;
};

class LocalEndpoints {
 public:
  // All must outlive this object.
  LocalEndpoints(Classes& classes, Policies& policies, Profiles& profiles)
      : classes_(classes), policies_(policies), profiles_(profiles) {}
  LocalEndpoints(const LocalEndpoints&) = delete;
  LocalEndpoints& operator=(const LocalEndpoints&) = delete;

  // Tiers are filled in here. `key` names the resource; `cls` must stay valid until erase.
  void set(std::string_view key, ClassId cls, model::LocalWorkload value);
  void set(std::string_view key, ClassId cls, model::LocalHostEndpoint value);
  void erase(std::string_view key);

  [[nodiscard]] Tiers& tiers() { return tiers_; }
  [[nodiscard]] const Tiers& tiers() const { return tiers_; }
  void tiers_changed() { resolve_all_ = true; }
  void profile_relabelled(std::string_view name);

  // Finds out which policies select which endpoint and tells Policies. First step of a flush.
  void match();
  struct Changes {
    std::vector<model::Change> updated;
    std::vector<model::Change> removed;
  };
  // Last step: endpoints as the consumer should have them, where that changed.
  [[nodiscard]] Changes resolve();
  [[nodiscard]] std::size_t size() const { return locals_.size(); }

 private:
  struct Local {
    ClassId cls = 0;
    std::variant<model::LocalWorkload, model::LocalHostEndpoint> value;  // without tiers
    std::vector<PolicyId> policies;                                      // sorted
    bool rematch = true, resolve = true;
    [[nodiscard]] bool host() const { return value.index() == 1; }
    [[nodiscard]] const model::EndpointId& id() const;
    [[nodiscard]] const std::vector<std::string>& profiles() const;
  };
  using Value = std::variant<model::LocalWorkload, model::LocalHostEndpoint>;
  // One endpoint as the consumer sees it. Two resources may claim it: the first key wins.
  struct Claim {
    std::set<std::string> keys;
    std::optional<Value> sent;
  };
  using ClaimKey = std::pair<bool, model::EndpointId>;  // host endpoint?

  void put(std::string_view key, ClassId cls, Value value);
  void drop_users(const Local& local);
  void rematch(Local& local);
  [[nodiscard]] bool concerns(PolicyId policy, const Local& local) const;
  void reselect(PolicyId policy, Local& local);
  [[nodiscard]] std::vector<PolicyId> in_order(const std::vector<PolicyId>& policies) const;
  enum class Part { normal, untracked, pre_dnat, forward };
  [[nodiscard]] std::vector<model::EndpointTier> tiers_of(const std::vector<PolicyId>& ordered,
                                                          Part part) const;
  [[nodiscard]] Value resolved(const Local& local) const;

  Classes& classes_;
  Policies& policies_;
  Profiles& profiles_;
  Tiers tiers_;
  bool resolve_all_ = false;
  bool rematch_any_ = false, resolve_any_ = false;  // is there a local that needs it?
  std::map<std::string, Local, std::less<>> locals_;
  std::map<ClaimKey, Claim> claims_;
  std::set<ClaimKey> dirty_claims_;
  EffectiveLabels labels_;  // scratch
};

}  // namespace margay::calc
