// SPDX-License-Identifier: Apache-2.0
#include "model/key.h"

#include <gtest/gtest.h>

#include <set>

namespace margay::model {
namespace {

struct Row {
  const char* path;
  Key key;
};

TEST(Key, follows_calicos_etcd_paths) {
  const Row rows[] = {
      {"/calico/resources/v3/projectcalico.org/bgppeers/tor-a", {Kind::bgp_peer, "", "tor-a"}},
      {"/calico/resources/v3/projectcalico.org/bgpconfigurations/node.n1",
       {Kind::bgp_configuration, "", "node.n1"}},
      {"/calico/resources/v3/projectcalico.org/caliconodestatuses/s",
       {Kind::calico_node_status, "", "s"}},
      {"/calico/resources/v3/projectcalico.org/networkpolicies/shop/default.web",
       {Kind::network_policy, "shop", "default.web"}},
      {"/calico/resources/v3/projectcalico.org/workloadendpoints/shop/n1-k8s-web--1-eth0",
       {Kind::workload_endpoint, "shop", "n1-k8s-web--1-eth0"}},
      {"/calico/resources/v3/projectcalico.org/stagedkubernetesnetworkpolicies/shop/s",
       {Kind::staged_kubernetes_network_policy, "shop", "s"}},
      {"/calico/ipam/v2/assignment/ipv4/block/10.65.1.64-26",
       {Kind::ipam_block, "", "10.65.1.64/26"}},
      {"/calico/ipam/v2/assignment/ipv6/block/fd65::defe:d3d7:156e:ae80-122",
       {Kind::ipam_block, "", "fd65::defe:d3d7:156e:ae80/122"}},
      {"/calico/ipam/v2/host/n-1/ipv4/block/10.65.1.64-26",
       {Kind::block_affinity, "host:n-1", "10.65.1.64/26"}},
      {"/calico/ipam/v2/virtual/load-balancer/ipv6/block/fd65::-122",
       {Kind::block_affinity, "virtual:load-balancer", "fd65::/122"}},
      {"/calico/ipam/v2/handle/net.0123abc", {Kind::ipam_handle, "", "net.0123abc"}},
      {"/calico/ipam/v2/config", {Kind::ipam_config, "", "default"}},
      {"/calico/resources/v3/kubernetes/core/pods/shop/web-1", {Kind::pod, "shop", "web-1"}},
      {"/calico/resources/v3/kubernetes/core/nodes/n1", {Kind::kubernetes_node, "", "n1"}},
      {"/calico/resources/v3/kubernetes/networking.k8s.io/networkpolicies/shop/web",
       {Kind::kubernetes_network_policy, "shop", "web"}},
      {"/calico/resources/v3/kubernetes/policy.networking.k8s.io/clusternetworkpolicies/base",
       {Kind::cluster_network_policy, "", "base"}},
      {"/calico/resources/v3/kubernetes/discovery.k8s.io/endpointslices/shop/web-x1",
       {Kind::endpoint_slice, "shop", "web-x1"}},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.path);
    EXPECT_EQ(path(row.key), row.path);
    const auto parsed = parse_key(row.path);
    ASSERT_TRUE(parsed.ok()) << parsed.error().message();
    EXPECT_EQ(*parsed, row.key);
    EXPECT_TRUE(std::string_view(row.path).starts_with(path_prefix(row.key.kind)));
  }
}

TEST(Key, every_kind_round_trips_and_has_its_own_prefix) {
  std::set<std::string> prefixes;
  for (const auto& k : all_kinds()) {
    SCOPED_TRACE(k.name);
    if (k.plural.empty()) continue;
    const Key key{k.kind, k.namespaced ? "ns" : "", "name.with.dots"};
    const auto parsed = parse_key(path(key));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, key);
    EXPECT_TRUE(prefixes.insert(path_prefix(k.kind)).second);
  }
}

TEST(Key, refuses_what_is_not_a_path) {
  const char* rows[] = {
      "",
      "/",
      "/calico/",
      "/calico/resources/v3/projectcalico.org/",
      "/calico/resources/v3/projectcalico.org/bgppeers",
      "/calico/resources/v3/projectcalico.org/bgppeers/",
      "/calico/resources/v3/projectcalico.org/bgppeers/a/b",
      "/calico/resources/v3/projectcalico.org//a",
      "/calico/resources/v3/projectcalico.org/pods/a/b",
      "/calico/resources/v3/projectcalico.org/networkpolicies/only-name",
      "/calico/resources/v3/projectcalico.org/networkpolicies//name",
      "/calico/resources/v3/kubernetes/core/bgppeers/a",
      "/calico/resources/v3/kubernetes/apps/pods/a/b",
      "/calico/resources/v3/kubernetes//pods/a/b",
      "/calico/ipam/v2/assignment/ipv4/block/10.65.1.64",
      "/calico/ipam/v2/assignment/ipv4/block/fd65::-122",
      "/calico/ipam/v2/assignment/ipv4/block/10.65.1.64-99",
      "/calico/ipam/v2/assignment/ipv4/block/10.65.1.65-26",
      "/calico/ipam/v2/host//ipv4/block/10.65.1.64-26",
      "/calico/ipam/v2/host/n1/ipv5/block/10.65.1.64-26",
      "/calico/ipam/v2/handle/",
      "/calico/ipam/v2/handle/a/b",
      "/calico/ipam/v2/other",
      "/calico/v1/ipam/v4/pool/10.65.0.0-16",
  };
  for (const char* row : rows) {
    SCOPED_TRACE(row);
    const auto parsed = parse_key(row);
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.error().code, Code::not_found);
  }
}

TEST(Key, blocks_and_affinities_carry_cidr_and_node) {
  const auto cidr = Prefix::parse("10.65.1.64/26");
  ASSERT_TRUE(cidr.ok());
  const Key affinity = affinity_key("n1", *cidr);
  EXPECT_EQ(path(affinity), "/calico/ipam/v2/host/n1/ipv4/block/10.65.1.64-26");
  EXPECT_EQ(affinity_node(affinity.ns), "n1");
  EXPECT_EQ(*cidr_of(affinity), *cidr);
  EXPECT_EQ(*cidr_of(block_key(*cidr)), *cidr);
  EXPECT_EQ(affinity_node("virtual:load-balancer"), "");
  EXPECT_EQ(affinity_node(""), "");
}

TEST(Kind, is_found_by_document_and_by_alias) {
  EXPECT_EQ(find_kind("projectcalico.org/v3", "Node"), Kind::node);
  EXPECT_EQ(find_kind("v1", "Node"), Kind::kubernetes_node);
  EXPECT_EQ(find_kind("networking.k8s.io/v1", "NetworkPolicy"), Kind::kubernetes_network_policy);
  EXPECT_EQ(find_kind("projectcalico.org/v3", "node"), std::nullopt);
  EXPECT_EQ(find_kind("", "IPAMBlock"), std::nullopt);
  for (const auto& k : all_kinds()) {
    if (k.api_version.empty()) continue;
    EXPECT_EQ(find_kind(k.api_version, k.name), k.kind) << k.name;
  }
  const std::pair<const char*, Kind> aliases[] = {
      {"workloadEndpoint", Kind::workload_endpoint},
      {"POOLS", Kind::ip_pool},
      {"node", Kind::node},
      {"nos", Kind::node},
      {"np", Kind::network_policy},
      {"pol", Kind::network_policy},
      {"gnps", Kind::global_network_policy},
      {"bp", Kind::bgp_peer},
      {"nodestatus", Kind::calico_node_status},
      {"netsets", Kind::network_set},
      {"gnetsets", Kind::global_network_set},
      {"reservations", Kind::ip_reservation},
      {"skpol", Kind::staged_kubernetes_network_policy},
      {"kubernetesnode", Kind::kubernetes_node},
      {"knp", Kind::kubernetes_network_policy},
      {"pods", Kind::pod},
  };
  for (const auto& [text, kind] : aliases) EXPECT_EQ(kind_by_alias(text), kind) << text;
  for (const char* text : {"", "foo", "n", " ", "np nps"}) {
    EXPECT_EQ(kind_by_alias(text), std::nullopt) << text;
  }
}

TEST(Kind, describes_keys_for_messages) {
  EXPECT_EQ(describe({Kind::network_policy, "shop", "web"}), "NetworkPolicy(shop/web)");
  EXPECT_EQ(describe({Kind::node, "", "n1"}), "Node(n1)");
}

}  // namespace
}  // namespace margay::model
