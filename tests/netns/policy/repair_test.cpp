// SPDX-License-Identifier: Apache-2.0
// What happens when somebody else changes our tables, and when the agent starts again.
#include <algorithm>
#include <cstdio>
#include <iterator>
#include <set>
#include <sstream>

#include "lab.h"

namespace margay::test {
namespace {

using model::Action;

class Repair : public Lab {
 protected:
  void SetUp() override {
    Lab::SetUp();
    if (IsSkipped()) return;
    add_station("calia1", "10.65.0.1", "fd00:65::1");
    add_station("calia2", "10.65.0.2", "fd00:65::2");
    start_plane();
    apply(world());
  }
  std::vector<model::Change> world() {
    model::ActivePolicy p = policy("web");
    p.inbound = {rule(Action::allow, [](model::ActiveRule& r) {
      r.protocol = model::Protocol{kTcp};
      r.source.sets = {"s:clients"};
      r.destination.ports = {{80, 80}, {443, 443}};
    })};
    model::LocalWorkload w = workload("calia1");
    w.tiers = {{"default", false, {p.key}, {}}};
    model::DesiredPool pool;
    pool.cidr = Prefix::parse("10.65.0.0/16").value();
    pool.nat_outgoing = true;
    return {nets("s:clients", {"10.65.0.2/32", "fd00:65::2/128", "192.0.2.0/24"}),
            p,
            allow_profile(),
            w,
            workload("calia2"),
            pool};
  }
  // In an order that does not depend on which table is the younger.
  static std::string ruleset() {
    return run("nft -s list table inet margay && nft -s list table inet margay-static");
  }
  // Does the damage and waits until the plane has put it right, within a second.
  void damage(const std::string& command) {
    const std::string before = ruleset();
    const auto repairs = plane_->status().repairs;
    const auto start = loop_.now();
    run("nft " + command);
    EXPECT_TRUE(until([&] { return plane_->status().repairs > repairs; })) << command;
    EXPECT_LT(loop_.now() - start, std::chrono::seconds(1)) << command;
    settle();
    EXPECT_TRUE(ruleset() == before) << command << "\n" << before << "\n" << ruleset();
  }
  std::uint64_t messages() {
    return metrics_.counter("margay_policy_kernel_messages_total", "").value();
  }
};

TEST_F(Repair, whatever_is_deleted_comes_back) {
  damage("delete table inet margay");
  damage("delete table inet margay-static");
  damage("flush chain inet margay pi-np/default/web");
  damage("delete element inet margay s-clients-4-32 '{ 10.65.0.2 }'");
  damage("delete element inet margay to-workload '{ \"calia1\" }'");
  damage("flush set inet margay workload-source-4");
  damage("flush chain inet margay-static nat-postrouting");
}

TEST_F(Repair, whatever_is_added_goes) {
  damage("add element inet margay s-clients-4-32 '{ 10.65.0.77 }'");
  damage("insert rule inet margay to-workload accept");
  damage("add chain inet margay foreign");
}

TEST_F(Repair, a_rule_replaced_by_another_is_restored) {
  const std::string listing = run("nft -a list chain inet margay ti-default-" +
                                  ruleset().substr(ruleset().find("jump ti-default-") + 16, 12));
  const auto at = listing.find("# handle ", listing.find("end of tier"));
  const std::string handle = listing.substr(at + 9, listing.find('\n', at) - at - 9);
  const std::string chain = listing.substr(listing.find("ti-default-"), 23);
  damage("replace rule inet margay " + chain + " handle " + handle +
         " accept comment \\\"end of tier default\\\"");
}

TEST_F(Repair, tables_of_others_are_left_alone) {
  run("nft add table inet other '{ chain c { type filter hook forward priority 0 ; } ; }'");
  EXPECT_NE(run("nft list tables").find("inet other"), std::string::npos);
  damage("delete table inet margay");
  EXPECT_NE(run("nft list tables").find("inet other"), std::string::npos);
}

TEST_F(Repair, a_second_start_sends_nothing) {
  const std::string before = ruleset();
  const auto sent = messages();
  EXPECT_GT(sent, 0U);
  stop_plane();
  EXPECT_EQ(ruleset(), before) << "stopping leaves everything";
  start_plane();
  plane_->apply({world(), false});
  loop_.restart();
  (void)until([] { return true; });
  EXPECT_EQ(messages(), sent) << "nothing is written before the whole view";
  EXPECT_FALSE(plane_->status().applied);
  apply({});
  EXPECT_TRUE(plane_->status().applied);
  EXPECT_EQ(messages(), sent);
  EXPECT_EQ(plane_->status().repairs, 0U);
  EXPECT_EQ(ruleset(), before);
}

TEST_F(Repair, what_went_missing_while_down_comes_back_and_nothing_else) {
  const std::string before = ruleset();
  const auto sent = messages();
  stop_plane();
  run("nft delete element inet margay s-clients-4-24 '{ 192.0.2.0 }'");
  run("nft flush chain inet margay pi-pro/allow");
  start_plane();
  apply(world());
  EXPECT_EQ(ruleset(), before);
  EXPECT_EQ(messages(), sent + 2) << "one element, one rule";
}

TEST_F(Repair, what_is_no_longer_wanted_after_a_restart_goes) {
  stop_plane();
  start_plane();
  apply({allow_profile(), workload("calia2")});
  const std::string rules = ruleset();
  EXPECT_EQ(rules.find("calia1"), std::string::npos);
  EXPECT_EQ(rules.find("s-clients"), std::string::npos);
  EXPECT_EQ(rules.find("np/default/web"), std::string::npos);
}

TEST_F(Repair, a_member_touches_no_rule) {
  const auto sent = messages();
  model::SetUpdate one;
  one.id = "s:clients";
  one.added = {{Prefix::parse("10.65.0.50/32").value(), 0, 0}};
  apply({one});
  EXPECT_EQ(messages(), sent + 1);
  one.removed = std::exchange(one.added, {});
  apply({one});
  EXPECT_EQ(messages(), sent + 2);
  EXPECT_EQ(send("calia2", "calia1", tcp(80), v4), Fate::pass);
}

TEST_F(Repair, an_unrelated_change_rewrites_nothing) {
  const auto sent = messages();
  apply(world());  // the same again
  EXPECT_EQ(messages(), sent);
}

TEST_F(Repair, a_rule_of_one_among_2000_policies_is_sent_alone) {
  const auto numbered = [](unsigned i, std::uint16_t port) {
    model::ActivePolicy p = policy("p" + std::to_string(i));
    p.inbound = {rule(Action::allow,
                      [&](model::ActiveRule& r) {
                        r.protocol = model::Protocol{kTcp};
                        r.source.nets = {Prefix::host(Ip::v4(0x0b000000U + i))};
                        r.destination.ports = {{port, port}};
                      }),
                 rule(Action::deny, [](model::ActiveRule& r) { r.source.sets = {"s:clients"}; })};
    return p;
  };
  std::vector<model::Change> all;
  model::LocalWorkload w = workload("calia1");
  w.tiers = {{"default", false, {}, {}}};
  for (unsigned i = 0; i < 2000; ++i) {
    all.push_back(numbered(i, 80));
    w.tiers[0].ingress.push_back(policy("p" + std::to_string(i)).key);
  }
  all.push_back(w);
  apply(std::move(all));
  const auto lines =
      [](const std::string& text) {  // with handles: a rule that is made anew differs
        std::multiset<std::string> out;
        std::istringstream in(text);
        for (std::string line; std::getline(in, line);) out.insert(line);
        return out;
      };
  const auto before = lines(run("nft -a list table inet margay"));
  const auto sent = messages();
  apply({numbered(1234, 81)});
  EXPECT_EQ(messages(), sent + 2) << "the rule, and the one it takes the place of";
  const auto after = lines(run("nft -a list table inet margay"));
  std::vector<std::string> fresh;
  std::ranges::set_difference(after, before, std::back_inserter(fresh));
  ASSERT_EQ(fresh.size(), 1U);
  EXPECT_NE(fresh[0].find("ip saddr 11.0.4.210 tcp dport 81 accept"), std::string::npos)
      << fresh[0];
  EXPECT_EQ(after.size(), before.size());
}

TEST_F(Repair, everything_goes_when_everything_is_removed) {
  const model::PolicyKey key = policy("web").key;
  apply({model::WorkloadRemove{workload("calia1").id}, model::WorkloadRemove{workload("calia2").id},
         model::PolicyRemove{key}, model::ProfileRemove{"allow"}, model::SetRemove{"s:clients"},
         model::PoolRemove{Prefix::parse("10.65.0.0/16").value()}});
  const std::string rules = ruleset();
  for (const char* gone : {"calia", "np/default", "pro/allow", "s-clients", "c-ports", "tw-", "fw-",
                           "ti-", "nat-postrouting"}) {
    EXPECT_EQ(rules.find(std::string(" ") + gone), std::string::npos) << gone << rules;
  }
}

}  // namespace
}  // namespace margay::test
