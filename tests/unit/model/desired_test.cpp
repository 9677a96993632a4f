// SPDX-License-Identifier: Apache-2.0
#include "model/desired.h"

#include <gtest/gtest.h>

namespace margay::model {
namespace {

TEST(Labels, are_found_by_binary_search) {
  const Labels labels{{"a", "1"}, {"b", ""}, {"c", "3"}};
  ASSERT_NE(find_label(labels, "b"), nullptr);
  EXPECT_EQ(*find_label(labels, "b"), "");
  EXPECT_EQ(*find_label(labels, "c"), "3");
  EXPECT_EQ(find_label(labels, "bb"), nullptr);
  EXPECT_EQ(find_label({}, "a"), nullptr);
}

TEST(PolicyKey, prints_calicos_short_codes) {
  EXPECT_EQ((PolicyKey{PolicyKind::network_policy, "shop", "web"}.to_string()), "np/shop/web");
  EXPECT_EQ((PolicyKey{PolicyKind::cluster_network_policy, "", "base"}.to_string()), "kcnp/base");
  EXPECT_TRUE(is_staged(PolicyKind::staged_kubernetes_network_policy));
  EXPECT_FALSE(is_staged(PolicyKind::kubernetes_network_policy));
}

TEST(EndpointId, prints_workloads_and_host_endpoints) {
  EXPECT_EQ((EndpointId{"k8s", "shop/web-1", "eth0"}.to_string()), "k8s/shop/web-1/eth0");
  EXPECT_EQ((EndpointId{"", "", "node1-eth0"}.to_string()), "node1-eth0");
}

TEST(LocalWorkload, equality_looks_at_every_field) {
  LocalWorkload base;
  base.id = {"k8s", "a/b", "eth0"};
  base.interface_name = "cali1";
  std::vector<LocalWorkload> others(8, base);
  others[0].id.workload = "a/c";
  others[1].interface_name = "cali2";
  others[2].active = false;
  others[3].mac = Mac{};
  others[4].addresses.emplace_back();
  others[5].nats.push_back({});
  others[6].tiers.push_back({});
  others[7].profiles.emplace_back();
  for (const auto& other : others) EXPECT_FALSE(base == other);
  EXPECT_EQ(base, LocalWorkload(base));
  LocalWorkload moved_nat = others[5];
  moved_nat.nats[0].external_ip = Ip::v4(1);
  EXPECT_FALSE(moved_nat == others[5]);
}

}  // namespace
}  // namespace margay::model
