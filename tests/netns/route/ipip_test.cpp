// SPDX-License-Identifier: Apache-2.0
// IPIP pools: the shape of tunl0, and whose routes lead into it. Where the kernel has no IPIP a
// veth bears the name: to routes it is a device like any other.
#include "tests/netns/route/plane_fixture.h"

namespace margay::test {
namespace {

using dataplane::BgpRoute;
using dataplane::ClusterRoutes;
using model::Encap;

constexpr const char* kFar = "10.66.2.0/26";   // a block behind a router
constexpr const char* kNear = "10.66.3.0/26";  // one of our own subnet

class RoutePlaneIpip : public PlaneTest {
 protected:
  // The kernel's own, if it has one.
  static void make_device() {
    run("ip link show tunl0 || { ip link add tunl0 type veth peer name tunl0p; "
        "ip link set tunl0p up; }");
  }
  static bool kernel_has_ipip() {
    return run("ip link show tunl0", false).find("link/ipip") != std::string::npos;
  }
  static std::vector<model::Change> cluster(bool cross_subnet = true) {
    model::LocalNode node = local_node();
    node.ipip_v4 = ip("10.66.1.1");
    model::DesiredPool pool;
    pool.cidr = prefix("10.66.0.0/16");
    pool.encap = Encap::ipip;
    pool.cross_subnet = cross_subnet;
    return {node, model::EncapInUse{true, false, false}, pool,
            remote(kFar, "n2", "172.30.9.2", Encap::ipip),
            remote(kNear, "n3", "172.30.0.3", Encap::ipip, cross_subnet)};
  }
  static std::string device() {
    return run(
        "ip -o link show tunl0 | grep -o -e ',UP' -e 'mtu [0-9]*' | tr '\n' ' ';"
        "ip -o addr show dev tunl0 scope global | grep -o 'inet6* [^ ]*' | tr '\n' ' '");
  }
  bool has_device(const std::string& shape) {
    const bool met = until([&] { return device() == shape; }, std::chrono::seconds(20));
    EXPECT_EQ(device(), shape);
    return met;
  }
  static dataplane::RouteConfig of_bgp() {
    dataplane::RouteConfig config;
    config.program_cluster_routes = ClusterRoutes::disabled;
    return config;
  }
  static BgpRoute via(const std::string& dst, const std::vector<std::string>& hops) {
    std::vector<dataplane::BgpNextHop> list;
    for (const std::string& hop : hops) list.push_back({ip(hop), ""});
    return {prefix(dst), next_hops(std::move(list)), false, {}};
  }
};

constexpr const char* kFarByAgent =
    "unicast 10.66.2.0/26 via 172.30.9.2 dev tunl0 proto 80 scope global metric 1024 onlink mtu "
    "1480";
constexpr const char* kNearByAgent =
    "unicast 10.66.3.0/26 via 172.30.0.3 dev eth0 proto 80 scope global metric 1024 onlink";

TEST_F(RoutePlaneIpip, the_agents_routes_lead_through_the_device_as_the_pool_says) {
  make_device();
  run("ip addr add 10.9.9.9/32 dev tunl0");
  open();
  apply(cluster());
  has_device(",UP mtu 1480 inet 10.66.1.1/32 ");
  has_route(kFar, kFarByAgent);
  has_route(kNear, kNearByAgent);
  EXPECT_TRUE(until([&] { return own_.contains(kFar); }));
  EXPECT_EQ(own_[kFar], "via 172.30.9.2 dev tunl0");
  // A tunnel address that its node borrowed is reached like a block.
  model::RouteTarget borrowed = remote("10.66.7.7/32", "n2", "172.30.9.2", Encap::ipip);
  borrowed.kind = model::RouteTarget::Kind::remote_tunnel;
  apply({borrowed});
  has_route("10.66.7.7",
            "unicast 10.66.7.7 via 172.30.9.2 dev tunl0 proto 80 scope global metric 1024 onlink "
            "mtu 1480");
  auto always = cluster(false);
  apply(always);
  has_route(kNear,
            "unicast 10.66.3.0/26 via 172.30.0.3 dev tunl0 proto 80 scope global metric 1024 "
            "onlink mtu 1480");
  EXPECT_EQ(plane_->status().failing, 0U);
  EXPECT_EQ(plane_->status().repairs, 0U);
}

TEST_F(RoutePlaneIpip, settings_change_while_it_stands) {
  make_device();
  open();
  apply(cluster());
  has_route(kFar, kFarByAgent);
  dataplane::RouteConfig config;
  config.ipip_mtu = 1400;
  plane_->set_config(config);
  has_device(",UP mtu 1400 inet 10.66.1.1/32 ");
  EXPECT_TRUE(until([] { return route(kFar).ends_with("mtu 1400"); })) << route(kFar);
  model::LocalNode node = local_node();  // no address of its own any more
  apply({node});
  has_device(",UP mtu 1400 ");
  EXPECT_TRUE(until([] { return route(kFar) != ""; })) << "the last address took it along";
  config.program_cluster_routes = ClusterRoutes::enabled_no_encap_only;
  plane_->set_config(config);
  has_route(kFar, "");
  has_route(kNear, "");
  apply(cluster());
  has_device(",UP mtu 1400 inet 10.66.1.1/32 ");
  apply({model::EncapInUse{}});  // the kernel's device stays
  has_device(",UP mtu 1400 ");
  EXPECT_EQ(plane_->status().failing, 0U);
}

TEST_F(RoutePlaneIpip, whatever_is_taken_away_comes_back) {
  make_device();
  open();
  apply(cluster());
  has_route(kFar, kFarByAgent);
  const std::string good = device();
  for (const char* disturbance :
       {"ip addr del 10.66.1.1/32 dev tunl0", "ip addr add 10.66.9.66/32 dev tunl0",
        "ip link set tunl0 mtu 1300", "ip link set tunl0 down", "ip route del 10.66.2.0/26",
        "ip route replace 10.66.2.0/26 via 172.30.0.9 dev eth0 metric 1024"}) {
    SCOPED_TRACE(disturbance);
    run(disturbance);
    has_device(good);
    EXPECT_TRUE(until([] { return route(kFar) == kFarByAgent; }, std::chrono::seconds(20)))
        << route(kFar);
  }
  EXPECT_EQ(plane_->status().failing, 0U);
  run("ip link del tunl0", false);  // the kernel's own does not mind
  ASSERT_TRUE(until([] { return !kernel_has_ipip() || route(kFar) == kFarByAgent; }));
  if (kernel_has_ipip()) return;
  EXPECT_TRUE(until([] { return route(kFar) == ""; }));
  make_device();
  has_device(good);
  EXPECT_TRUE(until([] { return route(kFar) == kFarByAgent; }, std::chrono::seconds(20)));
}

TEST_F(RoutePlaneIpip, without_a_device_all_the_rest_is_there_and_the_remedy_is_told) {
  add_pod("calia1");
  open();
  apply(cluster());
  apply({workload("a", "calia1", {"10.66.1.2/32"}), local_block("10.66.1.0/26")});
  ASSERT_TRUE(settled());
  has_route(kNear, kNearByAgent);
  EXPECT_NE(route("10.66.1.2"), "");
  EXPECT_NE(route("10.66.1.0/26"), "");
  if (kernel_has_ipip()) {
    has_route(kFar, kFarByAgent);
    return;
  }
  EXPECT_EQ(route(kFar), "");
  const auto status = plane_->status();
  ASSERT_EQ(status.failures.size(), 1U);
  EXPECT_EQ(status.failures[0].object, "link tunl0");
  EXPECT_EQ(status.failures[0].sys_errno, EOPNOTSUPP);
  EXPECT_EQ(status.failures[0].reason, "this kernel has no IPIP: load its module (modprobe ipip)");
  EXPECT_TRUE(until([&] { return !plane_->status().behind_since; })) << "the rest is no worse off";
  make_device();
  has_route(kFar, kFarByAgent);
  EXPECT_TRUE(until([&] { return plane_->status().failing == 0; }));
}

TEST_F(RoutePlaneIpip, what_bgp_brings_of_its_pools_goes_through_the_device_too) {
  make_device();
  open(of_bgp());
  plane_->bgp_synced();
  run("ip route add default via 172.30.0.254");
  apply(cluster());
  plane_->replace_bgp_routes({via(kFar, {"172.30.9.2"}), via(kNear, {"172.30.0.3"}),
                              via("10.66.4.0/26", {"172.30.9.2", "172.30.0.3", "172.30.9.9"}),
                              via("10.66.5.0/26", {"fd30::3"}),
                              via("198.51.100.0/24", {"172.30.9.2"})});
  has_route(kFar,
            "unicast 10.66.2.0/26 via 172.30.9.2 dev tunl0 proto bird scope global metric 1024 "
            "onlink");
  has_route(kNear,
            "unicast 10.66.3.0/26 via 172.30.0.3 dev eth0 proto bird scope global metric 1024");
  const auto has_all = [&](const std::vector<std::string>& parts) {
    return until([&] {
      const std::string have = route("10.66.4.0/26");
      return std::ranges::all_of(
          parts, [&](const std::string& p) { return have.find(p) != std::string::npos; });
    });
  };
  EXPECT_TRUE(has_all({"nexthop via 172.30.9.2 dev tunl0 weight 1 onlink",
                       "nexthop via 172.30.9.9 dev tunl0 weight 1 onlink",
                       "nexthop via 172.30.0.3 dev eth0 weight 1"}))
      << route("10.66.4.0/26");
  EXPECT_EQ(route("10.66.5.0/26"), "") << "no IPv6 in an IPv4 tunnel";
  has_route("198.51.100.0/24",
            "unicast 198.51.100.0/24 via 172.30.0.254 dev eth0 proto bird scope global metric "
            "1024");
  apply(cluster(false));  // Always
  has_route(kNear,
            "unicast 10.66.3.0/26 via 172.30.0.3 dev tunl0 proto bird scope global metric 1024 "
            "onlink");
  run("ip link set tunl0 down");
  EXPECT_TRUE(until([] { return route(kFar).find("dev tunl0") != std::string::npos; }));
  run("ip route del default");  // nobody knows the way to the end of the tunnel
  has_route(kFar, "");
  EXPECT_NE(route(kNear), "");
  apply({model::EncapInUse{}});  // IpInIpEnabled: false
  has_route(kNear, "");
  EXPECT_EQ(plane_->status().failing, 0U);
}

// A workload that speaks BGP announces what lies behind itself.
TEST_F(RoutePlaneIpip, to_a_workload_of_ours_no_tunnel_leads) {
  make_device();
  add_pod("calia1");
  open(of_bgp());
  plane_->bgp_synced();
  apply(cluster());
  apply({workload("a", "calia1", {"10.66.1.2/32"})});
  plane_->replace_bgp_routes({via("10.66.6.0/26", {"10.66.1.2"})});
  has_route("10.66.6.0/26",
            "unicast 10.66.6.0/26 via 10.66.1.2 dev calia1 proto bird scope global metric 1024 "
            "onlink");
}

// It would hold ours up for good; outside of the tunnel it is another daemon's.
TEST_F(RoutePlaneIpip, what_bird_left_in_the_tunnel_gives_way) {
  make_device();
  run("ip link set tunl0 up;"
      "ip route add 10.66.2.0/26 via 172.30.9.9 dev tunl0 onlink proto bird metric 1024;"
      "ip route add 10.66.8.0/26 via 172.30.9.9 dev tunl0 onlink proto bird;"
      "ip route add 10.99.0.0/16 via 172.30.0.9 proto bird");
  dataplane::RouteConfig config;
  config.bgp = false;
  open(config);
  apply(cluster());
  has_route(kFar, kFarByAgent);
  has_route("10.66.8.0/26", "");
  EXPECT_NE(route("10.99.0.0/16"), "");
}

}  // namespace
}  // namespace margay::test
