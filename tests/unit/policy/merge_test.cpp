// SPDX-License-Identifier: Apache-2.0
#include "dataplane/policy/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace margay::policy {
namespace {

using model::Action;
using model::ActiveRule;
using testing::ElementsAre;

Prefix net(const char* text) { return Prefix::parse(text).value(); }

ActiveRule tcp(Action a, std::vector<Prefix> from, std::vector<model::PortRange> ports) {
  ActiveRule r;
  r.action = a;
  r.protocol = model::Protocol{6};
  r.source.nets = std::move(from);
  r.destination.ports = std::move(ports);
  return r;
}

TEST(Merge, rules_that_differ_in_one_list_are_united) {
  const std::vector<ActiveRule> in{tcp(Action::allow, {net("10.0.0.2/32")}, {{80, 80}}),
                                   tcp(Action::allow, {net("10.0.0.1/32")}, {{80, 80}}),
                                   tcp(Action::allow, {net("10.0.0.1/32")}, {{80, 80}})};
  const auto out = merge_rules(in);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_THAT(out[0].rule.source.nets, ElementsAre(net("10.0.0.1/32"), net("10.0.0.2/32")));
  EXPECT_THAT(out[0].numbers, ElementsAre(1U, 2U, 3U));
  EXPECT_TRUE(out[0].tuples.empty());
}

TEST(Merge, rules_that_differ_in_several_values_become_rows) {
  const std::vector<ActiveRule> in{tcp(Action::deny, {net("10.0.0.1/32")}, {{80, 80}}),
                                   tcp(Action::deny, {net("10.0.0.2/32")}, {{81, 81}}),
                                   tcp(Action::deny, {net("10.0.0.3/32")}, {{82, 82}, {83, 83}})};
  const auto out = merge_rules(in);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].tuples.size(), 4U);
  EXPECT_FALSE(out[0].rule.protocol.has_value());
  EXPECT_TRUE(out[0].rule.source.nets.empty());
}

TEST(Merge, narrow_port_ranges_become_a_row_for_each_port) {
  std::vector<ActiveRule> in{tcp(Action::allow, {net("10.0.0.1/32")}, {{80, 80}}),
                             tcp(Action::allow, {net("10.0.0.2/32")}, {{81, 83}}),
                             tcp(Action::allow, {net("10.0.0.3/32")}, {{65530, 65535}, {1, 1}})};
  const auto out = merge_rules(in);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].tuples.size(), 1U + 3U + 7U);
  EXPECT_EQ(out[0].tuples.back().destination_port, 65535);
  in[1].destination.ports = {{81, 97}};  // wide: a match of its own
  in.push_back(tcp(Action::allow, {net("10.0.0.4/32")}, {{7, 7}}));
  EXPECT_EQ(merge_rules(in).size(), 2U);
}

TEST(Merge, another_action_between_keeps_the_order) {
  const std::vector<ActiveRule> in{tcp(Action::allow, {net("10.0.0.1/32")}, {{80, 80}}),
                                   tcp(Action::deny, {net("10.0.0.2/32")}, {{80, 80}}),
                                   tcp(Action::allow, {net("10.0.0.3/32")}, {{80, 80}})};
  const auto out = merge_rules(in);
  ASSERT_EQ(out.size(), 3U);
  EXPECT_EQ(out[1].rule.action, Action::deny);
}

TEST(Merge, log_rules_stay_and_separate) {
  const std::vector<ActiveRule> in{tcp(Action::allow, {net("10.0.0.1/32")}, {{80, 80}}),
                                   tcp(Action::log, {}, {}), tcp(Action::log, {}, {}),
                                   tcp(Action::allow, {net("10.0.0.3/32")}, {{80, 80}})};
  EXPECT_EQ(merge_rules(in).size(), 4U);
}

TEST(Merge, a_list_against_no_list_is_not_united) {
  const std::vector<ActiveRule> in{tcp(Action::allow, {}, {{80, 80}}),
                                   tcp(Action::allow, {net("10.0.0.3/32")}, {{80, 80}})};
  const auto out = merge_rules(in);
  ASSERT_EQ(out.size(), 2U);
  EXPECT_TRUE(out[0].rule.source.nets.empty());
}

TEST(Merge, never_rules_go) {
  std::vector<ActiveRule> in{tcp(Action::allow, {}, {{80, 80}})};
  in[0].never = true;
  EXPECT_TRUE(merge_rules(in).empty());
}

TEST(Merge, rows_of_two_families_in_one_rule_do_not_become_a_match_of_everything) {
  std::vector<ActiveRule> in;
  for (const char* a : {"10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"}) {
    ActiveRule r = tcp(
        Action::allow, {net(a)},
        {{static_cast<std::uint16_t>(in.size() + 1), static_cast<std::uint16_t>(in.size() + 1)}});
    r.destination.nets = {net("fd00::1/128")};
    in.push_back(r);
  }
  for (const auto& m : merge_rules(in)) {
    EXPECT_FALSE(m.tuples.empty() && m.rule.source.nets.empty());
  }
}

TEST(Merge, ten_thousand_rules_of_single_values_become_one) {
  std::vector<ActiveRule> in;
  for (std::uint32_t i = 0; i < 10000; ++i) {
    in.push_back(tcp(Action::allow, {Prefix::host(Ip::v4(0x0a000000 + i * 7))},
                     {{static_cast<std::uint16_t>(i), static_cast<std::uint16_t>(i)}}));
  }
  const auto out = merge_rules(in);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].tuples.size(), 10000U);
}

}  // namespace
}  // namespace margay::policy
