// SPDX-License-Identifier: Apache-2.0
// Who announces our routes is told which of them stand.
#include "tests/netns/route/plane_fixture.h"

namespace margay::test {
namespace {

using Own = std::map<std::string, std::string>;
using model::Encap;

class RoutePlaneOwn : public PlaneTest {
 protected:
  // A block behind the tunnel, one on our subnet, one of ours, and a pod.
  void ready() {
    add_pod("cali1");
    open();
    plane_->bgp_synced();
    apply({local_node(), model::EncapInUse{.vxlan_v4 = true, .vxlan_v6 = true},
           vtep("n2", "10.65.2.1", "66:00:00:00:00:02", "172.30.9.2"),
           vtep("n2", "fd65:2::1", "66:00:00:00:06:02", "fd30:9::2"),
           remote("10.65.2.0/26", "n2", "172.30.9.2", Encap::vxlan),
           remote("fd65:2::/122", "n2", "fd30:9::2", Encap::vxlan),
           remote("10.65.3.0/26", "n3", "172.30.0.3", Encap::vxlan, true),
           local_block("10.65.1.0/26"), workload("w1", "cali1", {"10.65.1.5/32"})});
    ASSERT_TRUE(settled());
  }
  Own all() const {
    Own out;
    for (const auto& [r, gone] : plane_->own_routes()) {
      out[r.dst.to_string()] = way_of(r);
      EXPECT_FALSE(gone);
    }
    return out;
  }
  bool told(const Own& want) {
    const bool met = until([&] { return own_ == want && all() == want; });
    EXPECT_EQ(own_, want);
    EXPECT_EQ(all(), want);
    return met;
  }
  const Own all_{{"10.65.1.5/32", "dev cali1"},
                 {"10.65.2.0/26", "via 10.65.2.1 dev vxlan.calico"},
                 {"10.65.3.0/26", "via 172.30.0.3 dev eth0"},
                 {"fd65:2::/122", "via fd65:2::1 dev vxlan-v6.calico"}};
};

TEST_F(RoutePlaneOwn, routes_are_told_when_they_stand_and_when_they_go) {
  ready();
  ASSERT_TRUE(told(all_)) << "neither the blackhole nor the way to the gateway of IPv6";
  Own want = all_;
  run("ip link set cali1 down");
  want.erase("10.65.1.5/32");
  told(want);
  run("ip link set cali1 up");
  told(all_);
  apply({remote("10.65.2.0/26", "n2", "172.30.0.2", Encap::vxlan, true)});
  want = all_;
  want["10.65.2.0/26"] = "via 172.30.0.2 dev eth0";
  told(want);
  apply({model::RouteRemove{prefix("10.65.2.0/26")}, model::RouteRemove{prefix("10.65.3.0/26")}});
  want.erase("10.65.2.0/26");
  want.erase("10.65.3.0/26");
  told(want);
}

TEST_F(RoutePlaneOwn, routes_of_bgp_are_not_among_them) {
  ready();
  dataplane::BgpRoute r;
  r.dst = prefix("192.0.2.0/24");
  r.next_hops = next_hops({{ip("172.30.0.9"), ""}});
  plane_->replace_bgp_routes({r});
  ASSERT_TRUE(until([] { return !route("192.0.2.0/24").empty(); }));
  told(all_);
}

TEST_F(RoutePlaneOwn, what_stands_from_an_earlier_run_is_told_too) {
  ready();
  ASSERT_TRUE(told(all_));
  plane_.reset();
  own_.clear();
  open();
  plane_->bgp_synced();
  apply({local_node(), workload("w1", "cali1", {"10.65.1.5/32"})});
  told({{"10.65.1.5/32", "dev cali1"}});
}

}  // namespace
}  // namespace margay::test
