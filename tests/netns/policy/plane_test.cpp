// SPDX-License-Identifier: Apache-2.0
// Host endpoints, NAT, tunnels' protection: what the plane does beside workload policy.
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "lab.h"

namespace margay::test {
namespace {

using model::Action;
using model::ActiveRule;

class Plane : public Lab {
 protected:
  void SetUp() override {
    Lab::SetUp();
    if (IsSkipped()) return;
    add_usual_stations(1);
    add_station("eth1", "198.51.100.1", "2001:db8:1::1");
    start_plane();
  }
  Ip ip(const char* text) { return Ip::parse(text).value(); }

  static ActiveRule to_port(Action a, std::uint8_t protocol, std::uint16_t port) {
    return rule(a, [&](ActiveRule& r) {
      r.protocol = model::Protocol{protocol};
      r.destination.ports = {{port, port}};
    });
  }
  static model::LocalHostEndpoint host_endpoint(const char* name, const char* interface) {
    model::LocalHostEndpoint h;
    h.id.endpoint = name;
    h.interface_name = interface;
    return h;
  }
  void expect(const char* from, const char* to, const Packet& p, Fate want, const char* why) {
    for (const Family f : kFamilies) {
      EXPECT_EQ(to_string(send(from, to, p, f)), to_string(want))
          << why << (f == v4 ? " (v4)" : " (v6)");
    }
  }
  void expect_out(const char* to, const Packet& p, Fate want, const char* why) {
    for (const Family f : kFamilies) {
      EXPECT_EQ(to_string(send_from_node(to, p, station(to).address(f))), to_string(want))
          << why << (f == v4 ? " (v4)" : " (v6)");
    }
  }
};

TEST_F(Plane, a_named_host_endpoint_denies_but_for_failsafe_ports) {
  apply({allow_profile(), workload("calia1"), host_endpoint("h", "eth0")});
  expect("eth0", "node", tcp(80), Fate::drop, "no policy, no profile");
  expect("eth0", "node", tcp(22), Fate::pass, "failsafe in");
  expect("eth0", "node", udp(68), Fate::pass, "failsafe in, udp");
  expect("eth0", "node", udp(22), Fate::drop, "failsafe is of one protocol");
  expect("eth1", "node", tcp(80), Fate::pass, "another interface");
  expect("eth0", "calia1", tcp(80), Fate::pass, "forwarded traffic is not its matter");
  expect("calia1", "eth0", tcp(80), Fate::pass, "forwarded traffic out");
  expect_out("eth0", tcp(80), Fate::drop, "out");
  expect_out("eth0", udp(53), Fate::pass, "failsafe out");
  expect_out("eth1", tcp(80), Fate::pass, "out of another interface");
  expect_out("calia1", tcp(80), Fate::pass, "to a pod of ours, always");
}

TEST_F(Plane, neighbour_discovery_passes_every_class_of_host_policy) {
  model::ActivePolicy deny = policy("deny");
  deny.inbound = deny.outbound = {rule(Action::deny)};
  const std::vector<model::EndpointTier> both{{"default", false, {deny.key}, {deny.key}}};
  for (const char* interface : {"eth0", "*"}) {
    model::LocalHostEndpoint h = host_endpoint("h", interface);
    h.tiers = h.untracked_tiers = both;
    h.pre_dnat_tiers = {{"default", false, {deny.key}, {}}};
    apply({deny, h});
    for (std::uint8_t type = 133; type <= 136; ++type) {
      const Packet p = icmpv6(type);
      EXPECT_EQ(send("eth0", "node", p, v6), Fate::pass) << interface << unsigned{type};
      EXPECT_EQ(send_from_node("eth0", p, station("eth0").v6), Fate::pass) << unsigned{type};
    }
    EXPECT_EQ(send("eth0", "node", icmpv6(128), v6), Fate::drop) << interface;
    EXPECT_EQ(send_from_node("eth0", icmpv6(128), station("eth0").v6), Fate::drop) << interface;
  }
}

TEST_F(Plane, of_host_endpoints_for_one_interface_the_least_name_counts) {
  model::LocalHostEndpoint by_address = host_endpoint("a", "");
  by_address.expected_ips = {ip("192.0.2.254")};
  by_address.profiles = {"allow"};
  model::LocalHostEndpoint by_name = host_endpoint("b", "eth0");
  plane_->set_interfaces({{"eth0", {ip("192.0.2.254")}}, {"eth1", {}}});
  apply({allow_profile(), by_address, by_name});
  expect("eth0", "node", tcp(80), Fate::pass, "the one of the address has the least name");
  apply({model::HostEndpointRemove{by_address.id}});
  expect("eth0", "node", tcp(80), Fate::drop, "the other takes over");
}

TEST_F(Plane, host_endpoint_policy_and_profile) {
  model::ActivePolicy p = policy("host");
  p.inbound = {to_port(Action::allow, kTcp, 80)};
  p.outbound = {to_port(Action::allow, kTcp, 443)};
  model::LocalHostEndpoint h = host_endpoint("h", "eth0");
  h.tiers = {{"default", false, {p.key}, {p.key}}};
  model::LocalHostEndpoint open = host_endpoint("o", "eth1");
  open.profiles = {"allow"};
  apply({p, allow_profile(), h, open});
  expect("eth0", "node", tcp(80), Fate::pass, "allowed in");
  expect("eth0", "node", tcp(81), Fate::drop, "not allowed in");
  expect_out("eth0", tcp(443), Fate::pass, "allowed out");
  expect_out("eth0", tcp(444), Fate::drop, "not allowed out");
  expect("eth1", "node", tcp(81), Fate::pass, "profile allows in");
  expect_out("eth1", tcp(444), Fate::pass, "profile allows out");
}

TEST_F(Plane, the_endpoint_of_all_interfaces_yields_to_named_ones) {
  model::LocalHostEndpoint open = host_endpoint("named", "eth1");
  open.profiles = {"allow"};
  apply({allow_profile(), workload("calia1"), host_endpoint("all", "*"), open});
  expect("eth0", "node", tcp(80), Fate::drop, "all");
  expect("eth1", "node", tcp(80), Fate::pass, "named");
  expect_out("calia1", tcp(80), Fate::pass, "to a pod of ours");
  expect("eth0", "calia1", tcp(80), Fate::pass, "forwarded");
}

TEST_F(Plane, a_host_endpoint_is_found_by_its_address) {
  model::LocalHostEndpoint h = host_endpoint("h", "");
  h.expected_ips = {ip("192.0.2.254")};
  apply({h});
  expect("eth0", "node", tcp(80), Fate::pass, "no such address yet");
  plane_->set_interfaces({{"eth0", {ip("192.0.2.254")}}, {"eth1", {}}});
  settle();
  expect("eth0", "node", tcp(80), Fate::drop, "found");
  expect("eth1", "node", tcp(80), Fate::pass, "the other");
}

TEST_F(Plane, forward_policy_of_host_endpoints) {
  model::ActivePolicy p = policy("forward");
  p.inbound = {to_port(Action::allow, kTcp, 80)};
  model::LocalHostEndpoint h = host_endpoint("h", "eth0");
  h.forward_tiers = {{"default", false, {p.key}, {}}};
  h.profiles = {"allow"};
  apply({p, allow_profile(), workload("calia1"), h});
  expect("eth0", "calia1", tcp(80), Fate::pass, "allowed");
  expect("eth0", "calia1", tcp(81), Fate::drop, "end of tier");
  expect("eth1", "calia1", tcp(81), Fate::pass, "another interface");
  expect("calia1", "eth0", tcp(81), Fate::pass, "the other direction is not governed");
  expect("eth0", "node", tcp(81), Fate::pass, "local traffic is not its matter");
}

// Every change makes another program, to which packets come that set out before it.
TEST_F(Plane, what_host_policy_denies_does_not_slip_through_its_changes) {
  constexpr std::uint64_t kTag = 0x51495051;
  Station& from = station("eth0");
  const Station& to = station("eth1");
  const auto denied = frame({.protocol = kUdp, .sport = 9, .dport = 81}, from.v4, to.v4, from.mac,
                            from.node_mac, kTag);
  std::atomic<bool> going = false, stop = false;
  std::thread flood;
  for (int i = 0; i < 300; ++i) {
    model::ActivePolicy p = policy("forward" + std::to_string(i));
    p.inbound = {to_port(Action::allow, kTcp, 80)};
    model::LocalHostEndpoint h = host_endpoint("h", "eth0");
    h.forward_tiers = {{"default", false, {p.key}, {}}};
    apply({p, h, model::PolicyRemove{policy("forward" + std::to_string(i - 1)).key}});
    if (i != 0) continue;
    flood = std::thread([&] {
      while (!stop) going = ::send(from.socket, denied.data(), denied.size(), 0) > 0;
    });
    while (!going) std::this_thread::yield();
  }
  stop = true;
  flood.join();
  unsigned slipped = 0;
  std::vector<std::uint8_t> buffer;
  for (pollfd p{to.socket, POLLIN, 0}; ::poll(&p, 1, drop_ms_) > 0;) {
    buffer.resize(2048);
    const ssize_t n = ::recv(to.socket, buffer.data(), buffer.size(), 0);
    if (n <= 0) break;
    buffer.resize(static_cast<std::size_t>(n));
    slipped += tag_of(buffer) == kTag ? 1U : 0U;
  }
  EXPECT_EQ(slipped, 0U);
}

TEST_F(Plane, policy_before_dnat_settles_what_it_allows) {
  model::ActivePolicy p = policy("before");
  p.inbound = {to_port(Action::allow, kTcp, 80), to_port(Action::deny, kTcp, 81)};
  model::LocalHostEndpoint h = host_endpoint("h", "eth0");
  h.pre_dnat_tiers = {{"default", false, {p.key}, {}}};
  apply({p, allow_profile(), workload("calia1"), h});
  expect("eth0", "node", tcp(80), Fate::pass, "settled: normal policy is not asked");
  expect("eth0", "node", tcp(81), Fate::drop, "denied");
  expect("eth0", "node", tcp(82), Fate::drop, "falls to normal policy, which denies");
  expect("eth0", "calia1", tcp(81), Fate::drop, "denied before it is forwarded");
  expect("eth0", "calia1", tcp(82), Fate::pass, "no word about it");
  expect("eth0", "node", tcp(22), Fate::pass, "failsafe");
}

TEST_F(Plane, policy_before_dnat_sees_the_address_that_was_asked_for) {
  model::ActivePolicy p = policy("before");
  p.inbound = {to_port(Action::deny, kTcp, 9001), to_port(Action::deny, kTcp, 80)};
  model::LocalHostEndpoint h = host_endpoint("h", "eth0");
  h.pre_dnat_tiers = {{"default", false, {p.key}, {}}};
  run("nft add table ip services");
  run("nft 'add chain ip services pre { type nat hook prerouting priority dstnat; }'");
  for (const char* port : {"9000", "9001"}) {
    run("nft add rule ip services pre ip daddr 10.96.0.10 tcp dport " + std::string(port) +
        " dnat to 10.65.0.1:80");
  }
  apply({p, allow_profile(), workload("calia1"), h});
  const auto ask = [&](std::uint16_t port, const char* address) {
    return to_string(send_to("eth0", "calia1", tcp(port), station("eth0").v4, ip(address)));
  };
  EXPECT_EQ(ask(9000, "10.96.0.10"), to_string(Fate::pass)) << "port 80 is behind it";
  EXPECT_EQ(ask(9001, "10.96.0.10"), to_string(Fate::drop));
  EXPECT_EQ(ask(80, "10.65.0.1"), to_string(Fate::drop)) << "asked for itself";
}

TEST_F(Plane, untracked_policy_settles_what_it_allows) {
  model::ActivePolicy p = policy("raw");
  p.inbound = {to_port(Action::allow, kUdp, 5000), to_port(Action::deny, kUdp, 5001)};
  p.outbound = {rule(Action::allow, [](ActiveRule& r) {
    r.protocol = model::Protocol{kUdp};
    r.source.ports = {{5000, 5000}};
  })};
  model::LocalHostEndpoint h = host_endpoint("h", "eth0");
  h.untracked_tiers = {{"default", false, {p.key}, {p.key}}};
  apply({p, allow_profile(), workload("calia1"), h});
  expect("eth0", "node", udp(5000), Fate::pass, "settled");
  expect("eth0", "node", udp(5001), Fate::drop, "denied");
  expect("eth0", "node", udp(5002), Fate::drop, "falls to normal policy, which denies");
  expect("eth0", "node", tcp(22), Fate::pass, "failsafe");
  expect("eth0", "node", udp(40000, 53), Fate::drop, "an answer to failsafe out, of no flow");
  model::ActivePolicy none = policy("none");
  none.inbound = none.outbound = {rule(Action::deny)};
  model::LocalHostEndpoint closed = h;
  closed.untracked_tiers = {{"default", false, {none.key}, {none.key}}};
  closed.profiles = {"allow"};
  apply({none, closed});
  expect("eth0", "node", tcp(80), Fate::drop, "denied in the raw table");
  expect("eth0", "node", tcp(22), Fate::pass, "failsafe, in the raw table too");
  expect("eth0", "node", udp(40000, 53), Fate::pass, "an answer to failsafe out");
  expect_out("eth0", udp(54), Fate::drop, "denied in the raw table, out");
  expect_out("eth0", udp(53), Fate::pass, "failsafe out, in the raw table too");
  apply({h});
  expect_out("eth0", udp(7, 5000), Fate::pass, "settled out");
  expect_out("eth0", udp(7, 5001), Fate::drop, "not settled out");
  EXPECT_EQ(run("grep -c dport=5000 /proc/net/nf_conntrack || true"), "0\n");
}

TEST_F(Plane, outgoing_nat) {
  model::DesiredPool pool, other;
  pool.cidr = Prefix::parse("10.65.0.0/16").value();
  pool.nat_outgoing = true;
  other.cidr = Prefix::parse("198.51.100.0/24").value();
  run("ip addr add 192.0.2.254/32 dev eth0");
  apply({pool, other, allow_profile(), workload("calia1")});
  ASSERT_EQ(send("calia1", "eth0", udp(9), v4), Fate::pass);
  EXPECT_EQ(seen_source(), ip("192.0.2.254"));
  ASSERT_EQ(send("calia1", "eth1", udp(9), v4), Fate::pass);
  EXPECT_EQ(seen_source(), ip("10.65.0.1")) << "between pools nothing is translated";
  ASSERT_EQ(send("calia1", "eth0", udp(9), v6), Fate::pass);
  EXPECT_EQ(seen_source(), ip("fd00:65::1")) << "no pool of the family";
  config([&](policy::PolicyConfig& c) {
    c.nat_address = ip("192.0.2.77");
    c.nat_ports = model::PortRange{1000, 1010};
  });
  ASSERT_EQ(send("calia1", "eth0", udp(9), v4), Fate::pass);
  EXPECT_EQ(seen_source(), ip("192.0.2.77"));
  pool.nat_outgoing = false;
  apply({pool});
  ASSERT_EQ(send("calia1", "eth0", udp(9), v4), Fate::pass);
  EXPECT_EQ(seen_source(), ip("10.65.0.1"));
}

// kube-proxy's rules stand at dstnat and srcnat, and may use the marks 0x4000 and 0x8000.
TEST_F(Plane, others_translate_first_and_their_marks_are_kept) {
  model::DesiredPool pool;
  pool.cidr = Prefix::parse("10.65.0.0/16").value();
  pool.nat_outgoing = true;
  model::ActivePolicy p = policy("pods");
  p.outbound = {rule(Action::allow, [](ActiveRule& r) {
    r.destination.nets = {Prefix::parse("192.0.2.1/32").value()};
  })};
  model::LocalWorkload w = workload("calia1");
  w.tiers = {{"default", false, {}, {p.key}}};
  run("ip addr add 192.0.2.254/32 dev eth0");
  run("nft add table ip kube-proxy");
  run("nft 'add chain ip kube-proxy pre { type nat hook prerouting priority dstnat; }'");
  run("nft 'add chain ip kube-proxy post { type nat hook postrouting priority srcnat; }'");
  run("nft add rule ip kube-proxy pre ip daddr 10.96.0.10 meta mark set 0xc000 dnat to 192.0.2.1");
  run("nft add rule ip kube-proxy post meta mark 0xc000 snat to 192.0.2.99");
  apply({pool, p, allow_profile(), w});
  ASSERT_EQ(send_to("calia1", "eth0", udp(9), station("calia1").v4, ip("10.96.0.10")), Fate::pass)
      << "policy sees the address behind the service";
  EXPECT_EQ(seen_source(), ip("192.0.2.99")) << "the first to translate wins";
  EXPECT_EQ(send_to("calia1", "eth1", udp(9), station("calia1").v4, ip("198.51.100.1")),
            Fate::drop);
  ASSERT_EQ(send("calia1", "eth0", udp(9), v4), Fate::pass);
  EXPECT_EQ(seen_source(), ip("192.0.2.254")) << "what others leave alone is ours to translate";
}

TEST_F(Plane, outgoing_nat_of_ipv6) {
  model::DesiredPool pool;
  pool.cidr = Prefix::parse("fd00:65::/64").value();
  pool.nat_outgoing = true;
  run("ip addr add 2001:db8::254/128 dev eth0 nodad");
  apply({pool, allow_profile(), workload("calia1")});
  ASSERT_EQ(send("calia1", "eth0", udp(9), v6), Fate::pass);
  EXPECT_EQ(seen_source(), ip("2001:db8::254"));
}

TEST_F(Plane, vxlan_from_nodes_only) {
  const Packet vxlan = udp(4789);
  apply({allow_profile(), workload("calia1")});
  expect("eth0", "node", vxlan, Fate::pass, "not in use");
  model::EncapInUse encap;
  encap.vxlan_v4 = encap.vxlan_v6 = true;
  model::Vtep vtep{"n2", ip("10.65.1.0"), {}, ip("192.0.2.1")};
  model::Vtep vtep6{"n2", ip("fd00:65::100"), {}, ip("2001:db8::1")};
  apply({encap, vtep, vtep6});
  expect("eth0", "node", vxlan, Fate::pass, "a node");
  expect("eth1", "node", vxlan, Fate::drop, "a stranger");
  // A host endpoint lets the tunnel through all the same.
  apply({host_endpoint("h", "eth0")});
  expect("eth0", "node", vxlan, Fate::pass, "a node, to a host endpoint");
  expect("eth1", "node", vxlan, Fate::drop, "a stranger, still");
  expect("eth0", "node", udp(4790), Fate::drop, "another port");
  expect_out("eth0", vxlan, Fate::pass, "to a node");
  expect_out("eth0", udp(4790), Fate::drop, "another port out");
  apply({model::VtepRemove{"n2", v4}, model::VtepRemove{"n2", v6}});
  expect("eth0", "node", vxlan, Fate::drop, "no longer a node");
}

TEST_F(Plane, ipip_from_nodes_only) {
  model::EncapInUse encap;
  encap.ipip = true;
  model::HostAddresses n2{"n2", {ip("192.0.2.1"), ip("2001:db8::1")}};
  apply({encap, n2, allow_profile(), workload("calia1")});
  const Packet ipip{.protocol = 4};
  EXPECT_EQ(send("eth0", "node", ipip, v4), Fate::pass);
  EXPECT_EQ(send("eth1", "node", ipip, v4), Fate::drop);
}

TEST_F(Plane, service_addresses_do_not_loop) {
  run("ip route add 10.96.0.0/12 dev eth1 && ip neigh add 10.96.0.10 lladdr "
      "02:00:00:00:00:05 dev eth1");
  const auto call = [&] {
    return send_to("eth0", "eth1", tcp(80), ip("192.0.2.1"), ip("10.96.0.10"));
  };
  apply({allow_profile(), workload("calia1")});
  EXPECT_EQ(call(), Fate::pass);
  model::ServiceRanges ranges;
  ranges.cluster_ips = {Prefix::parse("10.96.0.0/12").value()};
  apply({ranges});
  EXPECT_EQ(call(), Fate::drop);
  config([](policy::PolicyConfig& c) { c.loop_prevention = policy::LoopPrevention::reject; });
  EXPECT_EQ(call(), Fate::refuse);
  config([](policy::PolicyConfig& c) { c.loop_prevention = policy::LoopPrevention::disabled; });
  EXPECT_EQ(call(), Fate::pass);
}

TEST_F(Plane, floating_addresses) {
  model::LocalWorkload w = workload("calia1");
  w.nats = {{ip("10.65.0.1"), ip("203.0.113.9")}, {ip("fd00:65::1"), ip("2001:db8:9::9")}};
  apply({allow_profile(), w});
  const auto call = [&](const char* source, const char* to) {
    return send_to("eth0", "calia1", tcp(80), ip(source), ip(to));
  };
  EXPECT_NE(call("192.0.2.1", "203.0.113.9"), Fate::pass) << "off: nobody has the address";
  config([](policy::PolicyConfig& c) { c.floating_ips = true; });
  EXPECT_EQ(call("192.0.2.1", "203.0.113.9"), Fate::pass);
  EXPECT_EQ(call("2001:db8::1", "2001:db8:9::9"), Fate::pass);
  EXPECT_EQ(send_to("calia1", "calia1", udp(8), ip("10.65.0.1"), ip("203.0.113.9")), Fate::pass);
  EXPECT_EQ(seen_source(), ip("203.0.113.9")) << "hairpin";
}

TEST_F(Plane, everything_may_change_while_running) {
  model::LocalWorkload w = workload("calia1");
  w.profiles = {};
  apply({w});
  config([](policy::PolicyConfig& c) { c.deny = policy::DenyAction::reject; });
  expect("eth0", "calia1", tcp(80), Fate::refuse, "reject");
  config([](policy::PolicyConfig& c) { c.deny = policy::DenyAction::drop; });
  expect("eth0", "calia1", tcp(80), Fate::drop, "drop");
  config([](policy::PolicyConfig& c) { c.interface_prefixes = {"calz"}; });
  expect("eth0", "calia1", tcp(80), Fate::pass, "no longer a workload's interface");
}

}  // namespace
}  // namespace margay::test
