// SPDX-License-Identifier: Apache-2.0
// RoutePlane and interfaces that come, go, flap and change their names; configuration and pools
// that change live; take-over of what Calico left.
#include "tests/netns/route/plane_fixture.h"

namespace margay::test {
namespace {

using model::Encap;

class RoutePlaneLife : public PlaneTest {};

TEST_F(RoutePlaneLife, flap_brings_the_route_back) {
  open();
  add_pod("calia1");
  apply({workload("a", "calia1", {"10.65.1.2/32", "fd65:1::2/128"})});
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  for (int i = 0; i < 10; ++i) run("ip link set calia1 down; ip link set calia1 up");
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  has_route("fd65:1::2", "unicast fd65:1::2 dev calia1 proto 80 scope global metric 1024");
  run("ip link set calia1 down");
  has_route("10.65.1.2", "");
  run("ip link set calia1 up");
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  EXPECT_EQ(plane_->status().repairs, 0U);  // the kernel took them, nobody else
  EXPECT_EQ(plane_->status().failing, 0U);
}

TEST_F(RoutePlaneLife, interface_deleted_and_made_again) {
  open();
  add_pod("calia1");
  apply({workload("a", "calia1", {"10.65.1.2/32", "fd65:1::2/128"}), local_block("10.65.1.0/26")});
  has_route("fd65:1::2", "unicast fd65:1::2 dev calia1 proto 80 scope global metric 1024");
  EXPECT_EQ(run("cat /proc/sys/net/ipv4/conf/calia1/proxy_arp"), "1\n");
  run("ip link del calia1");
  has_route("10.65.1.2", "");
  add_pod("calia1");
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  run("ip link del calia1");  // and again, both seen in one go
  add_pod("calia1");
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  has_route("fd65:1::2", "unicast fd65:1::2 dev calia1 proto 80 scope global metric 1024");
  EXPECT_TRUE(until([] { return run("cat /proc/sys/net/ipv4/conf/calia1/proxy_arp") == "1\n"; }));
  EXPECT_TRUE(until([] {
    return run("ip neigh show dev calia1") == "10.65.1.2 lladdr ee:ee:ee:ee:ee:01 PERMANENT \n";
  })) << run("ip neigh show dev calia1");
}

TEST_F(RoutePlaneLife, renamed_interface_takes_the_route_of_its_new_name) {
  open();
  add_pod("caliold");
  apply({workload("a", "caliold", {"10.65.1.2/32"}), workload("b", "calinew", {"10.65.1.3/32"})});
  has_route("10.65.1.2", "unicast 10.65.1.2 dev caliold proto 80 scope link metric 1024");
  run("ip link set caliold down; ip link set caliold name calinew; ip link set calinew up");
  has_route("10.65.1.3", "unicast 10.65.1.3 dev calinew proto 80 scope link metric 1024");
  has_route("10.65.1.2", "");
  run("ip link set calinew down; ip link set calinew name other0; ip link set other0 up");
  has_route("10.65.1.3", "");
}

TEST_F(RoutePlaneLife, renamed_while_up_keeps_no_route_of_the_old_name) {
  open();
  add_pod("caliold");
  apply({workload("a", "caliold", {"10.65.1.2/32"})});
  has_route("10.65.1.2", "unicast 10.65.1.2 dev caliold proto 80 scope link metric 1024");
  run("ip link set caliold name other0");
  has_route("10.65.1.2", "");
}

TEST_F(RoutePlaneLife, address_moves_to_the_newer_interface_of_a_replaced_pod) {
  open();
  add_pod("calia1");
  apply({workload("a", "calia1", {"10.65.1.2/32"})});
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  add_pod("calia2");
  apply({workload("a-again", "calia2", {"10.65.1.2/32"})});
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia2 proto 80 scope link metric 1024");
  apply({model::WorkloadRemove{{"k8s", "a", "eth0"}}});
  run("ip link del calia1");
  idle(std::chrono::milliseconds(30));
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia2 proto 80 scope link metric 1024");
}

TEST_F(RoutePlaneLife, of_two_endpoints_on_one_interface_the_smaller_id_is_active) {
  open();
  add_pod("calia1");
  apply({workload("b", "calia1", {"10.65.1.3/32"}), workload("a", "calia1", {"10.65.1.2/32"})});
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  EXPECT_EQ(route("10.65.1.3"), "");
  apply({model::WorkloadRemove{{"k8s", "a", "eth0"}}});
  has_route("10.65.1.3", "unicast 10.65.1.3 dev calia1 proto 80 scope link metric 1024");
  has_route("10.65.1.2", "");
}

TEST_F(RoutePlaneLife, an_endpoint_that_is_down_by_order_has_no_route) {
  open();
  add_pod("calia1");
  auto w = workload("a", "calia1", {"10.65.1.2/32"});
  apply({w});
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  w.active = false;
  apply({w});
  has_route("10.65.1.2", "");
}

TEST_F(RoutePlaneLife, settings_of_a_workload_interface) {
  run("sysctl -qw net.ipv4.conf.default.rp_filter=1 net.ipv4.ip_forward=0");
  open();
  add_pod("calia1");
  add_pod("calis1");
  auto spoofing = workload("s", "calis1", {"10.65.1.3/32"});
  spoofing.spoofable = {prefix("10.66.0.0/16")};
  apply({workload("a", "calia1", {"10.65.1.2/32"}), spoofing});
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  has_route("10.65.1.3", "unicast 10.65.1.3 dev calis1 proto 80 scope link metric 1024");
  const std::string v4 = "/proc/sys/net/ipv4/conf/calia1/", v6 = "/proc/sys/net/ipv6/conf/calia1/";
  EXPECT_EQ(run("cat " + v4 + "route_localnet " + v4 + "proxy_arp " + v4 + "forwarding " + v4 +
                "rp_filter /proc/sys/net/ipv4/neigh/calia1/proxy_delay"),
            "1\n1\n1\n1\n0\n");
  EXPECT_EQ(run("cat " + v6 + "accept_ra " + v6 + "proxy_ndp " + v6 + "forwarding"), "0\n1\n1\n");
  EXPECT_EQ(run("cat /proc/sys/net/ipv4/conf/calis1/rp_filter"), "0\n");
  EXPECT_EQ(run("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding"),
            "1\n1\n");
}

TEST_F(RoutePlaneLife, a_pool_switched_between_vxlan_and_none_follows_live) {
  open();
  const auto block = [](Encap encap) { return remote("10.65.2.0/26", "n2", "172.30.0.2", encap); };
  plane_->replace_bgp_routes(
      {{prefix("10.65.2.0/26"), next_hops({{ip("172.30.0.2"), ""}}), false, {}}});
  plane_->bgp_synced();
  const std::string tunnelled =
      "unicast 10.65.2.0/26 via 10.65.9.2 dev vxlan.calico proto 80 scope global metric 1024 "
      "onlink mtu 1450";
  const std::string plain =
      "unicast 10.65.2.0/26 via 172.30.0.2 dev eth0 proto bird scope global metric 1024";
  apply({local_node(), model::DesiredPool{prefix("10.65.0.0/16"), Encap::vxlan, false, false},
         model::EncapInUse{false, true, false},
         vtep("n2", "10.65.9.2", "66:00:00:00:00:02", "172.30.0.2"), block(Encap::vxlan)});
  has_route("10.65.2.0/26", tunnelled);
  apply({model::DesiredPool{prefix("10.65.0.0/16"), Encap::none, false, false}, block(Encap::none),
         model::VtepRemove{"n2", Family::v4}, model::EncapInUse{}});
  has_route("10.65.2.0/26", plain);
  EXPECT_EQ(run("ip link show vxlan.calico", false), "Device \"vxlan.calico\" does not exist.\n");
  apply({model::DesiredPool{prefix("10.65.0.0/16"), Encap::vxlan, false, false},
         model::EncapInUse{false, true, false},
         vtep("n2", "10.65.9.2", "66:00:00:00:00:02", "172.30.0.2"), block(Encap::vxlan)});
  has_route("10.65.2.0/26", tunnelled);
  // Same subnet: without the tunnel.
  apply({remote("10.65.2.0/26", "n2", "172.30.0.2", Encap::vxlan, true)});
  has_route(
      "10.65.2.0/26",
      "unicast 10.65.2.0/26 via 172.30.0.2 dev eth0 proto 80 scope global metric 1024 onlink");
}

TEST_F(RoutePlaneLife, of_two_nodes_with_one_tunnel_address_the_last_by_name_has_it) {
  open();
  const auto entries = [] {
    return run(
        "(ip -br neigh show dev vxlan.calico nud permanent; bridge fdb show dev vxlan.calico) | "
        "tr -s ' ' | sed 's/ *$//' | sort | tr '\n' ';'");
  };
  const auto has = [&](const std::string& text) {
    EXPECT_TRUE(until([&] { return entries() == text; })) << entries();
  };
  const std::string two =
      "10.65.9.2 66:00:00:00:00:02;66:00:00:00:00:02 dst 172.30.1.2 self permanent;";
  const std::string three =
      "10.65.9.2 66:00:00:00:00:03;66:00:00:00:00:02 dst 172.30.1.2 self permanent;"
      "66:00:00:00:00:03 dst 172.30.1.3 self permanent;";
  apply({local_node(), model::EncapInUse{false, true, false},
         vtep("n2", "10.65.9.2", "66:00:00:00:00:02", "172.30.1.2")});
  has(two);
  apply({vtep("n3", "10.65.9.2", "66:00:00:00:00:03", "172.30.1.3")});
  has(three);
  run("ip link del vxlan.calico");  // made anew, with all that belongs to it
  has(three);
  apply({model::VtepRemove{"n3", Family::v4}});
  has(two);
  apply({vtep("n2", "10.65.9.4", "66:00:00:00:00:04", "172.30.1.2")});
  has("10.65.9.4 66:00:00:00:00:04;66:00:00:00:00:04 dst 172.30.1.2 self permanent;");
  apply({model::VtepRemove{"n2", Family::v4}});
  has("");
}

TEST_F(RoutePlaneLife, tunnel_parameters_change_live_and_only_the_fixed_ones_make_it_anew) {
  open();
  apply({local_node(), model::EncapInUse{false, true, false},
         vtep("n2", "10.65.9.2", "66:00:00:00:00:02", "172.30.1.2"),
         remote("10.65.2.0/26", "n2", "172.30.1.2", Encap::vxlan)});
  ASSERT_TRUE(settled());
  const auto index = [] {
    return json("ip -j link show vxlan.calico").at(0).at("ifindex").get<int>();
  };
  const int first = index();
  auto node = local_node();
  node.vxlan_mac_v4 = mac("66:00:00:00:00:77");
  node.vxlan_v4 = ip("10.65.9.7");
  apply({node});
  dataplane::RouteConfig config;
  config.vxlan_mtu_v4 = 1400;
  plane_->set_config(config);
  has_route("10.65.2.0/26",
            "unicast 10.65.2.0/26 via 10.65.9.2 dev vxlan.calico proto 80 scope global metric 1024 "
            "onlink mtu 1400");
  const auto link = json("ip -j link show vxlan.calico").at(0);
  EXPECT_EQ(link.at("address"), "66:00:00:00:00:77");
  EXPECT_EQ(link.at("mtu"), 1400);
  EXPECT_EQ(run("ip -4 -br addr show vxlan.calico | tr -s ' ' | cut -d' ' -f3-"),
            "10.65.9.7/32 \n");
  EXPECT_EQ(index(), first);

  run("ip addr add 172.30.0.8/24 dev eth0");
  node.ipv4 = InterfaceAddress::parse("172.30.0.8/24").value();
  apply({node});
  EXPECT_TRUE(until([] {
    return json("ip -j -d link show vxlan.calico")[0]["linkinfo"]["info_data"]["local"] ==
           "172.30.0.8";
  }));
  EXPECT_EQ(index(), first);

  config.vxlan_vni = 4097;
  plane_->set_config(config);
  EXPECT_TRUE(until([] {
    return json("ip -j -d link show vxlan.calico")[0]["linkinfo"]["info_data"]["id"] == 4097;
  }));
  EXPECT_NE(index(), first);
  has_route("10.65.2.0/26",
            "unicast 10.65.2.0/26 via 10.65.9.2 dev vxlan.calico proto 80 scope global metric 1024 "
            "onlink mtu 1400");
  EXPECT_TRUE(until([] {
    return run("bridge fdb show dev vxlan.calico") ==
           "66:00:00:00:00:02 dst 172.30.1.2 self permanent\n";
  })) << run("bridge fdb show dev vxlan.calico");
  EXPECT_EQ(plane_->status().failing, 0U);
}

TEST_F(RoutePlaneLife, takes_over_from_calico_without_making_the_device_anew) {
  run("ip link add vxlan.calico address 66:00:00:00:00:01 mtu 1450 type vxlan id 4096 dstport 4789 "
      "local 172.30.0.1 dev eth0 nolearning; ip link set vxlan.calico up;"
      "ip addr add 10.65.9.1/32 dev vxlan.calico");
  add_pod("calia1");
  run("ip route add 10.65.1.2 dev calia1 scope link");  // the plugin's, without a metric
  run("ip route add 10.65.1.2 dev calia1 scope link metric 1024");
  run("ip route add 10.65.2.0/26 via 10.65.9.2 dev vxlan.calico onlink");    // left over
  run("ip route add 10.65.3.0/26 via 172.30.0.3 dev eth0 proto 80 onlink");  // left over
  run("ip route add 192.0.2.0/24 via 172.30.0.3 dev eth0");                  // the administrator's
  const int before = json("ip -j link show vxlan.calico").at(0).at("ifindex").get<int>();
  open();
  apply({local_node(), model::EncapInUse{false, true, false},
         workload("a", "calia1", {"10.65.1.2/32"})});
  ASSERT_TRUE(settled());
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  has_route("10.65.2.0/26", "");
  has_route("10.65.3.0/26", "");
  EXPECT_NE(route("192.0.2.0/24"), "");
  EXPECT_EQ(json("ip -j link show vxlan.calico").at(0).at("ifindex").get<int>(), before);
}

TEST_F(RoutePlaneLife, the_plugins_route_on_a_new_interface_has_a_grace) {
  dataplane::RouteConfig config;
  config.external_grace = std::chrono::milliseconds(150);
  open(config);
  apply({});
  ASSERT_TRUE(settled());
  add_pod("calia1");
  run("ip route add 10.65.1.2 dev calia1 scope link");
  idle(std::chrono::milliseconds(60));
  EXPECT_NE(route("10.65.1.2"), "");
  // Ours comes: the twin has done its duty.
  apply({workload("a", "calia1", {"10.65.1.2/32"})});
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  run("ip route add 10.65.1.9 dev calia1 scope link");
  has_route("10.65.1.9", "");  // nobody claimed it in time
}

TEST_F(RoutePlaneLife, configuration_of_protocol_metric_and_source_is_live) {
  open();
  add_pod("calia1");
  run("ip addr add 10.0.0.7/32 dev lo");
  apply({workload("a", "calia1", {"10.65.1.2/32"})});
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  dataplane::RouteConfig config;
  config.device_protocol = 3;
  config.metric_v4 = 512;
  config.device_route_source_v4 = ip("10.0.0.7");
  plane_->set_config(config);
  has_route("10.65.1.2",
            "unicast 10.65.1.2 dev calia1 proto boot scope link src 10.0.0.7 metric 512");
  // The kernel drops routes with the source address; both come back.
  run("ip addr del 10.0.0.7/32 dev lo; ip addr add 10.0.0.7/32 dev lo");
  has_route("10.65.1.2",
            "unicast 10.65.1.2 dev calia1 proto boot scope link src 10.0.0.7 metric 512");
}

TEST_F(RoutePlaneLife, floating_addresses_when_they_are_on) {
  dataplane::RouteConfig config;
  config.floating_ips = true;
  open(config);
  add_pod("calia1");
  auto w = workload("a", "calia1", {"10.65.1.2/32"});
  w.nats.push_back({ip("10.65.1.2"), ip("203.0.113.9")});
  apply({w});
  has_route("203.0.113.9", "unicast 203.0.113.9 dev calia1 proto 80 scope link metric 1024");
  plane_->set_config({});
  has_route("203.0.113.9", "");
}

}  // namespace
}  // namespace margay::test
