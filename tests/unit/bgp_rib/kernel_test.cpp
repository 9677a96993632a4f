// SPDX-License-Identifier: Apache-2.0
// Routes learnt from the kernel: what peers are told of them, what the kernel still gets, filters
// by interface, and next hops that nothing leads to (spec bgp.md 3.2, 6 and 8).
#include <gtest/gtest.h>

#include "tests/unit/bgp_rib/bench_rib.h"

namespace margay::bgp {
namespace {

using Options = RibBench::PeerOptions;

LearntRoute route(const std::string& p, const std::string& gateway, const std::string& interface,
                  std::uint32_t metric = 0) {
  const auto via = gateway.empty() ? std::nullopt : std::optional(ip(gateway));
  return {prefix(p), via, interface, metric};
}
// What every node has.
std::vector<LearntRoute> with(std::vector<LearntRoute> more) {
  more.push_back(route("10.1.0.0/24", "", "eth0"));
  more.push_back(route("0.0.0.0/0", "10.1.0.254", "eth0"));
  return more;
}

// A pool that this node's own subnet is not in.
struct Bench : RibBench {
  Bench() {
    config.export_policy.pools = {prefix("10.65.0.0/16")};
    rib.set_config(config);
  }
};

FilterList interface_filter(const std::string& glob, bool accept, bool import = false) {
  auto filter = std::make_shared<Filter>();
  FilterRule rule;
  rule.interface = glob;
  rule.accept = accept;
  (import ? filter->import_v4 : filter->export_v4) = {rule};
  return {filter};
}

struct Row {
  const char* name;
  LearntRoute route;
  bool internal;
  NextHopMode mode;
  FilterList filters;
  const char* next_hop;  // empty: not told
  std::uint32_t priority = kNormalPriority;
};

TEST(RibKernel, offers_what_it_learns_as_the_policy_says) {
  const auto automatic = NextHopMode::automatic, self = NextHopMode::self, keep = NextHopMode::keep,
             keep_external = NextHopMode::keep_external;
  const auto in_pool = route("10.65.0.0/24", "10.1.0.9", "eth1");
  const auto tunnel = route("10.65.0.0/24", "10.1.0.9", "vxlan.calico");
  const auto own = "10.1.0.1", gateway = "10.1.0.9";
  const Row rows[] = {
      {"iBGP: the gateway", in_pool, true, automatic, {}, gateway},
      {"iBGP, self", in_pool, true, self, {}, own},
      {"iBGP, keep", in_pool, true, keep, {}, gateway},
      {"iBGP, original kept on eBGP only", in_pool, true, keep_external, {}, gateway},
      {"eBGP: ourselves", in_pool, false, automatic, {}, own},
      {"eBGP, keep", in_pool, false, keep, {}, gateway},
      {"eBGP, original kept", in_pool, false, keep_external, {}, gateway},
      {"without a gateway", route("10.65.0.0/24", "", "eth1"), true, keep, {}, own},
      {"outside of pools", route("192.0.2.0/24", "10.1.0.9", "eth1"), true, automatic, {}, ""},
      {"outside of pools, but a filter accepts", route("192.0.2.0/24", "10.1.0.9", "eth1"), true,
       automatic, interface_filter("eth1", true), gateway},
      {"a filter that names another interface", route("192.0.2.0/24", "10.1.0.9", "eth1"), true,
       automatic, interface_filter("eth2*", true), ""},
      {"a filter rejects by interface", in_pool, true, automatic, interface_filter("eth*", false),
       ""},
      {"into a tunnel, iBGP", tunnel, true, automatic, {}, ""},
      {"into a tunnel, eBGP", tunnel, false, automatic, {}, own},
      {"into tunl0, iBGP", route("10.65.0.0/24", "10.1.0.9", "tunl0"), true, automatic, {}, ""},
      {"into the IPv6 tunnel's sort",
       route("10.65.0.0/24", "", "vxlan-v6.calico"),
       true,
       automatic,
       {},
       ""},
      {"to eBPF's device", route("10.65.0.0/24", "", "bpfin.cali"), false, automatic, {}, ""},
      {"a metric is a priority",
       route("10.65.0.0/24", "10.1.0.9", "eth1", 2000),
       true,
       automatic,
       {},
       gateway,
       2000},
      {"inside an own block", route("10.65.9.1/32", "10.1.0.9", "eth1"), true, automatic, {}, ""},
      {"inside an own block, preferred",
       route("10.65.9.1/32", "10.1.0.9", "eth1", 512),
       true,
       automatic,
       {},
       gateway,
       512},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    Bench b;
    b.config.export_policy.own_blocks = {prefix("10.65.9.0/26")};
    b.rib.set_config(b.config);
    const auto target =
        b.peer(2, Options{.internal = row.internal, .next_hop = row.mode, .filters = row.filters});
    b.rib.set_kernel_routes(with({row.route}));
    b.settle();
    EXPECT_TRUE(b.kernel.empty()) << "not back to where it came from";
    const std::string p = row.route.prefix.to_string();
    if (*row.next_hop == '\0') {
      EXPECT_FALSE(b.told(target).contains(p));
      continue;
    }
    ASSERT_TRUE(b.told(target).contains(p));
    const auto& a = b.told(target, p);
    EXPECT_EQ(a.next_hop, ip(row.next_hop));
    if (row.internal) {
      EXPECT_EQ(a.local_pref, kPreferenceBase - row.priority);
    }
    b.rib.set_kernel_routes(with({}));
    b.settle();
    EXPECT_TRUE(b.told(target).empty()) << "gone with the route";
  }
}

TEST(RibKernel, where_bgp_has_the_ipip_pools_the_mesh_hears_of_the_tunnel) {
  Bench b;
  const auto target = b.peer(2, Options{.internal = true});
  b.rib.set_kernel_routes(with({route("10.65.0.0/24", "10.1.0.9", "tunl0"),
                                route("10.65.1.0/24", "10.1.0.9", "vxlan.calico")}));
  b.settle();
  EXPECT_TRUE(b.told(target).empty());
  b.config.export_policy.ipip_is_ours = true;
  b.rib.set_config(b.config);
  b.settle();
  EXPECT_TRUE(b.told(target).contains("10.65.0.0/24"));
  EXPECT_EQ(b.told(target).size(), 1U);
}

std::vector<DataplaneChange> ours(const LearntRoute& route, bool gone = false) {
  return {{route, gone}};
}

// A node 10.1.0.7 with the tunnel address 10.65.7.1 holds the block.
TEST(RibKernel, offers_what_the_dataplane_keeps_as_the_policy_says) {
  const auto automatic = NextHopMode::automatic, self = NextHopMode::self, keep = NextHopMode::keep,
             keep_external = NextHopMode::keep_external;
  const auto near = route("10.65.7.0/26", "10.1.0.7", "eth0", 1024);
  const auto far = route("10.65.7.0/26", "10.65.7.1", "vxlan.calico", 1024);
  const auto pod = route("10.65.7.9/32", "", "cali1", 1024);
  const auto own = "10.1.0.1";
  const Row rows[] = {
      {"a block on our subnet, iBGP: its node", near, true, automatic, {}, "10.1.0.7"},
      {"iBGP, self", near, true, self, {}, own},
      {"eBGP: ourselves", near, false, automatic, {}, own},
      {"eBGP, keep: its node", near, false, keep, {}, "10.1.0.7"},
      {"eBGP, original kept: its node", near, false, keep_external, {}, "10.1.0.7"},
      {"a block behind the tunnel, iBGP", far, true, automatic, {}, ""},
      {"eBGP: ourselves, whoever has it", far, false, automatic, {}, own},
      {"eBGP, keep: the tunnel's address", far, false, keep, {}, "10.65.7.1"},
      {"a filter rejects tunnels", far, false, automatic, interface_filter("vxlan*", false), ""},
      {"a pod outside of our blocks", pod, true, automatic, {}, own},
      {"a pod in our block", route("10.65.9.9/32", "", "cali1", 1024), false, automatic, {}, ""},
      {"a pod that moves here", route("10.65.9.9/32", "", "cali1", 512), false, automatic, {}, own},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    Bench b;
    b.config.export_policy.own_blocks = {prefix("10.65.9.0/26")};
    b.rib.set_config(b.config);
    const auto target =
        b.peer(2, Options{.internal = row.internal, .next_hop = row.mode, .filters = row.filters});
    b.rib.set_kernel_routes(with({}));
    b.rib.change_dataplane_routes(ours(row.route));
    b.settle();
    EXPECT_TRUE(b.kernel.empty()) << "not back to where it came from";
    const std::string p = row.route.prefix.to_string();
    EXPECT_EQ(b.told(target).contains(p), *row.next_hop != '\0');
    if (b.told(target).contains(p)) {
      EXPECT_EQ(b.told(target, p).next_hop, ip(row.next_hop));
    }
    b.rib.change_dataplane_routes(ours(row.route, true));
    b.settle();
    EXPECT_TRUE(b.told(target).empty()) << "gone with the route";
  }
}

TEST(RibKernel, what_the_dataplane_keeps_leads_to_no_next_hop) {
  Bench b;
  const auto source = b.peer(2, Options{.internal = false}), target = b.peer(3);
  b.rib.set_kernel_routes({route("10.1.0.0/24", "", "eth0")});
  b.rib.change_dataplane_routes(ours(route("10.65.7.0/26", "10.65.7.1", "vxlan.calico", 1024)));
  b.announce(source, {"10.65.200.0/24"}, attributes("10.65.7.5", {65001}));
  b.settle();
  EXPECT_FALSE(b.told(target).contains("10.65.200.0/24")) << "who programs it finds no way either";
}

TEST(RibKernel, of_the_dataplanes_route_and_anothers_the_kernels_choice_counts) {
  Bench b;
  const auto target = b.peer(2);
  const std::string p = "10.65.7.0/26";
  b.rib.change_dataplane_routes(ours(route(p, "10.1.0.7", "eth0", 1024)));
  b.rib.set_kernel_routes(with({route(p, "10.1.0.8", "eth0", 100)}));
  b.settle();
  EXPECT_EQ(b.told(target, p).next_hop, ip("10.1.0.8"));
  b.rib.set_kernel_routes(with({route(p, "10.1.0.8", "eth0", 2000)}));
  b.settle();
  EXPECT_EQ(b.told(target, p).next_hop, ip("10.1.0.7"));
  b.rib.change_dataplane_routes(ours(route(p, "", ""), true));
  b.settle();
  EXPECT_EQ(b.told(target, p).next_hop, ip("10.1.0.8"));
  b.rib.set_kernel_routes(with({}));
  b.settle();
  EXPECT_TRUE(b.told(target).empty());
}

TEST(RibKernel, follows_another_gateway_metric_and_interface) {
  Bench b;
  const auto target = b.peer(2, Options{.filters = interface_filter("eth2", false)});
  const std::string p = "10.65.0.0/24";
  b.rib.set_kernel_routes(with({route(p, "10.1.0.9", "eth1", 2000)}));
  b.settle();
  EXPECT_EQ(b.told(target, p).next_hop, ip("10.1.0.9"));
  // Two routes to one place: the kernel uses the lower metric.
  b.rib.set_kernel_routes(
      with({route(p, "10.1.0.9", "eth1", 2000), route(p, "10.1.0.8", "eth1", 1500)}));
  b.settle();
  EXPECT_EQ(b.told(target, p).next_hop, ip("10.1.0.8"));
  b.rib.set_kernel_routes(with({route(p, "10.1.0.8", "eth2", 1500)}));
  b.settle();
  EXPECT_FALSE(b.told(target).contains(p)) << "only the interface is another";
}

TEST(RibKernel, a_learnt_route_is_told_but_does_not_keep_bgps_out_of_the_kernel) {
  Bench b;
  const auto source = b.peer(2, Options{.internal = false}), target = b.peer(3);
  b.announce(source, {"10.65.0.0/24"}, attributes("10.1.0.2", {65001}));
  b.rib.set_kernel_routes(with({route("10.65.0.0/24", "10.1.0.9", "eth1")}));
  b.settle();
  EXPECT_EQ(b.kernel[prefix("10.65.0.0/24")], Hops{ip("10.1.0.2")});
  EXPECT_EQ(b.told(target, "10.65.0.0/24").next_hop, ip("10.1.0.9"));
  EXPECT_TRUE(b.told(source).contains("10.65.0.0/24"));
  b.rib.set_kernel_routes(with({}));
  b.settle();
  EXPECT_EQ(b.told(target, "10.65.0.0/24").next_hop, ip("10.1.0.2"));
  EXPECT_FALSE(b.told(source).contains("10.65.0.0/24"));
}

TEST(RibKernel, what_no_route_leads_to_is_not_told_and_the_next_best_is) {
  Bench b;
  const auto source = b.peer(2, Options{.internal = false}),
             backup = b.peer(3, Options{.internal = false}), target = b.peer(4),
             all = b.peer(5, Options{.add_path = true});
  const std::string p = "10.65.0.0/24";
  b.announce(source, {p}, attributes("192.0.2.9", {65001}));
  b.announce(backup, {p}, attributes("10.1.0.3", {65001, 65002}));
  b.settle();
  EXPECT_EQ(b.told(target, p).next_hop, ip("192.0.2.9")) << "nothing is known of the kernel";
  b.rib.set_kernel_routes({route("10.1.0.0/24", "", "eth0")});
  b.settle();
  EXPECT_EQ(b.told(target, p).next_hop, ip("10.1.0.3"));
  EXPECT_EQ(b.hops_told(all, p), std::multiset<std::string>{"10.1.0.3"});
  b.withdraw(backup, {p});
  b.settle();
  EXPECT_TRUE(b.told(target).empty());
  EXPECT_EQ(b.kernel[prefix(p)], Hops{ip("192.0.2.9")}) << "who programs it looks for itself";
  b.rib.set_kernel_routes({route("10.1.0.0/24", "", "eth0"), route("192.0.2.0/24", "", "eth1")});
  b.settle();
  EXPECT_EQ(b.told(target, p).next_hop, ip("192.0.2.9"));
}

struct CostRow {
  const char* name;
  std::vector<LearntRoute> ways;  // besides 10.1.0.0/24 on eth0
  Hops want;                      // of paths via 192.0.2.1 and 198.51.100.1
};

TEST(RibKernel, of_equal_paths_the_one_with_the_nearer_next_hop_is_used) {
  const Ip first = ip("192.0.2.1"), second = ip("198.51.100.1");
  const CostRow rows[] = {
      {"as near: both",
       {route("192.0.2.0/24", "10.1.0.9", "eth0", 20),
        route("198.51.100.0/24", "10.1.0.8", "eth0", 20)},
       {first, second}},
      {"a lower metric",
       {route("192.0.2.0/24", "10.1.0.9", "eth0", 20),
        route("198.51.100.0/24", "10.1.0.8", "eth0", 10)},
       {second}},
      {"of several routes the one that the kernel takes",
       {route("192.0.2.0/24", "10.1.0.9", "eth0", 20), route("192.0.2.0/24", "10.1.0.9", "eth0", 5),
        route("198.51.100.0/24", "10.1.0.8", "eth0", 10)},
       {first}},
      {"the more specific route, not the cheaper",
       {route("192.0.2.0/24", "10.1.0.9", "eth0", 20), route("192.0.0.0/16", "10.1.0.9", "eth0", 1),
        route("198.51.100.0/24", "10.1.0.8", "eth0", 10)},
       {second}},
      {"a connected network is nearest, whatever its metric",
       {route("192.0.2.0/24", "", "eth1", 100), route("198.51.100.0/24", "10.1.0.8", "eth0")},
       {first}},
      {"connected networks are all as near",
       {route("192.0.2.0/24", "", "eth1", 100), route("198.51.100.0/24", "", "eth2", 101)},
       {first, second}},
      {"what nothing leads to loses", {route("198.51.100.0/24", "10.1.0.8", "eth0", 9)}, {second}},
  };
  const std::string p = "10.65.0.0/24";
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    Bench b;
    b.announce(b.peer(2), {p}, attributes(first.to_string()));
    b.announce(b.peer(3), {p}, attributes(second.to_string()));
    b.settle();
    EXPECT_EQ(b.kernel[prefix(p)].size(), 2U) << "nothing is known of the kernel";
    auto ways = row.ways;
    ways.push_back(route("10.1.0.0/24", "", "eth0"));
    b.rib.set_kernel_routes(ways);
    b.settle();
    EXPECT_EQ(b.kernel[prefix(p)], row.want);
  }
}

TEST(RibKernel, a_way_that_gets_longer_is_followed) {
  Bench b;
  const std::string p = "10.65.0.0/24";
  b.announce(b.peer(2), {p}, attributes("192.0.2.1"));
  b.announce(b.peer(3), {p}, attributes("198.51.100.1"));
  const auto with_metric = [](std::uint32_t metric) {
    return with({route("192.0.2.0/24", "10.1.0.9", "eth0", metric),
                 route("198.51.100.0/24", "10.1.0.8", "eth0", 10)});
  };
  b.rib.set_kernel_routes(with_metric(5));
  b.settle();
  EXPECT_EQ(b.kernel[prefix(p)], Hops{ip("192.0.2.1")});
  b.rib.set_kernel_routes(with_metric(15));
  b.settle();
  EXPECT_EQ(b.kernel[prefix(p)], Hops{ip("198.51.100.1")});
}

TEST(RibKernel, filters_look_at_the_interface_that_leads_to_a_peers_next_hop) {
  Bench b;
  b.rib.set_kernel_routes(with({route("192.0.2.0/24", "", "eth7")}));
  const auto source = b.peer(
                 2, Options{.internal = false, .filters = interface_filter("eth7", false, true)}),
             target = b.peer(3),
             picky = b.peer(4, Options{.filters = interface_filter("eth8", false)});
  b.announce(source, {"10.65.0.0/24"}, attributes("192.0.2.9", {65001}));
  b.announce(source, {"10.65.1.0/24"}, attributes("10.1.0.2", {65001}));
  b.settle();
  EXPECT_EQ(b.told(target), Set{"10.65.1.0/24"});
  b.rib.set_kernel_routes(with({route("192.0.2.0/24", "", "eth8")}));
  b.settle();
  EXPECT_EQ(b.told(target), (Set{"10.65.0.0/24", "10.65.1.0/24"})) << "let in by another interface";
  EXPECT_EQ(b.told(picky), Set{"10.65.1.0/24"});
}

}  // namespace
}  // namespace margay::bgp
