// SPDX-License-Identifier: Apache-2.0
// All policies of the cluster, and which of them are active here: those that select an endpoint of
// this node. Active ones hold the IP sets that their rules mention. Staged policies never come in:
// they have no effect on packets.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/calc/classes.h"
#include "agent/calc/index_table.h"
#include "agent/calc/ip_sets.h"
#include "agent/calc/selector_index.h"
#include "model/desired.h"
#include "model/selector.h"

namespace margay::calc {

using PolicyId = std::uint32_t;

// kube-controllers write converted Kubernetes policies as NetworkPolicies of such names.
inline constexpr std::string_view kConvertedPrefix = "knp.default.";

// A policy in the form that calculation uses.
struct PolicyValue {
  std::string tier;
  std::optional<double> order;
  bool ingress = false, egress = false;  // the directions it governs
  bool untracked = false, pre_dnat = false, forward = false;
  bool everywhere = false;  // hint AssumeNeededOnEveryNode
  model::Selector selector;
  std::string inbound, outbound;  // packed rules
};
// The error says why the policy cannot be in effect as written.
[[nodiscard]] Result<PolicyValue> policy_value(const model::PolicySpec& spec, std::string_view ns);
// What stands for a policy that is invalid but for its selectors: it denies what it selects.
[[nodiscard]] Result<PolicyValue> denying_value(const model::PolicySpec& spec, std::string_view ns);

class Policies {
 public:
  // Both must outlive this object.
  Policies(Classes& classes, IpSets& sets) : classes_(classes), sets_(sets) {}
  Policies(const Policies&) = delete;
  Policies& operator=(const Policies&) = delete;

  void set(const model::PolicyKey& key, const PolicyValue& value);
  void erase(const model::PolicyKey& key);

  struct Record {
    model::PolicyKey key;
    std::string tier;
    std::optional<double> order;
    bool ingress = false, egress = false;
    bool untracked = false, pre_dnat = false, forward = false, everywhere = false;
    bool present = false;
    bool sent = false;          // the consumer has it
    bool changed = false;       // its rules or tier, since it was sent
    bool queued = false;        // listed in dirty_
    std::uint32_t matches = 0;  // local endpoints that it selects
    std::string selector_text;
    CompiledSelector selector;
    std::string inbound, outbound;
    std::vector<std::uint32_t> sets;  // held while active
  };
  [[nodiscard]] const Record& operator[](PolicyId id) const { return records_[id]; }

  // f(id) for each policy that may select an endpoint with these labels.
  template <typename F>
  void candidates(const EffectiveLabels& labels, const F& f) const {
    index_.candidates(labels, f);
  }
  [[nodiscard]] bool selects(PolicyId id, const EffectiveLabels& labels) const {
    const Record& r = records_[id];
    return r.present && r.selector.matches(labels, classes_.labels());
  }
  void count_match(PolicyId id, bool add);

  // Those whose selector, order, tier or flags changed since the last call, or that are gone: their
  // matches have to be looked at again.
  [[nodiscard]] std::vector<PolicyId> take_reselected();

  struct Changes {
    std::vector<model::Change> updated;
    std::vector<model::Change> removed;
  };
  // To be called when all matches are counted.
  [[nodiscard]] Changes refresh();
  [[nodiscard]] std::size_t size() const { return by_key_.size(); }
  [[nodiscard]] std::size_t active() const { return active_; }

 private:
  void queue(PolicyId id);
  void activate(Record& r, std::vector<model::Change>& out);
  void deactivate(Record& r, std::vector<model::Change>& out);

  Classes& classes_;
  IpSets& sets_;
  SelectorIndex index_;
  Slots<Record> records_;
  std::map<model::PolicyKey, PolicyId> by_key_;
  std::vector<PolicyId> dirty_, reselected_;
  std::size_t active_ = 0;
};

// Rules with specs -> rules with set ids; `held` gets one use of each set.
[[nodiscard]] std::vector<model::ActiveRule> instantiate(std::string_view packed, IpSets& sets,
                                                         std::vector<std::uint32_t>& held);

}  // namespace margay::calc
