// SPDX-License-Identifier: Apache-2.0
#include "dataplane/policy/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "rule_text.h"

namespace margay::policy {
namespace {

using model::Action;
using model::ActiveRule;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

class Program : public testing::Test {
 protected:
  model::PolicyKey add(const std::string& name, std::vector<Action> inbound) {
    model::ActivePolicy p;
    p.key = {model::PolicyKind::global_network_policy, "", name};
    p.tier = "default";
    for (const Action a : inbound) {
      ActiveRule r;
      r.action = a;
      r.protocol = model::Protocol{static_cast<std::uint8_t>(6 + p.inbound.size())};
      p.inbound.push_back(r);
    }
    policies_[p.key] = p;
    return p.key;
  }
  ProgramSpec spec(std::vector<model::EndpointTier> tiers, std::vector<std::string> profiles) {
    return program_spec(tiers, profiles, Way::ingress, Stage::filter, source_);
  }
  std::vector<std::string> lines(const Unit& u, std::size_t i = 0) {
    return test::to_lines(u.chains.at(i).rules);
  }

  std::map<model::PolicyKey, model::ActivePolicy> policies_;
  std::map<std::string, model::ActiveProfile> profiles_{{"p1", {"p1", {ActiveRule{}}, {}}}};
  PolicySource source_{[this](const model::PolicyKey& k) {
                         const auto it = policies_.find(k);
                         return it == policies_.end() ? nullptr : &it->second;
                       },
                       [this](const std::string& n) {
                         const auto it = profiles_.find(n);
                         return it == profiles_.end() ? nullptr : &it->second;
                       }};
  SetShapes shapes_;
  PolicyConfig config_;
  CompileEnv env_{source_, shapes_, config_};
};

TEST_F(Program, without_policy_asks_the_profiles_then_drops) {
  const auto u = compile_program(spec({}, {"p1", "p2"}), env_);
  EXPECT_THAT(lines(u), ElementsAre("jump pi-pro/p1", "jump pi-pro/p2", "drop"));
  EXPECT_THAT(lines(compile_profile("p1", Way::ingress, Stage::filter, env_)),
              ElementsAre("accept"));
  EXPECT_THAT(lines(compile_profile("p2", Way::ingress, Stage::filter, env_)), ElementsAre("drop"));
}

TEST_F(Program, of_one_denying_tier_is_that_tier) {
  const auto a = add("a", {Action::allow});
  const auto s = spec({{"default", false, {a}, {}}}, {"p1"});
  EXPECT_TRUE(program_is_its_tier(s, source_));
  EXPECT_EQ(program_entry(s, source_), tier_chain_name(s.tiers[0]));
  const auto u = compile_tier(s.tiers[0], env_);
  EXPECT_THAT(lines(u), ElementsAre("jump pi-gnp/a", "drop"));
  EXPECT_EQ(u.chains[0].rules[1].comment, "end of tier default");
}

TEST_F(Program, endpoints_that_differ_only_in_the_unreachable_share) {
  const auto a = add("a", {Action::allow});
  const auto one = spec({{"default", false, {a}, {}}}, {"p1"});
  const auto two = spec({{"default", false, {a}, {}}, {"later", false, {a}, {}}}, {"p2"});
  EXPECT_EQ(program_entry(one, source_), program_entry(two, source_));
}

TEST_F(Program, pass_stands_in_the_tier_and_leaves_it) {
  const auto a = add("a", {Action::deny, Action::pass});
  const auto b = add("b", {Action::allow});
  const auto s = spec({{"sec", false, {a, b}, {}}, {"default", false, {b}, {}}}, {"p1"});
  ASSERT_EQ(s.tiers.size(), 2U);
  EXPECT_THAT(lines(compile_tier(s.tiers[0], env_)),
              ElementsAre("proto 6 drop", "proto 7 return", "jump pi-gnp/b", "drop"));
  EXPECT_FALSE(tier_jumps_to(a, Way::ingress, source_));
  EXPECT_THAT(lines(compile_program(s, env_)),
              ElementsAre(StartsWith("jump ti-sec-"), StartsWith("goto ti-default-")));
}

TEST_F(Program, pass_in_the_last_tier_reaches_the_profiles) {
  const auto a = add("a", {Action::pass});
  const auto u = compile_program(spec({{"default", false, {a}, {}}}, {"p1"}), env_);
  EXPECT_THAT(lines(u), ElementsAre(StartsWith("jump ti-default-"), "jump pi-pro/p1", "drop"));
}

TEST_F(Program, a_passing_tier_has_no_end_and_goes_on) {
  const auto a = add("a", {Action::allow});
  const auto s = spec({{"kube-admin", true, {a}, {}}}, {"p1"});
  EXPECT_THAT(lines(compile_tier(s.tiers[0], env_)), ElementsAre("jump pi-gnp/a"));
  EXPECT_THAT(lines(compile_program(s, env_)),
              ElementsAre(StartsWith("jump ti-kube-admin-"), "jump pi-pro/p1", "drop"));
}

TEST_F(Program, a_policy_without_rules_still_ends_the_tier) {
  const auto a = add("a", {});
  EXPECT_THAT(lines(compile_tier(spec({{"default", false, {a}, {}}}, {}).tiers[0], env_)),
              ElementsAre("drop"));
}

TEST_F(Program, an_unknown_policy_denies) {
  const model::PolicyKey gone{model::PolicyKind::network_policy, "ns", "gone"};
  const auto b = add("b", {Action::allow});
  EXPECT_THAT(lines(compile_tier(spec({{"default", true, {gone, b}, {}}}, {}).tiers[0], env_)),
              ElementsAre("drop", "jump pi-gnp/b"));
}

TEST_F(Program, the_other_way_is_another_program) {
  const auto a = add("a", {Action::allow});
  const std::vector<model::EndpointTier> tiers{{"default", false, {a}, {}}};
  const auto out = program_spec(tiers, {"p1"}, Way::egress, Stage::filter, source_);
  EXPECT_THAT(out.tiers, IsEmpty()) << "no egress policy: profiles decide";
}

TEST_F(Program, tiers_before_nat_never_end_in_deny) {
  const auto a = add("a", {Action::allow});
  auto s = program_spec({{"default", false, {a}, {}}}, {}, Way::ingress, Stage::pre_nat, source_);
  s.end = ProgramEnd::fall_through;
  EXPECT_THAT(lines(compile_tier(s.tiers[0], env_)), ElementsAre("jump pi-prenat-gnp/a"));
  EXPECT_THAT(lines(compile_program(s, env_)), ElementsAre(StartsWith("jump ti-prenat-")));
}

TEST_F(Program, chain_names_of_the_passing_policies_do_not_collide) {
  // Two policies that can pass, each with a rule that needs chains of its own.
  SetShape s;
  s.v4.lengths = {32, 24};
  shapes_["s:x"] = s;
  std::vector<model::PolicyKey> keys{add("a", {Action::pass}), add("b", {Action::pass})};
  for (const auto& k : keys) {
    ActiveRule r;
    r.action = Action::log;
    r.family = Family::v4;
    r.source.sets = {"s:x"};
    policies_[k].inbound.push_back(r);
  }
  const auto u = compile_tier(spec({{"default", false, keys, {}}}, {}).tiers[0], env_);
  std::set<std::string> names;
  for (const auto& c : u.chains) EXPECT_TRUE(names.insert(c.name).second) << c.name;
  EXPECT_EQ(names.size(), 5U);
}

}  // namespace
}  // namespace margay::policy
