// SPDX-License-Identifier: Apache-2.0
#include "agent/border.h"

#include <gtest/gtest.h>

#include <set>

#include "model/codec.h"

namespace margay::agent {
namespace {

using model::Key;
using model::Kind;
using Effect = Border::Effect;

const Key kPolicy{Kind::network_policy, "default", "p"};
const Key kSet{Kind::global_network_set, "", "s"};
const Key kPeer{Kind::bgp_peer, "", "peer"};
const Key kFelix{Kind::felix_configuration, "", "default"};
const Key kOwnNode{Kind::node, "", "n1"};

// Valid in two ways, and invalid with a selector that can be read, and without.
constexpr const char* kAllow = R"({"spec":{"selector":"a == 'b'","ingress":[{"action":"Allow"}]}})";
constexpr const char* kEmpty = R"({"spec":{"selector":"a == 'b'"}})";
constexpr const char* kBadRule =
    R"({"spec":{"selector":"a == 'b'","ingress":[{"action":"Perhaps"}]}})";
constexpr const char* kBadSelector = R"({"spec":{"selector":"a =="}})";

struct Row {
  const char* name;
  Key key;
  const char* valid;
  const char* invalid;
  Effect first;  // of the invalid one, when nothing was before it
};
const Row kRows[] = {
    {"a policy", kPolicy, kAllow, kBadRule, Effect::denies},
    {"a policy without a readable selector", kPolicy, kAllow, kBadSelector, Effect::absent},
    {"not JSON at all", kPolicy, kAllow, "{", Effect::absent},
    {"a network set", kSet, R"({"metadata":{"name":"s"},"spec":{"nets":["10.0.0.0/8"]}})",
     R"({"metadata":{"name":"s"},"spec":{"nets":["ten"]}})", Effect::absent},
    {"a workload endpoint without an interface",
     {Kind::workload_endpoint, "default", "n1-k8s-a-eth0"},
     R"({"metadata":{"name":"a","namespace":"default"},"spec":{"node":"n1","orchestrator":"k8s","pod":"a","endpoint":"eth0","interfaceName":"cali1","ipNetworks":["10.0.0.1/32"]}})",
     R"({"metadata":{"name":"a","namespace":"default"},"spec":{"node":"n1","orchestrator":"k8s","pod":"a","endpoint":"eth0"}})",
     Effect::absent},
    {"a BGP peer", kPeer,
     R"({"metadata":{"name":"peer"},"spec":{"peerIP":"10.0.0.254","asNumber":65000}})",
     R"({"metadata":{"name":"peer"},"spec":{"asNumber":"x y"}})", Effect::absent},
    {"a value of FelixConfiguration", kFelix,
     R"({"metadata":{"name":"default"},"spec":{"vxlanPort":4790}})",
     R"({"metadata":{"name":"default"},"spec":{"vxlanPort":70000}})", Effect::absent},
    {"an unreadable FelixConfiguration", kFelix,
     R"({"metadata":{"name":"default"},"spec":{"vxlanPort":4790}})", "[]", Effect::absent},
    {"our own node", kOwnNode,
     R"({"metadata":{"name":"n1","labels":{"rack":"a"}},"spec":{"bgp":{"ipv4Address":"10.0.0.1/24"}}})",
     R"({"metadata":{"name":"n1"},"spec":{"bgp":{"ipv4Address":"10.0.0.1.1/24"}}})",
     Effect::absent},
};

calc::Options calc_options(bool spoofing) {
  calc::Options out;
  out.node = "n1";
  out.allow_source_spoofing = spoofing;
  return out;
}

class BorderTest : public ::testing::Test {
 protected:
  std::optional<Border::Invalid> give(const Key& key, const char* json) {
    if (!first_view_) border_.set_in_sync();
    const bool known = held_.contains(key);
    held_.insert(key);
    return border_.take(key, {{model::path(key), json, false, Revision(++revision_)}, known});
  }
  void remove(const Key& key) {
    held_.erase(key);
    EXPECT_FALSE(border_.take(key, {{model::path(key), "", true, Revision(++revision_)}, true}));
  }
  [[nodiscard]] std::string parameter(const char* name) {
    config::Layers layers;
    configuration_.apply_to(layers);
    return layers.resolve().text(name);
  }
  [[nodiscard]] std::size_t peers() {
    intent_.set_in_sync();
    if (auto c = intent_.compute()) peers_ = c->peers.size();
    return peers_;
  }

  calc::Graph graph_{calc_options(false)};
  bgp::Intent intent_{{"n1", "hash", "kube-system", {}}};
  config::Resources configuration_{"n1"};
  Border border_{{graph_, intent_, configuration_}, "n1"};
  std::set<Key> held_;
  std::uint64_t revision_ = 0;
  bool first_view_ = false;
  std::size_t peers_ = 0;
};

// What the receivers were given shows in whether an invalid version is said to be kept.
TEST_F(BorderTest, keeps_the_last_valid_version_until_a_valid_one_or_the_delete) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    EXPECT_FALSE(give(row.key, row.valid));
    for (int again = 0; again < 2; ++again) {
      const auto invalid = give(row.key, row.invalid);
      ASSERT_TRUE(invalid);
      EXPECT_EQ(invalid->effect, Effect::kept);
      EXPECT_FALSE(invalid->reason.empty());
    }
    EXPECT_EQ(border_.invalid().at(row.key).effect, Effect::kept);
    EXPECT_EQ(border_.kept(), 1U);
    EXPECT_EQ(border_.never_valid(), 0U);
    EXPECT_NE(border_.summary().find(model::describe(row.key)), std::string::npos);
    EXPECT_FALSE(give(row.key, row.valid));
    EXPECT_TRUE(border_.invalid().empty());
    EXPECT_TRUE(border_.summary().empty());
    ASSERT_TRUE(give(row.key, row.invalid));
    remove(row.key);
    EXPECT_TRUE(border_.invalid().empty());
  }
}

TEST_F(BorderTest, where_nothing_valid_was_an_invalid_policy_denies_and_the_rest_is_absent) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    for (int again = 0; again < 2; ++again) {
      const auto invalid = give(row.key, row.invalid);
      ASSERT_TRUE(invalid);
      EXPECT_EQ(invalid->effect, row.first) << invalid->reason;
    }
    EXPECT_EQ(border_.invalid().at(row.key).effect, row.first);
    EXPECT_EQ(border_.never_valid(), 1U);
    const std::string said = border_.summary(), name = model::describe(row.key);
    EXPECT_NE(said.find(name), std::string::npos);
    EXPECT_EQ(said.find(name), said.rfind(name)) << said;
    EXPECT_FALSE(give(row.key, row.valid));
    EXPECT_TRUE(border_.invalid().empty());
    remove(row.key);
    // Deleted and made again is a new object.
    EXPECT_EQ(give(row.key, row.invalid)->effect, row.first);
    remove(row.key);
    EXPECT_TRUE(border_.invalid().empty());
  }
}

TEST_F(BorderTest, a_first_view_that_passes_through_a_valid_version_is_as_one_that_does_not) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    first_view_ = true;
    ASSERT_FALSE(give(row.key, row.valid));
    const auto invalid = give(row.key, row.invalid);
    ASSERT_TRUE(invalid);
    EXPECT_EQ(invalid->effect, row.first);
    remove(row.key);
  }
}

TEST_F(BorderTest, a_policy_of_which_a_part_is_without_effect_is_in_force_but_for_that) {
  const auto invalid = give(kPolicy, R"({"spec":{"selector":"a == 'b'","ingress":[
      {"action":"Allow","protocol":"TCP","http":{"methods":["GET"]}}]}})");
  ASSERT_TRUE(invalid);
  EXPECT_EQ(invalid->effect, Effect::partly);
  EXPECT_NE(invalid->reason.find("spec.ingress[0].http"), std::string::npos) << invalid->reason;
  EXPECT_EQ(border_.partly(), 1U);
  EXPECT_EQ(border_.never_valid(), 0U);
  EXPECT_NE(border_.summary().find("1 in force but for a part, first NetworkPolicy(default/p)"),
            std::string::npos)
      << border_.summary();
  // It is the version that stays in force when an invalid one comes.
  EXPECT_EQ(give(kPolicy, kBadRule)->effect, Effect::kept);
  EXPECT_FALSE(give(kPolicy, kAllow));
  EXPECT_TRUE(border_.summary().empty());
}

TEST_F(BorderTest, calculation_depends_on_what_passed_alone) {
  ASSERT_FALSE(give(kPolicy, kAllow));
  ASSERT_TRUE(give(kPolicy, kBadRule));
  ASSERT_FALSE(give(kPolicy, kEmpty));
  ASSERT_TRUE(give(kPolicy, kBadSelector));
  EXPECT_TRUE(graph_.problems().empty());
  EXPECT_EQ(graph_.counts().policies, 1U);
}

TEST_F(BorderTest, parameters_stay_as_last_valid) {
  ASSERT_FALSE(give(kFelix, R"({"spec":{"vxlanPort":4790,"vxlanVNI":7}})"));
  EXPECT_TRUE(border_.take_configuration_changed());
  ASSERT_TRUE(give(kFelix, R"({"spec":{"vxlanPort":70000,"vxlanVNI":8}})"));
  EXPECT_FALSE(border_.take_configuration_changed());
  EXPECT_EQ(parameter("VXLANPort"), "4790");
  EXPECT_EQ(parameter("VXLANVNI"), "7");
}

TEST_F(BorderTest, at_first_only_the_parameter_that_is_wrong_is_absent) {
  ASSERT_TRUE(give(kFelix, R"({"spec":{"vxlanPort":70000,"vxlanVNI":8}})"));
  EXPECT_TRUE(border_.take_configuration_changed());
  EXPECT_EQ(parameter("VXLANPort"), "4789");
  EXPECT_EQ(parameter("VXLANVNI"), "8");
}

TEST_F(BorderTest, parameters_of_a_newer_or_another_agent_are_no_fault) {
  EXPECT_FALSE(give(kFelix, R"({"spec":{"notKnownYet":"x","bpfEnabled":"perhaps"}})"));
}

TEST_F(BorderTest, sessions_stay_while_their_peer_is_invalid) {
  ASSERT_FALSE(give(kOwnNode, kRows[8].valid));
  ASSERT_FALSE(give(kPeer, kRows[5].valid));
  ASSERT_EQ(peers(), 1U);
  ASSERT_TRUE(give(kPeer, kRows[5].invalid));
  EXPECT_EQ(peers(), 1U);
  remove(kPeer);
  EXPECT_EQ(peers(), 0U);
}

// Whether spoofing is allowed is configuration, not a fault of the object.
TEST_F(BorderTest, a_workload_that_may_not_spoof_is_given_to_calculation_all_the_same) {
  const Key key{Kind::workload_endpoint, "default", "n1-k8s-a-eth0"};
  EXPECT_FALSE(give(
      key,
      R"({"metadata":{"name":"a","namespace":"default"},"spec":{"node":"n1","orchestrator":"k8s","pod":"a","endpoint":"eth0","interfaceName":"cali1","allowSpoofedSourcePrefixes":["10.9.0.0/16"]}})"));
  EXPECT_EQ(border_.invalid().at(key).effect, Effect::absent);
  graph_.configure(calc_options(true));
  EXPECT_TRUE(border_.invalid().empty());
}

}  // namespace
}  // namespace margay::agent
