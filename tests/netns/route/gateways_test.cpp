// SPDX-License-Identifier: Apache-2.0
// Addresses that workload interfaces carry for BGP: given, kept, taken away, and nobody else's.
#include "tests/netns/route/plane_fixture.h"

namespace margay::test {
namespace {

class RoutePlaneGateways : public PlaneTest {
 protected:
  static dataplane::RouteConfig wants(const std::string& interface,
                                      const std::vector<std::string>& addresses) {
    dataplane::RouteConfig config;
    for (const std::string& a : addresses) config.workload_gateways[interface].insert(ip(a));
    return config;
  }
  bool carries(const std::string& interface, const std::string& addresses) {
    const auto have = [&] {
      return run("ip -o addr show dev " + interface +
                     " | grep -v 'proto kernel_ll\\|scope link' | grep -o 'inet6* [^ ]*' | sort | "
                     "tr '\n' ' '",
                 false);
    };
    const bool met = until([&] { return have() == addresses; }, std::chrono::seconds(20));
    EXPECT_EQ(have(), addresses) << interface;
    return met;
  }
};

constexpr const char* kBoth = "inet 169.254.1.2/32 inet6 fd00::2/128 ";

TEST_F(RoutePlaneGateways, workload_interfaces_carry_them_for_as_long_as_they_are_wanted) {
  open(wants("calia1", {"169.254.1.2", "fd00::2"}));
  apply({workload("a", "calia1", {"10.65.1.2/32"})});
  ASSERT_TRUE(settled());
  add_pod("calia1", false);
  add_pod("calib1");
  run("ip link set calia1 up");
  carries("calia1", kBoth);
  run("ip addr del 169.254.1.2/32 dev calia1; ip -6 addr del fd00::2/128 dev calia1");
  carries("calia1", kBoth);
  run("ip link set calia1 down");  // takes IPv6's away
  run("ip link set calia1 up");
  carries("calia1", kBoth);
  run("ip link del calia1");
  add_pod("calia1");
  carries("calia1", kBoth);
  carries("calib1", "");
  plane_->set_config(wants("calia1", {"169.254.1.3"}));
  carries("calia1", "inet 169.254.1.3/32 ");
  plane_->set_config({});
  carries("calia1", "");
  EXPECT_EQ(plane_->status().failing, 0U);
}

TEST_F(RoutePlaneGateways, what_an_earlier_run_gave_goes_and_others_stay) {
  add_pod("calia1");
  run("ip addr add 192.0.2.9/32 dev calia1");
  open(wants("calia1", {"169.254.1.2", "192.0.2.9"}));
  apply({});
  ASSERT_TRUE(settled());
  carries("calia1", "inet 169.254.1.2/32 inet 192.0.2.9/32 ");
  plane_.reset();
  open();
  apply({});
  ASSERT_TRUE(settled());
  carries("calia1", "inet 192.0.2.9/32 ");
}

TEST_F(RoutePlaneGateways, an_interface_that_is_no_workloads_is_not_touched) {
  const std::string own = "inet 172.30.0.1/24 inet6 fd30::1/64 ";
  auto config = wants("eth0", {"169.254.1.2"});
  open(config);
  apply({});
  ASSERT_TRUE(settled());
  carries("eth0", own);
  config.workload_prefixes = {"cali", "eth"};
  plane_->set_config(config);
  carries("eth0", "inet 169.254.1.2/32 " + own);
  plane_->set_config({});  // nor what was one
  idle(std::chrono::milliseconds(100));
  carries("eth0", "inet 169.254.1.2/32 " + own);
}

}  // namespace
}  // namespace margay::test
