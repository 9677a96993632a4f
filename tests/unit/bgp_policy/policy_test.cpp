// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "bgp/policy/evaluate.h"

namespace margay::bgp {
namespace {

Prefix prefix(const std::string& text) { return *Prefix::parse(text); }

Attributes sample() {
  Attributes a;
  const std::uint32_t path[] = {65001, 65002};
  a.as_path.append(AsPath::Segment::sequence, path);
  a.communities = {0xfc000064};
  a.large_communities = {{1, 2, 3}};
  a.local_pref = kPreferenceBase - 512;
  return a;
}

FilterRule rule(std::optional<PrefixMatch> match = {}) {
  FilterRule r;
  r.prefix = match;
  return r;
}
PrefixMatch match(const char* cidr, MatchOperator op) {
  return {prefix(cidr), op, prefix(cidr).length(), max_prefix_length(prefix(cidr).family()), false};
}
PrefixMatch ranged(const char* cidr, MatchOperator op, unsigned min, unsigned max) {
  return {prefix(cidr), op, min, max, true};
}

TEST(FilterRule, matches_when_every_condition_holds) {
  FilterRule community = rule(), large = rule(), other_community = rule(), path = rule(),
             wrong_path = rule(), priority = rule(), peers = rule(), internal = rule(),
             external = rule(), interface = rule(), both = rule();
  community.community = Community(0xfc000064U);
  large.community = Community(LargeCommunity{1, 2, 3});
  other_community.community = Community(7U);
  path.as_path_prefix = {Asn(65001)};
  wrong_path.as_path_prefix = {Asn(65002)};
  priority.local_pref = kPreferenceBase - 512;
  peers.from_remote_peer = true;
  internal.session = SessionKind::internal;
  external.session = SessionKind::external;
  interface.interface = "eth*";
  both = community;
  both.as_path_prefix = {Asn(65002)};
  const struct {
    const char* name;
    FilterRule rule;
    const char* prefix;
    bool want;
  } rows[] = {
      {"no condition", rule(), "10.1.0.0/16", true},
      {"equal", rule(match("10.1.0.0/16", MatchOperator::equal)), "10.1.0.0/16", true},
      {"equal, more specific", rule(match("10.1.0.0/16", MatchOperator::equal)), "10.1.1.0/24",
       false},
      {"not equal", rule(match("10.1.0.0/16", MatchOperator::not_equal)), "10.1.1.0/24", true},
      {"in, itself", rule(match("10.1.0.0/16", MatchOperator::in)), "10.1.0.0/16", true},
      {"in, more specific", rule(match("10.1.0.0/16", MatchOperator::in)), "10.1.1.0/24", true},
      {"in, wider", rule(match("10.1.0.0/16", MatchOperator::in)), "10.0.0.0/8", false},
      {"not in", rule(match("10.1.0.0/16", MatchOperator::not_in)), "10.2.0.0/16", true},
      {"range", rule(ranged("10.1.0.0/16", MatchOperator::in, 24, 26)), "10.1.1.0/24", true},
      {"range, too short", rule(ranged("10.1.0.0/16", MatchOperator::in, 24, 26)), "10.1.0.0/16",
       false},
      {"range, too long", rule(ranged("10.1.0.0/16", MatchOperator::in, 24, 26)), "10.1.1.0/27",
       false},
      {"not in range", rule(ranged("10.1.0.0/16", MatchOperator::not_in, 24, 26)), "10.1.1.0/27",
       true},
      {"other family", rule(match("10.1.0.0/16", MatchOperator::not_in)), "fd00::/64", false},
      {"v6", rule(match("fd00::/16", MatchOperator::in)), "fd00:1::/64", true},
      {"community", community, "10.1.0.0/16", true},
      {"large community", large, "10.1.0.0/16", true},
      {"absent community", other_community, "10.1.0.0/16", false},
      {"path", path, "10.1.0.0/16", true},
      {"other path", wrong_path, "10.1.0.0/16", false},
      {"priority", priority, "10.1.0.0/16", true},
      {"learnt", peers, "10.1.0.0/16", true},
      {"internal session", internal, "10.1.0.0/16", false},
      {"external session", external, "10.1.0.0/16", true},
      {"interface", interface, "10.1.0.0/16", true},
      {"one of two conditions", both, "10.1.0.0/16", false},
  };
  const Attributes a = sample();
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    const Prefix p = prefix(row.prefix);
    EXPECT_EQ(matches(row.rule, {p, a, true, true, "eth0"}), row.want);
  }
}

TEST(Glob, star_stands_for_any_run) {
  const struct {
    const char *pattern, *text;
    bool want;
  } rows[] = {{"eth0", "eth0", true},
              {"eth*", "eth", true},
              {"*.cali", "vxlan.cali", true},
              {"a*b*c", "axxbyyc", true},
              {"a*b*c", "axxbyy", false},
              {"eth0", "eth01", false},
              {"", "", true},
              {"*", "x", true}};
  for (const auto& row : rows)
    EXPECT_EQ(glob_matches(row.pattern, row.text), row.want) << row.pattern;
}

TEST(Filters, first_decision_wins_and_operations_apply_in_order) {
  auto first = std::make_shared<Filter>(), second = std::make_shared<Filter>();
  FilterRule accept = rule(match("10.1.0.0/16", MatchOperator::in));
  accept.accept = true;
  accept.operations = {Community(5U), PrependAs{{Asn(1), Asn(2)}}, SetLocalPref{77}};
  first->export_v4 = {accept};
  second->export_v4 = {rule()};
  const FilterList list = {first, second};
  const Attributes a = sample();
  const Prefix inside = prefix("10.1.1.0/24"), outside = prefix("10.2.0.0/16"),
               v6 = prefix("fd00::/64");
  const auto accepted = run_filters(list, Direction::export_, {inside, a});
  EXPECT_EQ(accepted.verdict, Verdict::accept);
  EXPECT_EQ(accepted.changed->as_path.to_string(), "1 2 65001 65002");
  EXPECT_EQ(accepted.changed->local_pref, 77U);
  EXPECT_TRUE(accepted.changed->has(Community(5U)));
  EXPECT_EQ(run_filters(list, Direction::export_, {outside, a}).verdict, Verdict::reject);
  EXPECT_EQ(run_filters(list, Direction::import, {inside, a}).verdict, Verdict::none);
  EXPECT_EQ(run_filters(list, Direction::export_, {v6, a}).verdict, Verdict::none);
}

TEST(ExportDecider, follows_the_order_of_the_policy) {
  ExportPolicy policy;
  policy.disabled_pools = {prefix("10.67.0.0/16")};
  policy.own_blocks = {prefix("10.65.1.0/26"), prefix("10.67.1.0/26")};
  policy.service_routes = {prefix("10.96.0.0/12")};
  policy.reflected_ranges = {prefix("192.0.2.0/24")};
  policy.pools = {prefix("10.65.0.0/16"), prefix("10.128.0.0/16"), prefix("fd65::/48")};
  const ExportDecider decider(policy);
  const struct {
    const char* prefix;
    bool want, elevated = false;
  } rows[] = {
      {"10.65.1.0/26", true},        // own block
      {"10.65.1.5/32", false},       // inside it
      {"10.65.1.5/32", true, true},  // a workload that is just arriving
      {"10.65.2.0/26", true},        // another's block in a pool
      {"10.65.9.7/32", true},        // a borrowed address
      {"10.65.0.0/16", true},        // the pool
      {"10.128.0.0/9", false},       // wider than a pool that begins like it
      {"10.64.0.0/15", false},       // wider than the pool
      {"10.67.1.0/26", false},       // own block, but its pool is not exported
      {"10.96.0.0/12", true},        // services
      {"10.96.0.1/32", false},       // one of them
      {"192.0.2.7/32", true},        // reflected
      {"0.0.0.0/0", false},         {"fd65:0:0:1::/122", true}, {"fd66::/64", false},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(decider.accepts(prefix(row.prefix), row.elevated), row.want)
        << row.prefix << (row.elevated ? " elevated" : "");
  }
}

TEST(KernelDecider, leaves_out_what_belongs_to_others) {
  KernelPolicy policy;
  policy.service_ranges = {prefix("10.96.0.0/12")};
  policy.pools = {{prefix("10.65.0.0/16"), true},
                  {prefix("10.66.0.0/16"), false},
                  {prefix("10.66.7.0/24"), true}};
  const KernelDecider decider(policy);
  const struct {
    const char* prefix;
    bool want;
  } rows[] = {{"10.65.1.0/26", true},  {"10.66.1.0/26", false}, {"10.66.7.64/26", true},
              {"10.96.1.0/24", false}, {"0.0.0.0/0", true},     {"203.0.113.0/24", true},
              {"2001:db8::/32", true}};
  for (const auto& row : rows)
    EXPECT_EQ(decider.programs(prefix(row.prefix)), row.want) << row.prefix;
}

TEST(ExportDecider, adds_the_communities_of_every_range_that_holds_the_route) {
  ExportPolicy policy;
  policy.communities = {
      {prefix("10.0.0.0/8"), {Community(1U)}},
      {prefix("10.65.0.0/16"), {Community(2U), Community(LargeCommunity{1, 2, 3})}},
      {prefix("10.66.0.0/16"), {Community(9U)}}};
  const ExportDecider decider(policy);
  Attributes a;
  EXPECT_TRUE(decider.add_communities(prefix("10.65.1.0/26"), a));
  EXPECT_EQ(a.communities, (ShortList<std::uint32_t>{1, 2}));
  EXPECT_EQ(a.large_communities.size(), 1U);
  EXPECT_FALSE(decider.add_communities(prefix("192.0.2.0/24"), a));
}

}  // namespace
}  // namespace margay::bgp
