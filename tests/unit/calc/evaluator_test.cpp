// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/evaluator.h"

#include <gtest/gtest.h>

#include <functional>

namespace margay::calc {
namespace {

using model::Action;
using model::ActiveRule;
using By = Decision::By;

Ip ip(const char* text) { return Ip::parse(text).value(); }
Prefix net(const char* text) { return Prefix::parse(text).value(); }

Packet tcp(const char* from, const char* to, std::uint16_t port = 80) {
  Packet p;
  p.source = ip(from);
  p.destination = ip(to);
  p.protocol = 6;
  p.source_port = 40000;
  p.destination_port = port;
  return p;
}

struct Row {
  std::string name;
  std::function<void(ActiveRule&)> edit;
  bool v4;  // matches 10.0.0.1 -> 10.0.0.2 tcp/80
  bool v6;  // matches fd00::1 -> fd00::2 tcp/80
};

EvaluatorTables some_sets() {
  EvaluatorTables t;
  t.apply(model::SetUpdate{"s", model::SetKind::nets, true, {{net("10.0.0.0/28"), 0, 0}}, {}});
  t.apply(model::SetUpdate{"n", model::SetKind::ip_port, true, {{net("10.0.0.2/32"), 6, 80}}, {}});
  return t;
}

TEST(Evaluator, matches_every_criterion_of_a_rule) {
  const EvaluatorTables tables = some_sets();
  const Row rows[] = {
      {"empty", [](ActiveRule&) {}, true, true},
      {"never", [](ActiveRule& r) { r.never = true; }, false, false},
      {"family", [](ActiveRule& r) { r.family = Family::v6; }, false, true},
      {"protocol", [](ActiveRule& r) { r.protocol = model::Protocol{17}; }, false, false},
      {"not protocol", [](ActiveRule& r) { r.not_protocol = model::Protocol{6}; }, false, false},
      {"not other", [](ActiveRule& r) { r.not_protocol = model::Protocol{17}; }, true, true},
      {"icmp", [](ActiveRule& r) { r.icmp = model::Icmp{}; }, false, false},
      {"not icmp",
       [](ActiveRule& r) {
         r.not_icmp = model::Icmp{8, {}};
       },
       true, true},
      {"net", [](ActiveRule& r) { r.source.nets = {net("10.0.0.0/24")}; }, true, false},
      {"not net", [](ActiveRule& r) { r.source.not_nets = {net("10.0.0.0/24")}; }, false, true},
      {"set", [](ActiveRule& r) { r.source.sets = {"s"}; }, true, false},
      {"unknown set", [](ActiveRule& r) { r.source.sets = {"x"}; }, false, false},
      {"two sets",
       [](ActiveRule& r) {
         r.source.sets = {"s", "x"};
       },
       false, false},
      {"not set", [](ActiveRule& r) { r.source.not_sets = {"s"}; }, false, true},
      {"port",
       [](ActiveRule& r) {
         r.destination.ports = {{79, 81}};
       },
       true, true},
      {"other port",
       [](ActiveRule& r) {
         r.destination.ports = {{81, 90}};
       },
       false, false},
      {"not port",
       [](ActiveRule& r) {
         r.destination.not_ports = {{80, 80}};
       },
       false, false},
      {"source port",
       [](ActiveRule& r) {
         r.source.ports = {{40000, 40000}};
       },
       true, true},
      {"port set", [](ActiveRule& r) { r.destination.port_sets = {"n"}; }, true, false},
      {"port or set",
       [](ActiveRule& r) {
         r.destination.ports = {{80, 80}};
         r.destination.port_sets = {"n"};
       },
       true, true},
      {"not port set", [](ActiveRule& r) { r.destination.not_port_sets = {"n"}; }, false, true},
      {"service", [](ActiveRule& r) { r.destination_service_sets = {"n"}; }, true, false},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    ActiveRule rule;
    row.edit(rule);
    EXPECT_EQ(matches(rule, tcp("10.0.0.1", "10.0.0.2"), tables), row.v4);
    EXPECT_EQ(matches(rule, tcp("fd00::1", "fd00::2"), tables), row.v6);
  }
}

TEST(Evaluator, reads_icmp_of_the_packets_family) {
  ActiveRule rule;
  rule.icmp = model::Icmp{8, 0};
  Packet p = tcp("10.0.0.1", "10.0.0.2");
  p.protocol = 1;
  p.icmp_type = 8;
  EXPECT_TRUE(matches(rule, p, EvaluatorTables{}));
  p.icmp_code = 1;
  EXPECT_FALSE(matches(rule, p, EvaluatorTables{}));
  p.protocol = 58;
  p.icmp_code = 0;
  EXPECT_FALSE(matches(rule, p, EvaluatorTables{}));
}

class EvaluatorTiers : public ::testing::Test {
 protected:
  model::PolicyKey policy(const std::string& name, std::vector<Action> actions) {
    const model::PolicyKey key{model::PolicyKind::network_policy, "n", name};
    std::vector<ActiveRule> rules;
    for (const Action action : actions) {
      rules.emplace_back();
      rules.back().action = action;
    }
    tables.apply(model::ActivePolicy{key, "", rules, {}});
    return key;
  }
  Decision decide() {
    return evaluate(workload, Direction::ingress, tcp("10.0.0.1", "10.0.0.2"), tables);
  }
  EvaluatorTables tables;
  model::LocalWorkload workload;
};

TEST_F(EvaluatorTiers, the_first_verdict_decides) {
  workload.tiers = {{"a",
                     false,
                     {policy("none", {}), policy("log", {Action::log, Action::deny}),
                      policy("late", {Action::allow})},
                     {}}};
  const Decision d = decide();
  EXPECT_FALSE(d.allowed);
  EXPECT_EQ(d.by, By::rule);
  EXPECT_EQ(d.policy->name, "log");
  EXPECT_EQ(d.rule, 1U);
  ASSERT_EQ(d.logged.size(), 1U);
  EXPECT_EQ(d.logged[0].first, "np/n/log");
}

TEST_F(EvaluatorTiers, pass_jumps_over_the_rest_of_the_tier) {
  workload.tiers = {
      {"a", false, {policy("pass", {Action::pass}), policy("deny", {Action::deny})}, {}},
      {"b", false, {policy("allow", {Action::allow})}, {}}};
  EXPECT_TRUE(decide().allowed);
  EXPECT_EQ(decide().tier, "b");
}

TEST_F(EvaluatorTiers, the_end_of_a_tier_denies_or_passes) {
  workload.tiers = {{"a", false, {policy("none", {})}, {}}};
  EXPECT_EQ(decide().by, By::end_of_tier);
  EXPECT_FALSE(decide().allowed);
  workload.tiers[0].default_pass = true;
  tables.apply(model::ActiveProfile{"p", {ActiveRule{}}, {}});
  workload.profiles = {"p"};
  EXPECT_TRUE(decide().allowed);
  EXPECT_EQ(decide().by, By::profile_rule);
}

TEST_F(EvaluatorTiers, a_tier_without_policy_in_the_direction_has_no_say) {
  workload.tiers = {{"a", false, {}, {policy("egress", {})}}};
  EXPECT_EQ(decide().by, By::no_profile);
  EXPECT_FALSE(decide().allowed);
}

TEST_F(EvaluatorTiers, what_is_unknown_denies) {
  workload.tiers = {{"a", true, {{model::PolicyKind::network_policy, "n", "gone"}}, {}}};
  EXPECT_FALSE(decide().allowed);
  workload.active = false;
  EXPECT_EQ(decide().by, By::inactive);
}

TEST(Evaluator, knows_which_sources_a_workload_may_use) {
  model::LocalWorkload w;
  w.addresses = {net("10.0.0.1/32")};
  w.spoofable = {net("10.9.0.0/16")};
  EXPECT_TRUE(may_send(w, ip("10.0.0.1")));
  EXPECT_TRUE(may_send(w, ip("10.9.8.7")));
  EXPECT_FALSE(may_send(w, ip("10.0.0.2")));
  EXPECT_FALSE(may_send(w, ip("fd00::1")));
}

}  // namespace
}  // namespace margay::calc
