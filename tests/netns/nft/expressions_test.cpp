// SPDX-License-Identifier: Apache-2.0
// Every expression goes into the kernel, is shown by nft as meant, and is recognised in the
// kernel's own encoding after a restart.
#include <gmock/gmock.h>

#include <map>

#include "fixture.h"

namespace margay::nft::test {
namespace {

using ::testing::HasSubstr;

constexpr std::uint8_t kTcp = 6, kUdp = 17;

struct Case {
  const char* chain;  // which kind of chain takes it
  Exprs exprs;
  const char* text;  // as nft shows it
};

class NftExpressions : public KernelTest {
 protected:
  static Prefix prefix(const char* text) { return Prefix::parse(text).value(); }

  static std::vector<Case> filter_cases() {
    const Direction src = Direction::source;
    const Direction dst = Direction::destination;
    const KeyField masked_port[] = {{KeyField::Kind::saddr, 24}, {KeyField::Kind::dport}};
    return {
        {"f", join({iifname("eth0"), accept()}), "iifname \"eth0\" accept"},
        {"f", join({oifname("cali*"), drop()}), "oifname \"cali*\" drop"},
        {"f", join({iifname("eth0", CmpOp::neq), return_()}), "iifname != \"eth0\" return"},
        {"f", join({l4proto(kTcp), port(dst, 443), accept()}), "tcp dport 443 accept"},
        {"f", join({l4proto(kUdp), port_range(src, 5, 9, true), drop()}), "udp sport != 5-9 drop"},
        {"f", join({l4proto(kTcp, CmpOp::neq), drop()}), "meta l4proto != 6 drop"},
        {"f", address(src, prefix("10.0.0.0/8")), "ip saddr 10.0.0.0/8"},
        {"f", address(dst, prefix("10.1.2.0/23"), true), "ip daddr != 10.1.2.0/23"},
        {"f", address(src, prefix("10.1.2.3")), "ip saddr 10.1.2.3"},
        {"f", address(dst, prefix("fd00:1::/61")), "ip6 daddr fd00:1::/61"},
        {"f", address(dst, prefix("fd00:1::5")), "ip6 daddr fd00:1::5"},
        {"f", icmp(Family::v4, 8), "icmp type 8"},
        {"f", icmp(Family::v6, 135), "icmpv6 type 135"},
        {"f", icmp(Family::v4, 3, 4), "icmp type 3 icmp code 4"},
        {"f", masked_address_in(src, Family::v4, 28, "a4"), "ip saddr & 255.255.255.240 == @a4"},
        {"f", address_in(dst, Family::v6, "a6", true), "ip6 daddr != @a6"},
        {"f", join({l4proto(kTcp), concat_in(Family::v4, masked_port, "ap")}), "@ap"},
        {"f", mark_is(0x10, 0x30), "meta mark & 0x00000030 == 0x00000010"},
        {"f", mark_is(7, 0xffffffff, true), "meta mark != 0x00000007"},
        {"f", set_mark(0x10, 0x30), "meta mark set meta mark & 0xffffffdf | 0x00000010"},
        {"f", join({ct_state(kCtEstablished | kCtRelated), accept()}), "ct state 0x2,0x4 accept"},
        {"f", join({ct_state(kCtInvalid, true), drop()}), "! 0x1"},
        {"f", join({ct_status(kCtStatusDnat), accept()}), "ct status 0x20"},
        {"p", fib_no_route(kFibSaddr | kFibMark | kFibIif), "fib saddr . mark . iif oif 0"},
        {"f", fib_type(kFibDaddr, kAddressTypeLocal), "fib daddr type 2"},
        {"f", counter(), "counter"},
        {"f", log("calico: ", 6), "log prefix \"calico: \" level info"},
        {"f", nflog("d", 2), "log prefix \"d\" group 2"},
        {"f", join({limit(10, 60, 5, false), accept()}), "limit rate 10/minute"},
        {"f", join({limit(1000, 1, 7, true), drop()}), "limit rate over 1000/second burst 7"},
        {"f", join({l4proto(kTcp), connections_over(10), reject_tcp_reset()}),
         "ct count over 10 reject with tcp reset"},
        {"f", reject(), "reject"},
        {"f", jump("inner"), "jump inner"},
        {"f", goto_("inner"), "goto inner"},
        {"m", join({family(Family::v4), set_dscp(Family::v4, 10)}), "ip dscp set 0x0a"},
        {"m", join({family(Family::v6), set_dscp(Family::v6, 46)}), "ip6 dscp set 0x2e"},
        {"r", notrack(), "notrack"},
        {"n", masquerade(kNatFullyRandom), "masquerade fully-random"},
        {"n", join({l4proto(kUdp), masquerade_ports(4790, 65535, kNatFullyRandom)}),
         "masquerade to :4790-65535 fully-random"},
        {"n", join({family(Family::v4), snat(Ip::parse("192.0.2.1").value())}),
         "snat ip to 192.0.2.1"},
        {"d", join({family(Family::v4), dnat(Ip::parse("10.65.1.2").value())}),
         "dnat ip to 10.65.1.2"},
        {"d", join({family(Family::v6), l4proto(kTcp), dnat(Ip::parse("fd00::2").value(), 80)}),
         "dnat ip6 to [fd00::2]:80"},
        {"f",
         {CtLoad{CtKey::mark, Reg{0}}, Cmp{CmpOp::eq, Reg{0}, Packed::host32(5)}},
         "ct mark 0x00000005"},
        {"f",
         {Immediate{Reg{0}, Packed::host32(9)}, CtSet{CtKey::mark, Reg{0}}},
         "ct mark set 0x00000009"},
        {"f",
         {MetaLoad{MetaKey::mark, Reg{0}}, Lookup{"marks", Reg{0}, false, false, Reg{4}},
          MetaSet{MetaKey::mark, Reg{4}}},
         "meta mark set meta mark map @marks"},
    };
  }

  void want(const std::vector<Case>& cases) {
    const auto set = [this](const char* name, std::vector<Datatype> key,
                            std::optional<Datatype> value = std::nullopt) {
      ASSERT_TRUE(table_->want_set({name, {std::move(key), false, value}}).ok());
    };
    set("a4", {Datatype::ipv4_addr});
    set("a6", {Datatype::ipv6_addr});
    set("ap", {Datatype::ipv4_addr, Datatype::inet_service});
    set("marks", {Datatype::mark}, Datatype::mark);
    std::map<std::string, Chain> chains{
        {"f", {"f", BaseChain{ChainType::filter, Hook::forward, 1, false}, {}}},
        {"p", {"p", BaseChain{ChainType::filter, Hook::prerouting, 1, false}, {}}},
        {"m", {"m", BaseChain{ChainType::route, Hook::output, -150, false}, {}}},
        {"r", {"r", BaseChain{ChainType::filter, Hook::prerouting, -300, true}, {}}},
        {"n", {"n", BaseChain{ChainType::nat, Hook::postrouting, 110, false}, {}}},
        {"d", {"d", BaseChain{ChainType::nat, Hook::prerouting, -100, false}, {}}},
        {"inner", {"inner", std::nullopt, {}}}};
    for (const Case& c : cases) chains[c.chain].rules.push_back({c.exprs, "why"});
    for (const auto& [name, chain] : chains) table_->want_chain(chain);
    table_->add_element("marks", {Packed::host32(3), {}, Packed::host32(0x30), std::nullopt});
  }
};

TEST_F(NftExpressions, are_shown_as_meant_and_known_again) {
  const auto cases = filter_cases();
  want(cases);
  const Progress first = apply();
  for (const Refused& r : first.refused) ADD_FAILURE() << r.error.message();
  const std::string text = listing();
  for (const Case& c : cases) EXPECT_THAT(text, HasSubstr(c.text));
  EXPECT_THAT(text, HasSubstr("0x00000003 : 0x00000030"));
  events();
  restart();
  want(cases);
  const Progress again = apply();
  EXPECT_EQ(again.messages, 0U) << again.rules_added << " rules were not recognised\n" << text;
  EXPECT_EQ(events(), 0U);
}

TEST_F(NftExpressions, one_at_a_time_is_recognised_too) {
  for (const Case& c : filter_cases()) {
    SCOPED_TRACE(c.text);
    table_->suspect_all();
    want({c});
    apply();
    restart();
    want({c});
    EXPECT_EQ(apply().messages, 0U);
  }
}

}  // namespace
}  // namespace margay::nft::test
