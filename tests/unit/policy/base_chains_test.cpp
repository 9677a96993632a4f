// SPDX-License-Identifier: Apache-2.0
#include "dataplane/policy/base_chains.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/policy/static_table.h"
#include "rule_text.h"

namespace margay::policy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

class Base : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto id : {kVxlanHosts, kAllHosts}) {
      SetShape s;
      s.v4.lengths = {32};
      shapes_[model::SetId(id)] = s;
    }
  }
  void build() {
    chains_.clear();
    ConstantSets sets;
    for (auto& c : base_chains(spec_, shapes_, config_, sets)) chains_[c.name] = c;
  }
  std::vector<std::string> lines(const std::string& chain) {
    return test::to_lines(chains_.at(chain).rules);
  }

  BaseSpec spec_;
  SetShapes shapes_;
  PolicyConfig config_;
  std::map<std::string, nft::Chain> chains_;
};

TEST_F(Base, forward_asks_the_source_then_the_destination) {
  build();
  EXPECT_THAT(lines("forward-source"),
              ElementsAre("state&6 accept", "iif cali* goto from-workload"));
  EXPECT_THAT(lines("from-workload"),
              ElementsAre("state&1 drop", "iif vmap @from-workload", "drop"));
  EXPECT_THAT(lines("forward-destination"), ElementsAre("oif cali* goto to-workload"));
  EXPECT_THAT(lines("to-workload"), ElementsAre("state&6 oif @workloads accept", "state&1 drop",
                                                "oif vmap @to-workload", "drop"));
  EXPECT_LT(chains_.at("forward-source").base->priority, 0);
  EXPECT_GT(chains_.at("forward-destination").base->priority, 0);
  EXPECT_EQ(chains_.count("output"), 0U) << "no host endpoint, no output chain";
}

TEST_F(Base, invalid_packets_pass_on_request) {
  config_.drop_invalid = false;
  build();
  EXPECT_THAT(lines("from-workload"), ElementsAre("iif vmap @from-workload", "drop"));
}

TEST_F(Base, a_workload_sends_from_its_own_addresses_only) {
  build();
  const auto raw = lines("raw-workload");
  ASSERT_EQ(raw.size(), 7U);
  EXPECT_EQ(raw[0], "proto 17 dport 4789 drop");
  EXPECT_EQ(raw[1], "proto 4 drop");
  EXPECT_EQ(raw[2], "v4 iif . saddr @workload-source-4 accept");
  EXPECT_EQ(raw[3], "v6 iif . saddr @workload-source-6 accept");
  EXPECT_THAT(raw[4], StartsWith("v6 saddr :: proto 58 icmp-type @"));
  EXPECT_THAT(raw[5], StartsWith("v6 saddr/10 fe80:: proto 58 icmp-type @"));
  EXPECT_EQ(raw[6], "drop");
}

TEST_F(Base, tunnels_of_workloads_may_be_allowed) {
  config_.allow_vxlan_from_workloads = config_.allow_ipip_from_workloads = true;
  spec_.spoofable = {{"cali1", Prefix::parse("10.77.0.0/24").value()}};
  build();
  EXPECT_EQ(lines("raw-workload")[2], "iif cali1 v4 saddr 10.77.0.0/24 accept");
}

TEST_F(Base, every_prefix_of_workload_interfaces_is_ours) {
  config_.interface_prefixes = {"cali", "tap"};
  build();
  EXPECT_THAT(lines("raw-prerouting"),
              ElementsAre("iif cali* goto raw-workload", "iif tap* goto raw-workload"));
  EXPECT_EQ(lines("raw-workload")[2], "v4 saddr 0.0.0.0 proto 17 sport 68 dport 67 accept");
}

TEST_F(Base, workload_to_host) {
  build();
  EXPECT_THAT(
      lines("input-workload"),
      ElementsAre("state&6 accept", StartsWith("v6 proto 58 icmp-type @"), "goto from-workload"));
  EXPECT_THAT(lines("workload-to-host"),
              ElementsAre("state&6 accept", StartsWith("v6 proto 58 icmp-type @"), "drop"));
  config_.endpoint_to_host = EndpointToHost::accept;
  build();
  EXPECT_EQ(chains_.count("input-host"), 0U);
  config_.endpoint_to_host = EndpointToHost::drop;
  config_.deny = DenyAction::reject;
  build();
  EXPECT_EQ(lines("workload-to-host").back(), "reject");
}

constexpr const char* kDiscovery = "v6 proto 58 icmp-type @c-icmpv6-";

TEST_F(Base, host_endpoints_bring_their_hooks) {
  spec_.host.input.named = true;
  spec_.host.input.others = "ti-x";
  spec_.host.output.others = spec_.host.output_after_nat.others = "to-x";
  spec_.vxlan = true;
  build();
  EXPECT_THAT(
      lines("input"),
      ElementsAre("iif cali* goto input-workload", "proto 17 dport 4789 fib daddr 2 accept",
                  "state&6 accept", StartsWith(kDiscovery),
                  StartsWith("proto . dport @c-failsafe-"), "iif vmap @host-input", "goto ti-x"));
  EXPECT_THAT(lines("output"),
              ElementsAre("oif cali* accept", "status&32 accept",
                          "v4 proto 17 dport 4789 daddr @vxlan-hosts-4-32 fib saddr 2 accept",
                          "state&6 accept", StartsWith(kDiscovery),
                          StartsWith("proto . dport @c-failsafe-"), "goto to-x"));
  EXPECT_EQ(chains_.count("mangle-postrouting"), 1U);
  EXPECT_EQ(chains_.count("mangle-prerouting"), 0U);
  spec_.host.before_nat.others = "ti-prenat-x";
  build();
  EXPECT_EQ(lines("input")[1], "mark&1^0 1 accept");
  EXPECT_EQ(lines("raw-prerouting")[0], "mark&1^0 1 set mark&65534^0");
}

TEST_F(Base, failsafe_ports_may_be_for_some_only) {
  spec_.host.input.others = "ti-x";
  config_.failsafe_in = {{6, 22, Prefix::parse("10.0.0.0/8").value()}};
  build();
  EXPECT_EQ(lines("input")[3], "v4 saddr 10.0.0.0/8 proto 6 dport 22 accept");
  config_.failsafe_in = {};
  build();
  EXPECT_THAT(lines("input"), ElementsAre("iif cali* goto input-workload", "state&6 accept",
                                          StartsWith(kDiscovery), "goto ti-x"));
}

TEST_F(Base, untracked_policy_knows_replies_of_failsafe_ports) {
  spec_.host.untracked_in.others = "ti-raw-x";
  config_.failsafe_in = {{6, 22, Prefix::parse("10.0.0.0/8").value()}};
  config_.failsafe_out = {{17, 53, Prefix::parse("10.0.0.0/8").value()}};
  build();
  EXPECT_THAT(lines("raw-prerouting"),
              ElementsAre("mark&1^0 1 set mark&65534^0", "iif cali* goto raw-workload",
                          StartsWith(kDiscovery), "v4 saddr 10.0.0.0/8 proto 6 dport 22 accept",
                          "v4 saddr 10.0.0.0/8 proto 17 sport 53 accept", "goto ti-raw-x"));
}

}  // namespace
}  // namespace margay::policy
