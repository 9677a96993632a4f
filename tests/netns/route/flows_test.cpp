// SPDX-License-Identifier: Apache-2.0
// Connections end when their address changes hands, and only theirs.
#include <fstream>

#include "tests/netns/route/plane_fixture.h"
#include "tests/support/temp_dir.h"

namespace margay::test {
namespace {

class RoutePlaneFlows : public PlaneTest {
 protected:
  static void flow(const std::string& from, const std::string& to, int port) {
    run("conntrack -I -p tcp -s " + from + " -d " + to + " --sport " + std::to_string(port) +
        " --dport 80 --state ESTABLISHED -t 600");
  }
  // The ports of the flows that there are.
  static std::string flows() {
    return run(
        "exec 2>/dev/null; (conntrack -L -f ipv4; conntrack -L -f ipv6) | "
        "grep -o 'sport=[0-9]* dport=80 ' | cut -d' ' -f1 | sort | tr '\\n' ' '");
  }
  // So many of others that the kernel is asked for those of an address.
  static void many_flows() {
    const TempDir dir;
    const std::string file = dir / "flows";
    std::ofstream out(file);
    for (int i = 0; i < 10'000; ++i) {
      out << "-I -p tcp -s 10.99." << i / 200 << "." << i % 200 + 1
          << " -d 172.30.0.9 --sport 2000 --dport 81 --state ESTABLISHED -t 600\n";
    }
    out.close();
    run("conntrack -R " + file);
    ASSERT_EQ(run("conntrack -C"), "10000\n");
  }
  void follow_their_address();
};

TEST_F(RoutePlaneFlows, end_when_the_address_moves_or_goes_and_survive_a_flap) {
  follow_their_address();
}

TEST_F(RoutePlaneFlows, end_among_many_others_too) {
  many_flows();
  follow_their_address();
  EXPECT_EQ(run("conntrack -C"), "10001\n");
}

void RoutePlaneFlows::follow_their_address() {
  open();
  add_pod("calia1");
  apply({workload("a", "calia1", {"10.65.1.2/32", "fd65:1::2/128"})});
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  const auto all = [] {
    flow("10.65.1.2", "172.30.0.9", 1001);
    flow("172.30.0.9", "10.65.1.2", 1002);
    flow("fd65:1::2", "fd30::9", 1003);
    flow("10.65.1.3", "172.30.0.9", 1004);  // another's
    // Translated: a service's address leads to the pod, the node's stands for it.
    run("conntrack -I -p tcp -s 172.30.0.9 -d 10.96.0.1 --sport 1005 --dport 80 -r 10.65.1.2 "
        "-q 172.30.0.9 --reply-port-src 8080 --reply-port-dst 1005 --state ESTABLISHED -t 600");
    run("conntrack -I -p tcp -s 10.65.1.2 -d 192.0.2.1 --sport 1006 --dport 80 -r 192.0.2.1 "
        "-q 172.30.0.1 --reply-port-src 80 --reply-port-dst 30000 --state ESTABLISHED -t 600");
  };
  all();
  const char* complete = "sport=1001 sport=1002 sport=1003 sport=1004 sport=1005 sport=1006 ";
  ASSERT_EQ(flows(), complete);
  run("ip link set calia1 down; ip link set calia1 up");
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia1 proto 80 scope link metric 1024");
  EXPECT_EQ(flows(), complete);
  add_pod("calia2");
  apply({workload("b", "calia2", {"10.65.1.2/32"})});
  has_route("10.65.1.2", "unicast 10.65.1.2 dev calia2 proto 80 scope link metric 1024");
  EXPECT_EQ(flows(), "sport=1003 sport=1004 ");
  apply({model::WorkloadRemove{{"k8s", "a", "eth0"}}});
  has_route("fd65:1::2", "");
  EXPECT_EQ(flows(), "sport=1004 ");
}

}  // namespace
}  // namespace margay::test
