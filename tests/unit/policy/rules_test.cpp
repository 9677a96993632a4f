// SPDX-License-Identifier: Apache-2.0
#include "dataplane/policy/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rule_text.h"

namespace margay::policy {
namespace {

using model::Action;
using model::ActiveRule;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

Prefix net(const char* text) { return Prefix::parse(text).value(); }

SetShapes some_shapes() {
  SetShapes out;
  SetShape s;
  s.v4.lengths = {32, 24};
  s.v6.lengths = {128};
  out["s:mixed"] = s;
  s.v4.lengths = {32};
  s.v6.lengths = {};
  out["s:v4"] = s;
  s.v4.lengths = {};
  s.v4.interval = true;
  out["s:wide"] = s;
  SetShape p;
  p.kind = model::SetKind::ip_port;
  p.v4.ports = true;
  out["n:web"] = p;
  return out;
}

struct Row {
  const char* name;
  ActiveRule rule;
  std::vector<std::string> lines;
};

std::vector<std::string> compile(std::vector<ActiveRule> rules, CompiledRules* out = nullptr,
                                 Stage stage = Stage::filter, PolicyConfig config = {}) {
  const SetShapes shapes = some_shapes();
  const RuleContext context{"np/d/p", "pi-np/d/p", "sec", "np", "p", "d", stage, shapes, config};
  CompiledRules compiled = compile_rules(rules, context);
  auto lines = test::to_lines(compiled.rules);
  if (out != nullptr) *out = std::move(compiled);
  return lines;
}

ActiveRule make(const std::function<void(ActiveRule&)>& f) {
  ActiveRule r;
  f(r);
  return r;
}

using R = ActiveRule&;
const Row kSimpleRows[] = {
    {"everything", make([](R) {}), {"accept"}},
    {"protocol", make([](R r) { r.protocol = model::Protocol{132}; }), {"proto 132 accept"}},
    {"not protocol", make([](R r) { r.not_protocol = model::Protocol{6}; }), {"proto != 6 accept"}},
    {"family", make([](R r) { r.family = Family::v6; }), {"v6 accept"}},
    {"one net",
     make([](R r) { r.source.nets = {net("10.1.0.0/16")}; }),
     {"v4 saddr 10.1.0.0/16 accept"}},
    {"a net of everything",
     make([](R r) {
       r.source.nets = {net("0.0.0.0/0"), net("10.0.0.0/8")};
     }),
     {"v4 accept"}},
    {"one net of each family",
     make([](R r) {
       r.destination.nets = {net("10.1.2.3/32"), net("fd00::/16")};
     }),
     {"v4 daddr 10.1.2.3 accept", "v6 daddr fd00::/16 accept"}},
    {"not nets of one family say nothing of the other",
     make([](R r) { r.source.not_nets = {net("10.0.0.0/8")}; }),
     {"v4 saddr != 10.0.0.0/8 accept", "v6 accept"}},
    {"not everything is nothing",
     make([](R r) {
       r.source.not_nets = {net("0.0.0.0/0"), net("::/0")};
     }),
     {}},
    {"port",
     make([](R r) {
       r.protocol = model::Protocol{17};
       r.destination.ports = {{53, 53}};
     }),
     {"proto 17 dport 53 accept"}},
    {"port range that adjoins a port",
     make([](R r) {
       r.protocol = model::Protocol{6};
       r.source.ports = {{100, 200}, {201, 201}};
     }),
     {"proto 6 sport 100-201 accept"}},
    {"ports of a protocol without ports",
     make([](R r) {
       r.protocol = model::Protocol{1};
       r.source.ports = {{100, 200}};
     }),
     {}},
    {"not port",
     make([](R r) {
       r.protocol = model::Protocol{17};
       r.source.not_ports = {{53, 53}};
     }),
     {"proto 17 sport != 53 accept"}},
    {"icmp type and code",
     make([](R r) {
       r.protocol = model::Protocol{1};
       r.icmp = model::Icmp{3, 4};
     }),
     {"v4 proto 1 icmp-type 3 icmp-code 4 accept"}},
    {"icmpv6 type",
     make([](R r) {
       r.protocol = model::Protocol{58};
       r.icmp = model::Icmp{128, {}};
     }),
     {"v6 proto 58 icmp-type 128 accept"}},
    {"not icmp type and code",
     make([](R r) {
       r.protocol = model::Protocol{1};
       r.family = Family::v4;
       r.not_icmp = model::Icmp{3, 4};
     }),
     {"v4 proto 1 icmp-type != 3 accept", "v4 proto 1 icmp-type 3 icmp-code != 4 accept"}},
    {"set of several lengths",
     make([](R r) { r.source.sets = {"s:mixed"}; }),
     {"v4 saddr @s-mixed-4-32 accept", "v4 saddr/24 @s-mixed-4-24 accept",
      "v6 saddr @s-mixed-6-128 accept"}},
    {"not in a set of several lengths",
     make([](R r) { r.source.not_sets = {"s:mixed"}; }),
     {"v4 saddr != @s-mixed-4-32 saddr/24 != @s-mixed-4-24 accept",
      "v6 saddr != @s-mixed-6-128 accept"}},
    {"set without members of a family",
     make([](R r) { r.source.sets = {"s:v4"}; }),
     {"v4 saddr @s-v4-4-32 accept"}},
    {"not in a set without members of a family",
     make([](R r) { r.source.not_sets = {"s:v4"}; }),
     {"v4 saddr != @s-v4-4-32 accept", "v6 accept"}},
    {"interval set",
     make([](R r) { r.destination.sets = {"s:wide"}; }),
     {"v4 daddr @s-wide-4-i accept"}},
    {"two sets multiply their lengths",
     make([](R r) {
       r.family = Family::v4;
       r.source.sets = {"s:mixed"};
       r.destination.sets = {"s:mixed"};
     }),
     {"v4 saddr @s-mixed-4-32 daddr @s-mixed-4-32 accept",
      "v4 saddr @s-mixed-4-32 daddr/24 @s-mixed-4-24 accept",
      "v4 saddr/24 @s-mixed-4-24 daddr @s-mixed-4-32 accept",
      "v4 saddr/24 @s-mixed-4-24 daddr/24 @s-mixed-4-24 accept"}},
    {"named port",
     make([](R r) {
       r.protocol = model::Protocol{6};
       r.destination.port_sets = {"n:web"};
     }),
     {"v4 proto 6 daddr . proto . dport @n-web-4 accept"}},
    {"named or numbered port",
     make([](R r) {
       r.protocol = model::Protocol{6};
       r.destination.ports = {{8080, 8080}};
       r.destination.port_sets = {"n:web"};
     }),
     {"v4 proto 6 dport 8080 accept", "v4 proto 6 daddr . proto . dport @n-web-4 accept",
      "v6 proto 6 dport 8080 accept"}},
    {"not named port",
     make([](R r) { r.destination.not_port_sets = {"n:web"}; }),
     {"v4 daddr . proto . dport != @n-web-4 accept", "v6 accept"}},
    {"service",
     make([](R r) { r.destination_service_sets = {"n:web"}; }),
     {"v4 daddr . proto . dport @n-web-4 accept"}},
    {"pass", make([](R r) { r.action = Action::pass; }), {"return"}},
    {"deny", make([](R r) { r.action = Action::deny; }), {"drop"}},
    {"log", make([](R r) { r.action = Action::log; }), {"log 'calico-packet: '"}},
    {"never", make([](R r) { r.never = true; }), {}},
};

TEST(Rules, every_match_by_itself) {
  for (const Row& row : kSimpleRows) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(compile({row.rule}), row.lines);
  }
}

TEST(Rules, several_ports_become_one_constant_set) {
  CompiledRules out;
  const auto rule = make([](ActiveRule& r) {
    r.protocol = model::Protocol{6};
    r.destination.ports = {{80, 80}, {443, 443}};
  });
  const auto lines = compile({rule}, &out);
  ASSERT_EQ(out.sets.all().size(), 1U);
  const auto& set = out.sets.all().begin()->second;
  EXPECT_FALSE(set.def.type.interval);
  EXPECT_THAT(set.elements, SizeIs(2));
  EXPECT_THAT(lines, ElementsAre("proto 6 dport @" + set.def.name + " accept"));
  CompiledRules again;
  EXPECT_EQ(compile({rule}, &again), lines) << "the name must be stable";
}

TEST(Rules, ranges_among_ports_make_the_set_an_interval_set) {
  CompiledRules out;
  compile({make([](ActiveRule& r) {
            r.protocol = model::Protocol{6};
            r.destination.ports = {{80, 80}, {443, 443}, {100, 200}};
          })},
          &out);
  EXPECT_TRUE(out.sets.all().begin()->second.def.type.interval);
}

TEST(Rules, nested_nets_of_several_lengths_become_disjoint_ranges) {
  CompiledRules out;
  compile({make([](ActiveRule& r) {
            r.source.nets = {net("10.0.0.0/8"), net("10.1.0.0/16"), net("11.0.0.0/8"),
                             net("192.168.0.0/16")};
          })},
          &out);
  ASSERT_EQ(out.sets.all().size(), 1U);
  const auto& elements = out.sets.all().begin()->second.elements;
  ASSERT_THAT(elements, SizeIs(2)) << "10/7 and 192.168/16";
  EXPECT_EQ(elements[0].key, nft::Packed::ip(Ip::parse("10.0.0.0").value()));
  EXPECT_EQ(elements[0].key_end, nft::Packed::ip(Ip::parse("11.255.255.255").value()));
}

TEST(Rules, nets_of_one_length_are_looked_up_masked) {
  CompiledRules out;
  const auto lines = compile({make([](ActiveRule& r) {
                               r.source.nets = {net("10.0.0.0/24"), net("10.0.2.0/24")};
                             })},
                             &out);
  const auto& set = out.sets.all().begin()->second;
  EXPECT_FALSE(set.def.type.interval);
  EXPECT_THAT(lines, ElementsAre("v4 saddr/24 @" + set.def.name + " accept"));
}

TEST(Rules, a_run_of_rules_is_one_lookup) {
  std::vector<ActiveRule> rules;
  for (std::uint16_t i = 1; i <= 5; ++i) {
    rules.push_back(make([&](ActiveRule& r) {
      r.protocol = model::Protocol{static_cast<std::uint8_t>(i % 2 == 0 ? 6 : 17)};
      r.source.nets = {Prefix::host(Ip::v4(0x0a000000U + i))};
      r.destination.ports = {{i, i}};
    }));
  }
  CompiledRules out;
  const auto lines = compile(rules, &out);
  ASSERT_EQ(out.sets.all().size(), 1U);
  const auto& set = out.sets.all().begin()->second;
  EXPECT_THAT(set.elements, SizeIs(5));
  EXPECT_THAT(lines, ElementsAre("v4 saddr . proto . dport @" + set.def.name + " accept"));
  EXPECT_EQ(out.rules[0].comment, "np/d/p rule 1-5");
}

TEST(Rules, a_log_with_alternatives_writes_once) {
  CompiledRules out;
  const auto lines = compile({make([](ActiveRule& r) {
                               r.action = Action::log;
                               r.family = Family::v4;
                               r.source.sets = {"s:mixed"};
                             })},
                             &out);
  EXPECT_THAT(lines, ElementsAre("v4 jump pi-np/d/p/1"));
  ASSERT_THAT(out.chains, SizeIs(2));
  EXPECT_THAT(test::to_lines(out.chains[0].rules),
              ElementsAre("v4 saddr @s-mixed-4-32 goto pi-np/d/p/2",
                          "v4 saddr/24 @s-mixed-4-24 goto pi-np/d/p/2"));
  EXPECT_THAT(test::to_lines(out.chains[1].rules), ElementsAre("log 'calico-packet: '"));
}

TEST(Rules, many_alternatives_go_through_chains) {
  CompiledRules out;
  const auto lines = compile({make([](ActiveRule& r) {
                               r.family = Family::v4;
                               r.source.sets = {"s:mixed"};
                               r.destination.sets = {"s:mixed"};
                               r.protocol = model::Protocol{6};
                               r.destination.ports = {{1, 1}};
                               r.destination.port_sets = {"n:web"};
                             })},
                             &out);
  EXPECT_THAT(lines, ElementsAre("v4 proto 6 jump pi-np/d/p/1"));
  ASSERT_THAT(out.chains, SizeIs(3));
  EXPECT_THAT(test::to_lines(out.chains[2].rules),
              ElementsAre("v4 daddr @s-mixed-4-32 accept", "v4 daddr/24 @s-mixed-4-24 accept"));
}

TEST(Rules, an_unknown_set_denies_everything) {
  CompiledRules out;
  const auto lines = compile(
      {make([](ActiveRule& r) { r.source.sets = {"s:gone"}; }), make([](ActiveRule&) {})}, &out);
  EXPECT_THAT(lines, ElementsAre("drop"));
  EXPECT_THAT(out.unknown, ElementsAre("s:gone"));
  EXPECT_EQ(out.rules[0].comment, "np/d/p denies: set s:gone is unknown");
}

TEST(Rules, a_set_of_the_wrong_kind_is_unknown) {
  CompiledRules out;
  compile({make([](ActiveRule& r) { r.source.sets = {"n:web"}; })}, &out);
  EXPECT_THAT(out.unknown, ElementsAre("n:web"));
}

TEST(Rules, stages_change_verdicts) {
  const auto allow = make([](ActiveRule&) {});
  const auto deny = make([](ActiveRule& r) { r.action = Action::deny; });
  EXPECT_THAT(compile({allow}, nullptr, Stage::pre_nat), ElementsAre("set mark&65534^1 accept"));
  EXPECT_THAT(compile({allow}, nullptr, Stage::untracked),
              ElementsAre("set mark&65534^1 notrack accept"));
  PolicyConfig reject;
  reject.deny = DenyAction::reject;
  EXPECT_THAT(compile({deny}, nullptr, Stage::filter, reject), ElementsAre("reject"));
  EXPECT_THAT(compile({deny}, nullptr, Stage::post_nat, reject), ElementsAre("drop"));
}

TEST(Rules, log_prefix_is_filled_in_and_bounded) {
  PolicyConfig config;
  config.log_prefix = "%t|%k|%n|%p|%x";
  const auto log = make([](ActiveRule& r) { r.action = Action::log; });
  EXPECT_THAT(compile({log}, nullptr, Stage::filter, config),
              ElementsAre("log 'sec|np|p|d/p|%x: '"));
  config.log_prefix = std::string(500, 'x');
  CompiledRules out;
  compile({log}, &out, Stage::filter, config);
  EXPECT_LE(std::get<nft::Log>(out.rules[0].exprs[0]).prefix.size(), 127U);
}

}  // namespace
}  // namespace margay::policy
