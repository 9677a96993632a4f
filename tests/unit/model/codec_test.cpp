// SPDX-License-Identifier: Apache-2.0
#include "model/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "model/document.h"

namespace margay::model {
namespace {

using ::testing::HasSubstr;

template <typename T>
T must_decode(std::string_view json) {
  auto r = decode<T>(json);
  if (!r.ok()) {
    ADD_FAILURE() << r.error().message() << "\nin " << json;
    return {};
  }
  return std::move(r).value();
}
template <typename T>
std::string error_of(std::string_view json) {
  const auto r = decode<T>(json);
  return r.ok() ? "no error" : r.error().context;
}

std::string file_text(const std::string& name) {
  std::ifstream in(std::string(MARGAY_TEST_DATA) + "/" + name);
  std::stringstream out;
  out << in.rdbuf();
  EXPECT_FALSE(out.str().empty()) << name;
  return out.str();
}

struct Sample {
  Key key;
  std::string json;
};
// Everything in the data files, as it stands in a Store.
std::vector<Sample> samples() {
  std::vector<Sample> out;
  auto docs = parse_documents(file_text("every-kind.yaml"));
  EXPECT_TRUE(docs.ok()) << docs.error().message();
  for (auto& d : *docs) {
    auto json = with_defaults(d.key, d.json, {"u", "2026-05-01T00:00:00Z"});
    EXPECT_TRUE(json.ok()) << json.error().message();
    out.push_back({d.key, *json});
  }
  std::istringstream stored(file_text("stored.txt"));
  for (std::string path, json; std::getline(stored, path) && std::getline(stored, json);) {
    const auto key = parse_key(path);
    EXPECT_TRUE(key.ok()) << path;
    out.push_back({*key, json});
  }
  return out;
}

template <typename T>
void expect_round_trip(const std::string& json) {
  const std::string once = encode(must_decode<T>(json));
  EXPECT_EQ(encode(must_decode<T>(once)), once) << "from " << json;
}
template <std::size_t... I>
void expect_round_trip(Kind kind, const std::string& json, std::index_sequence<I...>) {
  (void)((kind == static_cast<Kind>(I)
              ? (expect_round_trip<typename std::tuple_element_t<I, KindTypes>::Type>(json), true)
              : false) ||
         ...);
}

TEST(Codec, every_sample_is_valid_and_round_trips) {
  std::set<Kind> seen;
  for (const auto& s : samples()) {
    SCOPED_TRACE(path(s.key));
    seen.insert(s.key.kind);
    const auto valid = validate_strict(s.key, s.json);
    EXPECT_TRUE(valid.ok()) << valid.error().message();
    expect_round_trip(s.key.kind, s.json, std::make_index_sequence<kKindCount>{});
  }
  EXPECT_EQ(seen.size(), kKindCount);
}

// Encoding keeps every field that a struct holds: the samples fill nearly all of them, so what is
// written must be found in what was read, but for spellings.
TEST(Codec, encoding_writes_what_was_read) {
  const auto w = must_decode<WorkloadEndpoint>(
      R"({"metadata":{"name":"a","namespace":"b"},"spec":{"orchestrator":"k8s","node":"n",)"
      R"("endpoint":"eth0","ipNetworks":["10.0.0.1"],"interfaceName":"cali1","mac":"0E:00:00:00:00:09",)"
      R"("ports":[{"name":"x","protocol":"tcp","port":1},{"protocol":47,"port":2}]}})");
  EXPECT_EQ(encode(w),
            R"({"kind":"WorkloadEndpoint","apiVersion":"projectcalico.org/v3",)"
            R"("metadata":{"name":"a","namespace":"b"},"spec":{"orchestrator":"k8s","node":"n",)"
            R"("endpoint":"eth0","ipNetworks":["10.0.0.1/32"],"interfaceName":"cali1",)"
            R"("mac":"0e:00:00:00:00:09","ports":[{"name":"x","protocol":"TCP","port":1},)"
            R"({"protocol":47,"port":2}]}})");
  GlobalNetworkPolicy p;
  p.metadata.name = "p\"\\\n\x01";
  p.spec.order = 2.5;
  p.spec.ingress.emplace_back();
  p.spec.ingress[0].destination.ports = {PortRange{1, 1}, PortRange{2, 3}, std::string("web")};
  EXPECT_EQ(
      encode(p),
      R"({"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3",)"
      R"("metadata":{"name":"p\"\\\n\u0001"},"spec":{"order":2.5,"ingress":[{"action":"Allow",)"
      R"("destination":{"ports":[1,"2:3","web"]}}]}})");
  EXPECT_EQ(must_decode<GlobalNetworkPolicy>(encode(p)).metadata.name, p.metadata.name);
  EXPECT_EQ(encode(IpamConfig{}), R"({"auto_allocate_blocks":true})");
}

TEST(Codec, reads_a_workload_endpoint) {
  const auto w = must_decode<WorkloadEndpoint>(R"({
    "kind": "WorkloadEndpoint", "apiVersion": "projectcalico.org/v3",
    "metadata": {"name": "n1-k8s-web-eth0", "namespace": "shop", "uid": "u",
      "creationTimestamp": "2026-01-01T00:00:00Z",
      "labels": {"zone": "b", "app": "web", "projectcalico.org/namespace": "shop"}},
    "spec": {"orchestrator": "k8s", "node": "n1", "containerID": "c1", "pod": "web",
      "endpoint": "eth0", "ipNetworks": ["10.65.0.5/32", "fd65::5"],
      "ipNATs": [{"internalIP": "10.65.0.5", "externalIP": "203.0.113.5"}],
      "profiles": ["kns.shop"], "interfaceName": "cali0123456789a",
      "mac": "02:00:00:00:00:0a", "ipv4Gateway": "", "futureField": {"x": [1, 2]},
      "ports": [{"name": "http", "protocol": "TCP", "port": 8080, "hostPort": 0, "hostIP": ""}]}})");
  EXPECT_EQ(w.metadata.name, "n1-k8s-web-eth0");
  EXPECT_EQ(w.metadata.ns, "shop");
  ASSERT_EQ(w.metadata.labels.size(), 3U);
  EXPECT_EQ(w.metadata.labels[0].first, "app");  // sorted
  EXPECT_EQ(*find_label(w.metadata.labels, "zone"), "b");
  ASSERT_EQ(w.spec.ip_networks.size(), 2U);
  EXPECT_EQ(w.spec.ip_networks[1].to_string(), "fd65::5/128");
  EXPECT_EQ(w.spec.ip_nats[0].external_ip.to_string(), "203.0.113.5");
  EXPECT_EQ(w.spec.mac->to_string(), "02:00:00:00:00:0a");
  EXPECT_TRUE(w.spec.ipv4_gateway.is_any());
  EXPECT_EQ(w.spec.ports[0].protocol.number, 6);
  EXPECT_EQ(w.spec.ports[0].port, 8080);
}

// --- Calico's ways of writing ----------------------------------------------------------------

TEST(Codec, reads_as_numbers_in_all_forms) {
  const std::pair<const char*, std::uint32_t> rows[] = {
      {"64512", 64512}, {"\"64512\"", 64512}, {"\"1.10\"", 65546}, {"4294967295", 4294967295U}};
  for (const auto& [text, asn] : rows) {
    const auto p = must_decode<BgpPeer>(R"({"spec":{"asNumber":)" + std::string(text) + "}}");
    EXPECT_EQ(p.spec.as_number->value(), asn) << text;
  }
  for (const char* bad : {"4294967296", "-1", "1.10", "\"\"", "\"65536.1\"", "true", "[1]"}) {
    EXPECT_THAT(error_of<BgpPeer>(R"({"metadata":{"name":"p"},"spec":{"asNumber":)" +
                                  std::string(bad) + "}}"),
                HasSubstr("BGPPeer(p): error with field spec.asNumber"))
        << bad;
  }
}

Rule must_decode_rule(const std::string& rule) {
  auto p = must_decode<NetworkPolicy>(R"({"spec":{"ingress":[)" + rule + "]}}");
  return p.spec.ingress.empty() ? Rule{} : p.spec.ingress[0];
}

TEST(Codec, reads_protocols_ports_and_actions_in_all_forms) {
  const std::pair<const char*, int> protocols[] = {
      {"\"TCP\"", 6},     {"\"tcp\"", 6},       {"6", 6},    {"\"6\"", 6}, {"\"ICMPv6\"", 58},
      {"\"icmpv6\"", 58}, {"\"UDPLite\"", 136}, {"255", 255}};
  for (const auto& [text, number] : protocols) {
    const auto r = must_decode_rule(R"({"protocol":)" + std::string(text) + "}");
    EXPECT_EQ(r.protocol->number, number) << text;
  }
  const std::pair<const char*, Port> ports[] = {
      {"80", PortRange{80, 80}},          {"\"80\"", PortRange{80, 80}},
      {"\"80:90\"", PortRange{80, 90}},   {"0", PortRange{0, 0}},
      {"65535", PortRange{65535, 65535}}, {"\"web\"", std::string("web")},
      {"\"8x\"", std::string("8x")}};
  for (const auto& [text, port] : ports) {
    const auto r = must_decode_rule(R"({"source":{"ports":[)" + std::string(text) + "]}}");
    ASSERT_EQ(r.source.ports.size(), 1U);
    EXPECT_EQ(r.source.ports[0], port) << text;
  }
  const std::pair<const char*, Action> actions[] = {
      {"Allow", Action::allow},   {"allow", Action::allow}, {"", Action::allow},
      {"deny", Action::deny},     {"log", Action::log},     {"pass", Action::pass},
      {"next-tier", Action::pass}};
  for (const auto& [text, action] : actions) {
    EXPECT_EQ(must_decode_rule(R"({"action":")" + std::string(text) + "\"}").action, action);
  }
  for (const char* bad :
       {R"({"protocol":0})", R"({"protocol":256})", R"({"protocol":"GRE"})",
        R"({"source":{"ports":[65536]}})", R"({"source":{"ports":["90:80"]}})",
        R"({"source":{"ports":["a b"]}})", R"({"source":{"ports":[1.5]}})", R"({"action":"drop"})",
        R"({"icmp":{"type":255}})", R"({"icmp":{"type":3,"code":256}})"}) {
    EXPECT_NE(error_of<NetworkPolicy>(R"({"spec":{"egress":[)" + std::string(bad) + "]}}"),
              "no error")
        << bad;
  }
}

TEST(Codec, nets_are_masked_and_may_be_bare) {
  const auto s = must_decode<NetworkSet>(
      R"({"spec":{"nets":["10.1.2.3/8","192.0.2.1","fd00::1","fd00::1/16"]}})");
  std::string all;
  for (const auto& n : s.spec.nets) all += n.to_string() + " ";
  EXPECT_EQ(all, "10.0.0.0/8 192.0.2.1/32 fd00::1/128 fd00::/16 ");
}

TEST(Codec, absent_null_and_empty_are_alike) {
  for (const char* json : {"{}", R"({"spec":null})", R"({"spec":{}})",
                           R"({"metadata":null,"spec":{"bgp":null,"addresses":null}})",
                           R"({"spec":{"vxlanTunnelMACAddr":""},"status":null})"}) {
    const auto n = must_decode<Node>(json);
    EXPECT_FALSE(n.spec.bgp.has_value()) << json;
    EXPECT_FALSE(n.spec.vxlan_tunnel_mac_addr.has_value()) << json;
  }
  EXPECT_EQ(must_decode<NetworkPolicy>("{}").spec.tier, "default");
}

TEST(Codec, reads_affinities_of_all_ages) {
  const std::pair<const char*, bool> rows[] = {
      {"", false},
      {"{}", false},
      {R"({"deleted":true})", true},
      {R"({"deleted":"true"})", true},
      {R"({"state":"confirmed","deleted":"false"})", false},
      {R"({"state":null,"deleted":null})", false}};
  for (const auto& [json, deleted] : rows) {
    EXPECT_EQ(must_decode<BlockAffinity>(json).deleted, deleted) << json;
  }
  EXPECT_NE(error_of<BlockAffinity>(R"({"deleted":"maybe"})"), "no error");
  EXPECT_NE(error_of<IpamHandle>(""), "no error");
}

TEST(Codec, reads_blocks_with_their_attributes) {
  const auto b = must_decode<IpamBlock>(
      R"({"cidr":"10.0.0.0/30","affinity":null,"allocations":[null,1,0,null],)"
      R"("attributes":[{"handle_id":"h","secondary":{"node":"n1"}},{"secondary":null},{}]})");
  EXPECT_EQ(b.affinity, "");
  ASSERT_EQ(b.allocations.size(), 4U);
  EXPECT_EQ(b.allocations[1], 1);
  EXPECT_EQ(b.allocations[3], std::nullopt);
  ASSERT_EQ(b.attributes.size(), 3U);
  EXPECT_EQ(*find_label(b.attributes[0], "node"), "n1");
}

TEST(Codec, reads_felix_parameters_as_text) {
  const auto f = must_decode<FelixConfiguration>(R"({"metadata":{"name":"default"},"spec":{
    "nodeSelector":"edge == 'x'", "healthEnabled":true, "healthPort":9199, "reportingInterval":"0s",
    "bpfLogLevel":"", "logPrefix":null, "iptablesMarkMask":4294901760, "vxlanEnabled":false,
    "routeTableRanges":[{"min":1,"max":2},{"min":5,"max":9}], "routeTableRange":{"min":1,"max":250},
    "failsafeInboundHostPorts":[{"protocol":"TCP","port":22},{"protocol":"udp","port":68,
      "net":"10.0.0.0/8"},{"port":53}], "failsafeOutboundHostPorts":[],
    "healthTimeoutOverrides":[{"name":"calc","timeout":"90s"}],
    "externalNodesList":["192.0.2.1","192.0.2.2"], "kubeNodePortRanges":["30000:32767",99],
    "bpfConntrackTimeouts":{"a":"1s","b":"2s"}, "futureParameter":7}})");
  EXPECT_EQ(f.node_selector, "edge == 'x'");
  const std::map<std::string, std::string> want{
      {"healthEnabled", "true"},
      {"healthPort", "9199"},
      {"reportingInterval", "0s"},
      {"bpfLogLevel", ""},
      {"iptablesMarkMask", "4294901760"},
      {"vxlanEnabled", "false"},
      {"routeTableRanges", "1-2,5-9"},
      {"routeTableRange", "1-250"},
      {"failsafeInboundHostPorts", "tcp:22,udp:[10.0.0.0/8]:68,53"},
      {"failsafeOutboundHostPorts", "none"},
      {"healthTimeoutOverrides", "calc=90s"},
      {"externalNodesList", "192.0.2.1,192.0.2.2"},
      {"kubeNodePortRanges", "30000:32767,99"},
      {"bpfConntrackTimeouts", "a=1s,b=2s"},
      {"futureParameter", "7"}};
  EXPECT_EQ(f.parameters, want);
}

TEST(Codec, empty_service_ranges_are_skipped) {
  const auto c = must_decode<BgpConfiguration>(
      R"({"spec":{"serviceClusterIPs":[{"cidr":""},{"cidr":"10.96.0.0/12"},{}]}})");
  ASSERT_EQ(c.spec.service_cluster_ips.size(), 1U);
  EXPECT_EQ(c.spec.service_cluster_ips[0].cidr.to_string(), "10.96.0.0/12");
}

TEST(Codec, labels_given_twice_keep_the_last_value) {
  const auto n = must_decode<Node>(R"({"metadata":{"labels":{"b":"1","a":"x","b":"2","c":null}}})");
  EXPECT_EQ(n.metadata.labels, (Labels{{"a", "x"}, {"b", "2"}, {"c", ""}}));
}

// --- errors ----------------------------------------------------------------------------------

TEST(Codec, errors_name_object_path_value_and_what_is_allowed) {
  EXPECT_EQ(error_of<NetworkPolicy>(
                R"({"metadata":{"name":"web","namespace":"shop"},"spec":{"ingress":[{},{},{},)"
                R"({"action":"Allow","source":{"nets":["10.0.0.0/8","10.0.0/8"]}}]}})"),
            "NetworkPolicy(shop/web): error with field spec.ingress[3].source.nets[1] = '10.0.0/8' "
            "(must be a CIDR such as 10.0.0.0/8 or fd00::/8, or an IP address)");
  EXPECT_EQ(
      error_of<IpPool>(R"({"metadata":{"name":"p"},"spec":{"ipipMode":"Sometimes"}})"),
      "IPPool(p): error with field spec.ipipMode = 'Sometimes' (must be one of Never, Always, "
      "CrossSubnet)");
  EXPECT_EQ(error_of<Node>(R"({"metadata":{"name":"n","labels":{"a":true}}})"),
            "Node(n): error with field metadata.labels.a = 'true' (must be a text: put it in "
            "quotes)");
  EXPECT_EQ(error_of<BgpConfiguration>(R"({"spec":{"listenPort":65536}})"),
            "BGPConfiguration(): error with field spec.listenPort = '65536' (must be from 1 to "
            "65535)");
  EXPECT_THAT(error_of<Tier>(R"({"spec":{"defaultAction":"pass"}})"),
              HasSubstr("(must be Deny or Pass)"));
  EXPECT_THAT(error_of<Tier>(R"({"spec":7})"), HasSubstr("spec = '7' (must be an object)"));
  EXPECT_THAT(error_of<Tier>("[]"), HasSubstr("(the whole object) = '[]' (must be an object)"));
}

TEST(Codec, malformed_json_is_an_error) {
  for (const char* json : {"", " ", "{", "nul", "{\"a\":}", "{\"a\":1}}", "{'a':1}", "\xff\xfe",
                           "{\"kind\":\"\xc3\x28\"}", "{\"a\":1,}"}) {
    EXPECT_THAT(error_of<Tier>(json), HasSubstr("malformed JSON")) << json;
  }
  std::string deep = R"({"spec":{"x":)";
  for (int i = 0; i < 5000; ++i) deep += "[";
  EXPECT_THAT(error_of<Tier>(deep), HasSubstr("malformed JSON"));
  deep = R"({"spec":{"x":)" + std::string(200, '[') + std::string(200, ']') + "}}";
  EXPECT_THAT(error_of<Tier>(deep), HasSubstr("100 levels"));
}

TEST(Codec, secrets_are_not_repeated_in_errors) {
  const std::string json = R"({"metadata":{"name":"s","namespace":"n"},"data":{"k":["hunter2"]}})";
  EXPECT_EQ(error_of<Secret>(json).find("hunter2"), std::string::npos);
  EXPECT_THAT(error_of<Secret>(json), HasSubstr("data.k"));
}

TEST(Codec, long_values_are_cut_in_errors) {
  const std::string text(5000, 'x');
  EXPECT_LT(error_of<IpPool>(R"({"spec":{"cidr":")" + text + "\"}}").size(), 300U);
}

TEST(Codec, every_cut_of_a_sample_is_an_error_and_no_crash) {
  for (const auto& s : samples()) {
    for (std::size_t n = 1; n < s.json.size(); n += 1 + n / 16) {
      EXPECT_FALSE(validate_strict(s.key, s.json.substr(0, n)).ok());
    }
  }
}

}  // namespace
}  // namespace margay::model
