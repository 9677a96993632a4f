// SPDX-License-Identifier: Apache-2.0
// What the oracle shows of a failure: of a large world the few entries that a wrong judge of
// packets needs in order to be wrong. The judge is the evaluator with one thing broken.
#include "world.h"

#include <gtest/gtest.h>

#include "agent/calc/evaluator.h"

namespace margay::test {
namespace {

using model::Action;
using model::ActiveRule;

Prefix net(const char* text) { return Prefix::parse(text).value(); }

// Three tiers of three policies with four rules each; every rule has something in every list.
World large() {
  World out;
  out.sets.push_back({"s:0", model::SetKind::nets, true, {{net("10.0.0.0/8"), 0, 0}}, {}});
  out.sets.push_back({"s:1", model::SetKind::nets, true, {{net("192.0.2.0/24"), 0, 0}}, {}});
  for (unsigned i = 0; i < 50; ++i) {
    out.sets[1].added.push_back({Prefix::host(Ip::v4(0x0b000000U + i)), 0, 0});
  }
  for (int t = 0; t < 3; ++t) {
    model::EndpointTier tier{"t" + std::to_string(t), true, {}, {}};
    for (int n = 0; n < 3; ++n) {
      model::ActivePolicy p;
      p.key = {model::PolicyKind::network_policy, "default", std::to_string(t * 3 + n)};
      for (int r = 0; r < 4; ++r) {
        ActiveRule rule;
        rule.action = r == 3 ? Action::allow : Action::deny;
        rule.source.sets = {r == 3 ? "s:1" : "s:0"};
        rule.source.not_nets = {net("198.51.100.0/24"), net("192.0.2.9/32")};
        rule.destination.ports = {{static_cast<std::uint16_t>(80 + r), 90}};
        p.inbound.push_back(rule);
        p.outbound.push_back(rule);
      }
      tier.ingress.push_back(p.key);
      tier.egress.push_back(p.key);
      out.policies.push_back(std::move(p));
    }
    out.workload.tiers.push_back(std::move(tier));
  }
  return out;
}

bool allowed(const World& world, const calc::Packet& packet) {
  calc::EvaluatorTables tables;
  for (const auto& change : world.changes()) tables.apply(change);
  return calc::evaluate(world.workload, calc::Direction::ingress, packet, tables).allowed;
}

bool allowed_without_not_nets(World world, const calc::Packet& packet) {
  for (auto& p : world.policies) {
    for (ActiveRule& r : p.inbound) r.source.not_nets.clear();
  }
  return allowed(world, packet);
}

TEST(World, shrinks_to_what_a_failure_needs) {
  const calc::Packet packet{Ip::parse("192.0.2.9").value(), Ip::v4(1), 6, 1000, 85, 0, 0};
  const auto fails = [&](const World& w) {
    return allowed(w, packet) != allowed_without_not_nets(w, packet);
  };
  const World all = large();
  ASSERT_TRUE(fails(all));
  World least = shrink(all, fails);
  ASSERT_TRUE(fails(least));
  std::size_t rules = 0, left = 0;
  for (const auto& p : least.policies) rules += p.inbound.size() + p.outbound.size();
  EXPECT_EQ(rules, 1U);
  least.each_list([&](const auto& list) { left += list.size(); });
  EXPECT_EQ(left, 4U) << "a tier, its policy, the rule, the network that it must not match";
  for (std::size_t entry = 0; entry < left; ++entry) {
    World less = least;
    ASSERT_TRUE(leave_out(less, entry));
    EXPECT_FALSE(fails(less)) << "entry " << entry << " says nothing";
  }
  World less = least;
  EXPECT_FALSE(leave_out(less, left));
}

}  // namespace
}  // namespace margay::test
