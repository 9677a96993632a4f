// SPDX-License-Identifier: Apache-2.0
// Many routes: a random history must leave the kernel as wanted, and 100,000 routes go in and out;
// the time is printed beside that of one raw batch, not asserted.
#include <linux/rtnetlink.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <random>

#include "dataplane/netlink/rtnl.h"
#include "tests/netns/route/plane_fixture.h"

namespace margay::test {
namespace {

using dataplane::BgpRoute;

class RoutePlaneScale : public PlaneTest {
 protected:
  static double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }
  // The main table of one family as the kernel has it: routes of protocols 80 and 12.
  static std::map<std::string, std::string> ours(const std::string& family) {
    std::map<std::string, std::string> out;
    for (const char* protocol : {"80", "12"}) {
      for (const auto& r : json("ip -j " + family + " route show table main proto " + protocol)) {
        std::string how = r.value("type", "unicast") + " " + protocol;
        if (r.contains("nexthops")) {
          for (const auto& hop : r["nexthops"]) how += " " + hop.value("gateway", "");
        } else if (how.starts_with("unicast")) {
          how += " " + r.value("gateway", "") + " " + r.value("dev", "");
        }
        out[r.value("dst", "")] = how;
      }
    }
    return out;
  }
};

class RoutePlaneHistory : public RoutePlaneScale {
 protected:
  static std::string interface(int n) { return "cali" + std::to_string(n); }
  // One of several things, to one of several objects.
  void something(std::mt19937& rng);
  [[nodiscard]] std::map<std::string, std::string> wanted();

  static constexpr int kPods = 6;
  std::map<int, bool> exists, up;       // interfaces
  std::map<int, int> address;           // workload n -> last octet
  std::map<int, std::vector<int>> bgp;  // prefix n -> next hops
  std::map<int, bool> blocks;
};

void RoutePlaneHistory::something(std::mt19937& rng) {
  const int n = static_cast<int>(rng() % kPods);
  switch (rng() % 9) {
    case 0:
      if (!exists[n]) add_pod(interface(n), up[n] = rng() % 2 == 0);
      exists[n] = true;
      break;
    case 1:
      if (exists[n]) run("ip link del " + interface(n));
      exists[n] = up[n] = false;
      break;
    case 2:
      if (!exists[n]) break;
      up[n] = !up[n];
      run("ip link set " + interface(n) + (up[n] ? " up" : " down"));
      break;
    case 3:
    case 4:
      address[n] = 1 + n * 10 + static_cast<int>(rng() % 5);
      apply({workload("w" + std::to_string(n), interface(n),
                      {"10.65.1." + std::to_string(address[n]) + "/32"})});
      break;
    case 5:
      address.erase(n);
      apply({model::WorkloadRemove{{"k8s", "w" + std::to_string(n), "eth0"}}});
      break;
    case 6: {
      std::vector<int> hops;
      for (unsigned h = rng() % 4; h > 0; --h) hops.push_back(2 + static_cast<int>(rng() % 4));
      std::ranges::sort(hops);
      hops.erase(std::unique(hops.begin(), hops.end()), hops.end());
      bgp[n] = hops;
      std::vector<dataplane::BgpNextHop> list;
      for (const int h : hops) list.push_back({ip("172.30.0." + std::to_string(h)), ""});
      BgpRoute r;
      r.dst = prefix("10." + std::to_string(100 + n) + ".0.0/16");
      r.next_hops = next_hops(std::move(list));
      plane_->replace_bgp_routes({r});
      break;
    }
    case 7:
      blocks[n] = !blocks[n];
      if (blocks[n]) {
        apply({local_block("10.66." + std::to_string(n) + ".0/26")});
      } else {
        apply({model::RouteRemove{prefix("10.66." + std::to_string(n) + ".0/26")}});
      }
      break;
    default:  // somebody meddles
      run("ip route flush table main proto " + std::string(rng() % 2 ? "80" : "12"), false);
  }
}

std::map<std::string, std::string> RoutePlaneHistory::wanted() {
  std::map<std::string, std::string> want;
  for (const auto& [n, octet] : address) {
    if (exists[n] && up[n]) {
      want["10.65.1." + std::to_string(octet)] = "unicast 80  " + interface(n);
    }
  }
  for (const auto& [n, hops] : bgp) {
    if (hops.empty()) continue;
    std::string how = "unicast 12";
    for (const int h : hops) how += " 172.30.0." + std::to_string(h);
    if (hops.size() == 1) how += " eth0";
    want["10." + std::to_string(100 + n) + ".0.0/16"] = how;
  }
  for (const auto& [n, wanted] : blocks) {
    if (wanted) want["10.66." + std::to_string(n) + ".0/26"] = "blackhole 80";
  }
  return want;
}

TEST_F(RoutePlaneHistory, a_random_one_ends_as_wanted) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 rng(seed);
  open();
  plane_->bgp_synced();
  apply({local_node()});
  for (int step = 0; step < 300; ++step) {
    something(rng);
    if (rng() % 4 == 0) idle(std::chrono::milliseconds(1));
  }
  const auto want = wanted();
  EXPECT_TRUE(until([&] { return ours("") == want; }));
  EXPECT_EQ(ours(""), want);
}

TEST_F(RoutePlaneScale, a_hundred_thousand_routes) {
  constexpr std::uint32_t kRoutes = 100'000;
  const auto dst = [](std::uint32_t i) {
    return Prefix::containing(Ip::v4(0x20000000U + i * 64), 26);
  };
  open();
  plane_->bgp_synced();
  apply({});
  ASSERT_TRUE(settled());
  const auto count = [] { return run("ip route show table main proto 12 | wc -l"); };

  std::vector<BgpRoute> all(kRoutes), none(kRoutes);
  for (std::uint32_t i = 0; i < kRoutes; ++i) {
    all[i].dst = none[i].dst = dst(i);
    all[i].next_hops = next_hops({{Ip::v4(0xac1e0002U + i % 8), ""}});
  }
  const auto finished = [&](std::size_t installed) {
    return until(
        [&] {
          const auto s = plane_->status();
          return s.pending == 0 && s.routes_installed == installed;
        },
        std::chrono::seconds(60));
  };
  auto start = Clock::now();
  plane_->replace_bgp_routes(all);
  ASSERT_TRUE(finished(kRoutes));
  const double add = seconds_since(start);
  EXPECT_EQ(count(), "100000\n");

  start = Clock::now();
  plane_->resync();
  ASSERT_TRUE(finished(kRoutes));
  const double audit = seconds_since(start);

  start = Clock::now();
  plane_->replace_bgp_routes(none);
  ASSERT_TRUE(finished(0));
  const double remove = seconds_since(start);
  EXPECT_EQ(count(), "0\n");
  EXPECT_EQ(plane_->status().resyncs, 0U);

  // The same by one raw batch after another, nothing decided and nothing remembered.
  auto socket = netlink::Socket::open(0);
  ASSERT_TRUE(socket.ok());
  const auto eth0 = json("ip -j link show eth0").at(0).at("ifindex").get<std::uint32_t>();
  double raw[2];
  for (const bool removal : {false, true}) {
    start = Clock::now();
    netlink::Writer w;
    for (std::uint32_t i = 0; i < kRoutes; ++i) {
      netlink::Route r;
      r.dst = dst(i);
      r.metric = 1024;
      r.protocol = 12;
      r.hops = {{Ip::v4(0xac1e0002U + i % 8), IfIndex(eth0), 1, false}};
      encode_route(w, socket->next_seq(), removal ? netlink::Verb::remove : netlink::Verb::replace,
                   r);
      if (w.size() < 60'000 && i + 1 != kRoutes) continue;
      const auto refused = socket->transact(w.bytes());
      ASSERT_TRUE(refused.ok() && refused->empty());
      w.clear();
    }
    raw[removal] = seconds_since(start);
  }
  std::printf(
      "{\"bench\":\"routes\",\"routes\":%u,\"ours\":{\"add_s\":%.3f,\"audit_s\":%.3f,"
      "\"remove_s\":%.3f},\"raw\":{\"add_s\":%.3f,\"remove_s\":%.3f}}\n",
      kRoutes, add, audit, remove, raw[0], raw[1]);
}

}  // namespace
}  // namespace margay::test
