// SPDX-License-Identifier: Apache-2.0
// Others change what is ours, or own what we must leave alone; notifications get lost.
#include <thread>

#include "tests/netns/route/plane_fixture.h"

namespace margay::test {
namespace {

using model::Encap;

class RoutePlaneDisturbed : public PlaneTest {
 protected:
  void cluster(dataplane::RouteConfig config = {}) {
    add_pod("calia1");
    open(config);
    apply({local_node(), model::EncapInUse{false, true, true},
           vtep("n2", "10.65.9.2", "66:00:00:00:00:02", "172.30.1.2"),
           vtep("n2", "fd65:9::2", "66:00:00:00:06:02", "fd30:1::2"),
           remote("10.65.2.0/26", "n2", "172.30.1.2", Encap::vxlan),
           remote("fd65:2::/122", "n2", "fd30:1::2", Encap::vxlan), local_block("10.65.1.0/26"),
           workload("a", "calia1", {"10.65.1.2/32", "fd65:1::2/128"})});
    ASSERT_TRUE(settled());
  }
  static std::string everything() {
    return run(
        "(ip route; ip -6 route; ip neigh show nud permanent; ip -6 neigh show nud permanent;"
        "bridge fdb show dev vxlan.calico; bridge fdb show dev vxlan-v6.calico;"
        "ip -d link show type vxlan | grep -v -e link/ -e mtu; ip -o addr show scope global | cut "
        "-d' ' -f2,6,7;"
        "cat /proc/sys/net/ipv4/conf/calia1/proxy_arp) | grep -v -e fe80 -e 'proto kernel' | sort",
        false);
  }
};

TEST_F(RoutePlaneDisturbed, whatever_is_taken_away_comes_back_within_a_second) {
  cluster();
  const std::string good = everything();
  const char* disturbances[] = {
      "ip route del 10.65.1.2",
      "ip route del 10.65.2.0/26",
      "ip route del blackhole 10.65.1.0/26",
      "ip -6 route del fd65:1::2 metric 1024",
      "ip -6 route del fd65:2::/122",
      "ip route replace 10.65.2.0/26 via 172.30.0.9 dev eth0 metric 1024",  // protocol boot
      "ip route replace 10.65.1.2 dev eth0 metric 1024 proto 80",
      "ip route change 10.65.1.2 dev calia1 metric 1024 proto 80 scope link mtu 1200",
      "ip -6 route replace fd65:1::2 via fd30::9 dev eth0 metric 1024",
      "ip neigh del 10.65.9.2 dev vxlan.calico",
      "ip neigh replace 10.65.9.2 lladdr 66:00:00:00:00:99 dev vxlan.calico nud permanent",
      "ip neigh replace 10.65.9.2 lladdr 66:00:00:00:00:99 dev vxlan.calico nud reachable",
      "ip neigh del 10.65.1.2 dev calia1",
      "bridge fdb del 66:00:00:00:00:02 dev vxlan.calico dst 172.30.1.2",
      "bridge fdb replace 66:00:00:00:00:02 dev vxlan.calico dst 172.30.1.9",
      "bridge fdb add 66:00:00:00:00:55 dev vxlan.calico dst 172.30.1.5",
      "bridge fdb del 66:00:00:00:06:02 dev vxlan-v6.calico dst fd30:1::2",
      "ip addr del 10.65.9.1/32 dev vxlan.calico",
      "ip addr add 10.65.9.66/32 dev vxlan.calico",
      "ip link set vxlan.calico address 02:00:00:00:00:42",
      "ip link set vxlan.calico mtu 1300",
      "ip link set vxlan.calico down",
      "ip link del vxlan.calico",
      "ip link set vxlan.calico type vxlan id 4096 learning",
      "ip route add 10.77.0.0/16 via 172.30.0.9 proto 80",  // ours by protocol, wanted by nobody
  };
  for (const char* disturbance : disturbances) {
    SCOPED_TRACE(disturbance);
    const auto repairs = plane_->status().repairs;
    run(disturbance);
    EXPECT_TRUE(until([&] { return everything() == good; }, std::chrono::milliseconds(1000)))
        << "have:\n"
        << everything() << "\nwant:\n"
        << good;
    (void)repairs;
  }
  EXPECT_GE(plane_->status().repairs, 10U);
  EXPECT_EQ(plane_->status().failing, 0U);
}

TEST_F(RoutePlaneDisturbed, exactly_what_was_lost_while_we_were_away_comes_back) {
  cluster();
  const std::string good = everything();
  plane_.reset();
  run("ip route del 10.65.2.0/26; bridge fdb del 66:00:00:00:00:02 dev vxlan.calico dst "
      "172.30.1.2");
  auto watcher = netlink::Socket::open(0);
  ASSERT_TRUE(watcher.ok());
  for (const unsigned group : {1U, 3U, 5U, 7U, 9U, 11U}) ASSERT_TRUE(watcher->join(group).ok());
  open();
  apply({local_node(), model::EncapInUse{false, true, true},
         vtep("n2", "10.65.9.2", "66:00:00:00:00:02", "172.30.1.2"),
         vtep("n2", "fd65:9::2", "66:00:00:00:06:02", "fd30:1::2"),
         remote("10.65.2.0/26", "n2", "172.30.1.2", Encap::vxlan),
         remote("fd65:2::/122", "n2", "fd30:1::2", Encap::vxlan), local_block("10.65.1.0/26"),
         workload("a", "calia1", {"10.65.1.2/32", "fd65:1::2/128"})});
  ASSERT_TRUE(settled());
  EXPECT_EQ(everything(), good);
  int messages = 0;
  ASSERT_TRUE(watcher->drain([&](const netlink::Message& m) { messages += by_a_program(m); }).ok());
  EXPECT_EQ(messages, 2);  // one route, one FDB entry
}

TEST_F(RoutePlaneDisturbed, a_changed_setting_is_put_back) {
  cluster();
  run("echo 0 > /proc/sys/net/ipv4/conf/calia1/forwarding");
  EXPECT_TRUE(until([] { return run("cat /proc/sys/net/ipv4/conf/calia1/forwarding") == "1\n"; }));
  run("echo 0 > /proc/sys/net/ipv4/ip_forward");
  EXPECT_TRUE(until([] { return run("cat /proc/sys/net/ipv4/ip_forward") == "1\n"; }));
  // The kernel does not tell of this one: the audit finds it.
  run("echo 0 > /proc/sys/net/ipv4/conf/calia1/proxy_arp");
  dataplane::RouteConfig config;
  config.audit_interval = std::chrono::milliseconds(20);
  plane_->set_config(config);
  EXPECT_TRUE(until([] { return run("cat /proc/sys/net/ipv4/conf/calia1/proxy_arp") == "1\n"; }));
}

TEST_F(RoutePlaneDisturbed, foreign_routes_are_never_touched) {
  run("ip route add 198.51.100.0/24 via 172.30.0.9 proto static;"
      "ip route add 10.65.2.0/26 via 172.30.0.8 proto static metric 1024;"
      "ip route add 10.65.7.0/26 via 172.30.0.8 proto 186;"
      "ip -6 route add fd65:7::/122 via fd30::8 proto 11");
  cluster();
  EXPECT_EQ(route("198.51.100.0/24"),
            "unicast 198.51.100.0/24 via 172.30.0.9 dev eth0 proto static scope global");
  EXPECT_NE(route("10.65.7.0/26"), "");
  EXPECT_NE(route("fd65:7::/122"), "");
  // Somebody holds the place: said, not taken.
  EXPECT_EQ(route("10.65.2.0/26"),
            "unicast 10.65.2.0/26 via 172.30.0.8 dev eth0 proto static scope global metric 1024");
  const auto status = plane_->status();
  ASSERT_EQ(status.failures.size(), 1U);
  EXPECT_EQ(status.failures[0].object, "route 10.65.2.0/26");
  EXPECT_EQ(status.failures[0].sys_errno, EEXIST);
  run("ip route del 10.65.2.0/26 proto static");
  has_route("10.65.2.0/26",
            "unicast 10.65.2.0/26 via 10.65.9.2 dev vxlan.calico proto 80 scope global metric 1024 "
            "onlink mtu 1450");
  EXPECT_EQ(plane_->status().failing, 0U);
}

TEST_F(RoutePlaneDisturbed, another_daemons_bgp_routes_stay_when_bgp_is_not_ours) {
  run("ip route add 10.99.0.0/16 via 172.30.0.9 proto 12");
  dataplane::RouteConfig config;
  config.bgp = false;
  open(config);
  apply({});
  plane_->bgp_synced();
  ASSERT_TRUE(settled());
  idle(std::chrono::milliseconds(30));
  EXPECT_NE(route("10.99.0.0/16"), "");
}

TEST_F(RoutePlaneDisturbed, fifty_thousand_foreign_changes_and_a_tiny_buffer) {
  dataplane::RouteConfig config;
  config.monitor_queue = 1;
  cluster(config);
  const std::string good = everything();
  // The loop does not come to read meanwhile; some of it is ours.
  const auto routes = [](const char* verb, const char* third) {
    run(std::string("for i in $(seq 1 98); do for j in $(seq 0 254); do echo route ") + verb +
        " 100.$i.$j.0/24 via 172.30.0.9; done; " + third + " done | ip -batch -");
  };
  routes("add", "[ $i = 50 ] && echo route del 10.65.2.0/26;");
  run("ip -6 route del fd65:1::2 metric 1024; ip neigh del 10.65.9.2 dev vxlan.calico");
  routes("del", "[ $i = 50 ] && echo route add 10.77.0.0/16 via 172.30.0.9 proto 80;");
  EXPECT_TRUE(until([&] { return plane_->status().resyncs > 0; }));
  EXPECT_TRUE(until([&] { return everything() == good; })) << everything() << "want:\n" << good;
  EXPECT_EQ(plane_->kernel_routes().size(), kernel_.size());
  EXPECT_GE(plane_->status().repairs, 3U);
}

TEST_F(RoutePlaneDisturbed, readings_that_others_interrupt_all_the_time) {
  // Enough links for a dump of several pieces.
  run("for i in $(seq 1 40); do echo link add d$i type veth peer name e$i; done | ip -batch -");
  cluster();
  const std::string good = everything();
  std::jthread storm([](const std::stop_token& stop) {
    while (!stop.stop_requested())
      run("ip link add storm type veth peer name calm && ip link del storm");
  });
  for (int i = 0; i < 5; ++i) {
    run("ip route del 10.65.2.0/26; ip addr del 10.65.9.1/32 dev vxlan.calico");
    plane_->resync();
    EXPECT_TRUE(until([&] { return everything() == good; })) << everything() << "want:\n" << good;
  }
}

// --- devices taken away ----------------------------------------------------------------------

TEST_F(RoutePlaneDisturbed, an_uplink_that_goes_takes_its_tunnels_and_brings_them_back) {
  cluster();
  apply({remote("10.65.3.0/26", "n3", "172.30.0.3", Encap::vxlan, true)});
  ASSERT_TRUE(settled());
  const std::string good = everything();
  run("ip link del eth0");  // and the kernel deletes what stands on it
  EXPECT_TRUE(until([&] { return route("10.65.3.0/26") == "" && route("10.65.2.0/26") == ""; }));
  EXPECT_TRUE(until([&] { return plane_->status().pending == 0; }));
  EXPECT_NE(route("10.65.1.2"), "") << "a pod of ours is no matter of the uplink";
  run("ip link add eth0 address 02:00:00:00:00:01 mtu 1500 type veth peer name eth0p;"
      "ip link set eth0p up; ip link set eth0 up; ip addr add 172.30.0.1/24 dev eth0;"
      "ip addr add fd30::1/64 dev eth0 nodad");
  EXPECT_TRUE(until([&] { return everything() == good; })) << everything() << "want:\n" << good;
  EXPECT_EQ(plane_->status().failing, 0U);
}

TEST_F(RoutePlaneDisturbed, an_uplink_that_goes_down_and_up) {
  cluster();
  apply({remote("10.65.3.0/26", "n3", "172.30.0.3", Encap::vxlan, true)});
  ASSERT_TRUE(settled());
  const std::string good = everything();
  run("ip link set eth0 down");
  EXPECT_TRUE(until([&] { return route("10.65.3.0/26") == ""; }));
  run("ip link set eth0 up; ip addr add fd30::1/64 dev eth0 nodad");  // down flushes IPv6's
  EXPECT_TRUE(until([&] { return everything() == good; })) << everything() << "want:\n" << good;
}

TEST_F(RoutePlaneDisturbed, the_nodes_address_goes_and_comes_back) {
  cluster();
  apply({remote("10.65.3.0/26", "n3", "172.30.0.3", Encap::vxlan, true)});
  ASSERT_TRUE(settled());
  const std::string good = everything();
  run("ip addr del 172.30.0.1/24 dev eth0; ip -6 addr del fd30::1/64 dev eth0");
  EXPECT_TRUE(until([&] { return route("10.65.3.0/26") == ""; }));
  EXPECT_NE(run("ip link show vxlan.calico").find("UP"), std::string::npos)
      << "a standing tunnel is left alone";
  run("ip addr add 172.30.0.1/24 dev eth0; ip addr add fd30::1/64 dev eth0 nodad");
  EXPECT_TRUE(until([&] { return everything() == good; })) << everything() << "want:\n" << good;
  EXPECT_EQ(plane_->status().failing, 0U);
}

TEST_F(RoutePlaneDisturbed, a_pods_interface_goes_and_one_of_that_name_comes) {
  cluster();
  const std::string good = everything();
  run("ip link del calia1");
  EXPECT_TRUE(until([&] { return route("10.65.1.2") == "" && route("fd65:1::2") == ""; }));
  EXPECT_EQ(plane_->status().failing, 0U);
  add_pod("calia1");
  EXPECT_TRUE(until([&] { return everything() == good; })) << everything() << "want:\n" << good;
}

// EEXIST: another program's tunnel has our network identifier.
TEST_F(RoutePlaneDisturbed, a_tunnel_that_the_kernel_refuses_is_named_and_made_when_it_can_be) {
  run("ip link add other type vxlan id 4096 dstport 4789 local 172.30.0.1 dev eth0 nolearning");
  open();
  apply({local_node(), model::EncapInUse{false, true, false},
         vtep("n2", "10.65.9.2", "66:00:00:00:00:02", "172.30.1.2"),
         remote("10.65.2.0/26", "n2", "172.30.1.2", Encap::vxlan), local_block("10.65.1.0/26")});
  ASSERT_TRUE(settled());
  const auto status = plane_->status();
  ASSERT_EQ(status.failures.size(), 1U);
  EXPECT_EQ(status.failures[0].object, "link vxlan.calico");
  EXPECT_EQ(status.failures[0].sys_errno, EEXIST);
  EXPECT_NE(route("10.65.1.0/26"), "") << "what does not need it stands";
  run("ip link del other");
  EXPECT_TRUE(until([&] { return route("10.65.2.0/26") != ""; }));
  EXPECT_EQ(plane_->status().failing, 0U);
}

}  // namespace
}  // namespace margay::test
