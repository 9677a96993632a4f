// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <random>
#include <span>

#include "tests/unit/bgp_intent/objects.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;

struct PeerRow {
  const char* name;
  std::vector<Object> objects;
  Names want;
};

const Object kNode1 = node("n1", kN1, R"("rack":"1")");
const Object kNode2 = node("n2", kN2, R"("rack":"2")");
const Object kNode3 = node("n3", kN3);
const Object kNoMesh = config(R"("nodeToNodeMeshEnabled":false)");
const PeerRow kPeerRows[] = {
    {"mesh of both families, the lower address text dials",
     {kNode1, kNode2, kNode3},
     {"Mesh_10_0_0_2 AS64512 passive", "Mesh_fd00__2 AS64512 passive",
      "Mesh_10_0_1_3 AS65003 passive"}},
    {"addresses are compared as texts",
     {node("n1", R"("ipv4Address":"10.0.0.9/24")"), node("n2", R"("ipv4Address":"10.0.0.10/24")")},
     {"Mesh_10_0_0_10 AS64512"}},
    {"a mesh peer without a number is in our AS",
     {node("n1", kN1 + R"(,"asNumber":65001)"), kNode2},
     {"Mesh_10_0_0_2 AS65001 passive", "Mesh_fd00__2 AS65001 passive"}},
    {"mesh off", {kNode1, kNode2, kNoMesh}, {}},
    {"reflectors are not in the mesh",
     {kNode1, node("n2", kN2 + R"(,"routeReflectorClusterID":"1.0.0.1")")},
     {}},
    {"the cluster's listen port, and a node's own",
     {kNode1, kNode2, kNode3, config(R"("listenPort":1790)"),
      config(R"("listenPort":1791)", "node.n2")},
     {"Mesh_10_0_0_2 AS64512 port 1791 passive", "Mesh_fd00__2 AS64512 port 1791 passive",
      "Mesh_10_0_1_3 AS65003 port 1790 passive"}},
    {"a global peer",
     {kNode1, kNoMesh, peer("tor", R"("peerIP":"10.0.0.254","asNumber":65000)")},
     {"Global_10_0_0_254 AS65000"}},
    {"number 0, and none, mean the cluster's",
     {kNode1, kNoMesh, peer("a", R"("peerIP":"10.0.0.254","asNumber":0)"),
      peer("b", R"("peerIP":"10.0.0.253")")},
     {"Global_10_0_0_254 AS64512", "Global_10_0_0_253 AS64512"}},
    {"numbers 0 and 1, of one file",
     {kNode1, kNoMesh, peer("test1", R"("peerIP":"1.1.1.1","asNumber":0)"),
      peer("test2", R"("peerIP":"2.2.2.2","asNumber":1)")},
     {"Global_1_1_1_1 AS64512", "Global_2_2_2_2 AS1"}},
    {"a port",
     {kNode1, kNoMesh, peer("tor", R"("peerIP":"10.0.0.254:1790","asNumber":65000)"),
      peer("tor6", R"("peerIP":"[fd00::254]:1790","asNumber":65000)")},
     {"Global_10_0_0_254_port_1790 AS65000 port 1790",
      "Global_fd00__254_port_1790 AS65000 port 1790"}},
    {"by node name and by selector",
     {kNode1, kNoMesh, peer("a", R"("node":"n1","peerIP":"10.0.0.254","asNumber":65000)"),
      peer("b", R"("nodeSelector":"rack == '1'","peerIP":"10.0.0.253","asNumber":65000)"),
      peer("c", R"("nodeSelector":"rack == '2'","peerIP":"10.0.0.252","asNumber":65000)"),
      peer("d", R"("node":"n2","peerIP":"10.0.0.251","asNumber":65000)")},
     {"Node_10_0_0_254 AS65000", "Node_10_0_0_253 AS65000"}},
    {"global wins over a node's, the lower name over the higher",
     {kNode1, kNoMesh, peer("z", R"("peerIP":"10.0.0.254","asNumber":65000)"),
      peer("a", R"("node":"n1","peerIP":"10.0.0.254","asNumber":65001)"),
      peer("y", R"("peerIP":"10.0.0.254","asNumber":65002)")},
     {"Global_10_0_0_254 AS65002"}},
    {"our own address is no peer",
     {kNode1, kNoMesh, peer("a", R"("peerIP":"10.0.0.1","asNumber":65000)")},
     {}},
    {"a family that we have no address of",
     {node("n1", R"("ipv4Address":"10.0.0.1/24")"), kNoMesh,
      peer("a", R"("peerIP":"fd00::254","asNumber":65000)")},
     {}},
    {"peers by selector, in the families that both have",
     {kNode1, kNode2, kNode3, kNoMesh,
      peer("all", R"x("nodeSelector":"all()","peerSelector":"rack == '2'")x")},
     {"Node_10_0_0_2 AS64512", "Node_fd00__2 AS64512"}},
    {"reverse: we are the reflector that others select",
     {node("n1", kN1 + R"(,"routeReflectorClusterID":"1.0.0.1")", R"("rr":"")"), kNode2,
      node("n4", R"("ipv4Address":"10.0.0.4/24","routeReflectorClusterID":"1.0.0.1")",
           R"("rr":"")"),
      peer("rr", R"x("nodeSelector":"!has(rr)","peerSelector":"has(rr)")x")},
     {"Node_10_0_0_2 AS64512 client", "Node_fd00__2 AS64512 client"}},
    {"no reverse peering when it is manual",
     {node("n1", kN1, R"("rr":"")"), kNode2, kNoMesh,
      peer("rr", R"x("nodeSelector":"!has(rr)","peerSelector":"has(rr)",
                     "reversePeering":"Manual")x")},
     {}},
    {"reverse by address, in that family only",
     {kNode1, kNode2, kNoMesh,
      peer("to-n1", R"("node":"n2","peerIP":"10.0.0.1","asNumber":64512)")},
     {"Node_10_0_0_2 AS64512"}},
    {"a node that is named is no mesh peer as well",
     {kNode1, kNode2, peer("n2", R"("node":"n1","peerIP":"10.0.0.2","asNumber":64512)")},
     {"Mesh_fd00__2 AS64512 passive", "Node_10_0_0_2 AS64512"}},
    {"no source address",
     {kNode1, kNoMesh,
      peer("tor", R"("peerIP":"10.0.0.254","asNumber":65000,"sourceAddress":"None")")},
     {"Global_10_0_0_254 AS65000 nosource"}},
    {"without BGP", {{Kind::node, "n1", "{}"}, kNode2}, {}},
};

const Object kV6Only = node("n1", R"("ipv6Address":"fd00::1/64")");
const Object kV4Only = node("n1", R"("ipv4Address":"10.0.0.1/24")");
const PeerRow kFamilyRows[] = {
    {"both over IPv4: the next hop of IPv6 is our address",
     {kNode1, kNoMesh, peer("a", R"("peerIP":"10.0.0.254","addressFamilies":["IPv4","IPv6"])")},
     {"Global_10_0_0_254 AS64512 IPv4 IPv6 hop fd00::1"}},
    {"both over IPv6",
     {kNode1, kNoMesh, peer("a", R"("peerIP":"fd00::254","addressFamilies":["IPv4","IPv6"])")},
     {"Global_fd00__254 AS64512 IPv4 IPv6 hop 10.0.0.1"}},
    {"the address's own alone is what there is without",
     {kNode1, kNoMesh, peer("a", R"("peerIP":"10.0.0.254","addressFamilies":["IPv4"])")},
     {"Global_10_0_0_254 AS64512 IPv4"}},
    {"the other alone",
     {kNode1, kNoMesh, peer("a", R"("peerIP":"fd00::254","addressFamilies":["IPv4"])")},
     {"Global_fd00__254 AS64512 IPv4 hop 10.0.0.1"}},
    {"IPv4 of a node without IPv4 address: RFC 8950",
     {kV6Only, kNoMesh, peer("a", R"("peerIP":"fd00::254","addressFamilies":["IPv4","IPv6"])")},
     {"Global_fd00__254 AS64512 IPv4 IPv6"}},
    {"IPv6 of a node without IPv6 address is left out",
     {kV4Only, kNoMesh, peer("a", R"("peerIP":"10.0.0.254","addressFamilies":["IPv4","IPv6"])")},
     {"Global_10_0_0_254 AS64512 IPv4"}},
    {"and with nothing left there is no session",
     {kV4Only, kNoMesh, peer("a", R"("peerIP":"10.0.0.254","addressFamilies":["IPv6"])")},
     {"Global_10_0_0_254 AS64512 down"}},
    {"with nodes one session, over the first that both have",
     {kNode1, kNode2, kNode3, kNoMesh, peer("a", R"x("nodeSelector":"all()","peerSelector":"all()",
                    "addressFamilies":["IPv6","IPv4"])x")},
     {"Node_fd00__2 AS64512 IPv6 IPv4 hop 10.0.0.1",
      "Node_10_0_1_3 AS65003 IPv6 IPv4 hop fd00::1"}},
    {"the other side of that sees the same",
     {kNode1, kNode2, kNoMesh,
      peer("a", R"x("node":"n2","peerSelector":"all()","addressFamilies":["IPv6","IPv4"])x")},
     {"Node_fd00__2 AS64512 IPv6 IPv4 hop 10.0.0.1"}},
    {"the mesh is Calico's",
     {kNode1, kNode2},
     {"Mesh_10_0_0_2 AS64512 passive", "Mesh_fd00__2 AS64512 passive"}},
    {"a workload of both families has one session",
     {kNode1,
      kNoMesh,
      {Kind::workload_endpoint, "n1-k8s-pod-eth0",
       R"({"node":"n1","ipNetworks":["10.65.1.5/32","fd65::5/128"]})", R"("app":"router")",
       "default"},
      peer("a", R"x("node":"n1","localWorkloadSelector":"app == 'router'","asNumber":65100,
                    "addressFamilies":["IPv6","IPv4"])x")},
     {"Local_Workload_fd65__5 AS65100 passive nosource IPv6 IPv4 hop 10.0.0.1"}},
};

void check(std::span<const PeerRow> rows) {
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(peers(compute(row.objects, {"n1", "hash", {}, {}})), row.want);
  }
}

TEST(Intent, derives_peers) { check(kPeerRows); }
TEST(Intent, workloads_that_speak_bgp_find_us_where_they_were_told) {
  const auto workload = [](const std::string& name, const std::string& label) {
    return Object{Kind::workload_endpoint, "n1-k8s-" + name + "-eth0",
                  R"({"node":"n1","interfaceName":"cali)" + name +
                      R"(","ipNetworks":["10.65.1.5/32","fd65::5/128"]})",
                  label, "default"};
  };
  std::vector<Object> objects = {
      node("n1", kN1), workload("a", R"("app":"router")"), workload("b", ""),
      peer("p", R"x("node":"n1","localWorkloadSelector":"app == 'router'","asNumber":65100)x")};
  EXPECT_TRUE(compute(objects).workload_gateways.empty()) << "nothing was said";
  const std::string both =
      R"("localWorkloadPeeringIPV4":"169.254.1.2","localWorkloadPeeringIPV6":"fe80::1:2")";
  objects.push_back(config(both));
  const WorkloadGateways want{{"calia", {*Ip::parse("169.254.1.2"), *Ip::parse("fe80::1:2")}}};
  std::vector<Problem> problems;
  EXPECT_EQ(compute(objects, {"n1", "", {}, {}}, &problems).workload_gateways, want);
  EXPECT_TRUE(problems.empty());
  objects.back() = config(both + R"(,"bindMode":"NodeIP")");
  (void)compute(objects, {"n1", "", {}, {}}, &problems);
  EXPECT_EQ(problems.size(), 2U) << "nobody listens there";
}

TEST(Intent, sessions_carry_the_families_that_are_asked_for) { check(kFamilyRows); }

TEST(Intent, says_which_routes_a_node_cannot_exchange) {
  std::vector<Problem> problems;
  (void)compute({kV4Only, peer("a", R"("peerIP":"10.0.0.254","addressFamilies":["IPv6"])")},
                {"n1", "", {}, {}}, &problems);
  EXPECT_EQ(problems,
            (std::vector<Problem>{{"BGPPeer(a)",
                                   "spec.addressFamilies: no IPv6 routes with 10.0.0.254, as this "
                                   "node has no IPv6 address"}}));
}

struct LimitRow {
  const char* spec;
  PrefixLimit want;
};

TEST(Intent, takes_prefix_limits_and_graceful_notifications) {
  const LimitRow rows[] = {
      {"", {}},
      {R"(,"maxPrefixes":0)", {}},
      {R"(,"maxPrefixes":500)", {500, std::nullopt}},
      {R"(,"maxPrefixes":500,"maxPrefixesRestartTime":"2m")", {500, 120s}},
      {R"(,"maxPrefixes":500,"maxPrefixesRestartTime":"0")", {500, 1s}},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.spec);
    const auto c =
        compute({kNode1, kNoMesh, peer("a", std::string(R"("peerIP":"10.0.0.254")") + row.spec)});
    EXPECT_EQ(c.peers.at(0).prefix_limit, row.want);
    EXPECT_FALSE(c.peers[0].session.timers.graceful_notification);
  }
  const auto with = [](const char* value) {
    return compute({kNode1, kNoMesh,
                    peer("a", std::string(R"("peerIP":"10.0.0.254","gracefulNotification":")") +
                                  value + "\"")});
  };
  EXPECT_TRUE(with("Enabled").peers.at(0).session.timers.graceful_notification);
  EXPECT_FALSE(with("Disabled").peers.at(0).session.timers.graceful_notification);
}

TEST(Intent, does_not_depend_on_the_order_of_arrival) {
  std::vector<Object> objects = {
      node("n1", kN1),
      node("n2", kN2),
      node("n3", kN3),
      config(R"("asNumber":64600)"),
      peer("a", R"("peerIP":"10.0.0.254","asNumber":65000)"),
      peer("b", R"("node":"n1","peerIP":"10.0.0.254","asNumber":65001)"),
      pool("p", "10.65.0.0/16"),
  };
  const auto want = peers(compute(objects));
  std::mt19937 random(7);
  for (int i = 0; i < 20; ++i) {
    std::shuffle(objects.begin(), objects.end(), random);
    EXPECT_EQ(peers(compute(objects)), want);
  }
}

TEST(Intent, takes_session_parameters) {
  const auto c = compute({
      node("n1", kN1),
      config(R"("nodeToNodeMeshEnabled":false,"holdTime":"30s")"),
      peer("a", R"("peerIP":"10.0.0.254","asNumber":65000,"localASNumber":65010,
        "maxRestartTime":"1m30s","keepaliveTime":"5s","ttlSecurity":1,"keepOriginalNextHop":true,
        "numAllowedLocalASNumbers":2,"reachableBy":"10.0.0.3")"),
      peer("b", R"("peerIP":"10.0.0.253","asNumber":65000,"holdTime":"3s","nextHopMode":"Keep")"),
  });
  ASSERT_EQ(c.peers.size(), 2U);
  const auto& a = c.peers[0];
  EXPECT_EQ(a.session.local_as, Asn(65010));
  EXPECT_EQ(a.session.timers.restart, 90s);
  EXPECT_EQ(a.session.timers.keepalive, 5s);
  EXPECT_EQ(a.session.timers.hold, 30s);
  EXPECT_EQ(a.session.ttl_security, 1U);
  EXPECT_EQ(a.next_hop, NextHopMode::keep_external);
  EXPECT_EQ(a.allowed_local_as, 2U);
  EXPECT_EQ(a.reachable_by, *Ip::parse("10.0.0.3"));
  EXPECT_EQ(c.peers[1].session.timers.hold, 3s);
  EXPECT_EQ(c.peers[1].next_hop, NextHopMode::keep);
}

TEST(Intent, takes_passwords_from_secrets_and_stays_down_without) {
  const Object secret{Kind::secret, "bgp", R"({"metadata":{"name":"bgp"},"data":{"k":"c2VjcmV0"}})",
                      "", "kube-system"};
  const auto with = [](const char* key) {
    return peer("a", std::string(R"("peerIP":"10.0.0.254","asNumber":65000,
        "password":{"secretKeyRef":{"name":"bgp","key":")") +
                         key + "\"}}");
  };
  const auto no_mesh = config(R"("nodeToNodeMeshEnabled":false)");
  const auto good = compute({node("n1", kN1), no_mesh, secret, with("k")});
  EXPECT_EQ(good.peers.at(0).session.password, "secret");
  EXPECT_EQ(good.peers.at(0).session.down_reason, "");
  const auto bad = compute({node("n1", kN1), no_mesh, secret, with("other")});
  EXPECT_EQ(bad.peers.at(0).session.password, "");
  EXPECT_EQ(bad.peers.at(0).session.down_reason,
            "Password not available: Secret kube-system/bgp key other");
}

TEST(Intent, a_password_in_a_file_wins_and_its_place_is_named) {
  IntentOptions options{"n1", "", "kube-system", {}};
  options.password_directory = "/etc/passwords";
  Intent intent(options);
  give(intent, node("n1", kN1));
  give(intent, config(R"("nodeToNodeMeshEnabled":false)"));
  give(intent, peer("a", R"("peerIP":"10.0.0.254","asNumber":65000,
      "password":{"secretKeyRef":{"name":"bgp","key":"k"}})"));
  intent.set_in_sync();
  EXPECT_EQ(intent.compute()->peers.at(0).session.down_reason,
            "Password not available: Secret kube-system/bgp key k, nor file /etc/passwords/bgp/k");
  intent.set_passwords({{{"bgp", "k"}, "from a file"}});
  EXPECT_EQ(intent.compute()->peers.at(0).session.password, "from a file");
  intent.set_passwords({{{"bgp", "k"}, "from a file"}});
  EXPECT_FALSE(intent.compute().has_value()) << "nothing changed";
}

TEST(Intent, a_reflector_that_is_no_node_lets_everything_through) {
  IntentOptions options{"rr0", "", {}, {}};
  options.reflector_only = true;
  std::vector<Problem> problems;
  const auto c = compute({node("rr0", kN1 + R"(,"routeReflectorClusterID":"1.0.0.1")"),
                          pool("hidden", "10.67.0.0/16", R"(,"disableBGPExport":true)"),
                          peer("c", R"("peerIP":"10.0.0.7")")},
                         options, &problems);
  EXPECT_EQ(texts(c.export_policy.pools), (Names{"0.0.0.0/0", "::/0"}));
  EXPECT_EQ(texts(c.export_policy.disabled_pools), Names{"10.67.0.0/16"});
  EXPECT_EQ(peers(c), Names{"Global_10_0_0_7 AS64512 client"});
  EXPECT_TRUE(problems.empty());
}

TEST(Intent, originates_own_blocks_borrowed_addresses_and_service_ranges) {
  const Object workload{Kind::workload_endpoint, "n1-k8s-pod-eth0",
                        R"({"node":"n1","ipNetworks":["10.65.1.5/32","10.65.9.7/32"]})", "",
                        "default"};
  const Object foreign{Kind::workload_endpoint, "n2-k8s-pod-eth0",
                       R"({"node":"n2","ipNetworks":["10.65.9.8/32"]})", "", "default"};
  const auto c = compute({
      node("n1", kN1),
      config(R"("serviceClusterIPs":[{"cidr":"10.96.0.0/12"}],
        "serviceExternalIPs":[{"cidr":"192.0.2.1/32"}],
        "prefixAdvertisements":[{"cidr":"10.65.0.0/16","communities":["own","64512:7:8"]}],
        "communities":[{"name":"own","value":"64512:100"}])"),
      affinity("10.65.1.0/26", "confirmed"),
      affinity("10.65.1.64/26", ""),
      affinity("10.65.1.128/26", "pending"),
      affinity("10.65.3.3/32", "confirmed"),
      affinity("10.65.2.0/26", "confirmed", "n2"),
      affinity("fd65::/122", "confirmed"),
      workload,
      foreign,
      pool("plain", "10.65.0.0/16"),
      pool("tunnel", "10.66.0.0/16", R"(,"vxlanMode":"Always")"),
      pool("hidden", "10.67.0.0/16", R"(,"disableBGPExport":true)"),
  });
  EXPECT_EQ(originated(c),
            (Names{"10.65.1.0/26", "10.65.1.64/26", "10.65.9.7/32", "10.96.0.0/12", "fd65::/122"}));
  const auto& e = c.export_policy;
  EXPECT_EQ(texts(e.own_blocks),
            (Names{"10.65.1.0/26", "10.65.1.64/26", "10.65.3.3/32", "fd65::/122"}));
  EXPECT_EQ(texts(e.disabled_pools), Names{"10.67.0.0/16"});
  EXPECT_EQ(texts(e.pools), (Names{"10.65.0.0/16", "10.66.0.0/16"}));
  ASSERT_EQ(e.communities.size(), 1U);
  EXPECT_EQ(to_string(e.communities[0].communities.at(0)), "64512:100");
  EXPECT_EQ(to_string(e.communities[0].communities.at(1)), "64512:7:8");
  EXPECT_EQ(texts(c.kernel_policy.service_ranges), (Names{"10.96.0.0/12", "192.0.2.1/32"}));
  std::vector<bool> programmed;
  for (const auto& p : c.kernel_policy.pools) programmed.push_back(p.program);
  EXPECT_EQ(programmed, (std::vector<bool>{true, true, false}));  // hidden, plain, tunnel
}

TEST(Intent, router_id_is_the_address_a_hash_or_what_is_set) {
  const auto n = node("n1", kN1);
  EXPECT_EQ(to_string(compute({n}).router_id), "10.0.0.1");
  EXPECT_EQ(to_string(compute({n}, {"n1", "1.2.3.4", {}, {}}).router_id), "1.2.3.4");
  const auto hashed = compute({n}, {"n1", "hash", {}, {}}).router_id;
  EXPECT_LT(hashed.value() >> 24, 224U);
  EXPECT_NE(hashed, compute({node("n2", kN2)}, {"n2", "hash", {}, {}}).router_id);
  std::vector<Problem> problems;
  const auto v6_only = node("n1", R"("ipv6Address":"fd00::1/64")");
  EXPECT_TRUE(compute({v6_only, node("n2", kN2)}, {"n1", "", {}, {}}, &problems).peers.empty());
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].object, "Node(n1)");
}

TEST(Intent, compiles_filters_in_their_order) {
  const Object filter{Kind::bgp_filter, "f", R"({"exportV4":[
     {"action":"Accept","cidr":"10.0.0.0/8","matchOperator":"In","prefixLength":{"min":16,"max":24},
      "operations":[{"addCommunity":{"value":"1:2"}},{"prependASPath":{"prefix":[65001,65002]}}]},
     {"action":"Reject","peerType":"eBGP"}]})"};
  const auto c = compute({node("n1", kN1), filter, config(R"("nodeToNodeMeshEnabled":false)"),
                          peer("a", R"("peerIP":"10.0.0.254","asNumber":65000,
                            "filters":["missing","f"])")});
  ASSERT_EQ(c.peers.at(0).filters.size(), 1U);
  const auto& rules = c.peers[0].filters[0]->export_v4;
  ASSERT_EQ(rules.size(), 2U);
  EXPECT_TRUE(rules[0].accept);
  EXPECT_EQ(rules[0].prefix->min_length, 16U);
  EXPECT_EQ(rules[0].prefix->max_length, 24U);
  EXPECT_EQ(rules[0].operations.size(), 2U);
  EXPECT_FALSE(rules[1].accept);
  EXPECT_EQ(rules[1].session, SessionKind::external);
}

TEST(Intent, options_change_while_it_stands) {
  Intent intent({"n1", "10.9.9.9", "kube-system", "Enabled"});
  give(intent, node("n1", kN1));
  intent.set_in_sync();
  EXPECT_EQ(to_string(intent.compute()->router_id), "10.9.9.9");
  EXPECT_EQ(intent.problems().size(), 1U) << "both would program the routes";
  intent.configure({"n1", "10.9.9.9", "kube-system", "EnabledIPIPOnly"});
  EXPECT_TRUE(intent.compute().has_value());
  EXPECT_TRUE(intent.problems().empty());
  intent.configure({"n1", "10.9.9.9", "kube-system", "EnabledIPIPOnly"});
  EXPECT_FALSE(intent.compute().has_value()) << "nothing changed";
}

TEST(Intent, routes_of_each_kind_of_pool_have_one_owner) {
  const struct {
    const char *felix, *bgp;
    std::vector<std::string> wrong;
  } rows[] = {
      {"", "", {}},
      {"EnabledIPIPOnly", "EnabledNoEncapOnly", {}},
      {"Enabled", "Disabled", {}},
      {"Disabled", "Enabled", {}},
      {"EnabledNoEncapOnly", "EnabledIPIPOnly", {}},
      {"EnabledIPIPOnly", "Enabled", {"IPIP pools are programmed twice"}},
      {"EnabledIPIPOnly", "Disabled", {"without encapsulation are programmed by nobody"}},
      {"Disabled", "EnabledNoEncapOnly", {"IPIP pools are programmed by nobody"}},
      {"EnabledIPIPOnly",
       "EnabledIPIPOnly",
       {"without encapsulation are programmed by nobody", "IPIP pools are programmed twice"}},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(std::string(row.felix) + " and " + row.bgp);
    const std::string mode =
        *row.bgp == 0 ? "" : std::string(R"("programClusterRoutes":")") + row.bgp + "\"";
    std::vector<Problem> problems;
    (void)compute({node("n1", kN1), config(mode)}, {"n1", "", {}, row.felix}, &problems);
    ASSERT_EQ(problems.size(), row.wrong.size());
    for (std::size_t n = 0; n < problems.size(); ++n) {
      EXPECT_TRUE(problems[n].text.ends_with(row.wrong[n])) << problems[n].text;
    }
  }
}

TEST(Intent, what_the_process_and_the_dataplane_do_of_it) {
  const auto c = compute({node("n1", kN1), config(R"("logSeverityScreen":"Debug",
                                                     "ignoredInterfaces":["docker*"])")});
  EXPECT_EQ(c.log_level, log::Level::debug);
  EXPECT_EQ(c.ignored_interfaces, Names{"docker*"});
  const auto own = compute({node("n1", kN1), config(R"("logSeverityScreen":"Debug")"),
                            config(R"("logSeverityScreen":"fatal")", "node.n1")});
  EXPECT_EQ(own.log_level, log::Level::error);
  EXPECT_EQ(compute({node("n1", kN1)}).log_level, log::Level::info);
  IntentOptions environment{"n1", "", {}, {}};
  environment.log_level = log::Level::warn;
  EXPECT_EQ(
      compute({node("n1", kN1), config(R"("logSeverityScreen":"Debug")")}, environment).log_level,
      log::Level::warn);
}

TEST(Intent, priorities_that_differ_from_the_dataplanes_are_told) {
  const Object ours = config(R"("ipv4NormalRoutePriority":2000)");
  std::vector<Problem> problems;
  (void)compute({node("n1", kN1), ours}, {"n1", "", {}, {}}, &problems);
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].object, "BGPConfiguration(default)");
  EXPECT_EQ(problems[0].text,
            "spec.ipv4NormalRoutePriority: 2000, but FelixConfiguration's is 1024: set both to the "
            "same, or routes of moving workloads are mistaken");
  IntentOptions options{"n1", "", {}, {}};
  options.felix_priority_v4 = 2000;
  (void)compute({node("n1", kN1), ours}, options, &problems);
  EXPECT_TRUE(problems.empty());
  options.felix_priority_v6 = 2001;
  (void)compute({node("n1", kN1), ours}, options, &problems);
  EXPECT_EQ(problems.size(), 1U);
  options.reflector_only = true;  // no dataplane to agree with
  (void)compute({node("n1", kN1), ours}, options, &problems);
  EXPECT_TRUE(problems.empty());
}

TEST(Intent, does_not_take_what_does_not_decode) {
  Intent intent({"n1", "", "kube-system", {}});
  give(intent, node("n1", kN1));
  give(intent, config(R"("nodeToNodeMeshEnabled":false)"));
  give(intent, peer("a", R"("peerIP":"10.0.0.254","asNumber":65000)"));
  intent.set_in_sync();
  ASSERT_EQ(intent.compute()->peers.size(), 1U);
  EXPECT_FALSE(intent.compute().has_value()) << "nothing changed";
  EXPECT_FALSE(intent
                   .offer({Kind::bgp_peer, "", "a"},
                          R"({"metadata":{"name":"a"},"spec":{"asNumber":"x y"}})")
                   .ok());
  EXPECT_FALSE(intent.compute().has_value()) << "nothing changed";
  intent.remove({Kind::bgp_peer, "", "a"});
  EXPECT_EQ(intent.compute()->peers.size(), 0U);
}

}  // namespace
}  // namespace margay::bgp
