// SPDX-License-Identifier: Apache-2.0
// From resources to what peers hear and kernels get (spec bgp.md 4 to 9): every node of a row runs
// its own intent and its own speaker on one simulated network; the ToR at 10.0.0.254 is configured
// by hand. Looked at is n1, 10.0.0.1: what it tells each peer, and what it would program.
#include <map>
#include <span>

#include "tests/unit/bgp_intent/objects.h"
#include "tests/unit/bgp_speaker/world.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;

const std::string kTor = "10.0.0.254";
const std::string kPodSpeaker = "10.65.1.5";

// AS 65000; announces an external network and one inside the pool.
SpeakerConfig tor(Asn node_as) {
  SpeakerConfig c;
  c.router_id = RouterId(254);
  c.local_as = Asn(65000);
  c.peers = {sim_peer(kTor, "10.0.0.1", 65000, node_as.value())};
  c.peers[0].session.passive = true;
  c.originated = {{prefix("198.51.100.0/24"), kNormalPriority},
                  {prefix("10.65.77.0/26"), kNormalPriority}};
  c.export_policy.pools = {prefix("0.0.0.0/0")};
  return c;
}

// A workload of n1's that speaks BGP as AS 65100.
SpeakerConfig pod_speaker() {
  SpeakerConfig c;
  c.router_id = RouterId(105);
  c.local_as = Asn(65100);
  c.peers = {sim_peer(kPodSpeaker, "10.0.0.1", 65100, 64512)};
  c.originated = {{prefix("10.65.200.0/24"), kNormalPriority}};
  c.export_policy.pools = {prefix("10.65.0.0/16")};
  return c;
}

class World {
 public:
  // `dataplane`: what n1's own keeps in the kernel.
  explicit World(const std::vector<Object>& objects, const std::vector<LearntRoute>& dataplane) {
    for (const auto& o : objects) {
      if (o.kind == Kind::node) start_node(o.name, objects);
    }
    const Asn asn = nodes_.at("n1").config.local_as;
    add("tor", ip(kTor)).speaker.set_config(tor(asn));
    add("pod", ip(kPodSpeaker)).speaker.set_config(pod_speaker());
    for (const auto& route : dataplane) n1().speaker.change_dataplane_routes({{route}});
    loop_.advance(30s);
  }
  // "10.65.1.0/26 via 10.0.0.1", and what else there is to say of it.
  [[nodiscard]] Names told(const std::string& peer) {
    Names out;
    for (const auto& r : n1().speaker.routes({RouteQuery::View::advertised, peer, {}})) {
      std::string line = r.prefix.to_string() + " via " + r.next_hop.to_string();
      if (!r.as_path.empty()) line += " path " + r.as_path;
      for (const auto& c : r.communities) line += " " + c;
      out.push_back(line);
    }
    return out;
  }
  [[nodiscard]] Names kernel() {
    Names out;
    for (const auto& [p, hops] : n1().sink.routes) {
      std::string line = p.to_string() + " via";
      for (const Ip& hop : hops) line += " " + hop.to_string();
      out.push_back(line);
    }
    return out;
  }

 private:
  struct Node {
    SpeakerConfig config;
    std::unique_ptr<SimNode> sim;
  };
  SimNode& n1() { return *nodes_.at("n1").sim; }
  SimNode& add(const std::string& name, const Ip& address) {
    Node& n = nodes_[name];
    n.sim = std::make_unique<SimNode>(loop_, net_, std::vector{address},
                                      SpeakerOptions{.seed = nodes_.size()});
    return *n.sim;
  }
  void start_node(const std::string& name, const std::vector<Object>& objects) {
    const auto config = compute(objects, {name, "", {}, {}});
    add(name, Ip::v4(config.router_id.value())).speaker.set_config(config);
    nodes_[name].config = config;
  }

  SimLoop loop_;
  SimNetwork net_{loop_};
  std::map<std::string, Node> nodes_;
};

const std::string kPlain = R"("ipv4Address":"10.0.0.1/24")";
const Object kMeshOff = config(R"("nodeToNodeMeshEnabled":false)");
const Object kPool = pool("pods", "10.65.0.0/16");

Object n(int i, const std::string& more = "", const std::string& labels = "") {
  const std::string number = std::to_string(i);
  return node("n" + number, R"("ipv4Address":"10.0.0.)" + number + R"(/24")" + more, labels);
}
// Nodes n1 to n3, each with its block 10.65.<i>.0/26, in one plain pool.
std::vector<Object> cluster(std::vector<Object> more, int nodes = 2) {
  std::vector<Object> out{kPool};
  for (int i = 1; i <= nodes; ++i) {
    const auto name = "n" + std::to_string(i);
    const bool given = std::any_of(more.begin(), more.end(), [&](const Object& o) {
      return o.kind == Kind::node && o.name == name;
    });
    if (!given) out.push_back(n(i));
    out.push_back(affinity("10.65." + std::to_string(i) + ".0/26", "confirmed", name));
  }
  out.insert(out.end(), more.begin(), more.end());
  return out;
}
Object workload(const std::string& address, const std::string& labels = "") {
  return {Kind::workload_endpoint, "n1-k8s-pod-eth0",
          R"({"node":"n1","ipNetworks":[")" + address + R"(/32"]})", labels, "default"};
}
Object filter(const std::string& name, const std::string& lists) {
  return {Kind::bgp_filter, name, "{" + lists + "}"};
}
Object tor_peer(const std::string& more = "") {
  return peer("tor", R"("node":"n1","peerIP":"10.0.0.254","asNumber":65000)" + more);
}

struct Row {
  const char* name;
  std::vector<Object> objects;
  std::map<std::string, Names> told;  // by peer
  Names kernel;
  std::vector<LearntRoute> dataplane = {};
};

const Names kNone;
const std::string kFirst = "10.65.1.0/26 via 10.0.0.1";

void check(std::span<const Row> rows) {
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    World world(row.objects, row.dataplane);
    for (const auto& [peer, want] : row.told) EXPECT_EQ(world.told(peer), want) << peer;
    EXPECT_EQ(world.kernel(), row.kernel);
  }
}

TEST(Outcome, of_blocks_pools_and_single_addresses) {
  const Row rows[] = {
      {"the mesh", cluster({}), {{"10.0.0.2", {kFirst}}}, {"10.65.2.0/26 via 10.0.0.2"}},
      {"a block that is not ours yet",
       cluster({affinity("10.65.8.0/26", "pending")}),
       {{"10.0.0.2", {kFirst}}},
       {"10.65.2.0/26 via 10.0.0.2"}},
      {"a pool that is not to be exported",
       cluster({pool("hidden", "10.66.0.0/16", R"(,"disableBGPExport":true)"),
                affinity("10.66.1.0/26", "confirmed")}),
       {{"10.0.0.2", {kFirst}}},
       {"10.65.2.0/26 via 10.0.0.2"}},
      {"an address of our block goes with it, a borrowed one alone",
       cluster({workload("10.65.1.7"),
                {Kind::workload_endpoint, "n1-k8s-b-eth0",
                 R"({"node":"n1","ipNetworks":["10.65.2.9/32"]})", "", "default"}}),
       {{"10.0.0.2", {kFirst, "10.65.2.9/32 via 10.0.0.1"}}},
       {"10.65.2.0/26 via 10.0.0.2"}},
      {"an address outside of all pools",
       cluster({workload("192.0.2.1")}),
       {{"10.0.0.2", {kFirst}}},
       {"10.65.2.0/26 via 10.0.0.2"}},
      {"a block of one address goes as the workload's",
       cluster({affinity("10.65.3.3/32", "confirmed"), workload("10.65.3.3")}),
       {{"10.0.0.2", {kFirst, "10.65.3.3/32 via 10.0.0.1"}}},
       {"10.65.2.0/26 via 10.0.0.2"}},
      {"tunnel addresses: inside a block with it, outside alone",
       cluster({{Kind::node, "n1",
                 R"({"bgp":{"ipv4Address":"10.0.0.1/24","ipv4IPIPTunnelAddr":"10.65.9.1"},
                     "ipv4VXLANTunnelAddr":"10.65.1.1"})"}}),
       {{"10.0.0.2", {kFirst, "10.65.9.1/32 via 10.0.0.1"}}},
       {"10.65.2.0/26 via 10.0.0.2"}},
      {"VXLAN is announced, and programmed by the dataplane",
       cluster({pool("pods", "10.65.0.0/16", R"(,"vxlanMode":"Always")")}),
       {{"10.0.0.2", {kFirst}}},
       kNone},
      {"so is IPIP",
       cluster({pool("pods", "10.65.0.0/16", R"(,"ipipMode":"Always")")}),
       {{"10.0.0.2", {kFirst}}},
       kNone},
      {"unless BGP is to program it",
       cluster({pool("pods", "10.65.0.0/16", R"(,"ipipMode":"Always")"),
                config(R"("programClusterRoutes":"EnabledIPIPOnly")")}),
       {{"10.0.0.2", {kFirst}}},
       {"10.65.2.0/26 via 10.0.0.2"}},
      {"the most specific pool decides",
       cluster({pool("tunnel", "10.65.2.0/24", R"(,"vxlanMode":"CrossSubnet")")}, 3),
       {},
       {"10.65.3.0/26 via 10.0.0.3"}},
      {"BGP programs nothing of the cluster's",
       cluster({config(R"("programClusterRoutes":"Disabled")"), tor_peer()}),
       {},
       {"198.51.100.0/24 via 10.0.0.254"}},
      {"inside a block of ours nothing of others' goes out",
       cluster({tor_peer(), affinity("10.65.77.0/25", "confirmed")}),
       {{"10.0.0.2", {kFirst, "10.65.77.0/25 via 10.0.0.1"}}},
       {"10.65.2.0/26 via 10.0.0.2", "10.65.77.0/26 via 10.0.0.254",
        "198.51.100.0/24 via 10.0.0.254"}},
      {"what lies in ranges of Services is not programmed",
       cluster({config(R"("serviceExternalIPs":[{"cidr":"198.51.0.0/16"}])"), tor_peer()}),
       {},
       {"10.65.2.0/26 via 10.0.0.2", "10.65.77.0/26 via 10.0.0.254"}},
      {"ranges of Services are not programmed",
       cluster({config(R"("serviceClusterIPs":[{"cidr":"10.96.0.0/12"}])")}),
       {{"10.0.0.2", {kFirst, "10.96.0.0/12 via 10.0.0.1"}}},
       {"10.65.2.0/26 via 10.0.0.2"}},
  };
  check(rows);
}

TEST(Outcome, of_peers_and_their_parameters) {
  const Names with_tor = {"10.65.2.0/26 via 10.0.0.2", "10.65.77.0/26 via 10.0.0.254",
                          "198.51.100.0/24 via 10.0.0.254"};
  const Row rows[] = {
      {"a ToR hears of the whole cluster through us; the mesh of what lies in pools",
       cluster({tor_peer()}),
       {{kTor, {"10.65.1.0/26 via 10.0.0.1 path 64512", "10.65.2.0/26 via 10.0.0.1 path 64512"}},
        {"10.0.0.2", {kFirst, "10.65.77.0/26 via 10.0.0.254 path 65000"}}},
       with_tor},
      {"with the next hop kept",
       cluster({tor_peer(R"(,"keepOriginalNextHop":true)")}),
       {{kTor, {"10.65.1.0/26 via 10.0.0.1 path 64512", "10.65.2.0/26 via 10.0.0.2 path 64512"}}},
       with_tor},
      {"nextHopMode Keep",
       cluster({tor_peer(R"(,"nextHopMode":"Keep")")}),
       {{kTor, {"10.65.1.0/26 via 10.0.0.1 path 64512", "10.65.2.0/26 via 10.0.0.2 path 64512"}}},
       with_tor},
      {"nextHopMode Self, inside",
       cluster(
           {tor_peer(), peer("two", R"("node":"n1","peerIP":"10.0.0.2","nextHopMode":"Self")")}),
       {{"10.0.0.2", {kFirst, "10.65.77.0/26 via 10.0.0.1 path 65000"}}},
       with_tor},
      {"reached through a gateway",
       cluster({tor_peer(R"(,"reachableBy":"10.0.0.3")"), kMeshOff}),
       {},
       {"10.0.0.254/32 via 10.0.0.3", "10.65.77.0/26 via 10.0.0.254",
        "198.51.100.0/24 via 10.0.0.254"}},
      {"a local workload that speaks BGP",
       cluster({workload(kPodSpeaker, R"("speaks":"bgp")"),
                peer("pods", R"x("node":"n1","localWorkloadSelector":"has(speaks)",
                                 "asNumber":65100)x")}),
       {{"10.0.0.2", {kFirst, "10.65.200.0/24 via 10.65.1.5 path 65100"}},
        {kPodSpeaker,
         {"10.65.1.0/26 via 10.0.0.1 path 64512", "10.65.2.0/26 via 10.0.0.1 path 64512"}}},
       {"10.65.2.0/26 via 10.0.0.2", "10.65.200.0/24 via 10.65.1.5"}},
      {"of other workloads none is dialled",
       cluster({workload(kPodSpeaker), peer("pods", R"x("node":"n1","asNumber":65100,
                                 "localWorkloadSelector":"has(speaks)")x")}),
       {{"10.0.0.2", {kFirst}}},
       {"10.65.2.0/26 via 10.0.0.2"}},
      {"import filters",
       cluster({tor_peer(R"(,"filters":["in"])"),
                filter("in", R"("importV4":[{"action":"Reject","cidr":"198.51.0.0/16",
                                             "matchOperator":"In"}])")}),
       {},
       {"10.65.2.0/26 via 10.0.0.2", "10.65.77.0/26 via 10.0.0.254"}},
      {"export filters: first match, by source, with operations",
       cluster({tor_peer(R"(,"filters":["one","two"])"),
                filter("one", R"("exportV4":[{"action":"Reject","source":"RemotePeers"}])"),
                filter("two", R"("exportV4":[{"action":"Accept","operations":[
                    {"addCommunity":{"value":"64512:7"}},{"prependASPath":{"prefix":[64512]}}]}])")}),
       {{kTor, {"10.65.1.0/26 via 10.0.0.1 path 64512 64512 64512:7"}}},
       with_tor},
      {"communities of prefixes; a node's own take their place",
       cluster({tor_peer(),
                config(R"("prefixAdvertisements":[{"cidr":"10.65.0.0/16","communities":["1:1"]}])"),
                config(R"("communities":[{"name":"c","value":"64517:300:100"}],
                  "prefixAdvertisements":[{"cidr":"10.65.1.0/24","communities":["c","64517:120"]}])",
                       "node.n1")}),
       {{kTor,
         {"10.65.1.0/26 via 10.0.0.1 path 64512 64517:120 64517:300:100",
          "10.65.2.0/26 via 10.0.0.1 path 64512 1:1"}}},
       with_tor},
      {"ports of the cluster and of a node",
       cluster({config(R"("listenPort":1790)"), config(R"("listenPort":1791)", "node.n2")}),
       {{"10.0.0.2", {kFirst}}},
       {"10.65.2.0/26 via 10.0.0.2"}},
      {"an AS per node, without a mesh of one AS",
       cluster({n(1, R"(,"asNumber":65001)"), n(2, R"(,"asNumber":65002)")}),
       {{"10.0.0.2", {"10.65.1.0/26 via 10.0.0.1 path 65001"}}},
       {"10.65.2.0/26 via 10.0.0.2"}},
  };
  check(rows);
}

// n2 is on our subnet, n3 is not; ours is a pool for both.
TEST(Outcome, of_what_the_dataplane_keeps_of_vxlan_pools) {
  const auto vxlan = pool("pods", "10.65.0.0/16", R"(,"vxlanMode":"CrossSubnet")");
  const std::vector<LearntRoute> kept = {
      {prefix("10.65.2.0/26"), ip("10.0.0.2"), "eth0", 1024},
      {prefix("10.65.3.0/26"), ip("10.65.3.1"), "vxlan.calico", 1024},
      {prefix("10.65.1.7/32"), std::nullopt, "cali1", 1024}};
  const Names external = {"198.51.100.0/24 via 10.0.0.254"};
  const Row rows[] = {
      {"a ToR hears of every block, ours or not, through us",
       cluster({vxlan, tor_peer(), kMeshOff}),
       {{kTor,
         {"10.65.1.0/26 via 10.0.0.1 path 64512", "10.65.2.0/26 via 10.0.0.1 path 64512",
          "10.65.3.0/26 via 10.0.0.1 path 64512"}}},
       external,
       kept},
      {"with the next hop kept: the node, or its end of the tunnel",
       cluster({vxlan, tor_peer(R"(,"keepOriginalNextHop":true)"), kMeshOff}),
       {{kTor,
         {"10.65.1.0/26 via 10.0.0.1 path 64512", "10.65.2.0/26 via 10.0.0.2 path 64512",
          "10.65.3.0/26 via 10.65.3.1 path 64512"}}},
       external,
       kept},
      {"the mesh hears of those without tunnel, from their node",
       cluster({vxlan}),
       {{"10.0.0.2", {kFirst, "10.65.2.0/26 via 10.0.0.2"}}},
       {},
       kept},
      {"a pool that is not to be exported",
       cluster(
           {pool("pods", "10.65.0.0/16", R"(,"vxlanMode":"CrossSubnet","disableBGPExport":true)"),
            tor_peer(), kMeshOff}),
       {{kTor, {}}},
       external,
       kept},
  };
  check(rows);
}

TEST(Outcome, of_reflection) {
  const auto reflectors = peer("rr", R"x("nodeSelector":"!has(rr)","peerSelector":"has(rr)")x");
  const std::string id = R"(,"routeReflectorClusterID":"1.0.0.1")";
  const Row rows[] = {
      {"we reflect between clients",
       cluster({n(1, id, R"("rr":"")"), reflectors}, 3),
       {{"10.0.0.2", {kFirst, "10.65.3.0/26 via 10.0.0.3"}},
        {"10.0.0.3", {kFirst, "10.65.2.0/26 via 10.0.0.2"}}},
       {"10.65.2.0/26 via 10.0.0.2", "10.65.3.0/26 via 10.0.0.3"}},
      {"we are a client: of all others we hear through it",
       cluster({n(3, id, R"("rr":"")"), reflectors}, 3),
       {{"10.0.0.3", {kFirst}}},
       {"10.65.2.0/26 via 10.0.0.2", "10.65.3.0/26 via 10.0.0.3"}},
  };
  check(rows);
}

TEST(Outcome, listens_where_it_is_told) {
  const auto c = compute({n(1), config(R"("bindMode":"NodeIP","listenPort":1790)")});
  EXPECT_EQ(c.listen_addresses, std::vector{ip("10.0.0.1")});
  EXPECT_EQ(c.listen_port, 1790);
  const auto own = compute({n(1), config(R"("bindMode":"None","listenPort":1790)"),
                            config(R"("listenPort":1791)", "node.n1")});
  EXPECT_TRUE(own.listen_addresses.empty());
  EXPECT_EQ(own.listen_port, 1791);
}

}  // namespace
}  // namespace margay::bgp
