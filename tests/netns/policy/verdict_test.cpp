// SPDX-License-Identifier: Apache-2.0
// What becomes of packets, as the specification of policy has it. Every expectation is typed from
// there, none is computed.
#include "lab.h"

namespace margay::test {
namespace {

using model::Action;
using model::ActiveRule;

struct Row {
  const char* name;
  const char* from;
  const char* to;
  Packet packet;
  Family family;
  Fate want;
  const char* source = nullptr;
};

class Verdicts : public Lab {
 protected:
  void SetUp() override {
    Lab::SetUp();
    if (IsSkipped()) return;
    add_usual_stations(3);
    add_station("calix9", "10.65.0.9", "fd00:65::9");  // nobody tells the plane about it
    start_plane();
  }
  // Three workloads that everything is allowed to, but for what `tiers` say about the first.
  void world(std::vector<model::Change> more, std::vector<model::EndpointTier> tiers) {
    more.push_back(allow_profile());
    for (const char* name : {"calia1", "calia2", "calia3"}) {
      model::LocalWorkload w = workload(name);
      if (w.interface_name == "calia1") w.tiers = tiers;
      more.push_back(w);
    }
    apply(std::move(more));
  }
  void check(const std::vector<Row>& rows) {
    for (const Row& r : rows) {
      std::optional<Ip> source;
      if (r.source != nullptr) source = Ip::parse(r.source).value();
      EXPECT_EQ(to_string(send(r.from, r.to, r.packet, r.family, source)), to_string(r.want))
          << r.name;
    }
  }
};

TEST_F(Verdicts, without_policy_the_profile_decides) {
  world({}, {});
  check({
      {"pod to pod tcp", "calia1", "calia2", tcp(80), v4, Fate::pass},
      {"pod to pod tcp 6", "calia1", "calia2", tcp(80), v6, Fate::pass},
      {"pod to pod udp", "calia2", "calia1", udp(53), v4, Fate::pass},
      {"pod to pod icmp", "calia2", "calia1", icmp(8), v4, Fate::pass},
      {"pod to pod icmp 6", "calia2", "calia1", icmpv6(128), v6, Fate::pass},
      {"pod to pod sctp", "calia2", "calia1", {.protocol = kSctp, .dport = 7}, v4, Fate::pass},
      {"pod to outside", "calia1", "eth0", tcp(443), v4, Fate::pass},
      {"outside to pod", "eth0", "calia1", tcp(443), v6, Fate::pass},
      {"from an unknown workload", "calix9", "calia1", tcp(80), v4, Fate::drop},
      {"from an unknown workload 6", "calix9", "calia1", tcp(80), v6, Fate::drop},
      {"to an unknown workload", "calia1", "calix9", tcp(80), v4, Fate::drop},
      {"to an unknown workload from outside", "eth0", "calix9", udp(53), v6, Fate::drop},
      {"invalid for connection tracking",
       "calia1",
       "calia2",
       {.protocol = kTcp, .dport = 80, .out_of_the_blue = true},
       v4,
       Fate::drop},
      {"another pod's address", "calia1", "calia2", udp(1), v4, Fate::drop, "10.65.0.3"},
      {"another pod's address 6", "calia1", "calia2", udp(1), v6, Fate::drop, "fd00:65::3"},
      {"an outside address", "calia1", "calia2", udp(1), v4, Fate::drop, "192.0.2.7"},
      {"VXLAN from a pod", "calia1", "eth0", udp(4789), v4, Fate::drop},
      {"IPIP from a pod", "calia1", "eth0", {.protocol = 4}, v4, Fate::drop},
  });
}

TEST_F(Verdicts, no_profile_no_policy_denies) {
  model::LocalWorkload bare = workload("calia1");
  bare.profiles = {};
  model::LocalWorkload lost = workload("calia3");
  lost.profiles = {"unheard-of"};
  apply({allow_profile(), bare, lost, workload("calia2")});
  check({
      {"to it", "calia2", "calia1", tcp(80), v4, Fate::drop},
      {"from it", "calia1", "calia2", tcp(80), v6, Fate::drop},
      {"to one with an unknown profile", "calia2", "calia3", tcp(80), v4, Fate::drop},
      {"from one with an unknown profile", "calia3", "calia2", tcp(80), v4, Fate::drop},
      {"the others", "eth0", "calia2", tcp(80), v4, Fate::pass},
  });
}

TEST_F(Verdicts, rules_of_every_kind) {
  model::ActivePolicy p = policy("web");
  const auto allow = [&](const std::function<void(ActiveRule&)>& f) {
    p.inbound.push_back(rule(Action::allow, f));
  };
  p.inbound.push_back(rule(Action::log));
  p.inbound.push_back(rule(Action::deny, [](ActiveRule& r) {
    r.source.nets = {Prefix::parse("192.0.2.0/28").value(), Prefix::parse("2001:db8::/64").value()};
    r.protocol = model::Protocol{kUdp};
  }));
  allow([](ActiveRule& r) {  // 3
    r.protocol = model::Protocol{kTcp};
    r.source.sets = {"s:clients"};
    r.destination.ports = {{80, 80}, {8000, 8010}};
    r.destination.port_sets = {"n:web"};
  });
  allow([](ActiveRule& r) {  // 4
    r.protocol = model::Protocol{kIcmp};
    r.icmp = model::Icmp{3, 4};
  });
  allow([](ActiveRule& r) {  // 5
    r.protocol = model::Protocol{kIcmpv6};
    r.icmp = model::Icmp{128, {}};
  });
  allow([](ActiveRule& r) {  // 6
    r.protocol = model::Protocol{kUdp};
    r.source.not_ports = {{53, 53}};
    r.destination.ports = {{1000, 1000}};
  });
  allow([](ActiveRule& r) {  // 7
    r.not_protocol = model::Protocol{kTcp};
    r.source.not_sets = {"s:clients"};
    r.protocol = model::Protocol{kSctp};
  });
  allow([](ActiveRule& r) {  // 8
    r.family = Family::v6;
    r.protocol = model::Protocol{kTcp};
    r.source.not_nets = {Prefix::parse("fd00:65::3/128").value()};
    r.destination.ports = {{66, 66}};
  });
  model::SetUpdate web;
  web.id = "n:web";
  web.kind = model::SetKind::ip_port;
  web.replace = true;
  web.added = {{Prefix::parse("10.65.0.1").value(), kTcp, 9999},
               {Prefix::parse("fd00:65::1").value(), kTcp, 9999}};
  world({nets("s:clients", {"10.65.0.2/32", "fd00:65::2/128", "192.0.2.64/26"}), web, p},
        {{"default", false, {p.key}, {}}});
  check({
      {"client, port", "calia2", "calia1", tcp(80), v4, Fate::pass},
      {"client, port 6", "calia2", "calia1", tcp(80), v6, Fate::pass},
      {"client, range begins", "calia2", "calia1", tcp(8000), v4, Fate::pass},
      {"client, range ends", "calia2", "calia1", tcp(8010), v6, Fate::pass},
      {"client, behind the range", "calia2", "calia1", tcp(8011), v4, Fate::drop},
      {"client, named port", "calia2", "calia1", tcp(9999), v4, Fate::pass},
      {"client, named port 6", "calia2", "calia1", tcp(9999), v6, Fate::pass},
      {"client, udp", "calia2", "calia1", udp(80), v4, Fate::drop},
      {"not a client", "calia3", "calia1", tcp(80), v4, Fate::drop},
      {"not a client 6", "calia3", "calia1", tcp(80), v6, Fate::drop},
      {"client by its net", "eth0", "calia1", tcp(80), v4, Fate::pass, "192.0.2.100"},
      {"beside the net", "eth0", "calia1", tcp(80), v4, Fate::drop, "192.0.2.128"},
      {"icmp type and code", "calia3", "calia1", icmp(3, 4), v4, Fate::drop},  // invalid: no flow
      {"icmp type", "calia3", "calia1", icmp(8), v4, Fate::drop},
      {"icmpv6 type", "calia3", "calia1", icmpv6(128), v6, Fate::pass},
      {"icmpv6 other type", "calia3", "calia1", icmpv6(129), v6, Fate::drop},
      {"udp", "calia3", "calia1", udp(1000), v4, Fate::pass},
      {"udp 6", "calia3", "calia1", udp(1000), v6, Fate::pass},
      {"udp from 53", "calia3", "calia1", udp(1000, 53), v4, Fate::drop},
      {"udp denied earlier", "eth0", "calia1", udp(1000), v4, Fate::drop},
      {"udp denied earlier 6", "eth0", "calia1", udp(1000), v6, Fate::drop},
      {"udp not denied", "eth0", "calia1", udp(1000), v4, Fate::pass, "192.0.2.17"},
      {"sctp of a stranger", "calia3", "calia1", {.protocol = kSctp, .dport = 5}, v4, Fate::pass},
      {"sctp of a client", "calia2", "calia1", {.protocol = kSctp, .dport = 5}, v4, Fate::drop},
      {"not nets", "calia2", "calia1", tcp(66), v6, Fate::pass},
      {"not nets, the exception", "calia3", "calia1", tcp(66), v6, Fate::drop},
      {"the other family", "calia2", "calia1", tcp(66), v4, Fate::drop},
      {"esp", "calia2", "calia1", {.protocol = kEsp}, v4, Fate::drop},
      {"egress is not governed", "calia1", "calia2", tcp(1), v4, Fate::pass},
  });
}

TEST_F(Verdicts, tiers_and_pass) {
  model::ActivePolicy sec = policy("sec");
  sec.inbound = {rule(Action::deny, [](ActiveRule& r) { r.source.sets = {"s:bad"}; }),
                 rule(Action::pass,
                      [](ActiveRule& r) {
                        r.protocol = model::Protocol{kTcp};
                        r.source.sets = {"s:some"};
                      }),
                 rule(Action::allow, [](ActiveRule& r) {
                   r.protocol = model::Protocol{kUdp};
                   r.destination.ports = {{53, 53}};
                 })};
  model::ActivePolicy app = policy("app");
  app.inbound = {rule(Action::pass,
                      [](ActiveRule& r) {
                        r.protocol = model::Protocol{kTcp};
                        r.destination.ports = {{99, 99}};
                      }),
                 rule(Action::allow, [](ActiveRule& r) {
                   r.protocol = model::Protocol{kTcp};
                   r.destination.ports = {{80, 80}};
                 })};
  world({nets("s:bad", {"10.65.0.3/32"}), nets("s:some", {"10.65.0.2/32", "fd00:65::/112"}), sec,
         app},
        {{"sec", false, {sec.key}, {}}, {"default", false, {app.key}, {}}});
  check({
      {"passed, then allowed", "calia2", "calia1", tcp(80), v4, Fate::pass},
      {"passed, then allowed 6", "calia3", "calia1", tcp(80), v6, Fate::pass},
      {"passed, then denied", "calia2", "calia1", tcp(81), v4, Fate::drop},
      {"passed twice reaches the profile", "calia2", "calia1", tcp(99), v4, Fate::pass},
      {"not passed: end of the first tier", "eth0", "calia1", tcp(80), v4, Fate::drop},
      {"allowed in the first tier", "eth0", "calia1", udp(53), v4, Fate::pass},
      {"denied in the first tier", "calia3", "calia1", udp(53), v4, Fate::drop},
  });
  // A tier that passes at its end.
  model::LocalWorkload w = workload("calia1");
  w.tiers = {{"sec", true, {sec.key}, {}}, {"default", false, {app.key}, {}}};
  apply({w});
  check({
      {"passing tier", "eth0", "calia1", tcp(80), v4, Fate::pass},
      {"passing tier, next denies", "eth0", "calia1", tcp(81), v4, Fate::drop},
      {"passing tier still denies", "calia3", "calia1", tcp(80), v4, Fate::drop},
  });
}

TEST_F(Verdicts, both_ends_must_agree) {
  model::ActivePolicy out = policy("out");
  out.outbound = {rule(Action::allow, [](ActiveRule& r) {
    r.protocol = model::Protocol{kTcp};
    r.destination.ports = {{80, 81}};
  })};
  model::ActivePolicy in = policy("in");
  in.inbound = {rule(Action::allow, [](ActiveRule& r) {
    r.protocol = model::Protocol{kTcp};
    r.destination.ports = {{81, 82}};
  })};
  model::LocalWorkload a = workload("calia1"), b = workload("calia2");
  a.tiers = {{"default", false, {}, {out.key}}};
  b.tiers = {{"default", false, {in.key}, {}}};
  apply({allow_profile(), out, in, a, b, workload("calia3")});
  check({
      {"source only", "calia1", "calia2", tcp(80), v4, Fate::drop},
      {"both", "calia1", "calia2", tcp(81), v4, Fate::pass},
      {"both 6", "calia1", "calia2", tcp(81), v6, Fate::pass},
      {"destination only", "calia1", "calia2", tcp(82), v4, Fate::drop},
      {"source alone asked", "calia1", "eth0", tcp(80), v4, Fate::pass},
      {"destination alone asked", "eth0", "calia2", tcp(82), v6, Fate::pass},
  });
  // What answers is let through by connection tracking.
  const std::uint16_t port = next_port_;
  ASSERT_EQ(send("calia1", "calia2", tcp(81), v4), Fate::pass);
  check({{"the answer",
          "calia2",
          "calia1",
          {.protocol = kTcp, .sport = 81, .dport = port, .ack = true},
          v4,
          Fate::pass}});
}

TEST_F(Verdicts, to_the_node) {
  model::ActivePolicy out = policy("out");
  out.outbound = {rule(Action::deny,
                       [](ActiveRule& r) {
                         r.protocol = model::Protocol{kUdp};
                         r.destination.ports = {{99, 99}};
                       }),
                  rule(Action::allow)};
  world({out}, {{"default", false, {}, {out.key}}});
  check({
      {"denied whatever policy says", "calia1", "node", udp(53), v4, Fate::drop},
      {"denied 6", "calia1", "node", udp(53), v6, Fate::drop},
      {"neighbour solicitation", "calia1", "node", icmpv6(135), v6, Fate::pass},
      {"from outside", "eth0", "node", udp(53), v4, Fate::pass},
      {"unknown workload", "calix9", "node", udp(53), v4, Fate::drop},
  });
  // Our own table says the same to both; what other software says after it decides.
  run("nft add table inet another");
  run("nft 'add chain inet another in { type filter hook input priority 10; }'");
  run("nft add rule inet another in udp dport 77 drop");
  for (const auto action : {policy::EndpointToHost::accept, policy::EndpointToHost::return_}) {
    SCOPED_TRACE(action == policy::EndpointToHost::accept ? "Accept" : "Return");
    config([action](policy::PolicyConfig& c) { c.endpoint_to_host = action; });
    check({
        {"allowed", "calia1", "node", udp(53), v4, Fate::pass},
        {"allowed 6", "calia1", "node", udp(53), v6, Fate::pass},
        {"denied by policy", "calia1", "node", udp(99), v4, Fate::drop},
        {"denied by policy 6", "calia1", "node", udp(99), v6, Fate::drop},
        {"denied by another", "calia1", "node", udp(77), v4, Fate::drop},
        {"unknown workload", "calix9", "node", udp(53), v4, Fate::drop},
        {"somebody else's address", "calia1", "node", udp(53), v4, Fate::drop, "10.65.0.2"},
    });
  }
}

TEST_F(Verdicts, link_local_discovery_passes_anti_spoofing) {
  world({}, {});
  config([](policy::PolicyConfig& c) { c.endpoint_to_host = policy::EndpointToHost::accept; });
  check({
      {"duplicate address detection", "calia1", "node", icmpv6(135), v6, Fate::pass, "::"},
      {"solicitation", "calia1", "node", icmpv6(135), v6, Fate::pass, "fe80::1"},
      {"anything else from there", "calia1", "node", icmpv6(128), v6, Fate::drop, "fe80::1"},
      {"udp from nowhere", "calia1", "node", udp(5), v6, Fate::drop, "fe80::1"},
  });
}

TEST_F(Verdicts, standing_flows_end_with_their_endpoint) {
  world({}, {});
  const auto flow = [&](const char* name, Fate want) {
    // A request and its answer make the flow stand; then the same again.
    const std::uint16_t port = next_port_++;
    ASSERT_EQ(send("calia1", "calia2", udp(7, port), v4), Fate::pass) << name;
    ASSERT_EQ(send("calia2", "calia1", udp(port, 7), v4), Fate::pass) << name;
    if (want == Fate::drop) {
      model::LocalWorkload down = workload("calia2");
      down.active = false;
      apply({down});
    }
    EXPECT_EQ(send("calia1", "calia2", udp(7, port), v4), want) << name;
    EXPECT_EQ(send("calia2", "calia1", udp(port, 7), v4), want) << name;
  };
  flow("stands", Fate::pass);
  flow("admin down", Fate::drop);
  apply({workload("calia2")});
  const std::uint16_t port = next_port_++;
  ASSERT_EQ(send("calia1", "calia2", udp(7, port), v4), Fate::pass);
  ASSERT_EQ(send("calia2", "calia1", udp(port, 7), v4), Fate::pass);
  apply({model::WorkloadRemove{workload("calia2").id}});
  EXPECT_EQ(send("calia1", "calia2", udp(7, port), v4), Fate::drop);
}

TEST_F(Verdicts, admin_down_and_spoofable_prefixes) {
  model::LocalWorkload down = workload("calia1"), loose = workload("calia2");
  down.active = false;
  loose.spoofable = {Prefix::parse("10.77.0.0/24").value(), Prefix::parse("fd00:77::/64").value()};
  apply({allow_profile(), down, loose, workload("calia3")});
  check({
      {"to a workload that is down", "calia3", "calia1", tcp(80), v4, Fate::drop},
      {"from a workload that is down", "calia1", "calia3", tcp(80), v6, Fate::drop},
      {"allowed source prefix", "calia2", "calia3", udp(80), v4, Fate::pass, "10.77.0.200"},
      {"allowed source prefix 6", "calia2", "calia3", udp(80), v6, Fate::pass, "fd00:77::5"},
      {"beside it", "calia2", "calia3", udp(80), v4, Fate::drop, "10.77.1.1"},
      {"not allowed to another", "calia3", "calia2", udp(80), v4, Fate::drop, "10.77.0.200"},
  });
}

TEST_F(Verdicts, reject_and_allowed_tunnels) {
  config_.deny = policy::DenyAction::reject;
  config_.allow_vxlan_from_workloads = config_.allow_ipip_from_workloads = true;
  plane_->set_config(config_);
  model::ActivePolicy p = policy("none");
  world({p}, {{"default", false, {p.key}, {}}});
  check({
      {"refused", "calia2", "calia1", tcp(80), v4, Fate::refuse},
      {"refused 6", "calia2", "calia1", udp(80), v6, Fate::refuse},
      {"VXLAN from a pod", "calia2", "eth0", udp(4789), v4, Fate::pass},
      {"IPIP from a pod", "calia2", "eth0", {.protocol = 4}, v4, Fate::pass},
  });
}

TEST_F(Verdicts, many_prefix_lengths_and_nested_members) {
  model::ActivePolicy p = policy("nets");
  p.inbound = {rule(Action::deny, [](ActiveRule& r) { r.source.sets = {"s:bad"}; }),
               rule(Action::allow, [](ActiveRule& r) { r.source.sets = {"s:good"}; })};
  std::vector<const char*> nine{
      "192.0.2.0/24",  "198.51.96.0/20", "198.18.0.0/15", "203.0.113.0/25", "100.64.0.0/10",
      "172.16.0.0/12", "192.168.0.0/16", "11.0.0.0/8",    "192.0.2.200/32", "2001:db8::/48"};
  world({nets("s:good", nine), nets("s:bad", {"192.0.2.16/28", "192.0.2.20/32"}), p},
        {{"default", false, {p.key}, {}}});
  const auto from = [&](const char* name, const char* source, Fate want) {
    check({{name, "eth0", "calia1", tcp(80), v4, want, source}});
  };
  from("/24", "192.0.2.1", Fate::pass);
  from("/32 within /24", "192.0.2.200", Fate::pass);
  from("denied /28", "192.0.2.17", Fate::drop);
  from("denied /32", "192.0.2.20", Fate::drop);
  from("/8", "11.200.0.1", Fate::pass);
  from("/10", "100.100.0.1", Fate::pass);
  from("nowhere", "9.9.9.9", Fate::drop);
  check({{"v6", "eth0", "calia1", tcp(80), v6, Fate::pass}});
  // Back to a few lengths: hash sets again.
  model::SetUpdate less;
  less.id = "s:good";
  less.removed = {{Prefix::parse("11.0.0.0/8").value(), 0, 0},
                  {Prefix::parse("192.0.2.0/24").value(), 0, 0}};
  apply({less});
  from("gone /8", "11.200.0.1", Fate::drop);
  from("gone /24", "192.0.2.1", Fate::drop);
  from("/32 that the /24 covered", "192.0.2.200", Fate::pass);
  from("/10 still", "100.100.0.1", Fate::pass);
}

TEST_F(Verdicts, an_unknown_set_fails_closed) {
  model::ActivePolicy p = policy("closed");
  p.inbound = {rule(Action::deny, [](ActiveRule& r) { r.source.sets = {"s:missing"}; }),
               rule(Action::allow)};
  world({p}, {{"default", false, {p.key}, {}}});
  check({{"closed", "calia2", "calia1", tcp(80), v4, Fate::drop}});
  ASSERT_EQ(plane_->status().fails_closed.size(), 1U);
  apply({nets("s:missing", {"10.65.0.3/32"})});
  EXPECT_TRUE(plane_->status().fails_closed.empty());
  check({{"open again", "calia2", "calia1", tcp(80), v4, Fate::pass},
         {"the member", "calia3", "calia1", tcp(80), v4, Fate::drop}});
}

TEST_F(Verdicts, a_run_of_rules_looked_up_at_once) {
  model::ActivePolicy p = policy("run");
  for (std::uint16_t i = 1; i <= 20; ++i) {
    p.inbound.push_back(rule(Action::allow, [&](ActiveRule& r) {
      r.protocol = model::Protocol{i % 2 == 0 ? kTcp : kUdp};
      r.source.nets = {Prefix::host(Ip::v4(0xc0000200U + i))};
      r.destination.ports = {
          {static_cast<std::uint16_t>(100 + i), static_cast<std::uint16_t>(100 + i)}};
    }));
  }
  world({p}, {{"default", false, {p.key}, {}}});
  EXPECT_LT(plane_->status().rules, 40U);
  check({
      {"its port", "eth0", "calia1", tcp(102), v4, Fate::pass, "192.0.2.2"},
      {"another's port", "eth0", "calia1", tcp(104), v4, Fate::drop, "192.0.2.2"},
      {"another protocol", "eth0", "calia1", udp(102), v4, Fate::drop, "192.0.2.2"},
      {"the last", "eth0", "calia1", tcp(120), v4, Fate::pass, "192.0.2.20"},
  });
}

}  // namespace
}  // namespace margay::test
