// SPDX-License-Identifier: Apache-2.0
// RoutePlane against the real kernel: what each input makes of routes, devices and settings.
#include <algorithm>

#include "dataplane/netlink/socket.h"
#include "tests/netns/route/plane_fixture.h"

namespace margay::test {
namespace {

using model::Encap;

class RoutePlane : public PlaneTest {
 protected:
  std::vector<model::Change> vxlan_cluster() {
    return {local_node(),
            model::EncapInUse{false, true, true},
            vtep("n2", "10.65.9.2", "66:00:00:00:00:02", "172.30.1.2"),
            vtep("n2", "fd65:9::2", "66:00:00:00:06:02", "fd30:1::2"),
            vtep("n3", "10.65.9.3", "66:00:00:00:00:03", "172.30.0.3"),
            vtep("n3", "fd65:9::3", "66:00:00:00:06:03", "fd30::3"),
            remote("10.65.2.0/26", "n2", "172.30.1.2", Encap::vxlan),
            remote("fd65:2::/122", "n2", "fd30:1::2", Encap::vxlan),
            remote("10.65.3.0/26", "n3", "172.30.0.3", Encap::vxlan, true),
            remote("fd65:3::/122", "n3", "fd30::3", Encap::vxlan, true),
            local_block("10.65.1.0/26"),
            local_block("fd65:1::/122")};
  }
};

TEST_F(RoutePlane, workload_gets_a_host_route_in_any_order_of_endpoint_and_interface) {
  open();
  add_pod("calia1");
  apply({workload("a", "calia1", {"10.65.1.2/32", "fd65:1::2/128"}),
         workload("b", "calib1", {"10.65.1.3/32"})});
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  has_route("fd65:1::2", "unicast fd65:1::2 dev calia1 proto 80 scope global metric 1024");
  EXPECT_EQ(route("10.65.1.3"), "");
  add_pod("calib1", false);  // exists, but down
  idle(std::chrono::milliseconds(50));
  EXPECT_EQ(route("10.65.1.3"), "");
  run("ip link set calib1 up");
  has_route("10.65.1.3", "unicast 10.65.1.3 dev calib1 proto 80 scope link metric 1024");
  EXPECT_EQ(plane_->status().failing, 0U);
  EXPECT_EQ(plane_->status().repairs, 0U);
}

TEST_F(RoutePlane, nothing_is_written_before_the_first_in_sync_batch) {
  open();
  add_pod("calia1");
  apply({workload("a", "calia1", {"10.65.1.2/32"}), local_block("10.65.1.0/26")}, false);
  idle(std::chrono::milliseconds(50));
  EXPECT_EQ(route("10.65.1.2"), "");
  EXPECT_EQ(run("cat /proc/sys/net/ipv4/conf/calia1/proxy_arp"), "0\n");
  apply({}, true);
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  has_route("10.65.1.0/26", "blackhole 10.65.1.0/26 proto 80 scope global metric 1024");
}

TEST_F(RoutePlane, vxlan_blocks_neighbours_fdb_and_devices_of_both_families) {
  open();
  apply(vxlan_cluster());
  ASSERT_TRUE(settled());
  has_route("10.65.2.0/26",
            "unicast 10.65.2.0/26 via 10.65.9.2 dev vxlan.calico proto 80 scope global metric 1024 "
            "onlink mtu 1450");
  has_route(
      "10.65.3.0/26",
      "unicast 10.65.3.0/26 via 172.30.0.3 dev eth0 proto 80 scope global metric 1024 onlink");
  has_route("fd65:2::/122",
            "unicast fd65:2::/122 via fd65:9::2 dev vxlan-v6.calico proto 80 scope global metric "
            "1024 onlink mtu 1430");
  has_route("fd65:1::/122", "blackhole fd65:1::/122 dev lo proto 80 scope global metric 1024");

  const auto link = json("ip -j -d link show vxlan.calico").at(0);
  const auto& data = link.at("linkinfo").at("info_data");
  EXPECT_EQ(data.at("id"), 4096);
  EXPECT_EQ(data.at("port"), 4789);
  EXPECT_EQ(data.at("local"), "172.30.0.1");
  EXPECT_EQ(data.at("link"), "eth0");
  EXPECT_FALSE(data.at("learning").get<bool>());
  EXPECT_EQ(link.at("address"), "66:00:00:00:00:01");
  EXPECT_EQ(link.at("mtu"), 1450);
  EXPECT_EQ(run("ip -br addr show vxlan.calico scope global | tr -s ' ' | cut -d' ' -f3-"),
            "10.65.9.1/32 \n");
  EXPECT_EQ(run("ip -br addr show vxlan-v6.calico scope global | tr -s ' ' | cut -d' ' -f3-"),
            "fd65:9::1/128 \n");
  EXPECT_EQ(run("ip neigh show dev vxlan.calico | sort"),
            "10.65.9.2 lladdr 66:00:00:00:00:02 PERMANENT \n"
            "10.65.9.3 lladdr 66:00:00:00:00:03 PERMANENT \n");
  EXPECT_EQ(run("bridge fdb show dev vxlan-v6.calico | sort"),
            "66:00:00:00:06:02 dst fd30:1::2 self permanent\n"
            "66:00:00:00:06:03 dst fd30::3 self permanent\n");
  EXPECT_EQ(plane_->status().failing, 0U);
}

// IPv6 refuses a gateway, even one on the link, that another device's route leads to.
TEST_F(RoutePlane, a_tunnel_address_is_reachable_before_the_blocks_behind_it) {
  run("ip -6 route add fd65::/16 via fd30::9 dev eth0; ip route add 10.65.0.0/16 via 172.30.0.9");
  std::vector<model::Change> cluster{local_node(), model::EncapInUse{false, true, true}};
  for (int n = 10; n < 50; ++n) {
    const std::string node = "n" + std::to_string(n), i = std::to_string(n);
    const std::string hw = "66:00:00:00:06:" + i;
    cluster.push_back(remote("fd65:" + i + "::/122", node, "fd30:1::" + i, Encap::vxlan));
    cluster.push_back(vtep(node, "fd65:" + i + "::1", hw, "fd30:1::" + i));
    cluster.push_back(remote("fd65:" + i + "::40/122", node, "fd30:1::" + i, Encap::vxlan));
  }
  const auto refused = [this] {
    return registry_->counter("margay_route_refusals_total", "").value();
  };
  open();
  apply(cluster);
  ASSERT_TRUE(settled());
  EXPECT_EQ(refused(), 0U);
  EXPECT_EQ(plane_->status().routes_installed, plane_->status().routes_wanted);
  run("ip link del vxlan-v6.calico");  // all of it again, in an order of chance
  ASSERT_TRUE(until([&] { return route("fd65:49::40/122") != ""; }));
  ASSERT_TRUE(settled());
  EXPECT_EQ(refused(), 0U);
  EXPECT_EQ(plane_->status().routes_installed, plane_->status().routes_wanted);
}

TEST_F(RoutePlane, a_restart_on_an_up_to_date_kernel_sends_nothing) {
  add_pod("calia1");
  const auto all = [&] {
    auto changes = vxlan_cluster();
    changes.push_back(workload("a", "calia1", {"10.65.1.2/32", "fd65:1::2/128"}));
    return changes;
  };
  open();
  plane_->replace_bgp_routes(
      {{prefix("10.99.0.0/16"), next_hops({{ip("172.30.0.9"), ""}}), false, {}}});
  plane_->bgp_synced();
  apply(all());
  ASSERT_TRUE(settled());
  plane_.reset();
  has_route("10.99.0.0/16",
            "unicast 10.99.0.0/16 via 172.30.0.9 dev eth0 proto bird scope global metric 1024");

  auto watcher = netlink::Socket::open(0);
  ASSERT_TRUE(watcher.ok());
  for (const unsigned group : {1U, 3U, 5U, 7U, 9U, 11U}) ASSERT_TRUE(watcher->join(group).ok());
  open();
  apply(all());
  ASSERT_TRUE(settled());
  plane_->replace_bgp_routes(
      {{prefix("10.99.0.0/16"), next_hops({{ip("172.30.0.9"), ""}}), false, {}}});
  plane_->bgp_synced();
  idle(std::chrono::milliseconds(50));
  int messages = 0;
  ASSERT_TRUE(watcher
                  ->drain([&](const netlink::Message& m) {
                    if (!by_a_program(m)) return;
                    ++messages;
                    ADD_FAILURE() << "message of type " << m.type;
                  })
                  .ok());
  EXPECT_EQ(messages, 0);
  EXPECT_NE(route("10.99.0.0/16"), "");
}

}  // namespace
}  // namespace margay::test
