// SPDX-License-Identifier: Apache-2.0
// What the filters of well-known managers look like, which of them are said to drop, and that
// accepts of ours come and go without touching anything else.
#include <gmock/gmock.h>

#include "tests/netns/foreign/fixture.h"

namespace margay::foreign::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kBothWays = "packets from workloads, packets to workloads";

struct Case {
  const char* name;
  std::string setup;
  std::string chain;  // as described; empty: nothing of ours is dropped
  std::string by;
  std::string remedy;
  std::string place;  // where the accepts go: a listing of it
};

const char* const kFirewalld = R"(
table inet firewalld {
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    jump filter_FORWARD_ZONES
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD_ZONES { goto FWD_public; }
  chain FWD_public { jump FWD_public_log; }
  chain FWD_public_log { }
}
)";
const char* const kDocker = R"(
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
)";
const char* const kUfw = R"(
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-input - [0:0]
:ufw-before-forward - [0:0]
:ufw-reject-forward - [0:0]
-A INPUT -j ufw-before-input
-A FORWARD -j ufw-before-forward
-A FORWARD -j ufw-reject-forward
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-reject-forward -j REJECT
COMMIT
)";

std::vector<Case> cases() {
  const auto nft = [](const std::string& rules) { return "nft -f " + file_of(rules); };
  const auto restore = [](const std::string& tool, const char* rules) {
    return tool + " < " + file_of(rules);
  };
  return {
      {"another table's policy",
       "nft add table inet fw; nft 'add chain inet fw forwarded { type filter hook forward "
       "priority 10; "
       "policy drop; }'",
       "chain forwarded of table inet fw", "policy drop",
       "nft insert rule inet fw forwarded iifname 'cali*' accept; nft insert rule inet fw "
       "forwarded oifname "
       "'cali*' accept; or set ForeignDropAction to Accept",
       "nft list chain inet fw forwarded"},
      {"iptables-nft", "iptables-nft -P FORWARD DROP",
       "chain FORWARD of table ip filter (iptables-nft)", "policy drop",
       "iptables-nft -I FORWARD -i cali+ -j ACCEPT; iptables-nft -I FORWARD -o cali+ -j ACCEPT; or "
       "set ForeignDropAction to Accept",
       "iptables-nft -S FORWARD"},
      {"ip6tables-nft", "ip6tables-nft -P FORWARD DROP",
       "chain FORWARD of table ip6 filter (iptables-nft)", "policy drop",
       "ip6tables-nft -I FORWARD", "ip6tables-nft -S FORWARD"},
      {"iptables-legacy", "iptables-legacy -P FORWARD DROP",
       "chain FORWARD of legacy table ip filter (iptables-legacy)", "policy drop",
       "iptables-legacy -I FORWARD -i cali+ -j ACCEPT", "iptables-legacy -S FORWARD"},
      {"ip6tables-legacy",
       "ip6tables-legacy -P FORWARD DROP; ip6tables-legacy -A INPUT -p tcp -j DROP",
       "chain FORWARD of legacy table ip6 filter (iptables-legacy)", "policy drop",
       "ip6tables-legacy -I FORWARD -i cali+ -j ACCEPT", "ip6tables-legacy -S FORWARD"},
      {"Docker", restore("iptables-nft-restore", kDocker),
       "chain FORWARD of table ip filter (iptables-nft, Docker)", "policy drop",
       "iptables-nft -I DOCKER-USER -i cali+ -j ACCEPT", "iptables-nft -S DOCKER-USER"},
      {"Docker, legacy", restore("iptables-legacy-restore", kDocker),
       "chain FORWARD of legacy table ip filter (iptables-legacy, Docker)", "policy drop",
       "iptables-legacy -I DOCKER-USER -i cali+ -j ACCEPT", "iptables-legacy -S DOCKER-USER"},
      {"firewalld", nft(kFirewalld), "chain filter_FORWARD of table inet firewalld (firewalld)",
       "a rule of chain filter_FORWARD", "firewalld zone",
       "nft list chain inet firewalld filter_FORWARD"},
      {"ufw", restore("iptables-nft-restore", kUfw),
       "chain FORWARD of table ip filter (iptables-nft, ufw)", "a rule of chain ufw-reject-forward",
       "DEFAULT_FORWARD_POLICY", "iptables-nft -S FORWARD"},
  };
}

bool is_legacy(const Case& c) { return c.setup.find("legacy") != std::string::npos; }

TEST_F(Foreign, what_drops_is_named_and_worked_around_and_left_as_it_was) {
  for (const Case& c : cases()) {
    if (is_legacy(c) && !has_legacy()) continue;
    fresh();
    SCOPED_TRACE(c.name);
    run(c.setup);
    const std::string before = all_filters();
    watch(false);
    ASSERT_TRUE(until([&] { return !watch_->drops().empty() && !dropped().empty(); }));
    const auto it =
        std::ranges::find_if(watch_->drops(), [](const Drop& d) { return !d.drops.empty(); });
    EXPECT_EQ(describe(*it), c.chain);
    EXPECT_THAT(sentence(*it), HasSubstr(" drops " + kBothWays + " (" + c.by + "): "));
    EXPECT_THAT(it->remedy, HasSubstr(c.remedy));
    EXPECT_EQ(metric("margay_foreign_drops"), 1);
    EXPECT_EQ(all_filters(), before) << "only looked at";

    set(true);
    ASSERT_TRUE(until([&] { return dropped().empty(); })) << all_filters();
    const std::string place = run(c.place);
    EXPECT_THAT(place, HasSubstr("margay: ForeignDropAction is Accept"));
    EXPECT_THAT(place, ::testing::AnyOf(HasSubstr("-i cali+ "), HasSubstr("iifname \"cali*\"")));
    EXPECT_THAT(place, ::testing::AnyOf(HasSubstr("-o cali+ "), HasSubstr("oifname \"cali*\"")));
    const std::string with = all_filters();

    // Another agent, as after a restart, finds what stands.
    watch(true);
    ASSERT_TRUE(until([&] { return spared(); }));
    EXPECT_EQ(all_filters(), with);

    set(false);
    ASSERT_TRUE(until([&] { return !dropped().empty(); }));
    EXPECT_EQ(all_filters(), before);
  }
}

TEST_F(Foreign, the_remedies_help) {
  for (const Case& c : cases()) {
    if (is_legacy(c) && !has_legacy()) continue;
    fresh();
    SCOPED_TRACE(c.name);
    if (c.remedy.find(" -I ") == std::string::npos &&
        c.remedy.find("insert") == std::string::npos) {
      continue;  // nothing to type
    }
    run(c.setup);
    watch(false);
    ASSERT_TRUE(until([&] { return !dropped().empty(); }));
    const std::string remedy = watch_->drops().front().remedy;
    run(remedy.substr(0, remedy.find("; or set")));
    EXPECT_TRUE(until([&] { return dropped().empty(); })) << remedy << all_filters();
  }
}

TEST_F(Foreign, what_lets_ours_through_is_no_matter) {
  run("nft add table inet kube-proxy; nft 'add chain inet kube-proxy filter-forward { type filter "
      "hook "
      "forward priority -110; policy accept; }'; nft add rule inet kube-proxy filter-forward ct "
      "state "
      "invalid drop");
  run("nft add table ip n; nft 'add chain ip n post { type nat hook postrouting priority 100; "
      "policy "
      "drop; }'");
  run("iptables-nft -P FORWARD DROP; iptables-nft -A FORWARD -j MINE 2>/dev/null || true");
  run("iptables-nft -N MINE; iptables-nft -A FORWARD -j MINE; iptables-nft -A MINE -i cali+ -j "
      "ACCEPT; "
      "iptables-nft -A MINE -o ca+ -m comment --comment 'by hand' -j ACCEPT");
  run("nft add table inet margay; nft 'add chain inet margay c { type filter hook forward priority "
      "0; "
      "policy drop; }'");
  watch(true);
  ASSERT_TRUE(until([&] { return watch_->drops().size() == 1; }));
  EXPECT_THAT(dropped(), IsEmpty());
  EXPECT_THAT(watch_->drops()[0].spared, IsEmpty()) << "not by us";
  EXPECT_THAT(all_filters(), Not(HasSubstr("ForeignDropAction")));
}

TEST_F(Foreign, one_way_is_not_enough_and_a_condition_is_none) {
  run("iptables-nft -P FORWARD DROP; iptables-nft -A FORWARD -i cali+ -j ACCEPT; iptables-nft -A "
      "FORWARD "
      "-o cali+ -p tcp -j ACCEPT; iptables-nft -A FORWARD -o cali+ -s 10.0.0.0/8 -j ACCEPT; "
      "iptables-nft -A FORWARD -o calico -j ACCEPT");
  watch(false);
  ASSERT_TRUE(until([&] { return !dropped().empty(); }));
  EXPECT_EQ(dropped(), std::vector<std::string>{"filter/FORWARD: packets to workloads"});
}

TEST_F(Foreign, only_families_in_use_count) {
  if (!has_legacy()) GTEST_SKIP() << kNoLegacy;
  subject_.v6 = false;
  run("ip6tables-nft -P FORWARD DROP; ip6tables-legacy -P FORWARD DROP");
  watch(false);
  ASSERT_TRUE(until([&] { return watch_->drops().size() == 2; }));
  EXPECT_THAT(dropped(), IsEmpty());
  subject_.v6 = true;
  set(false);
  ASSERT_TRUE(until([&] { return dropped().size() == 4; }));
}

TEST_F(Foreign, input_and_output_concern_tunnels_and_what_workloads_may_do) {
  if (!has_legacy()) GTEST_SKIP() << kNoLegacy;
  run("nft add table inet fw; for h in input output; do nft \"add chain inet fw $h { type filter "
      "hook $h "
      "priority 0; policy drop; }\"; done");
  run("iptables-legacy -P INPUT DROP");
  watch(false);
  ASSERT_TRUE(until([&] { return watch_->drops().size() == 3; }));
  EXPECT_EQ(dropped(), std::vector<std::string>{"fw/output: packets of this host to workloads"});
  subject_.vxlan_v4_port = 4789;
  subject_.workloads_to_host = true;
  set(false);
  const std::vector<std::string> all{
      "fw/input: packets of workloads to this host",     "fw/input: VXLAN",
      "fw/output: packets of this host to workloads",    "fw/output: VXLAN",
      "filter/INPUT: packets of workloads to this host", "filter/INPUT: VXLAN"};
  ASSERT_TRUE(until([&] { return dropped().size() == all.size(); }));
  EXPECT_EQ(dropped(), all);
  const std::string before = all_filters();
  set(true);
  ASSERT_TRUE(until([&] { return dropped().empty(); })) << all_filters();
  EXPECT_THAT(run("nft list chain inet fw input"), HasSubstr("udp dport 4789"));
  EXPECT_THAT(run("iptables-legacy -S INPUT"), HasSubstr("-p udp -m udp --dport 4789"));
  set(false);
  ASSERT_TRUE(until([&] { return dropped().size() == all.size(); }));
  EXPECT_EQ(all_filters(), before);
}

TEST_F(Foreign, hooks_where_no_accept_can_help_are_only_named) {
  run("nft add table ip fw; nft 'add chain ip fw pre { type filter hook prerouting priority 0; "
      "policy "
      "drop; }'");
  watch(true);
  ASSERT_TRUE(until([&] { return !dropped().empty(); }));
  EXPECT_THAT(watch_->drops()[0].remedy, Not(HasSubstr("ForeignDropAction")));
  EXPECT_THAT(run("nft list ruleset"), Not(HasSubstr("accept")));
}

TEST_F(Foreign, a_legacy_table_keeps_its_counters_and_its_jumps) {
  if (!has_legacy()) GTEST_SKIP() << kNoLegacy;
  run("iptables-legacy-restore -c <<'E'\n*filter\n:INPUT ACCEPT [3:30]\n:FORWARD DROP "
      "[5:50]\n:OUTPUT "
      "ACCEPT [7:70]\n:A - [0:0]\n:B - [0:0]\n[11:110] -A INPUT -s 1.1.1.1/32 -j A\n[13:130] -A "
      "FORWARD "
      "-s 2.2.2.2/32 -g B\n[17:170] -A FORWARD -s 3.3.3.3/32\n[19:190] -A A -m limit --limit 3/sec "
      "-j "
      "B\n[23:230] -A B -p tcp -m tcp --dport 80 -j REJECT --reject-with "
      "icmp-port-unreachable\nCOMMIT\nE");
  const auto rules = [] { return run("iptables-legacy-save -c | grep -v '^#'"); };
  const std::string before = rules();
  ASSERT_THAT(before, HasSubstr("[19:190] -A A -m limit"));
  watch(true);
  ASSERT_TRUE(until([&] { return spared(); }));
  std::string with = rules();
  EXPECT_NE(with, before);
  with = run("iptables-legacy-save -c | grep -v -e '^#' -e margay");
  EXPECT_EQ(with, before) << "beside our rules nothing is other than before";
  set(false);
  ASSERT_TRUE(until([&] { return !dropped().empty(); }));
  EXPECT_EQ(rules(), before);
}

}  // namespace
}  // namespace margay::foreign::test
