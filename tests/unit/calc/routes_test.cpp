// SPDX-License-Identifier: Apache-2.0
// Nodes, pools and blocks -> routes, VTEPs, hosts (spec calc-graph.md 6 and 7), case by case.
#include <gtest/gtest.h>

#include "agent/calc/graph.h"
#include "agent/calc/nodes.h"
#include "tests/unit/calc/view.h"

namespace margay::calc {
namespace {

using model::Key;
using model::Kind;
using model::RouteTarget;

Prefix net(const char* text) { return Prefix::parse(text).value(); }
Ip ip(const char* text) { return Ip::parse(text).value(); }

class RoutesTest : public ::testing::Test {
 protected:
  RoutesTest() {
    node("me", R"("ipv4Address":"172.16.0.1/24","ipv6Address":"fe::1/64")", "10.65.1.0");
    node("near", R"("ipv4Address":"172.16.0.2/24")", "10.65.2.0");
    node("far", R"("ipv4Address":"172.17.0.3/24")", "10.65.3.0");
    pool("CrossSubnet");
    block("10.65.1.0/26", "host:me");
    block("10.65.2.0/26", "host:near");
    block("10.65.3.0/26", "host:far");
    graph.set_in_sync();
  }
  static Options options() {
    Options o;
    o.node = "me";
    return o;
  }
  void node(const std::string& name, const std::string& bgp, const std::string& vtep) {
    graph.update({Kind::node, "", name}, R"({"metadata":{"name":")" + name +
                                             R"("},"spec":{"bgp":{)" + bgp +
                                             R"(},"ipv4VXLANTunnelAddr":")" + vtep + "\"}}");
  }
  void pool(const std::string& vxlan) {
    graph.update({Kind::ip_pool, "", "pool"},
                 R"({"metadata":{"name":"pool"},"spec":{"cidr":"10.65.0.0/16","natOutgoing":true,)"
                 R"("ipipMode":"Never","vxlanMode":")" +
                     vxlan + "\"}}");
  }
  // `user`: of the block's first address.
  void block(const std::string& cidr, const std::string& affinity, const std::string& user = "") {
    std::string json =
        R"({"cidr":")" + cidr + R"(","affinity":")" + affinity + R"(","allocations":[)";
    for (int i = 0; i < 64; ++i) json += i == 5 && !user.empty() ? "0," : "null,";
    json.back() = ']';
    json += R"(,"attributes":[{"handle_id":"h","secondary":{"node":")" + user + R"("}}]})";
    graph.update(model::block_key(net(cidr.c_str())), json);
  }
  const RouteTarget* route(const char* dst) {
    view.apply(graph.flush());
    EXPECT_TRUE(view.broken.empty()) << view.broken.front();
    const auto it = view.routes.find(net(dst));
    return it == view.routes.end() ? nullptr : &it->second;
  }
  Graph graph{options()};
  View view;
};

TEST_F(RoutesTest, blocks_lead_to_their_nodes) {
  const RouteTarget* far = route("10.65.3.0/26");
  ASSERT_NE(far, nullptr);
  EXPECT_EQ(far->kind, RouteTarget::Kind::remote_workload);
  EXPECT_EQ(far->encap, model::Encap::vxlan);
  EXPECT_TRUE(far->in_pool && far->nat_outgoing && !far->same_subnet && !far->borrowed);
  EXPECT_EQ(far->node, "far");
  EXPECT_EQ(far->node_ip, ip("172.17.0.3"));
  EXPECT_TRUE(route("10.65.2.0/26")->same_subnet);
  EXPECT_EQ(route("10.65.1.0/26")->kind, RouteTarget::Kind::local_block);
}

TEST_F(RoutesTest, tunnel_addresses_in_their_own_block_need_no_route) {
  EXPECT_EQ(route("10.65.2.0/32"), nullptr);
  EXPECT_EQ(route("10.65.1.0/32")->kind, RouteTarget::Kind::local_tunnel);
  node("far", R"("ipv4Address":"172.17.0.3/24")", "10.65.2.7");
  const RouteTarget* tunnel = route("10.65.2.7/32");
  ASSERT_NE(tunnel, nullptr);
  EXPECT_EQ(tunnel->kind, RouteTarget::Kind::remote_tunnel);
  EXPECT_EQ(tunnel->encap, model::Encap::vxlan);
  EXPECT_TRUE(tunnel->borrowed);
}

TEST_F(RoutesTest, borrowed_addresses_lead_to_the_borrower) {
  block("10.65.2.0/26", "host:near", "far");
  const RouteTarget* borrowed = route("10.65.2.5/32");
  ASSERT_NE(borrowed, nullptr);
  EXPECT_EQ(borrowed->node, "far");
  EXPECT_TRUE(borrowed->borrowed);
  block("10.65.2.0/26", "host:near", "near");
  EXPECT_EQ(route("10.65.2.5/32"), nullptr);
}

TEST_F(RoutesTest, a_pool_switches_its_routes_live) {
  (void)route("10.65.3.0/26");
  pool("Never");
  EXPECT_EQ(route("10.65.3.0/26")->encap, model::Encap::none);
  EXPECT_FALSE(view.encap->vxlan_v4);
  pool("Always");
  EXPECT_EQ(route("10.65.3.0/26")->encap, model::Encap::vxlan);
  EXPECT_FALSE(route("10.65.2.0/26")->same_subnet);
  graph.remove({Kind::ip_pool, "", "pool"});
  EXPECT_FALSE(route("10.65.3.0/26")->in_pool);
  EXPECT_TRUE(view.pools.empty());
}

TEST_F(RoutesTest, our_own_subnet_decides_for_all) {
  EXPECT_TRUE(route("10.65.2.0/26")->same_subnet);
  node("me", R"("ipv4Address":"172.17.0.1/24")", "10.65.1.0");
  EXPECT_FALSE(route("10.65.2.0/26")->same_subnet);
  EXPECT_TRUE(route("10.65.3.0/26")->same_subnet);
}

TEST_F(RoutesTest, a_node_that_goes_leaves_routes_without_next_hop) {
  (void)route("10.65.3.0/26");
  EXPECT_TRUE(view.vteps.contains({"far", Family::v4}));
  graph.remove({Kind::node, "", "far"});
  EXPECT_EQ(route("10.65.3.0/26")->node_ip, std::nullopt);
  EXPECT_FALSE(view.vteps.contains({"far", Family::v4}));
  EXPECT_FALSE(view.hosts.contains("far"));
}

TEST_F(RoutesTest, nodes_become_hosts_vteps_and_ourselves) {
  (void)route("10.65.1.0/26");
  EXPECT_EQ(view.hosts.size(), 3U);
  EXPECT_EQ(view.hosts.at("me").addresses.size(), 2U);
  EXPECT_EQ(view.vteps.size(), 2U);
  EXPECT_EQ(view.vteps.at({"near", Family::v4}).parent_ip, ip("172.16.0.2"));
  EXPECT_EQ(view.local->vxlan_v4, ip("10.65.1.0"));
  EXPECT_EQ(view.local->ipv6->to_string(), "fe::1/64");
}

TEST(NodeInfo, derives_macs_from_names) {
  EXPECT_EQ(derived_mac("abc").to_string(), "66:a9:99:3e:36:47");
}

TEST(NodeInfo, prefers_bgp_addresses_then_internal_then_external) {
  model::NodeSpec bgp;
  bgp.bgp.emplace();
  bgp.bgp->ipv4_address = InterfaceAddress{ip("1.1.1.1"), 24};
  bgp.addresses = {{"2.2.2.2", "InternalIP"}};
  EXPECT_EQ(node_info("n", bgp).v4->to_string(), "1.1.1.1/24");
  EXPECT_TRUE(node_info("n", bgp).vxlan_parent_v4.has_value());
  model::NodeSpec plain;
  plain.addresses = {{"3.3.3.3", "ExternalIP"}, {"x", "InternalIP"}, {"2.2.2.2", "InternalIP"}};
  EXPECT_EQ(node_info("n", plain).v4->to_string(), "2.2.2.2/32");
  EXPECT_FALSE(node_info("n", plain).vxlan_parent_v4.has_value());
  EXPECT_TRUE(node_info("n", plain).listed);
  plain.bgp.emplace();
  EXPECT_FALSE(node_info("n", plain).listed);
}

}  // namespace
}  // namespace margay::calc
