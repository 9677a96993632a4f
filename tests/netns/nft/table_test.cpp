// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "fixture.h"

namespace margay::nft::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::uint32_t kNet = 0x0a000000;

class NftTable : public KernelTest {
 protected:
  // A small firewall of every kind of object.
  void want_sample() {
    ASSERT_TRUE(table_->want_set({"peers", {{Datatype::ipv4_addr}, false, std::nullopt}}).ok());
    ASSERT_TRUE(
        table_->want_set({"dispatch", {{Datatype::ifname}, false, Datatype::verdict}}).ok());
    ASSERT_TRUE(table_->want_set({"nets", {{Datatype::ipv4_addr}, true, std::nullopt}}).ok());
    ASSERT_TRUE(
        table_
            ->want_set({"ports",
                        {{Datatype::ipv4_addr, Datatype::inet_proto, Datatype::inet_service},
                         false,
                         std::nullopt}})
            .ok());
    table_->want_chain(
        {"policy",
         std::nullopt,
         {rule({address_in(Direction::source, Family::v4, "peers"), counter(), accept()},
               "from peers"),
          rule({address_in(Direction::source, Family::v4, "nets"), accept()}), rule({drop()})}});
    table_->want_chain({"endpoint", std::nullopt, {rule({jump("policy")}), rule({accept()})}});
    table_->want_chain({"forward",
                        BaseChain{ChainType::filter, Hook::forward, 1, false},
                        {rule({oifname_vmap("dispatch")})}});
    table_->add_element("dispatch", Element::verdict_for(Packed::interface_name("cali1"),
                                                         {Verdict::Code::goto_, "endpoint"}));
    table_->add_element("peers", Element::of(v4(kNet + 1)));
    table_->add_element("peers", Element::of(v4(kNet + 2)));
    table_->add_element("nets", Element::prefix(Prefix::parse("10.1.0.0/16").value()));
    table_->add_element("nets", Element::prefix(Prefix::parse("255.255.0.0/16").value()));
    Packed key = v4(kNet + 7);
    key.then(Packed::u8(6)).then(Packed::be16(80));
    table_->add_element("ports", Element::of(key));
  }
};

TEST_F(NftTable, programs_every_kind_of_object) {
  want_sample();
  const Progress p = apply();
  EXPECT_THAT(p.refused, IsEmpty());
  EXPECT_THAT(p.waiting, IsEmpty());
  EXPECT_EQ(p.chains_added, 3U);
  EXPECT_EQ(p.sets_added, 4U);
  const std::string text = listing();
  EXPECT_THAT(text, HasSubstr("elements = { 10.0.0.1, 10.0.0.2 }"));
  EXPECT_THAT(text, HasSubstr("elements = { 10.1.0.0/16, 255.255.0.0/16 }"));
  EXPECT_THAT(text, HasSubstr("10.0.0.7 . 6 . 80"));
  EXPECT_THAT(text, HasSubstr("\"cali1\" : goto endpoint"));
  EXPECT_THAT(text, HasSubstr("ip saddr @peers counter accept comment \"from peers\""));
  EXPECT_THAT(text, HasSubstr("type filter hook forward priority 1; policy accept;"));
  EXPECT_THAT(text, HasSubstr("oifname vmap @dispatch"));
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

}  // namespace
}  // namespace margay::nft::test
