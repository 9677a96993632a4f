// SPDX-License-Identifier: Apache-2.0
// Which standing connections a stricter policy cuts, and that nothing of them lives on.
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "agent/calc/evaluator.h"
#include "dataplane/conntrack/walk.h"
#include "lab.h"

namespace margay::test {
namespace {

using conntrack::Tuple;
using model::Action;
using model::ActiveRule;

bool allows(const model::LocalWorkload& w, managers::FlowWay way, const Tuple& t,
            const model::PolicyTables& tables) {
  const bool to = way == managers::FlowWay::to_workload;
  return calc::evaluate(w, to ? calc::Direction::ingress : calc::Direction::egress,
                        {t.source, t.destination, t.protocol, t.source_port, t.destination_port,
                         t.icmp_type, t.icmp_code},
                        tables)
      .allowed;
}

Tuple tuple(const char* from, std::uint16_t sport, const char* to, std::uint16_t dport,
            std::uint8_t protocol = kTcp) {
  return {Ip::parse(from).value(), Ip::parse(to).value(), protocol, sport, dport, 0, 0};
}

Tuple reversed(const Tuple& t) {
  return {t.destination, t.source, t.protocol, t.destination_port, t.source_port, 0, 0};
}

void encode_tuple(netlink::Writer& out, std::uint16_t type, const Tuple& t) {
  const bool v4 = t.source.is_v4();
  const auto whole = out.begin_nested(type);
  const auto ip = out.begin_nested(CTA_TUPLE_IP);
  out.attr(v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, t.source.bytes());
  out.attr(v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, t.destination.bytes());
  out.end_nested(ip);
  const auto proto = out.begin_nested(CTA_TUPLE_PROTO);
  out.attr_u8(CTA_PROTO_NUM, t.protocol);
  out.attr_be16(CTA_PROTO_SRC_PORT, t.source_port);
  out.attr_be16(CTA_PROTO_DST_PORT, t.destination_port);
  out.end_nested(proto);
  out.end_nested(whole);
}

class FlowReviewTest : public Lab {
 protected:
  void SetUp() override {
    Lab::SetUp();
    if (IsSkipped()) return;
    add_usual_stations(2);
    judge_ = allows;
    start_plane();
  }
  void cut(bool on) {
    config([on](policy::PolicyConfig& c) { c.cut_flows = on; });
  }

  // A connection as the kernel would know it; `reply` when addresses were translated.
  void flow(const Tuple& original, std::optional<Tuple> reply = {}, const Tuple* master = nullptr) {
    netlink::SocketOptions options;
    options.strict_check = false;
    auto socket = netlink::Socket::open(NETLINK_NETFILTER, options);
    ASSERT_TRUE(socket.ok());
    netlink::Writer w;
    const std::uint32_t seq = socket->next_seq();
    w.begin(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW,
            NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, seq);
    nfgenmsg header{};
    header.nfgen_family = original.source.is_v4() ? AF_INET : AF_INET6;
    w.put(header);
    encode_tuple(w, CTA_TUPLE_ORIG, original);
    encode_tuple(w, CTA_TUPLE_REPLY, reply.value_or(reversed(original)));
    if (master != nullptr) encode_tuple(w, CTA_TUPLE_MASTER, *master);
    w.attr_be32(CTA_TIMEOUT, 600);
    w.end();
    const auto made = socket->request(w, seq);
    ASSERT_TRUE(made.ok()) << made.error().message();
  }

  // The source ports of the connections that there are: each test gives every one its own.
  std::set<std::uint16_t> flows() {
    std::set<std::uint16_t> out;
    auto walk = conntrack::Walk::open();
    for (const Family f : kFamilies) {
      EXPECT_TRUE(walk->begin({f, std::nullopt}).ok());
      bool complete = false;
      while (!complete) {
        const auto r = walk->step(
            1, [&](const conntrack::Flow& flow) { out.insert(flow.original.source_port); });
        EXPECT_TRUE(r.ok());
        complete = !r.ok() || *r;
      }
    }
    return out;
  }
  void left(const std::set<std::uint16_t>& want) {
    EXPECT_TRUE(until([&] { return flows() == want; })) << ::testing::PrintToString(flows());
  }

  static ActiveRule to_port(Action a, std::uint16_t port) {
    return rule(a, [&](ActiveRule& r) {
      r.protocol = model::Protocol{kTcp};
      r.destination.ports = {{port, port}};
    });
  }
  // calia1 with a policy in force for both directions.
  void policy_of_first(std::vector<ActiveRule> in, std::vector<ActiveRule> out) {
    model::ActivePolicy p = policy("p");
    p.inbound = std::move(in);
    p.outbound = std::move(out);
    model::LocalWorkload w = workload("calia1");
    w.tiers = {{"default", false, {p.key}, {p.key}}};
    apply({p, allow_profile(), w, workload("calia2")});
  }
};

TEST_F(FlowReviewTest, cuts_what_is_denied_now_and_nothing_else) {
  policy_of_first({rule(Action::allow)}, {rule(Action::allow)});
  cut(true);
  plane_->set_interfaces({{"eth0", {Ip::parse("192.0.2.254").value()}}});
  flow(tuple("192.0.2.1", 1001, "10.65.0.1", 80));
  flow(tuple("192.0.2.1", 1002, "10.65.0.1", 443));
  flow(tuple("2001:db8::1", 1003, "fd00:65::1", 80));
  flow(tuple("2001:db8::1", 1004, "fd00:65::1", 443));
  flow(tuple("10.65.0.1", 1005, "192.0.2.1", 25));
  flow(tuple("10.65.0.1", 1006, "192.0.2.1", 80));
  flow(tuple("192.0.2.1", 1007, "10.65.0.2", 80));    // another's
  flow(tuple("192.0.2.254", 1008, "10.65.0.1", 80));  // of the node itself
  flow(tuple("192.0.2.1", 1009, "203.0.113.1", 443),  // to a service
       tuple("10.65.0.1", 80, "192.0.2.1", 1009));
  flow(tuple("192.0.2.1", 1010, "203.0.113.1", 80), tuple("10.65.0.1", 443, "192.0.2.1", 1010));
  flow(tuple("10.65.0.2", 1011, "10.65.0.1", 80));  // both ends are here
  policy_of_first({to_port(Action::allow, 443)}, {to_port(Action::deny, 25), rule(Action::allow)});
  left({1002, 1004, 1006, 1007, 1008, 1010});
}

TEST_F(FlowReviewTest, keeps_all_unless_asked_and_looks_at_all_when_asked) {
  policy_of_first({rule(Action::allow)}, {rule(Action::allow)});
  flow(tuple("192.0.2.1", 1001, "10.65.0.1", 80));
  flow(tuple("192.0.2.1", 1002, "10.65.0.1", 443));
  policy_of_first({to_port(Action::allow, 443)}, {});
  EXPECT_EQ(flows(), (std::set<std::uint16_t>{1001, 1002}));
  EXPECT_EQ(run("nft list table inet margay").find("cut"), std::string::npos);
  cut(true);
  left({1002});
  EXPECT_NE(run("nft list table inet margay").find("cut-flows-4"), std::string::npos);
  cut(false);
  EXPECT_EQ(run("nft list table inet margay").find("cut"), std::string::npos);
}

TEST_F(FlowReviewTest, related_connections_follow_the_one_they_belong_to) {
  policy_of_first({rule(Action::allow)}, {});
  cut(true);
  const Tuple kept = tuple("192.0.2.1", 1001, "10.65.0.1", 21);
  const Tuple lost = tuple("192.0.2.1", 1002, "10.65.0.1", 22);
  flow(kept);
  flow(lost);
  flow(tuple("192.0.2.1", 1003, "10.65.0.1", 5001), {}, &kept);
  flow(tuple("192.0.2.1", 1004, "10.65.0.1", 5002), {}, &lost);
  flow(tuple("192.0.2.1", 1005, "10.65.0.1", 5003));
  policy_of_first({to_port(Action::allow, 21)}, {});
  left({1001, 1003});
}

TEST_F(FlowReviewTest, a_cut_connection_does_not_begin_anew_from_its_other_end) {
  policy_of_first({rule(Action::allow)}, {rule(Action::allow)});
  for (const bool on : {false, true}) {
    cut(on);
    policy_of_first({rule(Action::allow)}, {rule(Action::allow)});
    forget_flows();
    for (const Family f : kFamilies) {
      EXPECT_EQ(send("eth0", "calia1", udp(80, 1001), f), Fate::pass);
      EXPECT_EQ(send("calia1", "eth0", udp(1001, 80), f), Fate::pass) << "an answer";
    }
    policy_of_first({}, {rule(Action::allow)});
    if (on) left({});
    for (const Family f : kFamilies) {
      EXPECT_EQ(to_string(send("calia1", "eth0", udp(1001, 80), f)),
                to_string(on ? Fate::drop : Fate::pass));
      EXPECT_EQ(send("calia1", "eth0", udp(1001, 81), f), Fate::pass) << "another connection";
    }
  }
}

TEST_F(FlowReviewTest, members_that_leave_a_set_lose_their_connections) {
  const auto friends = [](const std::vector<const char*>& all) { return nets("s:friends", all); };
  const auto only_friends =
      rule(Action::allow, [](ActiveRule& r) { r.source.sets = {"s:friends"}; });
  apply({friends({"192.0.2.1/32", "192.0.2.2/32", "2001:db8::1/128", "198.51.100.0/24"})});
  policy_of_first({only_friends}, {});
  cut(true);
  flow(tuple("192.0.2.1", 1001, "10.65.0.1", 80));
  flow(tuple("192.0.2.2", 1002, "10.65.0.1", 80));
  flow(tuple("2001:db8::1", 1003, "fd00:65::1", 80));
  flow(tuple("198.51.100.7", 1004, "10.65.0.1", 80));
  const auto leave = [&](const char* member) {
    model::SetUpdate u;
    u.id = "s:friends";
    u.removed = {{Prefix::parse(member).value(), 0, 0}};
    apply({u});
  };
  leave("192.0.2.1/32");
  left({1002, 1003, 1004});
  leave("2001:db8::1/128");
  left({1002, 1004});
  leave("198.51.100.0/24");
  left({1002});
}

TEST_F(FlowReviewTest, a_profile_and_the_workload_itself_count_too) {
  policy_of_first({rule(Action::allow)}, {});
  cut(true);
  flow(tuple("192.0.2.1", 1001, "10.65.0.2", 80));
  flow(tuple("192.0.2.1", 1002, "10.65.0.1", 80));
  model::ActiveProfile closed = allow_profile();
  closed.inbound = {to_port(Action::allow, 443)};
  apply({closed});
  left({1002});
  model::LocalWorkload off = workload("calia1");
  off.active = false;
  apply({off});
  left({});
}

TEST_F(FlowReviewTest, host_endpoints_count_for_the_host_s_own_connections) {
  policy_of_first({rule(Action::allow)}, {rule(Action::allow)});
  plane_->set_interfaces({{"eth0", {Ip::parse("192.0.2.254").value()}},
                          {"eth9", {Ip::parse("198.51.100.254").value()}}});
  const auto stand = [&](std::vector<ActiveRule> in, std::vector<ActiveRule> out) {
    model::ActivePolicy p = policy("host");
    p.inbound = std::move(in);
    p.outbound = std::move(out);
    model::LocalHostEndpoint h;
    h.id.endpoint = "h";
    h.interface_name = "eth0";
    h.tiers = {{"default", false, {p.key}, {p.key}}};
    apply({p, h});
  };
  stand({rule(Action::allow)}, {rule(Action::allow)});
  cut(true);
  flow(tuple("192.0.2.1", 1001, "192.0.2.254", 80));
  flow(tuple("192.0.2.1", 1002, "192.0.2.254", 443));
  flow(tuple("192.0.2.1", 1003, "192.0.2.254", 22));  // failsafe
  flow(tuple("192.0.2.254", 1004, "192.0.2.1", 25));
  flow(tuple("192.0.2.254", 1005, "192.0.2.1", 443));
  flow(tuple("192.0.2.254", 1006, "192.0.2.1", 2379));        // failsafe
  flow(tuple("192.0.2.1", 1007, "192.0.2.254", 4789, kUdp));  // a tunnel's
  flow(tuple("192.0.2.1", 1008, "198.51.100.254", 80));       // an interface without one
  flow(tuple("192.0.2.254", 1009, "198.51.100.254", 80));     // within the host
  flow(tuple("192.0.2.254", 1010, "10.65.0.1", 80));          // to a workload of its own
  flow(tuple("192.0.2.1", 1011, "10.65.0.1", 80));            // forwarded
  flow(tuple("192.0.2.1", 1012, "192.0.2.254", 80),           // to a service
       tuple("10.65.0.1", 80, "192.0.2.1", 1012));
  stand({to_port(Action::allow, 443)}, {to_port(Action::deny, 25), rule(Action::allow)});
  left({1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012});
  flow(tuple("192.0.2.1", 1013, "10.65.0.1", 443));
  model::LocalHostEndpoint other;  // perhaps it is this one that they came by
  other.id.endpoint = "other";
  other.interface_name = "eth9";
  other.profiles = {"allow"};
  apply({other});
  stand({}, {});
  policy_of_first({to_port(Action::allow, 80)}, {});
  left({1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012});
  model::ActiveProfile closed = allow_profile();
  closed.inbound = {to_port(Action::allow, 443)};
  closed.outbound = {};
  apply({closed});
  left({1002, 1003, 1006, 1007, 1009, 1010, 1011, 1012});
}

TEST_F(FlowReviewTest, a_table_of_many_connections_is_worked_through_in_pieces) {
  policy_of_first({rule(Action::allow)}, {});
  cut(true);
  for (std::uint16_t port = 1; port <= 3000; ++port) {
    flow(tuple("192.0.2.1", port, "10.65.0.1", port % 3 == 0 ? 443 : 80));
  }
  flow(tuple("2001:db8::1", 4000, "fd00:65::1", 80));
  policy_of_first({to_port(Action::allow, 443)}, {});
  std::set<std::uint16_t> want;
  for (std::uint16_t port = 3; port <= 3000; port = static_cast<std::uint16_t>(port + 3)) {
    want.insert(port);
  }
  left(want);
}

}  // namespace
}  // namespace margay::test
