// SPDX-License-Identifier: Apache-2.0
// A node in a namespace: an uplink eth0 with 172.30.0.1/24 and fd30::1/64, workload veths on
// demand, one RoutePlane on the test's loop, and what `ip -j` says of it all.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/managers/route_plane.h"
#include "dataplane/netlink/socket.h"
#include "tests/netns/route/netns.h"

namespace margay::test {

inline Prefix prefix(const std::string& text) { return Prefix::parse(text).value(); }
inline Ip ip(const std::string& text) { return Ip::parse(text).value(); }
inline Mac mac(const std::string& text) { return Mac::parse(text).value(); }

inline model::LocalWorkload workload(const std::string& name, const std::string& interface,
                                     const std::vector<std::string>& addresses) {
  model::LocalWorkload w;
  w.id = {"k8s", name, "eth0"};
  w.interface_name = interface;
  w.mac = mac("ee:ee:ee:ee:ee:01");
  for (const std::string& a : addresses) w.addresses.push_back(prefix(a));
  return w;
}

inline model::LocalNode local_node() {
  model::LocalNode n;
  n.name = "n1";
  n.ipv4 = InterfaceAddress::parse("172.30.0.1/24").value();
  n.ipv6 = InterfaceAddress::parse("fd30::1/64").value();
  n.vxlan_v4 = ip("10.65.9.1");
  n.vxlan_v6 = ip("fd65:9::1");
  n.vxlan_mac_v4 = mac("66:00:00:00:00:01");
  n.vxlan_mac_v6 = mac("66:00:00:00:06:01");
  return n;
}

inline model::Vtep vtep(const std::string& node, const std::string& tunnel, const std::string& hw,
                        const std::string& parent) {
  return {node, ip(tunnel), mac(hw), ip(parent)};
}

inline model::RouteTarget remote(const std::string& dst, const std::string& node,
                                 const std::string& node_ip, model::Encap encap,
                                 bool same_subnet = false) {
  model::RouteTarget t;
  t.dst = prefix(dst);
  t.encap = encap;
  t.in_pool = true;
  t.same_subnet = same_subnet;
  t.node = node;
  t.node_ip = ip(node_ip);
  return t;
}

inline model::RouteTarget local_block(const std::string& dst) {
  model::RouteTarget t;
  t.dst = prefix(dst);
  t.kind = model::RouteTarget::Kind::local_block;
  t.in_pool = true;
  t.node = "n1";
  return t;
}

// A change that a program asked for; the kernel's own doings (duplicate detection ends, carriers
// come) have no port. FDB notifications never have one, and no FDB entry makes itself here.
inline bool by_a_program(const netlink::Message& m) {
  constexpr std::uint16_t kNewNeigh = 28, kDelNeigh = 29;
  constexpr std::uint8_t kBridgeFamily = 7;
  const bool fdb = (m.type == kNewNeigh || m.type == kDelNeigh) && !m.payload.empty() &&
                   m.payload[0] == kBridgeFamily;
  return m.port != 0 || fdb;
}

class PlaneTest : public NetnsTest {
 protected:
  void SetUp() override {
    NetnsTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    run("ip link add eth0 address 02:00:00:00:00:01 mtu 1500 type veth peer name eth0p");
    run("ip link set eth0p up; ip link set eth0 up; ip addr add 172.30.0.1/24 dev eth0;"
        "ip addr add fd30::1/64 dev eth0 nodad");
  }
  void TearDown() override { plane_.reset(); }

  static dataplane::BgpNextHops next_hops(std::vector<dataplane::BgpNextHop> list) {
    return std::make_shared<const std::vector<dataplane::BgpNextHop>>(std::move(list));
  }

  void open(dataplane::RouteConfig config = {}) {
    dataplane::RoutePlaneEvents events;
    events.on_interface = [this](const dataplane::InterfaceState& s) { seen_.push_back(s); };
    events.on_kernel_routes = [this](const std::vector<dataplane::KernelRoute>& r) { kernel_ = r; };
    events.on_own_routes = [this](const std::vector<dataplane::OwnRouteChange>& changes) {
      for (const auto& [r, gone] : changes) {
        own_.erase(r.dst.to_string());
        if (!gone) own_[r.dst.to_string()] = way_of(r);
      }
    };
    events.on_fatal = [](const std::string& reason) { ADD_FAILURE() << "fatal: " << reason; };
    registry_ = std::make_unique<metrics::Registry>();
    auto plane = dataplane::RoutePlane::open(loop_, std::move(config), events, *registry_);
    ASSERT_TRUE(plane.ok()) << plane.error().message();
    plane_ = std::move(*plane);
  }
  static std::string way_of(const dataplane::KernelRoute& r) {
    return (r.gateway ? "via " + r.gateway->to_string() + " " : std::string()) + "dev " +
           r.interface;
  }
  void apply(std::vector<model::Change> changes, bool in_sync = true) {
    plane_->apply({std::move(changes), in_sync});
  }
  bool settled() {
    return until([this] { return plane_->status().applied && plane_->status().pending == 0; });
  }
  static void add_pod(const std::string& interface, bool up = true) {
    run("ip link add " + interface + " type veth peer name p" + interface);
    run("ip link set p" + interface + " up");
    if (up) run("ip link set " + interface + " up");
  }

  // The route as `ip route show` has it, without the parts that only a person reads; empty if none.
  static std::string route(const std::string& dst) {
    const bool v6 = dst.find(':') != std::string::npos;
    std::string out =
        run(std::string("ip ") + (v6 ? "-6 " : "") + "-d route show exact " + dst + " table main");
    for (const char* noise : {" pref medium", " \n"}) {
      for (auto at = out.find(noise); at != std::string::npos; at = out.find(noise)) {
        out.replace(at, std::string(noise).size(), noise[1] == '\n' ? "\n" : "");
      }
    }
    while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
    return out;
  }
  bool has_route(const std::string& dst, const std::string& text) {
    const bool met = until([&] { return route(dst) == text; }, std::chrono::milliseconds(2000));
    EXPECT_EQ(route(dst), text) << dst;
    return met;
  }

  std::unique_ptr<metrics::Registry> registry_;
  std::unique_ptr<dataplane::RoutePlane> plane_;
  std::vector<dataplane::InterfaceState> seen_;
  std::vector<dataplane::KernelRoute> kernel_;
  std::map<std::string, std::string> own_;  // what was told of our own routes
};

}  // namespace margay::test
