// SPDX-License-Identifier: Apache-2.0
// Filters that appear, change and go while we watch; accepts of ours that others take away.
#include <gmock/gmock.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <sys/file.h>

#include "tests/netns/foreign/fixture.h"

namespace margay::foreign::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using ForeignWatch = Foreign;

TEST_F(ForeignWatch, sees_chains_appear_change_and_go) {
  if (!has_legacy()) GTEST_SKIP() << kNoLegacy;
  watch(std::nullopt);
  ASSERT_TRUE(until([&] { return metric("margay_foreign_looks_total") >= 1; }));
  EXPECT_THAT(watch_->drops(), IsEmpty());
  struct Step {
    const char* command;
    std::size_t dropped;
  };
  for (const Step& s :
       {Step{"iptables-nft -P FORWARD DROP", 2},
        Step{"iptables-nft -A FORWARD -i cali+ -j ACCEPT", 1},
        Step{"iptables-nft -N X; iptables-nft -A FORWARD -j X", 1},
        Step{"iptables-nft -A X -o cali+ -j ACCEPT", 0}, Step{"iptables-nft -F X", 1},
        Step{"iptables-nft -P FORWARD ACCEPT", 0}, Step{"iptables-nft -A FORWARD -j REJECT", 1},
        Step{"nft delete table ip filter", 0}, Step{"iptables-legacy -P FORWARD DROP", 2},
        Step{"iptables-legacy -P FORWARD ACCEPT", 0}}) {
    run(s.command);
    EXPECT_TRUE(until([&] { return dropped().size() == s.dropped; })) << s.command;
  }
}

TEST_F(ForeignWatch, accepts_that_somebody_takes_away_come_back_once) {
  if (!has_legacy()) GTEST_SKIP() << kNoLegacy;
  for (const std::string tool : {"iptables-nft", "iptables-legacy"}) {
    SCOPED_TRACE(tool);
    fresh();
    run(tool + " -P FORWARD DROP; " + tool + " -A FORWARD -s 192.0.2.1 -j ACCEPT");
    watch(true);
    ASSERT_TRUE(until([&] { return spared(); }));
    const std::string with = all_filters();
    const auto back = [&] { return until([&] { return all_filters() == with; }); };
    run(tool + " -D FORWARD 1");
    EXPECT_TRUE(back()) << all_filters();
    run(tool + " -F FORWARD; " + tool + " -A FORWARD -s 192.0.2.1 -j ACCEPT");
    EXPECT_TRUE(back()) << all_filters();
    // Saved and restored by its own tool: still ours, and still once.
    run(tool + "-save > /tmp/margay-saved-$PPID; " + tool +
        "-restore < /tmp/margay-saved-$PPID; "
        "rm /tmp/margay-saved-$PPID");
    const double looks = metric("margay_foreign_looks_total");
    ASSERT_TRUE(until([&] { return metric("margay_foreign_looks_total") > looks; }));
    EXPECT_TRUE(until([&] {
      const std::string now = run(tool + " -S FORWARD | grep -c margay:");
      return dropped().empty() && now == "2\n";
    })) << all_filters();
    set(false);
    EXPECT_TRUE(until([&] { return all_filters().find("margay:") == std::string::npos; }));
  }
}

TEST_F(ForeignWatch, accepts_move_to_the_managers_place_when_it_appears) {
  run("iptables-nft -P FORWARD DROP");
  watch(true);
  ASSERT_TRUE(until([&] { return spared(); }));
  run("iptables-nft -N DOCKER-USER; iptables-nft -A DOCKER-USER -j RETURN; iptables-nft -I FORWARD "
      "-j "
      "DOCKER-USER");
  EXPECT_TRUE(until([&] {
    return run("iptables-nft -S FORWARD").find("margay:") == std::string::npos &&
           run("iptables-nft -S DOCKER-USER").find("margay:") != std::string::npos;
  })) << all_filters();
  EXPECT_TRUE(until([&] { return dropped().empty(); }));
}

TEST_F(ForeignWatch, accepts_follow_the_prefixes_and_end_with_the_drop) {
  run("iptables-nft -P FORWARD DROP");
  watch(true);
  ASSERT_TRUE(until([&] { return spared(); }));
  subject_.prefixes = {"tap", "veth"};
  set(true);
  EXPECT_TRUE(
      until([&] { return run("iptables-nft -S FORWARD | grep -c margay: || true") == "4\n"; }));
  EXPECT_THAT(run("iptables-nft -S FORWARD"), Not(HasSubstr("cali")));
  run("iptables-nft -P FORWARD ACCEPT");
  EXPECT_TRUE(until([&] { return run("iptables-nft -S FORWARD") == "-P FORWARD ACCEPT\n"; }));
}

TEST_F(ForeignWatch, nothing_is_touched_before_it_is_known_what_is_wanted) {
  run("iptables-nft -P FORWARD DROP; iptables-nft -A FORWARD -i old+ -m comment --comment 'margay: "
      "ForeignDropAction is Accept' -j ACCEPT");
  const std::string before = all_filters();
  watch(std::nullopt);
  ASSERT_TRUE(until([&] { return dropped().size() == 2; }));
  EXPECT_EQ(all_filters(), before);
  set(false);
  EXPECT_TRUE(until([&] { return run("iptables-nft -S FORWARD") == "-P FORWARD DROP\n"; }));
}

TEST_F(ForeignWatch, a_table_that_its_owner_guards_is_said_to_be_so) {
  FILE* owner = ::popen("nft -i > /dev/null 2>&1", "we");
  ASSERT_NE(owner, nullptr);
  ::fputs(
      "add table inet owned { flags owner; }\nadd chain inet owned f { type filter hook forward "
      "priority 0; policy drop; }\n",
      owner);
  ::fflush(owner);
  watch(true);
  EXPECT_TRUE(until([&] { return !watch_->drops().empty() && !watch_->drops()[0].error.empty(); }));
  if (!watch_->drops().empty()) {
    EXPECT_THAT(watch_->drops()[0].error, HasSubstr("table inet owned: its owner"));
    EXPECT_EQ(dropped().size(), 2U);
  }
  ::pclose(owner);
}

TEST_F(ForeignWatch, a_held_lock_is_waited_for) {
  if (!has_legacy()) GTEST_SKIP() << kNoLegacy;
  run("iptables-legacy -P FORWARD DROP");
  const int lock = ::open("/run/xtables.lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  watch(true);
  EXPECT_TRUE(until([&] { return !watch_->drops().empty() && !watch_->drops()[0].error.empty(); }));
  ::close(lock);
  EXPECT_TRUE(until([&] { return dropped().empty(); }));
  EXPECT_THAT(watch_->drops()[0].error, IsEmpty());
}

TEST_F(ForeignWatch, only_what_may_matter_leads_to_a_look) {
  run("iptables-nft -P FORWARD DROP");
  watch(false);
  ASSERT_TRUE(until([&] { return !dropped().empty(); }));
  struct Row {
    const char* name;
    nft::Notice notice;
    bool matters;
  };
  const std::vector<Row> rows{
      {"an element", {NFT_MSG_NEWSETELEM, NFPROTO_IPV4, "kube", "s", false, {}}, false},
      {"a set", {NFT_MSG_NEWSET, NFPROTO_IPV4, "filter", "FORWARD", false, {}}, false},
      {"a rule elsewhere", {NFT_MSG_NEWRULE, NFPROTO_IPV4, "kube", "svc", false, {}}, false},
      {"another family", {NFT_MSG_NEWRULE, NFPROTO_IPV6, "filter", "FORWARD", false, {}}, false},
      {"a chain without hook", {NFT_MSG_NEWCHAIN, NFPROTO_IPV4, "kube", "svc", false, {}}, false},
      {"a base chain", {NFT_MSG_NEWCHAIN, NFPROTO_INET, "fw", "f", true, {}}, true},
      {"a rule there", {NFT_MSG_NEWRULE, NFPROTO_IPV4, "filter", "FORWARD", false, {}}, true},
      {"a rule's end", {NFT_MSG_DELRULE, NFPROTO_IPV4, "filter", "FORWARD", false, {}}, true},
      {"a chain's end", {NFT_MSG_DELCHAIN, NFPROTO_IPV4, "filter", "FORWARD", false, {}}, true},
      {"a manager", {NFT_MSG_NEWCHAIN, NFPROTO_IPV4, "filter", "DOCKER-USER", false, {}}, true},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const double before = metric("margay_foreign_looks_total");
    watch_->noticed(&row.notice);
    subject_.prefixes = {subject_.prefixes[0] + "x"};  // seen, with what else is due
    set(false);
    ASSERT_TRUE(until([&] {
      return watch_->drops()[0].remedy.find(" " + subject_.prefixes[0] + "+") != std::string::npos;
    }));
    EXPECT_EQ(metric("margay_foreign_looks_total") - before, row.matters ? 1 : 0);
  }
}

TEST_F(ForeignWatch, churn_of_what_cannot_matter_leads_to_no_look) {
  run("nft add table ip kube; nft add set ip kube s '{ type ipv4_addr; }'; nft add chain ip kube "
      "svc");
  watch(true);
  ASSERT_TRUE(until([&] { return metric("margay_foreign_looks_total") >= 1; }));
  const double looks = metric("margay_foreign_looks_total");
  std::string churn;
  for (int i = 0; i < 500; ++i) {
    const std::string n = std::to_string(i);
    churn += "add element ip kube s { 10.0.0." + std::to_string(i % 250) +
             " }\nadd chain ip kube c" + n + "\nadd rule ip kube c" + n +
             " ip saddr 10.0.0.1 drop\nadd rule ip kube svc jump c" + n + "\n";
  }
  run("nft -f " + file_of(churn));
  // Seen behind all of it.
  run("iptables-nft -P FORWARD DROP");
  ASSERT_TRUE(until([&] { return dropped().empty() && !watch_->drops().empty(); }));
  EXPECT_LE(metric("margay_foreign_looks_total") - looks, 3);
}

}  // namespace
}  // namespace margay::foreign::test
