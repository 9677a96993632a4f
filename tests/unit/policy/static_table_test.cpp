// SPDX-License-Identifier: Apache-2.0
#include "dataplane/policy/static_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rule_text.h"

namespace margay::policy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

class Static : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto id : {kAllPools, kNatPools, kAllHosts, kVxlanHosts}) {
      shapes_[model::SetId(id)] = {};
    }
    shape(kAllPools).v4.lengths = {24, 16};
    shape(kNatPools).v4.lengths = {16};
    shape(kAllHosts).v4.lengths = {32};
    shape(kVxlanHosts).v4.lengths = {32};
  }
  SetShape& shape(std::string_view id) { return shapes_.find(id)->second; }
  void build() {
    chains_.clear();
    ConstantSets sets;
    for (auto& c : static_chains(spec_, shapes_, config_, sets)) chains_[c.name] = c;
  }
  std::vector<std::string> lines(const std::string& chain) {
    return test::to_lines(chains_.at(chain).rules);
  }
  StaticSpec spec_;
  SetShapes shapes_;
  PolicyConfig config_;
  std::map<std::string, nft::Chain> chains_;
};

constexpr const char* kLeaves =
    "v4 saddr/16 @nat-pools-4-16 daddr/24 != @all-pools-4-24 daddr/16 != @all-pools-4-16";

TEST_F(Static, outgoing_nat) {
  build();
  EXPECT_THAT(lines("nat-postrouting"), ElementsAre(std::string(kLeaves) + " masquerade"));
  EXPECT_EQ(chains_.at("nat-postrouting").base->priority, 110);
  EXPECT_EQ(chains_.size(), 1U);
}

TEST_F(Static, outgoing_nat_with_every_option) {
  config_.nat_ports = model::PortRange{1000, 2000};
  config_.nat_address = Ip::parse("192.0.2.1").value();
  config_.nat_excludes_hosts = true;
  config_.nat_interface = "eth0";
  build();
  const std::string match = std::string(kLeaves) + " daddr != @all-hosts-4-32 oif eth0";
  EXPECT_THAT(
      lines("nat-postrouting"),
      ElementsAre(match + " proto 6 snat 192.0.2.1 . 1000 . 2000",
                  match + " proto 17 snat 192.0.2.1 . 1000 . 2000", match + " snat 192.0.2.1"));
}

TEST_F(Static, the_interface_of_outgoing_nat_may_be_a_pattern) {
  config_.nat_interface = "eth+";
  build();
  EXPECT_THAT(lines("nat-postrouting"), ElementsAre(std::string(kLeaves) + " oif eth* masquerade"));
}

TEST_F(Static, without_a_nat_pool_there_is_no_nat) {
  shape(kNatPools).v4.lengths = {};
  build();
  EXPECT_THAT(chains_, IsEmpty());
}

TEST_F(Static, vxlan_comes_from_nodes_only_and_is_not_tracked) {
  spec_.encap.vxlan_v4 = true;
  spec_.vxlan_v4 = Ip::parse("10.65.9.1").value();
  build();
  EXPECT_THAT(lines("raw-prerouting"), ElementsAre("proto 17 dport 4789 notrack"));
  EXPECT_THAT(lines("raw-output"), ElementsAre("proto 17 dport 4789 notrack"));
  EXPECT_THAT(lines("input"),
              ElementsAre("v4 proto 17 dport 4789 saddr != @vxlan-hosts-4-32 fib daddr 2 drop",
                          "v6 proto 17 dport 4789 fib daddr 2 drop"));
  EXPECT_THAT(lines("nat-postrouting"),
              ElementsAre(std::string(kLeaves) + " masquerade",
                          "v4 oif vxlan.calico fib saddr.oif != 2 fib saddr 2 proto 17 "
                          "masquerade 4790 . 65535",
                          "v4 oif vxlan.calico fib saddr.oif != 2 fib saddr 2 masquerade"));
}

TEST_F(Static, ipip_comes_from_nodes_only) {
  spec_.encap.ipip = true;
  build();
  EXPECT_THAT(lines("input"), ElementsAre("v4 proto 4 saddr != @all-hosts-4-32 drop"));
}

TEST_F(Static, untranslated_service_addresses_do_not_loop) {
  spec_.services.cluster_ips = {Prefix::parse("10.96.0.0/12").value()};
  spec_.services.external_ips = {Prefix::parse("fd00:96::/112").value()};
  build();
  EXPECT_THAT(lines("forward"), ElementsAre("state&6 accept", "v4 daddr/12 10.96.0.0 drop",
                                            "v6 daddr fd00:96::/112 drop"));
  config_.loop_prevention = LoopPrevention::reject;
  build();
  EXPECT_EQ(lines("forward")[1], "v4 daddr/12 10.96.0.0 reject");
  config_.loop_prevention = LoopPrevention::disabled;
  build();
  EXPECT_EQ(chains_.count("forward"), 0U);
}

TEST_F(Static, floating_addresses) {
  const auto nat = [](const char* inner, const char* outer) {
    return model::IpNat{Ip::parse(inner).value(), Ip::parse(outer).value()};
  };
  spec_.floating = {nat("10.0.0.2", "203.0.113.9"), nat("10.0.0.1", "203.0.113.9"),
                    nat("10.0.0.1", "203.0.113.7")};
  build();
  EXPECT_EQ(chains_.count("floating-dnat"), 0U) << "the feature is off";
  config_.floating_ips = true;
  build();
  EXPECT_THAT(lines("floating-dnat"), ElementsAre("v4 daddr 203.0.113.7 dnat 10.0.0.1",
                                                  "v4 daddr 203.0.113.9 dnat 10.0.0.1"));
  EXPECT_EQ(lines("nat-postrouting")[0], "v4 saddr 10.0.0.1 daddr 10.0.0.1 snat 203.0.113.7");
  EXPECT_EQ(lines("nat-postrouting")[1], "v4 saddr 10.0.0.2 daddr 10.0.0.2 snat 203.0.113.9");
}

}  // namespace
}  // namespace margay::policy
