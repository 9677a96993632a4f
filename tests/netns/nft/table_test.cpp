// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "fixture.h"

namespace margay::nft::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class NftTable : public KernelTest {};

TEST_F(NftTable, programs_every_kind_of_object) {
  want_sample();
  const Progress p = apply();
  EXPECT_THAT(p.refused, IsEmpty());
  EXPECT_THAT(p.waiting, IsEmpty());
  EXPECT_EQ(p.chains_added, 3U);
  EXPECT_EQ(p.sets_added, 5U);
  const std::string text = listing();
  EXPECT_THAT(text, HasSubstr("elements = { 10.0.0.1, 10.0.0.2 }"));
  EXPECT_THAT(text, HasSubstr("elements = { 10.1.0.0/16, 255.255.0.0/16 }"));
  EXPECT_THAT(text, HasSubstr("10.0.0.7 . 6 . 80"));
  EXPECT_THAT(text, HasSubstr("elements = { 10.0.0.0/24 . 80-90 }"));
  EXPECT_THAT(text, HasSubstr("\"cali1\" : goto endpoint"));
  EXPECT_THAT(text, HasSubstr("ip saddr @peers counter accept comment \"from peers\""));
  EXPECT_THAT(text, HasSubstr("type filter hook forward priority 1; policy accept;"));
  EXPECT_THAT(text, HasSubstr("oifname vmap @dispatch"));
}

TEST_F(NftTable, sets_that_change_are_made_before_intervals) {
  ASSERT_TRUE(table_->want_set({"a", {{Datatype::inet_service}, true, std::nullopt}}).ok());
  ASSERT_TRUE(table_->want_set({"z", {{Datatype::inet_service}, false, std::nullopt}}).ok());
  apply(Scope::atomic);
  const std::string text = nft("list table inet t");  // in the order of their making
  EXPECT_LT(text.find("set z"), text.find("set a"));
}

TEST_F(NftTable, nothing_new_sends_nothing) {
  want_sample();
  apply();
  events();
  want_sample();
  EXPECT_FALSE(table_->pending());
  EXPECT_FALSE(apply().changed());
  EXPECT_EQ(events(), 0U);
}

TEST_F(NftTable, a_restart_of_an_up_to_date_table_sends_nothing) {
  want_sample();
  apply();
  events();
  restart();
  want_sample();
  const Progress p = apply();
  EXPECT_EQ(p.messages, 0U) << listing();
  EXPECT_EQ(events(), 0U);
}

TEST_F(NftTable, a_changed_rule_leaves_its_neighbours_alone) {
  want_sample();
  apply();
  events();
  table_->want_chain(
      {"web",
       std::nullopt,
       {rule({address_in(Direction::source, Family::v4, "peers"), counter(), accept()},
             "from peers"),
        rule({l4proto(6), accept()}), rule({l4proto(17), accept()}), rule({drop()})}});
  const Progress p = apply();
  EXPECT_EQ(p.rules_added, 2U);
  EXPECT_EQ(p.rules_removed, 1U);
  EXPECT_EQ(p.messages, 3U);
  EXPECT_EQ(events(), 3U);
  EXPECT_THAT(listing(), HasSubstr("from peers\"\n\t\tmeta l4proto 6 accept\n\t\tmeta l4proto 17 "
                                   "accept\n\t\tdrop"));
}

TEST_F(NftTable, what_is_forgotten_goes_with_what_it_used) {
  want_sample();
  apply();
  table_->remove_element("dispatch", Element::of(Packed::interface_name("cali1")));
  table_->forget_chain("endpoint");
  table_->forget_chain("web");
  table_->forget_set("peers");
  table_->forget_set("nets");
  const Progress p = apply();
  EXPECT_EQ(p.chains_removed, 2U);
  EXPECT_EQ(p.sets_removed, 2U);
  EXPECT_EQ(p.transactions, 1U);
  EXPECT_THAT(p.refused, IsEmpty());
  EXPECT_THAT(listing(), Not(HasSubstr("web {")));
  EXPECT_FALSE(table_->pending());
}

TEST_F(NftTable, what_is_still_used_stays_until_it_is_not) {
  want_sample();
  apply();
  table_->forget_chain("web");  // endpoint still jumps to it
  EXPECT_FALSE(apply().changed());
  EXPECT_THAT(listing(), HasSubstr("jump web"));
  table_->want_chain({"endpoint", std::nullopt, {rule({accept()})}});
  EXPECT_EQ(apply().chains_removed, 1U);
}

TEST_F(NftTable, a_base_chain_changes_policy_in_place_and_priority_by_a_new_one) {
  want_sample();
  apply();
  const Chain forward{"forward",
                      BaseChain{ChainType::filter, Hook::forward, 1, true},
                      {rule({oifname_vmap("dispatch")})}};
  table_->want_chain(forward);
  EXPECT_EQ(apply().messages, 1U);
  EXPECT_THAT(listing(), HasSubstr("hook forward priority 1; policy drop;"));
  Chain moved = forward;
  moved.base->priority = 2;
  table_->want_chain(moved);
  const Progress p = apply();
  EXPECT_EQ(p.transactions, 1U);
  EXPECT_THAT(p.refused, IsEmpty());
  EXPECT_THAT(listing(), HasSubstr("hook forward priority 2; policy drop;\n\t\toifname vmap"));
}

TEST_F(NftTable, a_set_of_another_type_is_made_anew_together_with_its_rules) {
  want_sample();
  apply();
  ASSERT_TRUE(table_->want_set({"peers", {{Datatype::ipv4_addr}, true, std::nullopt}}).ok());
  table_->add_element("peers", Element::prefix(Prefix::parse("10.9.0.0/16").value()));
  const Progress p = apply();
  EXPECT_EQ(p.transactions, 1U);
  EXPECT_THAT(p.refused, IsEmpty());
  EXPECT_THAT(listing(), HasSubstr("elements = { 10.9.0.0/16 }"));
  EXPECT_THAT(listing(), HasSubstr("ip saddr @peers counter accept"));
  restart();
  want_sample();
  ASSERT_TRUE(table_->want_set({"peers", {{Datatype::ipv4_addr}, true, std::nullopt}}).ok());
  table_->add_element("peers", Element::prefix(Prefix::parse("10.9.0.0/16").value()));
  EXPECT_FALSE(apply().changed());
}

TEST_F(NftTable, members_go_in_their_own_transaction_unless_atomic) {
  want_sample();
  apply();
  table_->add_element("peers", Element::of(v4(kNet + 3)));
  table_->want_chain({"endpoint", std::nullopt, {rule({drop()})}});
  EXPECT_EQ(apply().transactions, 2U);
  table_->add_element("peers", Element::of(v4(kNet + 4)));
  table_->remove_element("peers", Element::of(v4(kNet + 3)));
  table_->want_chain({"endpoint", std::nullopt, {rule({jump("web")})}});
  EXPECT_EQ(apply(Scope::atomic).transactions, 1U);
  EXPECT_THAT(listing(), HasSubstr("10.0.0.2,\n\t\t\t     10.0.0.4 }"));
}

TEST_F(NftTable, a_verdict_of_a_map_changes_in_one_transaction) {
  want_sample();
  apply();
  table_->want_chain({"other", std::nullopt, {rule({drop()})}});
  table_->add_element("dispatch", Element::verdict_for(Packed::interface_name("cali1"),
                                                       {Verdict::Code::jump, "other"}));
  table_->forget_chain("endpoint");
  const Progress p = apply();
  EXPECT_EQ(p.transactions, 1U);
  EXPECT_THAT(listing(), HasSubstr("\"cali1\" : jump other"));
  EXPECT_THAT(listing(), Not(HasSubstr("chain endpoint")));
}

// Packets on their way would find the chain empty and go on behind the goto.
TEST_F(NftTable, a_goto_of_a_standing_map_leads_to_a_chain_that_stands) {
  want_sample();
  apply();
  const auto lead_to = [&](const std::string& chain, Verdict::Code code) {
    ASSERT_TRUE(table_->want_set({chain + "-set", {{Datatype::ipv4_addr}, false, {}}}).ok());
    table_->add_element(chain + "-set", Element::of(v4(kNet)));
    table_->want_chain(
        {chain,
         std::nullopt,
         {rule({address_in(Direction::source, Family::v4, chain + "-set"), drop()})}});
    table_->add_element("dispatch",
                        Element::verdict_for(Packed::interface_name("calia"), {code, chain}));
  };
  lead_to("first", Verdict::Code::goto_);
  Progress p = apply(Scope::atomic);
  EXPECT_EQ(p.transactions, 2U) << "the chain, then what leads to it";
  EXPECT_EQ(p.chains_added, 1U);
  EXPECT_NE(nft("list map inet t dispatch").find("goto first"), std::string::npos);

  // A jump comes back to the rules behind the lookup: no need to wait.
  lead_to("second", Verdict::Code::jump);
  p = apply(Scope::atomic);
  EXPECT_EQ(p.transactions, 1U);
  EXPECT_FALSE(table_->pending());
}

TEST_F(NftTable, intervals_change_their_bounds_within_one_transaction) {
  want_sample();
  apply();
  ElementTable other(*table_->set_type("nets"));
  other.append(Element::prefix(Prefix::parse("10.1.0.0/17").value()));
  other.append(Element::prefix(Prefix::parse("10.1.128.0/17").value()));  // they touch
  other.append(Element::prefix(Prefix::parse("10.0.0.0/16").value()));
  table_->replace_elements("nets", std::move(other));
  const Progress p = apply();
  EXPECT_EQ(p.transactions, 1U);
  EXPECT_THAT(p.refused, IsEmpty());
  ElementTable wider(*table_->set_type("nets"));
  wider.append(Element::prefix(Prefix::parse("0.0.0.0/0").value()));
  table_->replace_elements("nets", std::move(wider));
  EXPECT_EQ(apply().transactions, 1U);
  EXPECT_THAT(listing(), HasSubstr("elements = { 0.0.0.0/0 }"));
  restart();
  want_sample();
  ElementTable again(*table_->set_type("nets"));
  again.append(Element::prefix(Prefix::parse("0.0.0.0/0").value()));
  table_->replace_elements("nets", std::move(again));
  EXPECT_FALSE(apply().changed());
}

// --- refusals --------------------------------------------------------------------------------

// The kernel knows no such priority for nat, and no conntrack key of that number.
Rule bad_rule() { return rule({{CtLoad{CtKey{99}, Reg{0}}}, accept()}); }

TEST_F(NftTable, a_refused_rule_holds_up_only_what_jumps_to_it) {
  want_sample();
  table_->want_chain({"bad", std::nullopt, {rule({accept()}), bad_rule()}});
  table_->want_chain({"caller", std::nullopt, {rule({jump("bad")})}});
  table_->add_element("dispatch", Element::verdict_for(Packed::interface_name("cali2"),
                                                       {Verdict::Code::goto_, "caller"}));
  const Progress p = apply();
  ASSERT_EQ(p.refused.size(), 1U);
  EXPECT_EQ(p.refused[0].object, "chain bad rule 2");
  EXPECT_THAT(p.waiting,
              ::testing::UnorderedElementsAre("chain caller", "set dispatch element cali2"));
  EXPECT_THAT(listing(), HasSubstr("\"cali1\" : goto endpoint"));
  EXPECT_THAT(listing(), Not(HasSubstr("caller")));

  table_->want_chain({"bad", std::nullopt, {rule({accept()})}});  // mended
  const Progress mended = apply();
  EXPECT_THAT(mended.refused, IsEmpty());
  EXPECT_THAT(mended.waiting, IsEmpty());
  EXPECT_THAT(listing(), HasSubstr("\"cali2\" : goto caller"));
  EXPECT_FALSE(table_->pending());
}

TEST_F(NftTable, a_refused_change_leaves_the_old_version_in_force) {
  want_sample();
  apply();
  table_->want_chain({"web", std::nullopt, {bad_rule()}});
  table_->add_element("peers", Element::of(v4(kNet + 3)));
  const Progress p = apply(Scope::atomic);
  ASSERT_EQ(p.refused.size(), 1U);
  EXPECT_EQ(p.elements_added, 1U);
  EXPECT_THAT(listing(), HasSubstr("from peers"));
}

TEST_F(NftTable, a_refused_change_of_what_fails_closed_drops) {
  want_sample();
  const auto web = [this](bool bad) {
    std::vector<Rule> rules{rule({accept()})};
    if (bad) rules.push_back(bad_rule());
    table_->want_chain({"web", std::nullopt, std::move(rules), true});
  };
  web(false);
  apply();
  web(true);
  table_->add_element("peers", Element::of(v4(kNet + 3)));
  for (int again = 0; again < 2; ++again) {  // and the same when it is tried again
    const Progress p = apply(Scope::atomic);
    ASSERT_EQ(p.refused.size(), 1U);
    EXPECT_EQ(p.refused[0].object, "chain web rule 2");
    EXPECT_THAT(p.waiting, IsEmpty());
    EXPECT_THAT(listing(), HasSubstr("10.0.0.3"));
    EXPECT_THAT(listing(), HasSubstr("chain web {\n\t\tdrop comment \"stands in"));
    EXPECT_FALSE(table_->pending());
    web(true);
    EXPECT_FALSE(table_->pending()) << "it is refused already";
    table_->retry_refused();
  }
  web(false);
  EXPECT_THAT(apply().refused, IsEmpty());
  EXPECT_THAT(listing(), HasSubstr("chain web {\n\t\taccept\n"));
}

TEST_F(NftTable, what_looks_up_a_refused_element_fails_closed_until_it_is_gone) {
  want_sample();
  const auto web = [this] {
    table_->want_chain(
        {"web",
         std::nullopt,
         {rule({address_in(Direction::source, Family::v4, "nets"), drop()}), rule({accept()})},
         true});
  };
  web();
  apply();
  const Element overlapping = Element::range(v4(kNet + 0x1ff00), v4(kNet + 0x20008));
  table_->add_element("nets", Element::range(v4(kNet + 0x20000), v4(kNet + 0x20005)));
  table_->add_element("nets", overlapping);
  const Progress p = apply(Scope::atomic);
  ASSERT_EQ(p.refused.size(), 2U) << listing();
  EXPECT_EQ(p.refused[0].object, "chain web");
  EXPECT_THAT(p.refused[0].error.message(), HasSubstr("set nets"));
  EXPECT_THAT(p.refused[1].object, HasSubstr("set nets element 10."));
  EXPECT_THAT(listing(), HasSubstr("chain web {\n\t\tdrop comment"));
  table_->remove_element("nets", overlapping);
  table_->remove_element("nets", Element::range(v4(kNet + 0x20000), v4(kNet + 0x20005)));
  EXPECT_THAT(apply(Scope::atomic).refused, IsEmpty());
  EXPECT_THAT(listing(), HasSubstr("chain web {\n\t\tip saddr @nets drop\n\t\taccept"));
}

// EBUSY: a rule that nobody told of holds what is to go.
TEST_F(NftTable, what_somebody_elses_rule_holds_goes_with_that_rule) {
  want_sample();
  apply();
  nft("add chain inet t foreign");
  nft("add rule inet t foreign jump endpoint");
  nft("add set inet t held '{ type ipv4_addr; }'");
  nft("add rule inet t foreign ip saddr @peers drop");
  table_->remove_element("dispatch", Element::of(Packed::interface_name("cali1")));
  for (const char* chain : {"endpoint", "web"}) table_->forget_chain(chain);
  table_->forget_set("peers");
  const Progress p = apply(Scope::atomic);
  EXPECT_THAT(p.refused, IsEmpty()) << p.refused[0].object << p.refused[0].error.message();
  for (const char* gone : {"foreign", "endpoint {", "peers", "held"}) {
    EXPECT_THAT(listing(), Not(HasSubstr(gone)));
  }
  EXPECT_FALSE(table_->pending());
}

TEST_F(NftTable, many_refused_objects_take_few_rounds) {
  want_sample();
  for (int i = 0; i < 30; ++i) {
    table_->want_chain({"bad" + std::to_string(i), std::nullopt, {bad_rule()}});
  }
  const Progress p = apply();
  EXPECT_EQ(p.refused.size(), 30U);
  EXPECT_THAT(listing(), HasSubstr("goto endpoint"));
}

TEST_F(NftTable, a_refused_element_is_named_and_the_others_go_in) {
  // Ranges that overlap are the kernel's to refuse.
  want_sample();
  apply();
  table_->add_element("nets", Element::range(v4(kNet + 0x20000), v4(kNet + 0x20005)));
  table_->add_element("nets", Element::range(v4(kNet + 0x18000), v4(kNet + 0x20008)));
  table_->add_element("nets", Element::range(v4(kNet + 0x30000), v4(kNet + 0x30005)));
  const Progress p = apply();
  ASSERT_EQ(p.refused.size(), 1U) << listing();
  EXPECT_THAT(p.refused[0].object, HasSubstr("set nets element 10."));
  EXPECT_THAT(listing(), HasSubstr("10.3.0.0-10.3.0.5"));
}

TEST_F(NftTable, a_chain_that_jumps_to_nothing_wanted_waits_for_it) {
  table_->want_chain({"a", std::nullopt, {rule({jump("b")})}});
  EXPECT_THAT(apply().waiting, ::testing::ElementsAre("chain a"));
  table_->want_chain({"b", std::nullopt, {rule({accept()})}});
  EXPECT_THAT(apply().waiting, IsEmpty());
  EXPECT_THAT(listing(), HasSubstr("jump b"));
}

TEST_F(NftTable, destroy_removes_the_table_and_apply_brings_it_back) {
  want_sample();
  apply();
  ASSERT_TRUE(table_->destroy().ok());
  EXPECT_THAT(nft("list tables"), IsEmpty());
  apply();
  EXPECT_THAT(listing(), HasSubstr("goto endpoint"));
}

}  // namespace
}  // namespace margay::nft::test
