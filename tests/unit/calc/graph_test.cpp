// SPDX-License-Identifier: Apache-2.0
// What the graph promises, case by case, from JSON as it lies in a Store.
#include "agent/calc/graph.h"

#include <gtest/gtest.h>

#include <set>

#include "model/codec.h"
#include "model/selector.h"
#include "tests/unit/calc/view.h"

namespace margay::calc {
namespace {

using model::Key;
using model::Kind;

const std::string kAllow = R"([{"action":"Allow"}])";

std::string object(const std::string& spec, const std::string& labels = "{}") {
  return R"({"metadata":{"name":"x","labels":)" + labels + R"(},"spec":)" + spec + "}";
}

std::string workload(const std::string& node, const std::string& ip, const std::string& more = "") {
  return R"({"orchestrator":"k8s","node":")" + node + R"(","pod":"p","endpoint":"eth0",)" +
         R"("interfaceName":"cali1","ipNetworks":[")" + ip + R"("],"profiles":["kns.ns"])" + more +
         "}";
}

const Key kLocal{Kind::workload_endpoint, "ns", "local"};
const Key kRemote{Kind::workload_endpoint, "ns", "remote"};
const Key kPolicy{Kind::network_policy, "ns", "p"};
const Key kNamespace{Kind::profile, "", "kns.ns"};
const model::PolicyKey kPolicyKey{model::PolicyKind::network_policy, "ns", "p"};
const model::EndpointId kLocalId{"k8s", "ns/p", "eth0"};

class GraphTest : public ::testing::Test {
 protected:
  static Options options() {
    Options o;
    o.node = "me";
    return o;
  }
  void SetUp() override {
    graph.update(kLocal, object(workload("me", "10.0.0.1/32"), R"({"app":"web"})"));
    graph.update(kRemote, object(workload("you", "10.0.0.2/32"), R"({"app":"db"})"));
    graph.update(kNamespace, object(R"({"ingress":)" + kAllow + R"(,"egress":)" + kAllow +
                                    R"(,"labelsToApply":{"pcns.team":"red"}})"));
  }
  // What the next flush brings.
  model::Batch sync() {
    graph.set_in_sync();
    model::Batch batch = graph.flush();
    view.apply(batch);
    EXPECT_TRUE(view.broken.empty()) << view.broken.front();
    return batch;
  }
  void policy(const std::string& spec) { graph.update(kPolicy, object(spec)); }

  Graph graph{options()};
  View view;
};

TEST_F(GraphTest, tells_nothing_before_in_sync_and_says_so_once) {
  EXPECT_FALSE(graph.pending());
  EXPECT_TRUE(graph.flush().changes.empty());
  graph.set_in_sync();
  EXPECT_TRUE(graph.pending());
  const model::Batch first = graph.flush();
  EXPECT_TRUE(first.in_sync);
  view.apply(first);
  EXPECT_FALSE(graph.pending());
  EXPECT_EQ(view.workloads.size(), 1U);
  policy(R"({"selector":"all() "})");
  EXPECT_TRUE(graph.pending());
  EXPECT_FALSE(graph.flush().in_sync);
}

TEST_F(GraphTest, an_update_that_says_the_same_changes_nothing) {
  policy(
      R"({"selector":"all() ","ingress":[{"action":"Allow","source":{"selector":"app == 'db'"}}]})");
  (void)sync();
  SetUp();
  policy(
      R"({"selector":"all() ","ingress":[{"action":"Allow","source":{"selector":"app=='db'"}}]})");
  EXPECT_TRUE(sync().changes.empty());
}

TEST_F(GraphTest, a_member_that_goes_and_comes_back_within_a_flush_is_no_change) {
  policy(R"({"ingress":[{"action":"Allow","source":{"selector":"app == 'db'"}}]})");
  (void)sync();
  graph.remove(kRemote);
  graph.update(kRemote, object(workload("you", "10.0.0.2/32"), R"({"app":"db"})"));
  EXPECT_TRUE(sync().changes.empty());
}

TEST_F(GraphTest, a_large_new_set_comes_by_pieces_and_holds_up_nothing) {
  (void)sync();
  for (int i = 0; i < 1000; ++i) {
    const std::string address = "10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250);
    graph.update({Kind::workload_endpoint, "ns", "db" + std::to_string(i)},
                 object(workload("you", address + "/32"), R"({"app":"db"})"));
  }
  policy(R"({"ingress":[{"action":"Allow","source":{"selector":"app == 'db'"}}]})");
  view.apply(graph.flush(100));
  ASSERT_EQ(view.sets.size(), 1U);
  const View::Set& set = view.sets.begin()->second;
  EXPECT_TRUE(set.more);
  EXPECT_LE(set.members.size(), 100U);

  // Meanwhile: another endpoint and its small set, a member that goes, one that changes its mind.
  graph.update({Kind::workload_endpoint, "ns", "another"},
               object(R"({"orchestrator":"k8s","node":"me","pod":"other","endpoint":"eth0",)"
                      R"("interfaceName":"cali2","ipNetworks":["10.0.0.9/32"]})",
                      R"({"app":"other"})"));
  graph.update({Kind::network_policy, "ns", "q"},
               object(R"({"selector":"app == 'other'","ingress":[{"action":"Allow","source":)"
                      R"({"selector":"app == 'web'"}}]})"));
  graph.remove({Kind::workload_endpoint, "ns", "db0"});
  graph.update({Kind::workload_endpoint, "ns", "db999"},
               object(workload("you", "10.1.3.249/32"), R"({"app":"none"})"));
  view.apply(graph.flush(100));
  EXPECT_EQ(view.workloads.size(), 2U);
  ASSERT_EQ(view.sets.size(), 2U);
  std::size_t whole = 0;
  for (const auto& [id, s] : view.sets) whole += s.more ? 0 : 1;
  EXPECT_EQ(whole, 1U);

  std::size_t steps = 0;
  for (; graph.pending(); ++steps) {
    const model::Batch batch = graph.flush(100);
    for (const auto& c : batch.changes) EXPECT_LE(std::get<model::SetUpdate>(c).added.size(), 100U);
    view.apply(batch);
  }
  EXPECT_GE(steps, 8U);
  EXPECT_FALSE(set.more);
  EXPECT_EQ(set.members.size(), 999U);  // remote, db1 to db998
  EXPECT_TRUE(view.broken.empty()) << view.broken.front();
}

TEST_F(GraphTest, a_set_that_nobody_needs_any_more_is_not_filled_further) {
  (void)sync();
  for (int i = 0; i < 100; ++i) {
    graph.update({Kind::workload_endpoint, "ns", "db" + std::to_string(i)},
                 object(workload("you", "10.1.0." + std::to_string(i) + "/32"), R"({"app":"db"})"));
  }
  policy(R"({"ingress":[{"action":"Allow","source":{"selector":"app == 'db'"}}]})");
  view.apply(graph.flush(10));
  EXPECT_TRUE(graph.pending());
  graph.remove(kPolicy);
  view.apply(graph.flush(10));
  EXPECT_FALSE(graph.pending());
  EXPECT_TRUE(view.sets.empty());
  EXPECT_TRUE(view.broken.empty()) << view.broken.front();
}

TEST_F(GraphTest, a_set_is_shared_and_changes_by_deltas) {
  policy(R"({"ingress":[{"action":"Allow","source":{"selector":"app == 'db'"}}]})");
  graph.update(
      {Kind::network_policy, "ns", "q"},
      object(R"({"egress":[{"action":"Allow","destination":{"selector":"app == 'db'"}}]})"));
  (void)sync();
  ASSERT_EQ(view.sets.size(), 1U);
  EXPECT_EQ(view.sets.begin()->first,
            model::Selector::parse("(projectcalico.org/namespace == 'ns') && (app == 'db')")->id());
  graph.update({Kind::workload_endpoint, "ns", "third"},
               object(workload("you", "10.0.0.3/32"), R"({"app":"db"})"));
  const auto batch = sync();
  ASSERT_EQ(batch.changes.size(), 1U);
  const auto& update = std::get<model::SetUpdate>(batch.changes[0]);
  EXPECT_FALSE(update.replace);
  ASSERT_EQ(update.added.size(), 1U);
  EXPECT_EQ(update.added[0].prefix.to_string(), "10.0.0.3/32");
}

TEST_F(GraphTest, labels_that_come_and_go_leave_nothing_behind) {
  (void)sync();
  const std::size_t before = graph.counts().labels;
  for (int i = 0; i < 3000; ++i) {
    graph.update(kRemote, object(workload("you", "10.0.0.2/32"),
                                 R"({"app":"db","hash":"h)" + std::to_string(i) + "\"}"));
    EXPECT_TRUE(i % 100 != 0 || sync().changes.empty());
  }
  EXPECT_LE(graph.counts().labels, before + 2);
  policy(R"({"ingress":[{"action":"Allow","source":{"selector":"hash == 'h2999'"}},
                        {"action":"Allow","source":{"selector":"hash == 'h1'"}},
                        {"action":"Allow","source":{"namespaceSelector":"team == 'red'"}}]})");
  (void)sync();
  std::multiset<std::size_t> sizes;
  for (const auto& [id, set] : view.sets) sizes.insert(set.members.size());
  EXPECT_EQ(sizes, (std::multiset<std::size_t>{0, 1, 2}));
}

TEST_F(GraphTest, a_policy_is_active_only_while_it_selects_an_endpoint_of_ours) {
  policy(R"({"selector":"app == 'db'"})");
  (void)sync();
  EXPECT_TRUE(view.policies.empty());
  policy(R"({"selector":"app == 'web'"})");
  (void)sync();
  EXPECT_EQ(view.policies.size(), 1U);
  graph.update(kLocal, object(workload("me", "10.0.0.1/32"), R"({"app":"other"})"));
  (void)sync();
  EXPECT_TRUE(view.policies.empty());
  policy(R"({"selector":"app == 'db'","performanceHints":["AssumeNeededOnEveryNode"]})");
  (void)sync();
  EXPECT_EQ(view.policies.size(), 1U);
}

TEST_F(GraphTest, labels_of_the_namespace_are_inherited_and_followed) {
  graph.update({Kind::global_network_policy, "", "g"},
               object(R"({"namespaceSelector":"team == 'red'"})"));
  (void)sync();
  EXPECT_EQ(view.policies.size(), 1U);
  graph.update(kNamespace, object(R"({"labelsToApply":{"pcns.team":"blue"}})"));
  (void)sync();
  EXPECT_TRUE(view.policies.empty());
  EXPECT_TRUE(view.profiles.at("kns.ns").inbound.empty());
}

TEST_F(GraphTest, a_profile_that_nobody_knows_denies) {
  graph.remove(kNamespace);
  (void)sync();
  ASSERT_EQ(view.profiles.at("kns.ns").inbound.size(), 1U);
  EXPECT_EQ(view.profiles.at("kns.ns").inbound[0].action, model::Action::deny);
}

TEST_F(GraphTest, an_unlisted_tier_comes_last_and_denies) {
  for (const char* tier : {"gone", "default", "first"}) {
    graph.update(
        {Kind::global_network_policy, "", tier}, object(std::string(R"({"selector":"all() ", "tier"
                                      : ")") + tier + "\"}"));
  }
  graph.update({Kind::tier, "", "first"}, object(R"({"order":1,"defaultAction":"Pass"})"));
  (void)sync();
  const auto& tiers = view.workloads.at(kLocalId).tiers;
  ASSERT_EQ(tiers.size(), 3U);
  EXPECT_EQ(tiers[0].name, "first");
  EXPECT_TRUE(tiers[0].default_pass);
  EXPECT_EQ(tiers[1].name, "default");
  EXPECT_FALSE(tiers[1].default_pass);
  EXPECT_EQ(tiers[2].name, "gone");
  EXPECT_FALSE(tiers[2].default_pass);
}

TEST_F(GraphTest, policies_are_sorted_by_order_then_name) {
  struct Row {
    std::string name, order;
  };
  for (const Row& row : {Row{"b", "5"}, {"a", "5"}, {"c", "1"}, {"d", ""}, {"a-b", "5"}}) {
    const std::string order = row.order.empty() ? "" : R"("order":)" + row.order + ",";
    graph.update({Kind::network_policy, "ns", row.name},
                 object("{" + order + R"("types":["Ingress"]})"));
  }
  // The name counts first, whatever the namespace.
  graph.update({Kind::global_network_policy, "", "aa"},
               object(R"({"order":5,"selector":"all() ","types":["Ingress"]})"));
  (void)sync();
  std::string names;
  for (const auto& key : view.workloads.at(kLocalId).tiers.at(0).ingress) names += key.name + " ";
  EXPECT_EQ(names, "c a-b a aa b d ");  // "a-b/..." sorts before "a/...", byte by byte
  EXPECT_TRUE(view.workloads.at(kLocalId).tiers.at(0).egress.empty());
}

struct TypesRow {
  std::string spec;
  bool ingress, egress;
};

TEST_F(GraphTest, directions_follow_types_or_else_the_rules) {
  const TypesRow rows[] = {
      {R"({})", true, false},
      {R"({"egress":[{"action":"Allow"}]})", false, true},
      {R"({"ingress":[{"action":"Allow"}]})", true, false},
      {R"({"ingress":[{"action":"Allow"}],"egress":[{"action":"Allow"}]})", true, true},
      {R"({"types":["Egress"],"ingress":[{"action":"Allow"}]})", false, true},
      {R"({"types":["Ingress","Egress"]})", true, true},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.spec);
    policy(row.spec);
    (void)sync();
    const auto& tier = view.workloads.at(kLocalId).tiers.at(0);
    EXPECT_EQ(tier.ingress.size(), row.ingress ? 1U : 0U);
    EXPECT_EQ(tier.egress.size(), row.egress ? 1U : 0U);
    EXPECT_TRUE(row.ingress || view.policies.at(kPolicyKey).inbound.empty());
  }
}

TEST_F(GraphTest, an_invalid_policy_denies_what_it_selects_if_that_can_be_read) {
  struct Row {
    std::string json;
    bool denies;
  };
  const Row rows[] = {
      {object(R"({"selector":"app == 'web'","ingress":[{"action":"Explode"}]})"), true},
      {object(R"({"ingress":[{"action":"Allow","source":{"nets":["10.0.0.0/99"]}}]})"), true},
      {object(R"({"ingress":[{"action":"Allow","source":{"selector":"a =="}}]})"), true},
      {object(R"({"ingress":"everything","types":["Ingress"]})"), true},
      {object(R"({"ingress":[{"action":"Allow","destination":{"ports":[80]}}]})"), true},
      {object(R"({"ingress":[{"action":"Allow","ipVersion":4,"source":{"nets":["fd00::/8"]}}]})"),
       true},
      {object(R"({"ingress":[{"action":"Deny","protocol":"TCP","http":{"methods":["GET"]}}]})"),
       true},
      {object(R"({"tier":"Not A Tier","ingress":[{"action":"Allow"}]})"), true},
      {object(R"({"selector":"app ==","ingress":[{"action":"Allow"}]})"), false},
      {object(R"({"selector":7})"), false},
      {R"({"spec":)", false},
      {object("{\"selector\":\"app == '\xff'\"}"), false},  // not UTF-8: no part of it is believed
      {R"([])", false},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.json);
    graph.update(kPolicy, row.json);
    (void)sync();
    ASSERT_EQ(graph.problems().size(), 1U);
    EXPECT_EQ(graph.problems().begin()->first, kPolicy);
    EXPECT_EQ(graph.problems().begin()->second.in_force,
              row.denies ? Problem::InForce::denial : Problem::InForce::nothing);
    EXPECT_FALSE(graph.problems().begin()->second.reason.empty());
    ASSERT_EQ(view.policies.size(), row.denies ? 1U : 0U);
    if (row.denies) {
      ASSERT_EQ(view.policies.at(kPolicyKey).inbound.size(), 1U);
      EXPECT_EQ(view.policies.at(kPolicyKey).inbound[0].action, model::Action::deny);
    }
  }
  policy("{}");
  (void)sync();
  EXPECT_TRUE(graph.problems().empty());
}

TEST_F(GraphTest, names_what_of_a_valid_policy_has_no_effect) {
  const auto reason = [&]() -> std::string {
    const auto it = graph.problems().find(kPolicy);
    if (it == graph.problems().end()) return "";
    EXPECT_EQ(it->second.in_force, Problem::InForce::rest);
    return it->second.reason;
  };
  const Key tier{Kind::tier, "", "apps"};
  policy(R"({"ingress":[{"action":"Allow"},
                        {"action":"Allow","protocol":"TCP","http":{"methods":["GET"]}}],
             "tier":"apps"})");
  EXPECT_EQ(reason().find("spec.tier"), std::string::npos) << "the tier may still come";
  (void)sync();
  EXPECT_NE(reason().find("spec.ingress[1].http"), std::string::npos) << reason();
  EXPECT_NE(reason().find("no tier 'apps'"), std::string::npos) << reason();
  EXPECT_EQ(view.policies.at(kPolicyKey).inbound.size(), 2U);
  EXPECT_TRUE(view.policies.at(kPolicyKey).inbound[1].never);
  graph.update(tier, object(R"({"order":1})"));
  EXPECT_EQ(reason().find("spec.tier"), std::string::npos) << reason();
  EXPECT_NE(reason().find("http"), std::string::npos) << reason();
  policy(R"({"ingress":[{"action":"Allow"}],"tier":"apps"})");
  EXPECT_EQ(reason(), "");
  graph.remove(tier);
  EXPECT_NE(reason().find("no tier 'apps'"), std::string::npos);
  graph.remove(kPolicy);
  graph.remove(tier);
  EXPECT_TRUE(graph.problems().empty());
}

TEST_F(GraphTest, a_cluster_policy_denies_where_a_denial_of_its_cannot_be_read) {
  const Key key{Kind::cluster_network_policy, "", "c"};
  graph.update(kLocal, object(workload("me", "10.0.0.1/32"), R"({"app":"web"})"));
  graph.update(key, object(R"({"tier":"Admin","priority":1,"subject":{"namespaces":{}},
      "egress":[{"action":"Accept","to":[{"networks":["10.1.0.0/16"]}]},
                {"action":"Deny","to":[{"domainNames":["example.com"]}]}]})"));
  (void)sync();
  ASSERT_EQ(graph.problems().count(key), 1U);
  EXPECT_EQ(graph.problems().at(key).in_force, Problem::InForce::rest);
  const auto& rules = view.policies.begin()->second.outbound;
  ASSERT_EQ(rules.size(), 2U);
  EXPECT_EQ(rules[0].action, model::Action::allow);
  EXPECT_EQ(rules[1].action, model::Action::deny);
  EXPECT_TRUE(rules[1].destination.nets.empty());
}

TEST_F(GraphTest, any_other_invalid_object_is_absent) {
  graph.update(kLocal, object(workload("me", "10.0.0.1/99")));
  (void)sync();
  EXPECT_TRUE(view.workloads.empty());
  EXPECT_EQ(graph.problems().count(kLocal), 1U);
  graph.update(kLocal, object(R"({"orchestrator":"k8s","node":"me","pod":"p","endpoint":"eth0"})"));
  (void)sync();
  EXPECT_TRUE(view.workloads.empty());
  EXPECT_NE(graph.problems().at(kLocal).reason.find("spec.interfaceName"), std::string::npos);
  graph.remove(kLocal);
  EXPECT_TRUE(graph.problems().empty());
}

TEST_F(GraphTest, an_invalid_kubernetes_policy_denies_too) {
  graph.update({Kind::kubernetes_network_policy, "ns", "k"},
               object(R"({"podSelector":{"matchLabels":{"app":"web"}},"policyTypes":["Ingress"],
                          "ingress":[{"from":[{"ipBlock":{"cidr":"nonsense"}}]}]})"));
  (void)sync();
  ASSERT_EQ(view.policies.size(), 1U);
  EXPECT_EQ(view.policies.begin()->second.inbound.at(0).action, model::Action::deny);
  EXPECT_TRUE(view.policies.begin()->second.outbound.empty());
}

TEST_F(GraphTest, who_wants_to_spoof_and_may_not_is_absent_until_allowed) {
  const std::string spoofs = R"(,"allowSpoofedSourcePrefixes":["10.9.0.0/16"])";
  policy(R"({"ingress":[{"action":"Allow","source":{"selector":"all() "}}]})");
  (void)sync();
  graph.update(kLocal, object(workload("me", "10.0.0.1/32", spoofs)));
  graph.update(kRemote, object(workload("you", "10.0.0.2/32", spoofs)));
  (void)sync();
  EXPECT_TRUE(view.workloads.empty());
  EXPECT_TRUE(view.sets.empty());
  EXPECT_EQ(graph.problems().size(), 2U);
  Options allowed = options();
  allowed.allow_source_spoofing = true;
  graph.configure(allowed);
  (void)sync();
  EXPECT_EQ(view.workloads.size(), 1U);
  EXPECT_EQ(view.workloads.at(kLocalId).spoofable.size(), 1U);
  EXPECT_EQ(view.sets.begin()->second.members.size(), 2U);
  EXPECT_TRUE(graph.problems().empty());
}

TEST_F(GraphTest, a_negated_list_of_one_family_limits_the_rule_to_it) {
  // Lists of two families come from ClusterNetworkPolicies; in JSON of this kind they are invalid.
  const auto value = model::decode<model::NetworkPolicy>(
      object(R"({"ingress":[{"action":"Allow","source":{"notNets":["10.0.0.0/8"]}},
                        {"action":"Allow","source":{"notNets":["10.0.0.0/8","fd00::/8"]}},
                        {"action":"Allow","ipVersion":6,"source":{"nets":["10.0.0.0/8"]}},
                        {"action":"Allow","http":{"methods":["GET"]}}]})"));
  graph.update(kPolicy, *value);
  (void)sync();
  const auto& rules = view.policies.at(kPolicyKey).inbound;
  ASSERT_EQ(rules.size(), 4U);
  EXPECT_EQ(rules[0].family, Family::v4);
  EXPECT_EQ(rules[1].family, std::nullopt);
  EXPECT_TRUE(rules[2].never);
  EXPECT_TRUE(rules[3].never);
}

TEST_F(GraphTest, a_class_of_policies_goes_to_its_part_of_a_host_endpoint) {
  graph.update({Kind::host_endpoint, "", "h"},
               object(R"({"node":"me","interfaceName":"eth0"})", R"({"role":"host"})"));
  const auto gnp = [&](const std::string& name, const std::string& flags) {
    graph.update({Kind::global_network_policy, "", name},
                 object(R"({"selector":"has(role) ","types":["Ingress","Egress"])" + flags + "}"));
  };
  gnp("normal", "");
  gnp("forward", R"(,"applyOnForward":true)");
  gnp("untracked", R"(,"doNotTrack":true,"applyOnForward":true)");
  gnp("early", R"(,"preDNAT":true,"applyOnForward":true)");
  policy("{}");  // of a namespace: not for hosts
  (void)sync();
  const auto& h = view.host_endpoints.at({"", "", "h"});
  ASSERT_EQ(h.tiers.size(), 1U);
  EXPECT_EQ(h.tiers[0].ingress.size(), 2U);
  EXPECT_EQ(h.forward_tiers.at(0).ingress.at(0).name, "forward");
  EXPECT_FALSE(h.forward_tiers[0].default_pass);
  EXPECT_EQ(h.untracked_tiers.at(0).egress.at(0).name, "untracked");
  EXPECT_TRUE(h.untracked_tiers[0].default_pass);
  EXPECT_EQ(h.pre_dnat_tiers.at(0).ingress.at(0).name, "early");
  EXPECT_TRUE(h.pre_dnat_tiers[0].egress.empty());
}

}  // namespace
}  // namespace margay::calc
