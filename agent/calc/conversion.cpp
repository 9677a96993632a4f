// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/conversion.h"

#include <algorithm>
#include <map>

#include "model/selector.h"

namespace margay::calc {
namespace {

using model::LabelSelector;
using model::Port;
using model::PortRange;
using model::Rule;

constexpr std::uint8_t kTcp = 6, kUdp = 17, kSctp = 132;

Result<std::string> quoted(std::string_view text) {
  for (const char quote : {'\'', '"'}) {
    if (text.find(quote) == std::string_view::npos) return quote + std::string(text) + quote;
  }
  return make_error(Code::invalid, "a label value holds both kinds of quotes");
}

Result<std::string> set_text(const std::vector<std::string>& values) {
  std::string out = "{";
  for (const auto& value : values) {
    MARGAY_TRY(const std::string q, quoted(value));
    out += (out.size() > 1 ? ", " : "") + q;
  }
  return out + "}";
}

void join(std::string& out, const std::string& term) { out += (out.empty() ? "" : " && ") + term; }

Result<void> join_requirement(std::string& out, const model::LabelRequirement& r) {
  if (r.op == "Exists") {
    join(out, "has(" + r.key + ")");
  } else if (r.op == "DoesNotExist") {
    join(out, "! has(" + r.key + ")");
  } else if (r.op == "In" || r.op == "NotIn") {
    MARGAY_TRY(const std::string values, set_text(r.values));
    join(out, r.key + (r.op == "In" ? " in " : " not in ") + values);
  } else {
    return make_error(Code::invalid, "label selector operator '" + r.op +
                                         "' is not In, NotIn, Exists or DoesNotExist");
  }
  return {};
}

// `start` is the first term; empty text in the end means that everything matches.
Result<std::string> selector_text(const LabelSelector& selector, std::string start) {
  for (const auto& [key, value] : selector.match_labels) {
    MARGAY_TRY(const std::string q, quoted(value));
    join(start, key + " == " + q);
  }
  for (const auto& r : selector.match_expressions) MARGAY_CHECK(join_requirement(start, r));
  MARGAY_CHECK([&]() -> Result<void> {  // a key may hold what is no label
    auto parsed = model::Selector::parse(start);
    if (!parsed.ok()) return std::move(parsed).error();
    return {};
  }());
  return start;
}

std::string orchestrator_term() { return std::string(model::kOrchestratorLabel) + " == 'k8s'"; }

Result<std::string> pods_text(const LabelSelector& selector) {
  return selector_text(selector, orchestrator_term());
}

Result<std::string> namespaces_text(const LabelSelector& selector) {
  MARGAY_TRY(std::string text, selector_text(selector, ""));
  return text.empty() ? std::string("all()") : text;
}

// --- ports ------------------------------------------------------------------------------------

// Sorted and merged; named ports behind the numbers.
std::vector<Port> simplified(std::vector<PortRange> ranges, std::vector<std::string> names) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<PortRange> merged;
  for (const PortRange& r : ranges) {
    if (!merged.empty() && r.first <= std::uint32_t{merged.back().last} + 1) {
      merged.back().last = std::max(merged.back().last, r.last);
    } else {
      merged.push_back(r);
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::vector<Port> out(merged.begin(), merged.end());
  out.insert(out.end(), names.begin(), names.end());
  return out;
}

struct ProtocolPorts {
  bool all = false;
  std::vector<PortRange> ranges;
  std::vector<std::string> names;
};

Result<std::map<std::uint8_t, ProtocolPorts>> by_protocol(
    const std::vector<model::KubernetesPolicyPort>& ports) {
  std::map<std::uint8_t, ProtocolPorts> out;
  for (const auto& p : ports) {
    ProtocolPorts& entry = out[p.protocol.number];
    if (!p.port) {
      entry.all = true;
    } else if (const auto* name = std::get_if<std::string>(&*p.port)) {
      if (p.end_port) return make_error(Code::invalid, "endPort with a named port");
      entry.names.push_back(*name);
    } else {
      PortRange range = std::get<PortRange>(*p.port);
      if (p.end_port) range.last = *p.end_port;
      if (range.last < range.first) return make_error(Code::invalid, "endPort is below port");
      entry.ranges.push_back(range);
    }
  }
  return out;
}

// Copies of `base`, one per protocol.
Result<std::vector<Rule>> with_ports(const Rule& base,
                                     const std::vector<model::KubernetesPolicyPort>& ports) {
  if (ports.empty()) return std::vector<Rule>{base};
  MARGAY_TRY(const auto protocols, by_protocol(ports));
  std::vector<Rule> out;
  for (const auto& [number, entry] : protocols) {
    Rule rule = base;
    rule.protocol = model::Protocol{number};
    if (!entry.all) rule.destination.ports = simplified(entry.ranges, entry.names);
    out.push_back(std::move(rule));
  }
  return out;
}

// --- NetworkPolicy -----------------------------------------------------------------------------

Result<model::EntityRule> entity(const model::KubernetesPolicyPeer& peer) {
  model::EntityRule out;
  if (peer.ip_block) {
    if (peer.pod_selector || peer.namespace_selector) {
      return make_error(Code::invalid, "ipBlock together with a selector");
    }
    out.nets = {peer.ip_block->cidr};
    out.not_nets = peer.ip_block->except;
    return out;
  }
  if (!peer.pod_selector && !peer.namespace_selector) {
    return make_error(Code::invalid, "a peer without podSelector, namespaceSelector and ipBlock");
  }
  MARGAY_TRY(out.selector, pods_text(peer.pod_selector.value_or(LabelSelector{})));
  if (peer.namespace_selector) {
    MARGAY_TRY(out.namespace_selector, namespaces_text(*peer.namespace_selector));
  }
  return out;
}

Result<std::vector<Rule>> allow_rules(const std::vector<model::KubernetesPolicyPeer>& peers,
                                      const std::vector<model::KubernetesPolicyPort>& ports,
                                      bool ingress) {
  std::vector<Rule> out;
  const auto add = [&](const model::EntityRule& side) -> Result<void> {
    Rule base;
    (ingress ? base.source : base.destination) = side;
    MARGAY_TRY(auto rules, with_ports(base, ports));
    std::move(rules.begin(), rules.end(), std::back_inserter(out));
    return {};
  };
  if (peers.empty()) MARGAY_CHECK(add({}));
  for (const auto& peer : peers) {
    MARGAY_TRY(const auto side, entity(peer));
    MARGAY_CHECK(add(side));
  }
  return out;
}

void append(Converted& out, std::vector<Rule>& to, Result<std::vector<Rule>> rules,
            const std::string& where) {
  if (!rules.ok()) {
    out.problems.push_back(where + ": " + rules.error().context + "; the rule is left out");
    return;
  }
  std::move(rules->begin(), rules->end(), std::back_inserter(to));
}

std::string place(const char* list, std::size_t i) {
  return "spec." + std::string(list) + "[" + std::to_string(i) + "]";
}

// --- ClusterNetworkPolicy ----------------------------------------------------------------------

model::Action action_of(model::ClusterPolicyAction action) {
  switch (action) {
    case model::ClusterPolicyAction::accept:
      return model::Action::allow;
    case model::ClusterPolicyAction::deny:
      return model::Action::deny;
    case model::ClusterPolicyAction::pass:
      return model::Action::pass;
  }
  return model::Action::deny;
}

Result<std::vector<model::EntityRule>> cluster_peers(
    const std::vector<model::ClusterPolicyPeer>& peers) {
  std::vector<model::EntityRule> out;
  for (const auto& peer : peers) {
    model::EntityRule side;
    if (peer.namespaces) {
      MARGAY_TRY(side.namespace_selector, namespaces_text(*peer.namespaces));
    } else if (peer.pods) {
      MARGAY_TRY(side.namespace_selector, namespaces_text(peer.pods->namespace_selector));
      MARGAY_TRY(side.selector, pods_text(peer.pods->pod_selector));
    } else if (!peer.networks.empty()) {
      side.nets = peer.networks;
    } else {
      return make_error(Code::invalid, "a peer of a kind that is not known");
    }
    out.push_back(std::move(side));
  }
  return out;
}

void take_port(const std::optional<model::ClusterPolicyProtocolPorts>& ports, std::uint8_t protocol,
               std::map<std::uint8_t, ProtocolPorts>& out) {
  if (!ports) return;
  ProtocolPorts& entry = out[protocol];
  if (!ports->destination_port) {
    entry.all = true;
  } else if (ports->destination_port->number) {
    entry.ranges.push_back({*ports->destination_port->number, *ports->destination_port->number});
  } else if (ports->destination_port->range) {
    const auto& range = *ports->destination_port->range;
    entry.ranges.push_back({range.start, range.end});
  } else {
    entry.all = true;
  }
}

Result<std::vector<Rule>> with_protocols(const Rule& base,
                                         const std::vector<model::ClusterPolicyProtocol>& list) {
  if (list.empty()) return std::vector<Rule>{base};
  std::vector<Rule> out;
  std::map<std::uint8_t, ProtocolPorts> protocols;
  for (const auto& p : list) {
    if (!p.destination_named_port.empty()) {  // of any protocol
      Rule rule = base;
      rule.destination.ports = {Port(p.destination_named_port)};
      out.push_back(std::move(rule));
      continue;
    }
    if (!p.tcp && !p.udp && !p.sctp) {
      return make_error(Code::invalid, "a protocol that is not known");
    }
    take_port(p.tcp, kTcp, protocols);
    take_port(p.udp, kUdp, protocols);
    take_port(p.sctp, kSctp, protocols);
  }
  for (const auto& [number, entry] : protocols) {
    Rule rule = base;
    rule.protocol = model::Protocol{number};
    if (!entry.all) rule.destination.ports = simplified(entry.ranges, {});
    out.push_back(std::move(rule));
  }
  return out;
}

Result<std::vector<Rule>> cluster_rules(model::Action action, const std::string& name,
                                        const std::vector<model::ClusterPolicyPeer>& peers,
                                        const std::vector<model::ClusterPolicyProtocol>& protocols,
                                        bool ingress) {
  if (peers.empty()) return make_error(Code::invalid, "no peers");
  MARGAY_TRY(const auto sides, cluster_peers(peers));
  std::vector<Rule> out;
  for (const auto& side : sides) {
    Rule base;
    base.action = action;
    if (!name.empty()) base.metadata = model::RuleMetadata{{{"name", name}}};
    (ingress ? base.source : base.destination) = side;
    MARGAY_TRY(auto rules, with_protocols(base, protocols));
    std::move(rules.begin(), rules.end(), std::back_inserter(out));
  }
  return out;
}

void append_cluster(Converted& out, std::vector<Rule>& to, Result<std::vector<Rule>> rules,
                    model::Action action, const std::string& where) {
  if (!rules.ok() && action != model::Action::allow) {
    out.problems.push_back(where + ": " + rules.error().context + "; everything is denied here");
    Rule deny;
    deny.action = model::Action::deny;
    to.push_back(deny);
    return;
  }
  append(out, to, std::move(rules), where);
}

}  // namespace

Converted convert(const model::KubernetesNetworkPolicy& policy) {
  Converted out;
  out.spec.tier = "default";
  out.spec.order = 1000;
  auto subject = pods_text(policy.spec.pod_selector);
  if (subject.ok()) {
    out.spec.selector = *subject;
  } else {
    out.problems.push_back("spec.podSelector: " + subject.error().context);
    out.spec.selector = "!all()";
    return out;
  }
  out.spec.types = policy.spec.policy_types;
  if (out.spec.types.empty()) out.spec.types = {model::PolicyType::ingress};
  for (std::size_t i = 0; i < policy.spec.ingress.size(); ++i) {
    const auto& rule = policy.spec.ingress[i];
    append(out, out.spec.ingress, allow_rules(rule.from, rule.ports, true), place("ingress", i));
  }
  for (std::size_t i = 0; i < policy.spec.egress.size(); ++i) {
    const auto& rule = policy.spec.egress[i];
    append(out, out.spec.egress, allow_rules(rule.to, rule.ports, false), place("egress", i));
  }
  return out;
}

Converted convert(const model::ClusterNetworkPolicy& policy) {
  Converted out;
  out.spec.tier = policy.spec.tier == "Admin" ? "kube-admin" : "kube-baseline";
  out.spec.order = policy.spec.priority;
  const auto& subject = policy.spec.subject;
  auto spaces = namespaces_text(subject.namespaces ? *subject.namespaces
                                : subject.pods     ? subject.pods->namespace_selector
                                                   : LabelSelector{});
  auto pods = pods_text(subject.pods ? subject.pods->pod_selector : LabelSelector{});
  if (!spaces.ok() || !pods.ok() || (!subject.namespaces && !subject.pods)) {
    out.problems.push_back("spec.subject: cannot be converted; the policy is absent");
    out.spec.selector = "!all()";
    return out;
  }
  out.spec.namespace_selector = *spaces;
  out.spec.selector = *pods;
  for (std::size_t i = 0; i < policy.spec.ingress.size(); ++i) {
    const auto& rule = policy.spec.ingress[i];
    const auto action = action_of(rule.action);
    append_cluster(out, out.spec.ingress,
                   cluster_rules(action, rule.name, rule.from, rule.protocols, true), action,
                   place("ingress", i));
  }
  for (std::size_t i = 0; i < policy.spec.egress.size(); ++i) {
    const auto& rule = policy.spec.egress[i];
    const auto action = action_of(rule.action);
    append_cluster(out, out.spec.egress,
                   cluster_rules(action, rule.name, rule.to, rule.protocols, false), action,
                   place("egress", i));
  }
  if (!out.spec.ingress.empty()) out.spec.types.push_back(model::PolicyType::ingress);
  if (!out.spec.egress.empty()) out.spec.types.push_back(model::PolicyType::egress);
  if (out.spec.types.empty()) out.spec.selector = "!all()";  // it governs no direction
  return out;
}

}  // namespace margay::calc
