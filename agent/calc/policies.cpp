// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/policies.h"

#include <algorithm>

#include "agent/calc/rules.h"
#include "model/selector_merge.h"

namespace margay::calc {
namespace {

using model::PolicySpec;
using model::PolicyType;

bool has_type(const PolicySpec& spec, PolicyType type) {
  return std::find(spec.types.begin(), spec.types.end(), type) != spec.types.end();
}

// No types: egress only when there are egress rules, ingress unless there are egress rules only.
void set_directions(const PolicySpec& spec, PolicyValue& out) {
  if (!spec.types.empty()) {
    out.ingress = has_type(spec, PolicyType::ingress);
    out.egress = has_type(spec, PolicyType::egress);
  } else {
    out.egress = !spec.egress.empty();
    out.ingress = !spec.ingress.empty() || spec.egress.empty();
  }
  if (out.pre_dnat) out.egress = false;
}

Result<PolicyValue> value_without_rules(const PolicySpec& spec, std::string_view ns) {
  PolicyValue out;
  MARGAY_TRY(out.selector, model::policy_selector(spec, ns));
  out.tier = spec.tier;
  out.order = spec.order;
  out.untracked = spec.do_not_track;
  out.pre_dnat = spec.pre_dnat;
  out.forward = spec.apply_on_forward;
  out.everywhere = std::find(spec.performance_hints.begin(), spec.performance_hints.end(),
                             "AssumeNeededOnEveryNode") != spec.performance_hints.end();
  set_directions(spec, out);
  return out;
}

}  // namespace

Result<PolicyValue> policy_value(const PolicySpec& spec, std::string_view ns) {
  MARGAY_TRY(PolicyValue out, value_without_rules(spec, ns));
  // Rules of a direction that the policy does not govern are never reached: their sets would be
  // calculated for nothing. But they must be valid.
  MARGAY_TRY(const auto inbound, translate(spec.ingress, ns, Direction::ingress));
  MARGAY_TRY(const auto outbound, translate(spec.egress, ns, Direction::egress));
  if (out.ingress) out.inbound = pack_rules(inbound);
  if (out.egress) out.outbound = pack_rules(outbound);
  return out;
}

Result<PolicyValue> denying_value(const PolicySpec& spec, std::string_view ns) {
  MARGAY_TRY(PolicyValue out, value_without_rules(spec, ns));
  model::ActiveRule deny;
  deny.action = model::Action::deny;
  if (out.ingress) out.inbound = pack_rules({&deny, 1});
  if (out.egress) out.outbound = pack_rules({&deny, 1});
  return out;
}

std::vector<model::ActiveRule> instantiate(std::string_view packed, IpSets& sets,
                                           std::vector<std::uint32_t>& held) {
  std::vector<model::ActiveRule> rules = unpack_rules(packed);
  for (auto& rule : rules) {
    for_each_set(rule, [&](std::string& set) {
      held.push_back(sets.acquire(set));
      set = sets.id(held.back());
    });
  }
  return rules;
}

void Policies::queue(PolicyId id) {
  if (std::exchange(records_[id].queued, true)) return;
  dirty_.push_back(id);
}

void Policies::set(const model::PolicyKey& key, const PolicyValue& value) {
  const auto [it, created] = by_key_.try_emplace(key, kNone);
  if (created) it->second = records_.take();
  const PolicyId id = it->second;
  Record& r = records_[id];
  std::string text = value.selector.canonical();
  if (!r.present || r.selector_text != text) {
    CompiledSelector selector(value.selector, classes_.labels());
    if (r.present) {
      index_.remove(id);
      r.selector.release(classes_.labels());
    }
    r.selector = std::move(selector);
    index_.add(id, value.selector, classes_);
    r.selector_text = std::move(text);
  } else if (r.order == value.order && r.tier == value.tier && r.ingress == value.ingress &&
             r.egress == value.egress && r.untracked == value.untracked &&
             r.pre_dnat == value.pre_dnat && r.forward == value.forward &&
             r.everywhere == value.everywhere && r.inbound == value.inbound &&
             r.outbound == value.outbound) {
    return;
  }
  reselected_.push_back(id);
  r.changed |= r.tier != value.tier || r.inbound != value.inbound || r.outbound != value.outbound;
  r.key = key;
  r.tier = value.tier;
  r.order = value.order;
  r.ingress = value.ingress;
  r.egress = value.egress;
  r.untracked = value.untracked;
  r.pre_dnat = value.pre_dnat;
  r.forward = value.forward;
  r.everywhere = value.everywhere;
  r.inbound = value.inbound;
  r.outbound = value.outbound;
  r.present = true;
  queue(id);
}

void Policies::erase(const model::PolicyKey& key) {
  const auto it = by_key_.find(key);
  if (it == by_key_.end() || !records_[it->second].present) return;
  Record& r = records_[it->second];
  r.present = false;
  index_.remove(it->second);
  r.selector.release(classes_.labels());
  reselected_.push_back(it->second);
  queue(it->second);
}

void Policies::count_match(PolicyId id, bool add) {
  Record& r = records_[id];
  r.matches += add ? 1U : ~0U;
  if (r.matches == 0 || (add && r.matches == 1)) queue(id);
}

std::vector<PolicyId> Policies::take_reselected() {
  std::vector<PolicyId> out = std::exchange(reselected_, {});
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

void Policies::activate(Record& r, std::vector<model::Change>& out) {
  const std::vector<std::uint32_t> old = std::exchange(r.sets, {});
  model::ActivePolicy policy{r.key, r.tier, instantiate(r.inbound, sets_, r.sets),
                             instantiate(r.outbound, sets_, r.sets)};
  for (const std::uint32_t set : old) sets_.release(set);
  out.emplace_back(std::move(policy));
  active_ += r.sent ? 0 : 1;
  r.sent = true;
  r.changed = false;
}

void Policies::deactivate(Record& r, std::vector<model::Change>& out) {
  for (const std::uint32_t set : std::exchange(r.sets, {})) sets_.release(set);
  out.emplace_back(model::PolicyRemove{r.key});
  --active_;
  r.sent = false;
  r.changed = false;
}

Policies::Changes Policies::refresh() {
  Changes out;
  for (const PolicyId id : std::exchange(dirty_, {})) {
    Record& r = records_[id];
    r.queued = false;
    const bool wanted = r.present && (r.matches != 0 || r.everywhere);
    if (wanted && (!r.sent || r.changed)) activate(r, out.updated);
    if (!wanted && r.sent) deactivate(r, out.removed);
    if (r.present) continue;
    MARGAY_ASSERT(r.matches == 0);
    by_key_.erase(r.key);
    records_.give_back(id);
  }
  return out;
}

}  // namespace margay::calc
