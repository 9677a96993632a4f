// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/conversion.h"

#include <gtest/gtest.h>

#include "model/codec.h"
#include "model/selector.h"

namespace margay::calc {
namespace {

Converted kubernetes(const std::string& spec) {
  auto policy = model::decode<model::KubernetesNetworkPolicy>(
      R"({"metadata":{"name":"p","namespace":"n"},"spec":)" + spec + "}");
  EXPECT_TRUE(policy.ok()) << policy.error().context;
  return convert(policy.ok() ? *policy : model::KubernetesNetworkPolicy{});
}

Converted cluster(const std::string& spec) {
  auto policy = model::decode<model::ClusterNetworkPolicy>(R"({"metadata":{"name":"p"},"spec":)" +
                                                           spec + "}");
  EXPECT_TRUE(policy.ok()) << policy.error().context;
  return convert(policy.ok() ? *policy : model::ClusterNetworkPolicy{});
}

std::string text(const std::vector<model::Port>& ports) {
  std::string out;
  for (const auto& port : ports) {
    if (const auto* name = std::get_if<std::string>(&port)) {
      out += *name + " ";
    } else {
      const auto range = std::get<model::PortRange>(port);
      out += std::to_string(range.first) + "-" + std::to_string(range.last) + " ";
    }
  }
  return out;
}

std::string canonical(const std::string& selector) {
  const auto s = model::Selector::parse(selector);
  return s.ok() ? s->canonical() : "invalid: " + selector;
}

TEST(KubernetesPolicy, has_tier_order_and_subject) {
  const auto c = kubernetes(R"({"podSelector":{"matchLabels":{"b":"2","a":"1"},"matchExpressions":[
      {"key":"c","operator":"In","values":["x","y"]},{"key":"d","operator":"NotIn","values":["z"]},
      {"key":"e","operator":"Exists"},{"key":"f","operator":"DoesNotExist"}]}})");
  EXPECT_TRUE(c.problems.empty());
  EXPECT_EQ(c.spec.tier, "default");
  EXPECT_EQ(c.spec.order, 1000);
  EXPECT_EQ(canonical(c.spec.selector),
            "(projectcalico.org/orchestrator == \"k8s\" && a == \"1\" && b == \"2\" && "
            "c in {\"x\", \"y\"} && d not in {\"z\"} && has(e) && !has(f))");
  EXPECT_EQ(c.spec.types, std::vector{model::PolicyType::ingress});
}

TEST(KubernetesPolicy, makes_one_rule_per_protocol_and_peer) {
  const auto c = kubernetes(R"({"podSelector":{},"policyTypes":["Ingress","Egress"],
      "ingress":[{"from":[{"podSelector":{"matchLabels":{"a":"1"}}},
                          {"namespaceSelector":{}},
                          {"ipBlock":{"cidr":"10.0.0.0/8","except":["10.1.0.0/16"]}}],
                  "ports":[{"protocol":"UDP","port":53},{"port":81},{"port":80},{"port":"web"},
                           {"port":82,"endPort":90}]}],
      "egress":[{}]})");
  EXPECT_TRUE(c.problems.empty());
  ASSERT_EQ(c.spec.ingress.size(), 6U);
  const auto& tcp = c.spec.ingress[0];
  EXPECT_EQ(tcp.protocol->number, 6);
  EXPECT_EQ(text(tcp.destination.ports), "80-90 web ");
  EXPECT_EQ(canonical(tcp.source.selector),
            "(projectcalico.org/orchestrator == \"k8s\" && a == \"1\")");
  EXPECT_EQ(tcp.source.namespace_selector, "");
  EXPECT_EQ(c.spec.ingress[1].protocol->number, 17);
  EXPECT_EQ(text(c.spec.ingress[1].destination.ports), "53-53 ");
  EXPECT_EQ(c.spec.ingress[2].source.namespace_selector, "all()");
  EXPECT_EQ(canonical(c.spec.ingress[2].source.selector),
            "projectcalico.org/orchestrator == \"k8s\"");
  EXPECT_EQ(c.spec.ingress[4].source.nets.at(0).to_string(), "10.0.0.0/8");
  EXPECT_EQ(c.spec.ingress[4].source.not_nets.at(0).to_string(), "10.1.0.0/16");
  ASSERT_EQ(c.spec.egress.size(), 1U);
  EXPECT_FALSE(c.spec.egress[0].protocol.has_value());
}

TEST(KubernetesPolicy, all_ports_of_a_protocol_swallow_single_ones) {
  const auto c =
      kubernetes(R"({"podSelector":{},"ingress":[{"ports":[{"port":80},{"protocol":"TCP"}]}]})");
  ASSERT_EQ(c.spec.ingress.size(), 1U);
  EXPECT_EQ(c.spec.ingress[0].protocol->number, 6);
  EXPECT_TRUE(c.spec.ingress[0].destination.ports.empty());
}

TEST(KubernetesPolicy, leaves_out_a_rule_that_cannot_be_converted) {
  const auto c = kubernetes(R"({"podSelector":{},"ingress":[
      {"from":[{"podSelector":{"matchExpressions":[{"key":"a","operator":"Like","values":["x"]}]}}]},
      {"from":[{}]},
      {"ports":[{"port":80,"endPort":70}]},
      {"ports":[{"port":80}]}]})");
  EXPECT_EQ(c.problems.size(), 3U);
  ASSERT_EQ(c.spec.ingress.size(), 1U);
  EXPECT_EQ(text(c.spec.ingress[0].destination.ports), "80-80 ");
}

TEST(ClusterPolicy, becomes_a_global_policy_of_its_tier) {
  const auto c = cluster(R"({"tier":"Admin","priority":7,
      "subject":{"pods":{"namespaceSelector":{"matchLabels":{"a":"1"}},
                         "podSelector":{"matchLabels":{"b":"2"}}}},
      "ingress":[{"name":"r","action":"Accept","from":[{"namespaces":{}}],
                  "protocols":[{"tcp":{"destinationPort":{"number":80}}},
                               {"tcp":{"destinationPort":{"range":{"start":81,"end":90}}}}]}],
      "egress":[{"action":"Pass","to":[{"networks":["10.0.0.0/8"]}]}]})");
  EXPECT_TRUE(c.problems.empty()) << c.problems.front();
  EXPECT_EQ(c.spec.tier, "kube-admin");
  EXPECT_EQ(c.spec.order, 7);
  EXPECT_EQ(c.spec.namespace_selector, "a == '1'");
  EXPECT_EQ(c.spec.selector, "projectcalico.org/orchestrator == 'k8s' && b == '2'");
  ASSERT_EQ(c.spec.ingress.size(), 1U);
  EXPECT_EQ(c.spec.ingress[0].action, model::Action::allow);
  EXPECT_EQ(text(c.spec.ingress[0].destination.ports), "80-90 ");
  EXPECT_EQ(c.spec.ingress[0].source.namespace_selector, "all()");
  EXPECT_EQ(*model::find_label(c.spec.ingress[0].metadata->annotations, "name"), "r");
  ASSERT_EQ(c.spec.egress.size(), 1U);
  EXPECT_EQ(c.spec.egress[0].action, model::Action::pass);
  EXPECT_EQ(c.spec.types.size(), 2U);
}

TEST(ClusterPolicy, denies_all_in_place_of_a_denial_that_cannot_be_converted) {
  const auto c = cluster(R"({"tier":"Baseline","priority":1,"subject":{"namespaces":{}},
      "ingress":[{"action":"Deny","from":[{}]},{"action":"Accept","from":[{}]}]})");
  EXPECT_EQ(c.problems.size(), 2U);
  EXPECT_EQ(c.spec.tier, "kube-baseline");
  ASSERT_EQ(c.spec.ingress.size(), 1U);
  EXPECT_EQ(c.spec.ingress[0].action, model::Action::deny);
  EXPECT_EQ(c.spec.types, std::vector{model::PolicyType::ingress});
}

TEST(Salvage, keeps_selectors_tier_order_and_types) {
  const auto spec = salvage_policy(
      R"({"spec":{"tier":"t","order":3,"selector":"has(a) ","namespaceSelector":"has(b) ",
          "types":["Egress"],"egress":[{"action":"Explode"}],"preDNAT":true}})");
  ASSERT_TRUE(spec.has_value());
  EXPECT_EQ(spec->tier, "t");
  EXPECT_EQ(spec->order, 3);
  EXPECT_EQ(spec->selector, "has(a) ");
  EXPECT_EQ(spec->namespace_selector, "has(b) ");
  EXPECT_EQ(spec->types, std::vector{model::PolicyType::egress});
  EXPECT_TRUE(spec->pre_dnat);
  EXPECT_EQ(salvage_policy(R"({"spec":{"types":["Sideways"]}})")->types.size(), 2U);
  EXPECT_FALSE(salvage_policy(R"({"spec":{"serviceAccountSelector":[]}})").has_value());
  EXPECT_FALSE(salvage_policy("{").has_value());
  EXPECT_FALSE(salvage_kubernetes_policy(R"({"spec":{"podSelector":"x"}})").has_value());
  EXPECT_FALSE(salvage_kubernetes_policy(R"({"spec":{}})").has_value());
}

}  // namespace
}  // namespace margay::calc
