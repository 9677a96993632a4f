// SPDX-License-Identifier: Apache-2.0
// Somebody else changes our table: exactly that is put right, and nothing else is sent.
#include <gmock/gmock.h>
#include <linux/netlink.h>

#include "dataplane/nft/monitor.h"
#include "fixture.h"

namespace margay::nft::test {
namespace {

using ::testing::HasSubstr;

class NftRepair : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    want_sample();
    apply();
    const std::uint32_t ports[] = {socket_->port()};
    auto m = Monitor::open(ports);
    ASSERT_TRUE(m.ok());
    monitor_ = std::move(m).value();
    before_ = listing();
  }

  // Does it, and gives the repair. The table must be afterwards what it was.
  Progress disturb(const std::string& command) {
    nft(command);
    Table* tables[] = {table_.get()};
    findings_ = monitor_->read(tables);
    EXPECT_TRUE(findings_.touched);
    EXPECT_EQ(findings_.program, "nft");
    EXPECT_TRUE(table_->pending());
    const Progress p = apply();
    EXPECT_EQ(listing(), before_);
    EXPECT_FALSE(table_->pending());
    // What we did ourselves is not seen.
    EXPECT_FALSE(monitor_->read(tables).touched);
    return p;
  }

  static std::string handle_of(const std::string& rule_text) {
    const std::string text = nft("-a list table inet t");
    const auto at = text.find(rule_text);
    const auto mark = text.find("# handle ", at);
    return text.substr(mark + 9, text.find('\n', mark) - mark - 9);
  }

  std::unique_ptr<Monitor> monitor_;
  Monitor::Findings findings_;
  std::string before_;
};

TEST_F(NftRepair, flushed_ruleset) {
  const Progress p = disturb("flush ruleset");
  EXPECT_EQ(p.chains_added, 3U);
  EXPECT_EQ(p.transactions, 1U);
  EXPECT_GT(p.repairs, 0U);
}

TEST_F(NftRepair, deleted_rule) {
  const Progress p = disturb("delete rule inet t web handle " + handle_of("ip saddr @nets"));
  EXPECT_EQ(p.messages, 1U);
  EXPECT_EQ(p.rules_added, 1U);
  EXPECT_EQ(p.repairs, 1U);
}

TEST_F(NftRepair, replaced_rule_under_our_comment) {
  const Progress p = disturb("replace rule inet t web handle " + handle_of("ip saddr @peers") +
                             " ip saddr @peers counter drop comment \\\"from peers\\\"");
  EXPECT_EQ(p.messages, 2U);
  EXPECT_EQ(p.repairs, 1U);
}

TEST_F(NftRepair, foreign_rule_in_our_chain) {
  const Progress p = disturb("insert rule inet t endpoint accept");
  EXPECT_EQ(p.messages, 1U);
  EXPECT_EQ(p.rules_removed, 1U);
}

TEST_F(NftRepair, swapped_rules) {
  const std::string handle = handle_of("ip saddr @nets");
  const Progress p = disturb("\"delete rule inet t web handle " + handle +
                             "; add rule inet t web ip saddr @nets accept\"");
  EXPECT_EQ(p.messages, 2U);
}

TEST_F(NftRepair, deleted_element_by_asking_for_that_one) {
  const Progress p = disturb("delete element inet t peers '{ 10.0.0.1 }'");
  EXPECT_EQ(p.messages, 1U);
  EXPECT_EQ(p.elements_added, 1U);
  EXPECT_EQ(p.repairs, 1U);
}

TEST_F(NftRepair, foreign_element) {
  const Progress p = disturb("add element inet t peers '{ 10.0.0.99, 10.0.0.98 }'");
  EXPECT_EQ(p.elements_removed, 2U);
}

TEST_F(NftRepair, foreign_and_deleted_interval) {
  EXPECT_EQ(disturb("add element inet t nets '{ 10.7.0.0/16 }'").elements_removed, 1U);
  EXPECT_EQ(disturb("delete element inet t nets '{ 255.255.0.0/16 }'").elements_added, 1U);
  EXPECT_EQ(disturb("delete element inet t net_ports '{ 10.0.0.0/24 . 80-90 }'").elements_added,
            1U);
}

TEST_F(NftRepair, changed_verdict_of_a_map) {
  const Progress p = disturb(
      "\"delete element inet t dispatch { cali1 }; add element inet t dispatch { cali1 : accept "
      "}\"");
  EXPECT_EQ(p.elements_added, 1U);
  EXPECT_EQ(p.elements_removed, 1U);
}

TEST_F(NftRepair, flushed_set_and_chain) {
  EXPECT_EQ(disturb("flush set inet t peers").elements_added, 2U);
  EXPECT_EQ(disturb("flush chain inet t web").rules_added, 3U);
}

TEST_F(NftRepair, foreign_chain_and_set) {
  EXPECT_EQ(disturb("add chain inet t intruder").chains_removed, 1U);
  EXPECT_EQ(disturb("add set inet t odd '{ type ipv4_addr; }'").sets_removed, 1U);
}

TEST_F(NftRepair, changed_policy) {
  const Progress p =
      disturb("add chain inet t forward '{ type filter hook forward priority 1; policy drop; }'");
  EXPECT_EQ(p.messages, 1U);
}

TEST_F(NftRepair, deleted_chain) {
  const Progress p = disturb("\"delete rule inet t forward handle " + handle_of("oifname vmap") +
                             "; delete chain inet t forward\"");
  EXPECT_EQ(p.chains_added, 1U);
  EXPECT_EQ(p.rules_added, 1U);
}

TEST_F(NftRepair, other_tables_are_none_of_our_business) {
  nft("add table ip t");  // same name, another family
  nft("add table inet other");
  Table* tables[] = {table_.get()};
  std::vector<std::string> elsewhere;
  const auto f = monitor_->read(tables, [&](const Notice& n) { elsewhere.emplace_back(n.table); });
  EXPECT_FALSE(f.touched);
  EXPECT_EQ(elsewhere, (std::vector<std::string>{"t", "other"}));
  EXPECT_FALSE(table_->pending());
}

TEST_F(NftRepair, what_went_while_we_were_down_comes_back_and_nothing_else) {
  nft("delete element inet t peers '{ 10.0.0.2 }'");
  nft("delete rule inet t web handle " + handle_of("ip saddr @nets"));
  restart();
  want_sample();
  const Progress p = apply();
  EXPECT_EQ(p.messages, 2U);
  EXPECT_EQ(p.elements_added, 1U);
  EXPECT_EQ(p.rules_added, 1U);
  EXPECT_EQ(listing(), before_);
}

TEST_F(NftRepair, a_change_that_was_not_noticed_is_found_out_by_the_refusal) {
  // The rule that we mean to delete is gone already.
  nft("delete rule inet t web handle " + handle_of("ip saddr @nets"));
  table_->want_chain({"web", std::nullopt, {rule({drop()})}});
  const Progress p = apply();
  EXPECT_TRUE(p.refused.empty());
  EXPECT_THAT(listing(), HasSubstr("chain web {\n\t\tdrop\n"));
  nft("delete table inet t");
  table_->want_chain({"web", std::nullopt, {rule({accept()})}});
  EXPECT_TRUE(apply().refused.empty());
  EXPECT_THAT(listing(), HasSubstr("chain web {\n\t\taccept\n"));
  EXPECT_THAT(listing(), HasSubstr("goto endpoint"));
}

TEST_F(NftRepair, lost_notifications_put_everything_in_doubt) {
  const std::uint32_t ports[] = {socket_->port()};
  auto small = Monitor::open(ports, 1);
  ASSERT_TRUE(small.ok());
  nft("flush chain inet t web");
  for (int i = 0; i < 30; ++i) nft("add chain inet t odd" + std::to_string(i));
  Table* tables[] = {table_.get()};
  const auto f = small.value()->read(tables);
  EXPECT_TRUE(f.overrun);
  apply();
  EXPECT_EQ(listing(), before_);
  (void)small.value()->read(tables);  // and it goes on
  nft("flush chain inet t web");
  EXPECT_TRUE(small.value()->read(tables).touched);
  apply();
  EXPECT_EQ(listing(), before_);
}

TEST_F(NftRepair, lost_answers_are_made_up_for_by_reading) {
  auto s = netlink::Socket::open(NETLINK_NETFILTER, {.receive_buffer = 1});
  ASSERT_TRUE(s.ok());
  Table table(s.value(), "v");
  Chain c{"c", std::nullopt, {}};
  for (std::uint16_t i = 0; i < 500; ++i) {
    c.rules.push_back(rule({l4proto(6), port(Direction::source, i), drop()}));
  }
  table.want_chain(c);
  const auto p = table.apply();
  ASSERT_TRUE(p.ok()) << p.error().message();
  EXPECT_FALSE(table.pending());
  c.rules.erase(c.rules.begin() + 250);  // by its handle
  table.want_chain(c);
  const auto less = table.apply();
  ASSERT_TRUE(less.ok());
  EXPECT_EQ(less.value().rules_removed, 1U);
  EXPECT_EQ(less.value().rules_added, 0U);
}

}  // namespace
}  // namespace margay::nft::test
