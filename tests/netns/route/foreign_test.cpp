// SPDX-License-Identifier: Apache-2.0
// Routing daemons beside us: what of theirs matters is seen, the rest costs nothing.
#include "tests/netns/route/plane_fixture.h"

namespace margay::test {
namespace {

using dataplane::BgpRoute;

class RoutePlaneForeign : public PlaneTest {
 protected:
  void ready() {
    open();
    plane_->bgp_synced();
    apply({local_node(), model::DesiredPool{prefix("10.65.0.0/16")}});
    ASSERT_TRUE(settled());
  }
  static BgpRoute via(const std::string& dst, const std::string& hop) {
    return {prefix(dst), next_hops({{ip(hop), ""}}), false, {}};
  }
  bool remembers(const std::string& dst) const {
    return std::ranges::any_of(plane_->kernel_routes(),
                               [&](const auto& r) { return r.dst == prefix(dst); });
  }
  std::uint64_t steps() const {
    const std::string text = registry_->text();
    const std::string name = "margay_route_step_seconds_count ";
    const auto at = text.find(name);
    return at == std::string::npos ? 0 : std::stoull(text.substr(at + name.size()));
  }
};

TEST_F(RoutePlaneForeign, a_daemons_far_routes_are_neither_remembered_nor_heard) {
  run("ip route add 100.64.0.0/24 via 172.30.0.9 proto bgp;"
      "ip route add 100.65.0.0/24 via 172.30.0.9 proto static;"
      "ip -6 route add 2001:db8:1::/48 via fd30::9 proto zebra");
  ready();
  EXPECT_TRUE(remembers("100.65.0.0/24"));
  EXPECT_FALSE(remembers("100.64.0.0/24"));
  EXPECT_FALSE(remembers("2001:db8:1::/48"));
  idle(std::chrono::milliseconds(30));
  const auto before = steps();
  run("for i in $(seq 1 200); do echo route add 101.0.$i.0/24 via 172.30.0.9 proto bgp;"
      "echo route add 2001:db8:2:$i::/64 via fd30::9 proto bgp; done | ip -batch -");
  idle(std::chrono::milliseconds(50));
  EXPECT_EQ(steps(), before);
  run("ip route add 10.65.7.0/26 via 172.30.0.9 proto bgp");  // within the pool
  EXPECT_TRUE(until([this] { return remembers("10.65.7.0/26"); }));
}

TEST_F(RoutePlaneForeign, what_leads_to_a_next_hop_matters_from_then_on) {
  ready();
  run("ip route add 198.51.100.0/24 via 172.30.0.9 proto ospf");  // nobody asks for it yet
  idle(std::chrono::milliseconds(30));
  EXPECT_FALSE(remembers("198.51.100.0/24"));
  plane_->replace_bgp_routes({via("192.0.2.0/24", "198.51.100.7")});
  has_route("192.0.2.0/24",
            "unicast 192.0.2.0/24 via 172.30.0.9 dev eth0 proto bird scope global metric 1024");
  run("ip route add 198.51.100.7/32 via 172.30.0.8 proto ospf");
  has_route("192.0.2.0/24",
            "unicast 192.0.2.0/24 via 172.30.0.8 dev eth0 proto bird scope global metric 1024");
}

TEST_F(RoutePlaneForeign, a_far_place_that_a_daemon_holds_is_not_taken_until_it_is_free) {
  run("ip route add 192.0.2.0/24 via 172.30.0.9 proto bgp metric 1024;"
      "ip -6 route add 2001:db8:2::/48 via fd30::9 proto bgp metric 1024");
  ready();
  plane_->replace_bgp_routes(
      {via("192.0.2.0/24", "172.30.0.2"), via("2001:db8:2::/48", "fd30::2")});
  EXPECT_TRUE(until([this] { return plane_->status().failing == 2; }));
  EXPECT_EQ(route("192.0.2.0/24"),
            "unicast 192.0.2.0/24 via 172.30.0.9 dev eth0 proto bgp scope global metric 1024");
  EXPECT_EQ(plane_->status().failures.at(0).sys_errno, EEXIST);
  run("ip route del 192.0.2.0/24; ip -6 route del 2001:db8:2::/48");
  has_route("192.0.2.0/24",
            "unicast 192.0.2.0/24 via 172.30.0.2 dev eth0 proto bird scope global metric 1024");
  has_route("2001:db8:2::/48",
            "unicast 2001:db8:2::/48 via fd30::2 dev eth0 proto bird scope global metric 1024");
  EXPECT_TRUE(until([this] { return plane_->status().failing == 0; }));
}

TEST_F(RoutePlaneForeign, a_far_route_of_ours_that_a_daemon_replaces_is_put_back) {
  ready();
  plane_->replace_bgp_routes({via("192.0.2.0/24", "172.30.0.2")});
  const char* ours =
      "unicast 192.0.2.0/24 via 172.30.0.2 dev eth0 proto bird scope global metric 1024";
  has_route("192.0.2.0/24", ours);
  run("ip route replace 192.0.2.0/24 via 172.30.0.9 proto bgp metric 1024");
  has_route("192.0.2.0/24", ours);
  EXPECT_EQ(plane_->status().repairs, 1U);
}

}  // namespace
}  // namespace margay::test
