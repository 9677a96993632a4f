// SPDX-License-Identifier: Apache-2.0
// Semantic checks of policies in Kubernetes' own forms.
#include "model/codec/check.h"
#include "model/names.h"

namespace margay::model::codec {
namespace {

void check_selector(Context& ctx, const std::string& path, const LabelSelector& s) {
  check_labels(ctx, s.match_labels, path + ".matchLabels");
  for (std::size_t i = 0; i < s.match_expressions.size(); ++i) {
    const auto& e = s.match_expressions[i];
    const std::string at = indexed(path + ".matchExpressions", i);
    if (!is_label_key(e.key)) ctx.fail(at + ".key", e.key, kLabelKeyRule);
    const bool wants_values = e.op == "In" || e.op == "NotIn";
    if (wants_values == e.values.empty()) {
      ctx.fail(at + ".values", "",
               wants_values ? "is required with " + e.op : "must be absent with " + e.op);
    }
  }
}
void check_selector(Context& ctx, const std::string& path, const std::optional<LabelSelector>& s) {
  if (s) check_selector(ctx, path, *s);
}

void check_peer(Context& ctx, const std::string& path, const KubernetesPolicyPeer& p) {
  check_selector(ctx, path + ".podSelector", p.pod_selector);
  check_selector(ctx, path + ".namespaceSelector", p.namespace_selector);
  if (p.ip_block) {
    const std::string at = path + ".ipBlock";
    if (p.pod_selector || p.namespace_selector) ctx.fail(at, "", "excludes selectors");
    for (std::size_t i = 0; i < p.ip_block->except.size(); ++i) {
      const auto& except = p.ip_block->except[i];
      if (p.ip_block->cidr.contains(except) && p.ip_block->cidr != except) continue;
      ctx.fail(indexed(at + ".except", i), except.to_string(),
               "must lie within " + p.ip_block->cidr.to_string());
    }
  } else if (!p.pod_selector && !p.namespace_selector) {
    ctx.fail(path, "{}", "must have a podSelector, a namespaceSelector or an ipBlock");
  }
}

void check_port(Context& ctx, const std::string& path, const KubernetesPolicyPort& p) {
  const std::uint8_t n = p.protocol.number;
  if (n != 6 && n != 17 && n != 132) {
    ctx.fail(path + ".protocol", std::to_string(n), "must be TCP, UDP or SCTP");
  }
  const PortRange* number = p.port ? std::get_if<PortRange>(&*p.port) : nullptr;
  if (number != nullptr && (number->first == 0 || number->first != number->last)) {
    ctx.fail(path + ".port", std::to_string(number->first), "must be from 1 to 65535, or a name");
  }
  if (p.end_port && (number == nullptr || *p.end_port < number->first)) {
    ctx.fail(path + ".endPort", std::to_string(*p.end_port),
             "needs a port number, and must not be below it");
  }
}

template <typename Rule, typename Peers>
void check_rules(Context& ctx, const std::string& path, const std::vector<Rule>& rules,
                 Peers Rule::*peers, const char* peers_name) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const std::string at = indexed(path, i);
    for (std::size_t k = 0; k < rules[i].ports.size(); ++k) {
      check_port(ctx, indexed(at + ".ports", k), rules[i].ports[k]);
    }
    const auto& list = rules[i].*peers;
    for (std::size_t k = 0; k < list.size(); ++k) {
      check_peer(ctx, indexed(at + "." + peers_name, k), list[k]);
    }
  }
}

void check_spec(Context& ctx, const KubernetesPolicySpec& s) {
  check_selector(ctx, "spec.podSelector", s.pod_selector);
  check_rules(ctx, "spec.ingress", s.ingress, &KubernetesIngressRule::from, "from");
  check_rules(ctx, "spec.egress", s.egress, &KubernetesEgressRule::to, "to");
}

// --- ClusterNetworkPolicy --------------------------------------------------------------------

void check_pods(Context& ctx, const std::string& path, const std::optional<NamespacedPods>& p) {
  if (!p) return;
  check_selector(ctx, path + ".namespaceSelector", p->namespace_selector);
  check_selector(ctx, path + ".podSelector", p->pod_selector);
}

void check_cluster_peer(Context& ctx, const std::string& path, const ClusterPolicyPeer& p,
                        bool egress) {
  check_selector(ctx, path + ".namespaces", p.namespaces);
  check_pods(ctx, path + ".pods", p.pods);
  const int set =
      int{p.namespaces.has_value()} + int{p.pods.has_value()} + int{!p.networks.empty()};
  if (set != 1) {
    ctx.fail(path, "",
             egress ? "must have exactly one of namespaces, pods and networks"
                    : "must have exactly one of namespaces and pods");
  }
  if (!egress && !p.networks.empty()) {
    ctx.fail(path + ".networks", "", "is possible in egress rules only");
  }
}

void check_protocol(Context& ctx, const std::string& path, const ClusterPolicyProtocol& p) {
  const int set = int{p.tcp.has_value()} + int{p.udp.has_value()} + int{p.sctp.has_value()} +
                  int{!p.destination_named_port.empty()};
  if (set != 1) {
    ctx.fail(path, "", "must have exactly one of tcp, udp, sctp and destinationNamedPort");
  }
  for (const auto* ports : {&p.tcp, &p.udp, &p.sctp}) {
    if (!*ports || !(*ports)->destination_port) continue;
    const ClusterPolicyPort& port = *(*ports)->destination_port;
    const bool ordered =
        !port.range || (port.range->start >= 1 && port.range->start < port.range->end);
    if (port.number.has_value() == port.range.has_value() || !ordered) {
      ctx.fail(path, "", "destinationPort must have a number, or a range with start below end");
    }
  }
}

template <typename Rule, typename Peers>
void check_cluster_rules(Context& ctx, const std::string& path, const std::vector<Rule>& rules,
                         Peers Rule::*peers, const char* peers_name, bool egress) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const std::string at = indexed(path, i);
    const auto& list = rules[i].*peers;
    if (list.empty()) ctx.fail(at + "." + peers_name, "[]", "must have 1 to 25 items");
    for (std::size_t k = 0; k < list.size(); ++k) {
      check_cluster_peer(ctx, indexed(at + "." + peers_name, k), list[k], egress);
    }
    for (std::size_t k = 0; k < rules[i].protocols.size(); ++k) {
      check_protocol(ctx, indexed(at + ".protocols", k), rules[i].protocols[k]);
    }
  }
}

}  // namespace

void check(Context& ctx, const KubernetesNetworkPolicy& v) { check_spec(ctx, v.spec); }
void check(Context& ctx, const StagedKubernetesNetworkPolicy& v) { check_spec(ctx, v.spec); }

void check(Context& ctx, const ClusterNetworkPolicy& v) {
  const auto& s = v.spec;
  if (s.subject.namespaces.has_value() == s.subject.pods.has_value()) {
    ctx.fail("spec.subject", "", "must have exactly one of namespaces and pods");
  }
  check_selector(ctx, "spec.subject.namespaces", s.subject.namespaces);
  check_pods(ctx, "spec.subject.pods", s.subject.pods);
  check_cluster_rules(ctx, "spec.ingress", s.ingress, &ClusterPolicyIngressRule::from, "from",
                      false);
  check_cluster_rules(ctx, "spec.egress", s.egress, &ClusterPolicyEgressRule::to, "to", true);
}

}  // namespace margay::model::codec
