// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/evaluator.h"

#include <algorithm>

namespace margay::calc {
namespace {

using model::Action;
using model::ActiveRule;

constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpv6 = 58, kSctp = 132, kUdpLite = 136;

bool has_ports(const Packet& p) {
  return p.protocol == kTcp || p.protocol == kUdp || p.protocol == kSctp || p.protocol == kUdpLite;
}

bool matches_icmp(const model::Icmp& icmp, const Packet& p) {
  if (p.protocol != (p.family() == Family::v4 ? kIcmp : kIcmpv6)) return false;
  if (icmp.type && *icmp.type != p.icmp_type) return false;
  return !icmp.code || *icmp.code == p.icmp_code;
}

bool any_net(const std::vector<Prefix>& nets, const Ip& address) {
  return std::any_of(nets.begin(), nets.end(),
                     [&](const Prefix& net) { return net.contains(address); });
}

struct End {  // one end of a packet
  Ip address;
  std::uint16_t port;
};

bool any_port(const std::vector<model::PortRange>& ranges, const std::vector<model::SetId>& sets,
              const End& end, const Packet& p, const model::PolicyTables& tables) {
  if (!has_ports(p)) return false;
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const model::PortRange& r) {
                       return r.first <= end.port && end.port <= r.last;
                     }) ||
         std::any_of(sets.begin(), sets.end(), [&](const model::SetId& id) {
           return tables.contains(id, end.address, p.protocol, end.port);
         });
}

bool matches_side(const ActiveRule::Side& side, const End& end, const Packet& p,
                  const model::PolicyTables& tables) {
  const auto in_set = [&](const model::SetId& id) { return tables.contains(id, end.address); };
  if (!side.nets.empty() && !any_net(side.nets, end.address)) return false;
  if (any_net(side.not_nets, end.address)) return false;
  if (!std::all_of(side.sets.begin(), side.sets.end(), in_set)) return false;
  if (std::any_of(side.not_sets.begin(), side.not_sets.end(), in_set)) return false;
  const bool wants_port = !side.ports.empty() || !side.port_sets.empty();
  if (wants_port && !any_port(side.ports, side.port_sets, end, p, tables)) return false;
  return !any_port(side.not_ports, side.not_port_sets, end, p, tables);
}

// The first rule that decides; `at` is where. nullptr: none.
const ActiveRule* first_verdict(const std::vector<ActiveRule>& rules, const std::string& owner,
                                const Packet& packet, const model::PolicyTables& tables,
                                Decision& out, std::size_t& at) {
  for (at = 0; at < rules.size(); ++at) {
    if (!matches(rules[at], packet, tables)) continue;
    if (rules[at].action != Action::log) return &rules[at];
    out.logged.emplace_back(owner, at);
  }
  return nullptr;
}

enum class TierResult { decided, next };

TierResult evaluate_tier(const model::EndpointTier& tier, Direction direction, const Packet& packet,
                         const model::PolicyTables& tables, Decision& out) {
  const auto& keys = direction == Direction::ingress ? tier.ingress : tier.egress;
  if (keys.empty()) return TierResult::next;
  out.tier = tier.name;
  for (const auto& key : keys) {
    const model::ActivePolicy* policy = tables.policy(key);
    out.policy = key;
    out.by = Decision::By::rule;
    out.allowed = false;
    if (policy == nullptr) return TierResult::decided;
    const auto& rules = direction == Direction::ingress ? policy->inbound : policy->outbound;
    const ActiveRule* rule = first_verdict(rules, key.to_string(), packet, tables, out, out.rule);
    if (rule == nullptr) continue;
    if (rule->action == Action::pass) return TierResult::next;
    out.allowed = rule->action == Action::allow;
    return TierResult::decided;
  }
  out.policy.reset();
  if (tier.default_pass) return TierResult::next;
  out.by = Decision::By::end_of_tier;
  return TierResult::decided;
}

}  // namespace

void EvaluatorTables::Set::add(const model::SetMember& m) {
  if (members.insert(m).second) {
    ++lengths[m.prefix.family() == Family::v4 ? 0 : 1][m.prefix.length()];
  }
}

void EvaluatorTables::Set::remove(const model::SetMember& m) {
  if (members.erase(m) == 0) return;
  auto& of_family = lengths[m.prefix.family() == Family::v4 ? 0 : 1];
  if (--of_family[m.prefix.length()] == 0) of_family.erase(m.prefix.length());
}

void EvaluatorTables::apply(const model::Batch& batch) {
  for (const auto& change : batch.changes) apply(change);
}

void EvaluatorTables::apply(const model::Change& change) {
  if (const auto* update = std::get_if<model::SetUpdate>(&change)) {
    Set& set = sets_[update->id];
    if (update->replace) set = Set{};
    for (const auto& m : update->removed) set.remove(m);
    for (const auto& m : update->added) set.add(m);
  } else if (const auto* gone = std::get_if<model::SetRemove>(&change)) {
    sets_.erase(gone->id);
  } else if (const auto* policy = std::get_if<model::ActivePolicy>(&change)) {
    policies_[policy->key] = *policy;
  } else if (const auto* no_policy = std::get_if<model::PolicyRemove>(&change)) {
    policies_.erase(no_policy->key);
  } else if (const auto* profile = std::get_if<model::ActiveProfile>(&change)) {
    profiles_[profile->name] = *profile;
  } else if (const auto* no_profile = std::get_if<model::ProfileRemove>(&change)) {
    profiles_.erase(no_profile->name);
  }
}

const model::ActivePolicy* EvaluatorTables::policy(const model::PolicyKey& key) const {
  const auto it = policies_.find(key);
  return it == policies_.end() ? nullptr : &it->second;
}

const model::ActiveProfile* EvaluatorTables::profile(const std::string& name) const {
  const auto it = profiles_.find(name);
  return it == profiles_.end() ? nullptr : &it->second;
}

bool EvaluatorTables::contains(const model::SetId& id, const Ip& address) const {
  const auto it = sets_.find(id);
  if (it == sets_.end()) return false;
  for (const auto& [length, count] : it->second.lengths[address.is_v4() ? 0 : 1]) {
    if (it->second.members.contains({Prefix::containing(address, length), 0, 0})) return true;
  }
  return false;
}

bool EvaluatorTables::contains(const model::SetId& id, const Ip& address, std::uint8_t protocol,
                               std::uint16_t port) const {
  const auto it = sets_.find(id);
  return it != sets_.end() && it->second.members.contains({Prefix::host(address), protocol, port});
}

bool matches(const ActiveRule& rule, const Packet& p, const model::PolicyTables& tables) {
  if (rule.never) return false;
  if (rule.family && *rule.family != p.family()) return false;
  if (rule.protocol && rule.protocol->number != p.protocol) return false;
  if (rule.not_protocol && rule.not_protocol->number == p.protocol) return false;
  if (rule.icmp && !matches_icmp(*rule.icmp, p)) return false;
  if (rule.not_icmp && matches_icmp(*rule.not_icmp, p)) return false;
  if (!matches_side(rule.source, {p.source, p.source_port}, p, tables)) return false;
  if (!matches_side(rule.destination, {p.destination, p.destination_port}, p, tables)) {
    return false;
  }
  return std::all_of(rule.destination_service_sets.begin(), rule.destination_service_sets.end(),
                     [&](const model::SetId& id) {
                       return has_ports(p) &&
                              tables.contains(id, p.destination, p.protocol, p.destination_port);
                     });
}

Decision evaluate_tiers(const std::vector<model::EndpointTier>& tiers, Direction direction,
                        const Packet& packet, const model::PolicyTables& tables) {
  Decision out;
  for (const auto& tier : tiers) {
    if (evaluate_tier(tier, direction, packet, tables, out) == TierResult::decided) return out;
  }
  out.by = Decision::By::not_policed;
  out.tier.clear();
  out.policy.reset();
  out.allowed = false;
  return out;
}

Decision evaluate(const std::vector<model::EndpointTier>& tiers,
                  const std::vector<std::string>& profiles, Direction direction,
                  const Packet& packet, const model::PolicyTables& tables) {
  Decision out = evaluate_tiers(tiers, direction, packet, tables);
  if (out.by != Decision::By::not_policed) return out;
  for (const auto& name : profiles) {
    const model::ActiveProfile* profile = tables.profile(name);
    if (profile == nullptr) continue;
    const auto& rules = direction == Direction::ingress ? profile->inbound : profile->outbound;
    const ActiveRule* rule = first_verdict(rules, name, packet, tables, out, out.rule);
    if (rule == nullptr || rule->action == Action::pass) continue;
    out.by = Decision::By::profile_rule;
    out.profile = name;
    out.allowed = rule->action == Action::allow;
    return out;
  }
  out.by = Decision::By::no_profile;
  return out;
}

Decision evaluate(const model::LocalWorkload& workload, Direction direction, const Packet& packet,
                  const model::PolicyTables& tables) {
  if (workload.active) {
    return evaluate(workload.tiers, workload.profiles, direction, packet, tables);
  }
  Decision out;
  out.by = Decision::By::inactive;
  return out;
}

bool may_send(const model::LocalWorkload& workload, const Ip& source) {
  return any_net(workload.addresses, source) || any_net(workload.spoofable, source);
}

}  // namespace margay::calc
