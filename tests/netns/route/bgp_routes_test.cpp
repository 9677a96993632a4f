// SPDX-License-Identifier: Apache-2.0
// Routes of BGP: resolution of next hops through the kernel's routes, preference, restart.
#include "tests/netns/route/plane_fixture.h"

namespace margay::test {
namespace {

using dataplane::BgpRoute;
using model::Encap;

class RoutePlaneBgp : public PlaneTest {
 protected:
  static BgpRoute via(const std::string& dst, const std::vector<std::string>& hops) {
    std::vector<dataplane::BgpNextHop> list;
    for (const std::string& hop : hops) list.push_back({ip(hop), ""});
    return {prefix(dst), next_hops(std::move(list)), false, {}};
  }
  void ready() {
    open();
    plane_->bgp_synced();
    apply({});
    ASSERT_TRUE(settled());
  }
};

TEST_F(RoutePlaneBgp, next_hops_resolve_through_connected_and_other_routes) {
  run("ip route add 192.0.2.0/24 via 172.30.0.254 proto static");
  ready();
  plane_->replace_bgp_routes({via("10.1.0.0/16", {"172.30.0.2"}), via("10.2.0.0/16", {"192.0.2.7"}),
                              via("10.3.0.0/16", {"203.0.113.1"}), via("fd01::/32", {"fd30::2"}),
                              via("10.4.0.0/16", {"172.30.0.1"})});
  has_route("10.1.0.0/16",
            "unicast 10.1.0.0/16 via 172.30.0.2 dev eth0 proto bird scope global metric 1024");
  has_route("10.2.0.0/16",
            "unicast 10.2.0.0/16 via 172.30.0.254 dev eth0 proto bird scope global metric 1024");
  has_route("fd01::/32",
            "unicast fd01::/32 via fd30::2 dev eth0 proto bird scope global metric 1024");
  EXPECT_EQ(route("10.3.0.0/16"), "");  // nothing leads there
  EXPECT_EQ(route("10.4.0.0/16"), "");  // that is ourselves
  EXPECT_EQ(plane_->status().bgp_unresolved, 2U);
  run("ip route add default via 172.30.0.253");
  has_route("10.3.0.0/16",
            "unicast 10.3.0.0/16 via 172.30.0.253 dev eth0 proto bird scope global metric 1024");
  run("ip route replace 192.0.2.0/24 via 172.30.0.252 proto static");
  has_route("10.2.0.0/16",
            "unicast 10.2.0.0/16 via 172.30.0.252 dev eth0 proto bird scope global metric 1024");
  run("ip route del default");
  has_route("10.3.0.0/16", "");
  run("ip link set eth0 down");
  has_route("10.1.0.0/16", "");
  run("ip link set eth0 up");
  has_route("10.1.0.0/16",
            "unicast 10.1.0.0/16 via 172.30.0.2 dev eth0 proto bird scope global metric 1024");
  EXPECT_EQ(plane_->status().repairs, 0U);
}

TEST_F(RoutePlaneBgp, a_workload_that_moves_away_is_followed_while_it_says_so) {
  add_pod("cali1");
  ready();
  apply({workload("w", "cali1", {"10.65.1.5/32"})});
  const char* here = "unicast 10.65.1.5 dev cali1 proto 80 scope link metric 1024";
  has_route("10.65.1.5/32", here);
  BgpRoute there = via("10.65.1.5/32", {"172.30.0.2"});
  plane_->replace_bgp_routes({there});
  ASSERT_TRUE(until([this] { return plane_->status().bgp_routes == 1; }));
  has_route("10.65.1.5/32", here);
  there.metric = 512;
  plane_->replace_bgp_routes({there});
  has_route("10.65.1.5/32",
            "unicast 10.65.1.5 via 172.30.0.2 dev eth0 proto bird scope global metric 512");
  there.next_hops = nullptr;
  plane_->replace_bgp_routes({there});
  has_route("10.65.1.5/32", here);
}

TEST_F(RoutePlaneBgp, several_next_hops_become_one_multipath_route) {
  ready();
  plane_->replace_bgp_routes(
      {via("10.1.0.0/16", {"172.30.0.3", "172.30.0.2"}), via("fd01::/32", {"fd30::2", "fd30::3"})});
  has_route("10.1.0.0/16",
            "unicast 10.1.0.0/16 proto bird scope global metric 1024\n"
            "\tnexthop via 172.30.0.2 dev eth0 weight 1\n"
            "\tnexthop via 172.30.0.3 dev eth0 weight 1");
  has_route("fd01::/32",
            "unicast fd01::/32 proto bird scope global metric 1024\n"
            "\tnexthop via fd30::2 dev eth0 weight 1\n"
            "\tnexthop via fd30::3 dev eth0 weight 1");
  run("ip -6 route del fd01::/32 via fd30::2 dev eth0");  // one leg only
  has_route("fd01::/32",
            "unicast fd01::/32 proto bird scope global metric 1024\n"
            "\tnexthop via fd30::2 dev eth0 weight 1\n"
            "\tnexthop via fd30::3 dev eth0 weight 1");
  plane_->replace_bgp_routes({via("10.1.0.0/16", {"172.30.0.3"}), via("fd01::/32", {"fd30::3"})});
  has_route("10.1.0.0/16",
            "unicast 10.1.0.0/16 via 172.30.0.3 dev eth0 proto bird scope global metric 1024");
  has_route("fd01::/32",
            "unicast fd01::/32 via fd30::3 dev eth0 proto bird scope global metric 1024");
  plane_->replace_bgp_routes({via("10.1.0.0/16", {}), via("fd01::/32", {})});
  has_route("10.1.0.0/16", "");
  has_route("fd01::/32", "");
}

TEST_F(RoutePlaneBgp, link_local_next_hop_ipv6_next_hop_for_ipv4_blackhole_and_metric) {
  ready();
  BgpRoute six = via("fd01::/32", {});
  six.next_hops = next_hops({{ip("fe80::2"), "eth0"}});
  BgpRoute hole = via("10.5.0.0/16", {});
  hole.blackhole = true;
  BgpRoute weighed = via("10.6.0.0/16", {"172.30.0.2"});
  weighed.metric = 100;
  plane_->replace_bgp_routes({six, hole, weighed, via("10.7.0.0/16", {"fd30::7"})});
  has_route("fd01::/32",
            "unicast fd01::/32 via fe80::2 dev eth0 proto bird scope global metric 1024");
  has_route("10.5.0.0/16", "blackhole 10.5.0.0/16 proto bird scope global metric 1024");
  has_route("10.6.0.0/16",
            "unicast 10.6.0.0/16 via 172.30.0.2 dev eth0 proto bird scope global metric 100");
  has_route("10.7.0.0/16",
            "unicast 10.7.0.0/16 via inet6 fd30::7 dev eth0 proto bird scope global metric 1024");
  weighed.metric = 200;
  plane_->replace_bgp_routes({weighed});
  has_route("10.6.0.0/16",
            "unicast 10.6.0.0/16 via 172.30.0.2 dev eth0 proto bird scope global metric 200");
}

TEST_F(RoutePlaneBgp, a_pod_as_next_hop) {
  ready();
  add_pod("calia1");
  apply({workload("a", "calia1", {"10.65.1.2/32"})});
  plane_->replace_bgp_routes({via("10.8.0.0/16", {"10.65.1.2"})});
  has_route(
      "10.8.0.0/16",
      "unicast 10.8.0.0/16 via 10.65.1.2 dev calia1 proto bird scope global metric 1024 onlink");
}

TEST_F(RoutePlaneBgp, classes_of_owners_in_their_order) {
  open();
  plane_->bgp_synced();
  const std::string by_bgp =
      "unicast 10.65.1.0/26 via 172.30.0.2 dev eth0 proto bird scope global metric 1024";
  apply({local_block("10.65.1.0/26")});
  has_route("10.65.1.0/26", "blackhole 10.65.1.0/26 proto 80 scope global metric 1024");
  plane_->replace_bgp_routes(
      {via("10.65.1.0/26", {"172.30.0.2"}), via("10.65.1.2/32", {"172.30.0.2"})});
  has_route("10.65.1.0/26", by_bgp);
  has_route("10.65.1.2",
            "unicast 10.65.1.2 via 172.30.0.2 dev eth0 proto bird scope global metric 1024");
  add_pod("calia1");
  apply({workload("a", "calia1", {"10.65.1.2/32"})});
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  plane_->replace_bgp_routes({via("10.65.1.0/26", {}), via("10.65.1.2/32", {})});
  has_route("10.65.1.0/26", "blackhole 10.65.1.0/26 proto 80 scope global metric 1024");
  apply({model::RouteRemove{prefix("10.65.1.0/26")}});
  has_route("10.65.1.0/26", "");
}

TEST_F(RoutePlaneBgp, who_programs_unencapsulated_pools_is_configured) {
  open();
  plane_->bgp_synced();
  plane_->replace_bgp_routes({via("10.65.2.0/26", {"172.30.0.2"})});
  apply({local_node(), model::DesiredPool{prefix("10.65.0.0/16"), Encap::none, false, false},
         remote("10.65.2.0/26", "n2", "172.30.0.2", Encap::none)});
  has_route("10.65.2.0/26",
            "unicast 10.65.2.0/26 via 172.30.0.2 dev eth0 proto bird scope global metric 1024");
  dataplane::RouteConfig config;
  config.program_cluster_routes = dataplane::ClusterRoutes::enabled;
  plane_->set_config(config);
  has_route(
      "10.65.2.0/26",
      "unicast 10.65.2.0/26 via 172.30.0.2 dev eth0 proto 80 scope global metric 1024 onlink");
}

TEST_F(RoutePlaneBgp, after_a_restart_old_routes_stay_until_bgp_has_spoken) {
  run("ip route add 10.1.0.0/16 via 172.30.0.2 proto 12 metric 1024;"
      "ip route add 10.2.0.0/16 via 172.30.0.2 proto 12 metric 1024");
  open();
  apply({});
  ASSERT_TRUE(settled());
  idle(std::chrono::milliseconds(30));
  EXPECT_NE(route("10.1.0.0/16"), "");
  EXPECT_NE(route("10.2.0.0/16"), "");
  plane_->replace_bgp_routes({via("10.1.0.0/16", {"172.30.0.2"})});
  plane_->bgp_synced();
  has_route("10.2.0.0/16", "");
  EXPECT_NE(route("10.1.0.0/16"), "");
}

TEST_F(RoutePlaneBgp, the_speaker_is_told_of_foreign_routes_and_interfaces) {
  ready();
  run("ip route add 192.0.2.0/24 via 172.30.0.254 proto static");
  const dataplane::KernelRoute want{prefix("192.0.2.0/24"), 4, 0, ip("172.30.0.254"), "eth0"};
  EXPECT_TRUE(until([&] { return std::ranges::find(kernel_, want) != kernel_.end(); }));
  run("ip addr add 172.31.0.1/24 dev eth0");
  EXPECT_TRUE(until([&] {
    return !seen_.empty() && seen_.back().name == "eth0" && seen_.back().up &&
           std::ranges::any_of(seen_.back().addresses, [](const InterfaceAddress& a) {
             return a.to_string() == "172.31.0.1/24";
           });
  }));
  const dataplane::KernelRoute connected{prefix("172.31.0.0/24"), 2, 0, std::nullopt, "eth0"};
  EXPECT_TRUE(until([&] { return std::ranges::find(kernel_, connected) != kernel_.end(); }));
  run("ip link del eth0");
  EXPECT_TRUE(until([&] { return !seen_.empty() && !seen_.back().present; }));
  EXPECT_TRUE(until([&] { return std::ranges::find(kernel_, want) == kernel_.end(); }));
}

}  // namespace
}  // namespace margay::test
