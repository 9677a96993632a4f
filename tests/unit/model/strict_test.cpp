// SPDX-License-Identifier: Apache-2.0
// What strict validation refuses, and in which words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/codec.h"

namespace margay::model {
namespace {

using ::testing::HasSubstr;

std::string verdict(const Key& key, const std::string& json) {
  const auto r = validate_strict(key, json);
  if (r.ok()) return "valid";
  EXPECT_EQ(r.error().code, Code::invalid);
  return r.error().context;
}

// A document of `kind` named "x" (in namespace "ns") with this spec.
std::string verdict_of_spec(Kind kind, const std::string& spec) {
  const KindInfo& k = info(kind);
  const Key key{kind, k.namespaced ? "ns" : "", "x"};
  const std::string ns = k.namespaced ? R"(,"namespace":"ns")" : "";
  return verdict(key, R"({"kind":")" + std::string(k.name) + R"(","apiVersion":")" +
                          std::string(k.api_version) + R"(","metadata":{"name":"x")" + ns +
                          R"(},"spec":)" + spec + "}");
}

struct Row {
  Kind kind;
  std::string spec;
  const char* part;  // of the verdict
};

void check_rows(const std::vector<Row>& rows) {
  for (const auto& row : rows) {
    const std::string have = verdict_of_spec(row.kind, row.spec);
    EXPECT_THAT(have, HasSubstr(row.part)) << info(row.kind).name << " " << row.spec;
    if (have != "valid") {
      EXPECT_TRUE(have.starts_with(std::string(info(row.kind).name) + "(")) << have;
    }
  }
}

TEST(Strict, unknown_fields_are_named_with_their_place) {
  EXPECT_EQ(verdict_of_spec(Kind::bgp_peer, R"({"peerIPP":"10.0.0.1"})"),
            "BGPPeer(x): field in document is not recognized or is in the wrong location: peerIPP "
            "(at spec.peerIPP)");
  check_rows({
      {Kind::network_policy, R"({"ingress":[{"action":"Allow","source":{"netz":[]}}]})",
       "netz (at spec.ingress[0].source.netz)"},
      {Kind::network_policy, R"({"namespaceSelector":"all() "})",
       "namespaceSelector (at spec.namespaceSelector)"},
      {Kind::network_policy, R"({"doNotTrack":true})", "doNotTrack (at spec.doNotTrack)"},
      {Kind::global_network_policy, R"({"stagedAction":"Set"})", "stagedAction"},
      {Kind::kubernetes_network_policy, R"({"podSelector":{},"stagedAction":"Set"})",
       "stagedAction"},
      {Kind::felix_configuration, R"({"healthEnable":true})", "healthEnable (at"},
      {Kind::kube_controllers_configuration, R"({"controllers":{"nodes":{}}})",
       "nodes (at spec.controllers.nodes)"},
      {Kind::cluster_network_policy, R"({"prio":1})", "prio (at spec.prio)"},
      {Kind::pod, R"({"futureField":1})", "valid"},
      {Kind::service, R"({"futureField":1})", "valid"},
      {Kind::network_set, "null", "valid"},
  });
}

TEST(Strict, several_problems_are_reported_together) {
  const auto have = verdict_of_spec(
      Kind::ip_pool, R"({"cidr":"10.0.0.1/24","ipipMode":"always","blokSize":26,"blockSize":"x"})");
  for (const char* part : {"spec.cidr = '10.0.0.1/24'", "did you mean 10.0.0.0/24?", "blokSize",
                           "spec.blockSize = 'x'", "spec.ipipMode = 'always'"}) {
    EXPECT_THAT(have, HasSubstr(part));
  }
  std::string many = "{";
  for (int i = 0; i < 30; ++i) many += "\"f" + std::to_string(i) + "\":1,";
  many.back() = '}';
  EXPECT_THAT(verdict_of_spec(Kind::bgp_peer, many), HasSubstr("; and 10 more"));
}

TEST(Strict, identity_must_agree_with_the_key) {
  const auto tier = [](const std::string& rest) {
    return verdict({Kind::tier, "", "x"},
                   R"({"kind":"Tier","apiVersion":"projectcalico.org/v3")" + rest + "}");
  };
  EXPECT_EQ(tier(R"(,"metadata":{"name":"x"})"), "valid");
  EXPECT_THAT(tier(""), HasSubstr("metadata = '' (is required)"));
  EXPECT_THAT(tier(R"(,"metadata":{"name":""})"), HasSubstr("metadata.name = '' (is required)"));
  EXPECT_THAT(tier(R"(,"metadata":{"name":"y"})"), HasSubstr("must be the key's name, x"));
  EXPECT_THAT(tier(R"(,"metadata":{"name":"x","namespace":"n"})"), HasSubstr("not namespaced"));
  EXPECT_THAT(verdict({Kind::tier, "", "x"}, R"({"kind":"Node","metadata":{"name":"x"}})"),
              HasSubstr("kind = 'Node' (must be Tier); error with field apiVersion = '' (must be "
                        "projectcalico.org/v3)"));
  EXPECT_THAT(verdict({Kind::ipam_block, "", "10.0.0.0/30"}, R"({"cidr":"10.0.0.4/30"})"),
              HasSubstr("cidr = '10.0.0.4/30' (must be the key's, 10.0.0.0/30)"));
}

TEST(Strict, names_and_labels_follow_rfc_1123) {
  const auto named = [](Kind kind, const std::string& name) {
    const KindInfo& k = info(kind);
    return verdict({kind, "", name}, R"({"kind":")" + std::string(k.name) + R"(","apiVersion":")" +
                                         std::string(k.api_version) + R"(","metadata":{"name":")" +
                                         name + "\"}}");
  };
  for (const std::string& good : {std::string("a"), std::string("a-1.b"), std::string(253, 'a')}) {
    EXPECT_EQ(named(Kind::node, good), "valid") << good;
  }
  for (const std::string& bad :
       {std::string("A"), std::string("-a"), std::string("a_b"), std::string("a..b"),
        std::string("a-"), std::string(254, 'a'), std::string("a.")}) {
    EXPECT_THAT(named(Kind::node, bad), HasSubstr("must consist of lower case letters")) << bad;
  }
  EXPECT_THAT(named(Kind::tier, "a.b"), HasSubstr("at most 63 characters"));
  const auto labelled = [](const std::string& labels) {
    return verdict({Kind::node, "", "x"},
                   R"({"kind":"Node","apiVersion":"projectcalico.org/v3","metadata":{"name":"x",)"
                   R"("labels":)" +
                       labels + "}}");
  };
  EXPECT_EQ(labelled(R"({"a":"","example.com/A_b.c":"V-1"})"), "valid");
  EXPECT_THAT(labelled(R"({"a/b/c":""})"), HasSubstr("must be a label key"));
  EXPECT_THAT(labelled(R"({"":""})"), HasSubstr("must be a label key"));
  EXPECT_THAT(labelled(R"({"a":"b c"})"), HasSubstr("labels.a = 'b c' (must be empty or at most"));
  EXPECT_THAT(labelled(R"({"a":1})"), HasSubstr("put it in quotes"));
  EXPECT_THAT(labelled("[]"), HasSubstr("must be a map of texts"));
}

// --- policies --------------------------------------------------------------------------------

Row ingress(const std::string& rule, const char* part) {
  return {Kind::network_policy, R"({"ingress":[)" + rule + "]}", part};
}
Row global_egress(const std::string& rule, const char* part) {
  return {Kind::global_network_policy, R"({"egress":[)" + rule + "]}", part};
}

TEST(Strict, rules) {
  std::string nets = "\"10.0.0.0/8\"";
  for (int i = 0; i < 256; ++i) nets += ",\"10.0.0.0/8\"";
  check_rows({
      ingress(R"({})", "spec.ingress[0].action = '' (is required)"),
      ingress(R"({"action":"allow"})", "must be one of Allow, Deny, Log, Pass"),
      ingress(R"({"action":"Allow","destination":{"ports":[80]}})",
              "port numbers need protocol TCP, UDP or SCTP"),
      ingress(R"({"action":"Allow","protocol":"ICMP","source":{"notPorts":[80]}})",
              "spec.ingress[0].source.notPorts"),
      ingress(R"({"action":"Allow","destination":{"ports":["web"]}})", "valid"),
      ingress(R"({"action":"Allow","protocol":"GRE"})", "must be TCP, UDP, ICMP"),
      ingress(R"({"action":"Allow","protocol":"TCP","source":{"ports":["9:8"]}})", "a range such"),
      ingress(R"({"action":"Allow","ipVersion":5})", "ipVersion = '5' (must be 4 or 6)"),
      ingress(R"({"action":"Allow","ipVersion":4,"source":{"nets":["fd00::/8"]}})",
              "is IPv6, but the rule is already about the other version by spec.ingress[0]."
              "ipVersion"),
      ingress(R"({"action":"Allow","source":{"nets":["10.0.0.0/8"]},)"
              R"("destination":{"notNets":["fd00::/8"]}})",
              "destination.notNets[0] = 'fd00::/8' (is IPv6"),
      ingress(R"({"action":"Allow","protocol":"ICMPv6","source":{"nets":["10.0.0.0/8"]}})",
              "is IPv4"),
      ingress(R"({"action":"Allow","source":{"notNets":["0.0.0.0/0"]}})", "every address"),
      ingress(R"({"action":"Allow","source":{"nets":[)" + nets + "]}}", "at most 256 items"),
      ingress(R"({"action":"Allow","icmp":{"type":8}})", "needs protocol ICMP or ICMPv6"),
      ingress(R"({"action":"Allow","protocol":"ICMP","icmp":{"code":1}})", "needs a type"),
      ingress(R"({"action":"Allow","protocol":"ICMP","icmp":{"type":255}})", "from 0 to 254"),
      ingress(R"({"action":"Allow","source":{"selector":"a = 'b'"}})",
              "source.selector = 'a = 'b'' ("),
      ingress(R"({"action":"Allow","source":{"selector":"global() "}})", "not allowed here"),
      ingress(R"({"action":"Allow","source":{"namespaceSelector":"global() && has(a) "}})",
              "must stand alone"),
      ingress(R"({"action":"Allow","source":{"namespaceSelector":"global() "}})", "valid"),
      ingress(R"({"action":"Allow","source":{"serviceAccounts":{"names":["A"]}}})",
              "serviceAccounts.names[0] = 'A'"),
      ingress(R"({"action":"Deny","http":{"methods":["GET"]}})", "action Allow only"),
      ingress(R"({"action":"Allow","protocol":"UDP","http":{}})", "needs protocol TCP, or none"),
      ingress(R"({"action":"Allow","http":{"paths":[{"exact":"/a","prefix":"/b"}]}})",
              "one of exact and prefix"),
      global_egress(R"({"action":"Allow","http":{}})", "ingress rules only"),
  });
}

TEST(Strict, services_in_rules) {
  check_rows({
      ingress(R"({"action":"Allow","source":{"services":{"name":"s"}}})", "valid"),
      ingress(R"({"action":"Allow","source":{"services":{}}})", "services.name = '' (is required"),
      ingress(R"({"action":"Allow","destination":{"services":{"name":"s"}}})",
              "not allowed in the destination of an ingress rule"),
      ingress(R"({"action":"Allow","source":{"services":{"name":"s"},"selector":"all() "}})",
              "cannot be combined with selectors"),
      ingress(R"({"action":"Allow","source":{"services":{"name":"s"},"nets":["10.0.0.0/8"]}})",
              "cannot be combined with selectors"),
      global_egress(R"({"action":"Allow","destination":{"services":{"name":"s"}}})",
                    "services.namespace = '' (is required in a global policy)"),
      global_egress(R"({"action":"Allow","source":{"services":{"name":"s","namespace":"n"}}})",
                    "not allowed in the source of an egress rule"),
      global_egress(R"({"action":"Allow","protocol":"TCP","destination":{"ports":[1],)"
                    R"("services":{"name":"s","namespace":"n"}}})",
                    "the service has its own"),
  });
}

TEST(Strict, policies_and_tiers) {
  const std::string long_selector = "has(" + std::string(1024, 'a') + ")";
  std::string rules = R"({"action":"Allow"})";
  for (int i = 1; i < 10000; ++i) rules += R"(,{"action":"Allow"})";
  check_rows({
      {Kind::network_policy, R"({"ingress":[)" + rules + "]}",
       "spec.ingress = '10000 items' (must have at most 1024 items)"},
      {Kind::network_policy, R"({"tier":"a.b"})", "spec.tier = 'a.b'"},
      {Kind::network_policy, R"({"order":"1"})", "spec.order = '1' (must be a number)"},
      {Kind::network_policy, R"({"selector":"a == b"})", "spec.selector = 'a == b' ("},
      {Kind::network_policy, R"({"selector":")" + long_selector + "\"}", "1024 characters"},
      {Kind::network_policy, R"({"types":["Ingress","Ingress"]})", "must not be given twice"},
      {Kind::network_policy, R"({"types":["ingress"]})", "must be one of Ingress, Egress"},
      {Kind::network_policy, R"({"performanceHints":["Faster"]})",
       "must be AssumeNeededOnEveryNode"},
      {Kind::staged_network_policy, R"({"stagedAction":"Try"})", "Set, Delete, Learn, Ignore"},
      {Kind::global_network_policy, R"({"doNotTrack":true})", "needs applyOnForward"},
      {Kind::global_network_policy, R"({"preDNAT":true})", "needs applyOnForward"},
      {Kind::global_network_policy, R"({"preDNAT":true,"applyOnForward":true,"doNotTrack":true})",
       "excludes doNotTrack"},
      {Kind::global_network_policy,
       R"({"preDNAT":true,"applyOnForward":true,"types":["Ingress","Egress"]})",
       "excludes egress rules and type Egress"},
      {Kind::profile, R"({"labelsToApply":{"a b":"c"}})", "must be a label key"},
      {Kind::profile, R"({"ingress":[{"action":"Allow","destination":{"ports":[1]}}]})",
       "port numbers need protocol"},
      {Kind::tier, R"({"defaultAction":"Allow"})", "must be Deny or Pass"},
  });
  const auto built_in = [](const std::string& name, const std::string& spec) {
    return verdict({Kind::tier, "", name},
                   R"({"kind":"Tier","apiVersion":"projectcalico.org/v3","metadata":{"name":")" +
                       name + R"("},"spec":)" + spec + "}");
  };
  EXPECT_EQ(built_in("default", R"({"order":1000000,"defaultAction":"Deny"})"), "valid");
  EXPECT_THAT(built_in("default", R"({"order":5,"defaultAction":"Pass"})"),
              HasSubstr("must be 1000000 for the tier default"));
  EXPECT_THAT(built_in("kube-admin", R"({"order":1000,"defaultAction":"Deny"})"),
              HasSubstr("must be Pass for the tier kube-admin"));
  EXPECT_THAT(built_in("kube-baseline", "{}"), HasSubstr("must be 10000000"));
}

TEST(Strict, kubernetes_policies) {
  const auto np = [](const std::string& rest, const char* part) {
    return Row{Kind::kubernetes_network_policy, R"({"podSelector":{},)" + rest + "}", part};
  };
  const auto cnp = [](const std::string& rest, const char* part) {
    return Row{Kind::cluster_network_policy,
               R"({"tier":"Admin","priority":1,"subject":{"namespaces":{}},)" + rest + "}", part};
  };
  check_rows({
      np(R"("ingress":[{"from":[{}]}])", "must have a podSelector"),
      np(R"("ingress":[{"from":[{"ipBlock":{"cidr":"10.0.0.0/8"},"podSelector":{}}]}])",
         "excludes selectors"),
      np(R"("egress":[{"to":[{"ipBlock":{"cidr":"10.0.0.0/8","except":["11.0.0.0/8"]}}]}])",
         "egress[0].to[0].ipBlock.except[0] = '11.0.0.0/8' (must lie within 10.0.0.0/8)"),
      np(R"("egress":[{"to":[{"ipBlock":{"cidr":"10.0.0.1/8"}}]}])", "did you mean"),
      np(R"("ingress":[{"ports":[{"endPort":9}]}])", "needs a port number"),
      np(R"("ingress":[{"ports":[{"port":9,"endPort":8}]}])", "must not be below it"),
      np(R"("ingress":[{"ports":[{"port":"1:2"}]}])", "must be from 1 to 65535, or a name"),
      np(R"("ingress":[{"ports":[{"protocol":"ICMP"}]}])", "must be TCP, UDP or SCTP"),
      np(R"("ingress":[{"from":[{"podSelector":{"matchExpressions":[{"key":"a","operator":"In"}]}}]}])",
         "is required with In"),
      np(R"("policyTypes":["All"])", "must be one of Ingress, Egress"),
      {Kind::cluster_network_policy, "{}", "spec.tier = '' (is required)"},
      cnp(R"("ingress":[{"action":"Allow","from":[{"namespaces":{}}]}])",
          "must be one of Accept, Deny, Pass"),
      cnp(R"("ingress":[{"action":"Accept","from":[]}])", "must have 1 to 25 items"),
      cnp(R"("ingress":[{"action":"Accept","from":[{"networks":["10.0.0.0/8"]}]}])",
          "is possible in egress rules only"),
      cnp(R"("egress":[{"action":"Deny","to":[{"namespaces":{},"networks":["10.0.0.0/8"]}]}])",
          "must have exactly one of"),
      cnp(R"("ingress":[{"action":"Deny","from":[{"namespaces":{}}],"protocols":[{}]}])",
          "must have exactly one of tcp"),
      cnp(R"("ingress":[{"action":"Deny","from":[{"namespaces":{}}],)"
          R"("protocols":[{"tcp":{"destinationPort":{"range":{"start":5,"end":5}}}}]}])",
          "start below end"),
      {Kind::cluster_network_policy, R"({"tier":"Admin","priority":1001,"subject":{"pods":{}}})",
       "must be from 0 to 1000"},
  });
}

// --- endpoints, pools, nodes -----------------------------------------------------------------

TEST(Strict, endpoints) {
  const auto wep = [](const std::string& rest, const char* part) {
    return Row{Kind::workload_endpoint,
               R"({"orchestrator":"k8s","node":"n","interfaceName":"cali1")" + rest + "}", part};
  };
  check_rows({
      wep("", "valid"),
      wep(R"(,"ipNetworks":["10.0.0.0/24"])", "must be a single address"),
      wep(R"(,"ipNetworks":["10.0.0.1"],"ipNATs":[{"internalIP":"10.0.0.1","externalIP":"::1"}])",
          "of the same version"),
      wep(R"(,"ipNATs":[{"internalIP":"10.0.0.1","externalIP":"10.0.0.2"}])",
          "must be one of ipNetworks"),
      wep(R"(,"mac":"zz")", "must be a MAC address"),
      wep(R"(,"ports":[{"name":"x","port":1}])", "protocol = '' (is required)"),
      wep(R"(,"ports":[{"name":"x","port":0,"protocol":"TCP"}])", "from 1 to 65535"),
      wep(R"(,"ports":[{"name":"x","port":1,"protocol":"ICMP"}])", "must be TCP, UDP or SCTP"),
      wep(R"(,"ipv4Gateway":"fd00::1")", "must be an IPv4 address"),
      wep(R"(,"qosControls":3)", "must be an object"),
      {Kind::workload_endpoint, R"({"orchestrator":"k8s","node":"n"})",
       "must be the name of an interface"},
      {Kind::workload_endpoint, R"({"interfaceName":"0123456789abcdef","node":"n"})",
       "spec.orchestrator = '' (is required)"},
      {Kind::host_endpoint, R"({"node":"n"})", "required when there are no expectedIPs"},
      {Kind::host_endpoint, R"({"interfaceName":"eth0"})", "spec.node = '' (is required)"},
      {Kind::host_endpoint, R"({"node":"n","interfaceName":"a/b"})", "the name of an interface"},
      {Kind::host_endpoint, R"({"node":"n","expectedIPs":["10.0.0.0/8"]})",
       "must be an IP address"},
      {Kind::network_set, R"({"nets":["10.0.0.0/33"]})", "must be a CIDR"},
  });
}

TEST(Strict, pools) {
  const auto pool = [](const std::string& rest, const char* part) {
    return Row{Kind::ip_pool, R"({"cidr":"10.1.0.0/16",)" + rest + "}", part};
  };
  const auto pool6 = [](const std::string& rest, const char* part) {
    return Row{Kind::ip_pool, R"({"cidr":"fd00::/64",)" + rest + "}", part};
  };
  check_rows({
      {Kind::ip_pool, "{}", "spec.cidr = '' (is required)"},
      {Kind::ip_pool, R"({"cidr":"10.1.0.0"})", "an address and a length"},
      {Kind::ip_pool, R"({"cidr":"10.1.0.0/27"})", "is smaller than one block of size 26"},
      {Kind::ip_pool, R"({"cidr":"10.1.0.0/27","disabled":true})", "valid"},
      {Kind::ip_pool, R"({"cidr":"169.254.7.0/24"})", "overlaps the link-local addresses"},
      {Kind::ip_pool, R"({"cidr":"168.0.0.0/6"})", "overlaps the link-local addresses"},
      {Kind::ip_pool, R"({"cidr":"fe80::/64"})", "fe80::/10"},
      pool(R"("blockSize":19)", "must be from 20 to 32 for IPv4"),
      pool(R"("blockSize":33)", "must be from 20 to 32 for IPv4"),
      pool6(R"("blockSize":26)", "must be from 116 to 128 for IPv6"),
      pool6(R"("blockSize":128)", "valid"),
      pool6(R"("ipipMode":"Always")", "must be Never for an IPv6 pool"),
      pool(R"("ipipMode":"Always","vxlanMode":"CrossSubnet")", "excludes vxlanMode"),
      pool(R"("nodeSelector":"global() ")", "global() is not allowed here"),
      pool(R"("namespaceSelector":"all() ")", "excludes the use Tunnel"),
      pool(R"("allowedUses":["Pods"])", "must be one of Workload, Tunnel, LoadBalancer"),
      pool(R"("allowedUses":["Tunnel","Tunnel"])", "must not be given twice"),
      pool(R"("allowedUses":["LoadBalancer","Workload"])", "excludes other uses"),
      pool(R"("allowedUses":["LoadBalancer"],"vxlanMode":"Always")", "excludes ipipMode and"),
      pool(R"("allowedUses":["LoadBalancer"],"nodeSelector":"x == 'y'")", "must be all()"),
      pool(R"("allowedUses":["LoadBalancer"],"disableBGPExport":true)", "is not possible for"),
      pool(R"("assignmentMode":"Sometimes")", "must be one of Automatic, Manual"),
      {Kind::ip_reservation, R"({"reservedCIDRs":["10.0.0.0/28","10.65.1.1"]})",
       "spec.reservedCIDRs[1] = '10.65.1.1' (must be a CIDR"},
      {Kind::ipam_configuration, R"({"autoAllocateBlocks":false})", "needs strict affinity"},
      {Kind::ipam_configuration, R"({"ipCooldownSeconds":1201})", "from 0 to 1200"},
      {Kind::ipam_configuration, "{}", "must be default"},
  });
}

TEST(Strict, overlapping_pools) {
  const auto pools = [](std::initializer_list<const char*> cidrs) {
    std::vector<IpPool> out;
    for (const char* cidr : cidrs) {
      out.emplace_back();
      out.back().metadata.name = "p" + std::to_string(out.size());
      out.back().spec.cidr = *Prefix::parse(cidr);
    }
    return out;
  };
  EXPECT_TRUE(check_pool_overlap({}).ok());
  EXPECT_TRUE(check_pool_overlap(pools({"10.2.0.0/16", "10.0.0.0/16", "10.1.0.0/16", "fd00::/64",
                                        "fd00:0:0:1::/64", "0.0.0.0/8"}))
                  .ok());
  const auto bad = check_pool_overlap(pools({"10.9.3.0/24", "fd00::/64", "10.8.0.0/15"}));
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().context,
            "IPPool(p1): error with field spec.cidr = '10.9.3.0/24' (overlaps IPPool(p3) with "
            "10.8.0.0/15)");
  EXPECT_FALSE(check_pool_overlap(pools({"10.0.0.0/16", "10.0.0.0/16"})).ok());
  EXPECT_FALSE(check_pool_overlap(pools({"fd00:1::/64", "fd00::/16", "10.0.0.0/8"})).ok());
}

TEST(Strict, nodes_and_settings) {
  check_rows({
      {Kind::node, R"({"bgp":{}})", "must not be empty"},
      {Kind::node, R"({"bgp":{"ipv4Address":"fd00::1/64"}})", "must be an IPv4 address"},
      {Kind::node, R"({"bgp":{"ipv6Address":"10.0.0.1/24"}})", "must be an IPv6 address"},
      {Kind::node, R"({"bgp":{"ipv4Address":"10.0.0.1/33"}})", "with the length of its subnet"},
      {Kind::node, R"({"bgp":{"routeReflectorClusterID":"1"}})", "form of an IPv4 address"},
      {Kind::node, R"({"ipv6VXLANTunnelAddr":"10.0.0.1"})", "must be an IPv6 address"},
      {Kind::node, R"({"wireguard":{"interfaceIPv4Address":"::1"}})", "must be an IPv4 address"},
      {Kind::node, R"({"orchRefs":[{}]})", "orchRefs[0].orchestrator = '' (is required)"},
      {Kind::cluster_information, "{}", "must be default"},
      {Kind::felix_configuration, R"({"healthEnabled":"yes"})", "must be true or false"},
      {Kind::felix_configuration, R"({"healthPort":"9099"})", "must be a number"},
      {Kind::felix_configuration, R"({"nodeSelector":"=="})", "spec.nodeSelector"},
      {Kind::calico_node_status, R"({"classes":["BGP"]})", "spec.node = '' (is required)"},
      {Kind::calico_node_status, R"({"node":"n","classes":["Bgp"]})", "Agent, BGP, Routes"},
      {Kind::kube_controllers_configuration, R"({"etcdV3CompactionPeriod":"10"})",
       "must be a duration"},
  });
}

// --- BGP -------------------------------------------------------------------------------------

TEST(Strict, bgp_configuration) {
  check_rows({
      {Kind::bgp_configuration, R"({"asNumber":0})", "must be from 1 to 4294967295"},
      {Kind::bgp_configuration, R"({"listenPort":0})", "must be from 1 to 65535"},
      {Kind::bgp_configuration, R"({"bindMode":"All"})", "must be one of None, NodeIP"},
      {Kind::bgp_configuration, R"({"serviceClusterIPs":[{"cidr":"10.0.0.1/8"}]})",
       "serviceClusterIPs[0].cidr = '10.0.0.1/8'"},
      {Kind::bgp_configuration, R"({"communities":[{"name":"a","value":"1:2"}]})",
       "of no use without prefixAdvertisements"},
      {Kind::bgp_configuration, R"({"prefixAdvertisements":[{"communities":["1:2"]}]})",
       "cidr = '' (is required)"},
      {Kind::bgp_configuration,
       R"({"prefixAdvertisements":[{"cidr":"10.0.0.0/8","communities":["65536:1","x","1:2"]}]})",
       "communities[1] = 'x' (must be a community, or the name"},
      {Kind::bgp_configuration,
       R"({"prefixAdvertisements":[{"cidr":"10.0.0.0/8","communities":["4200000000:1:1"]}]})",
       "valid"},
      {Kind::bgp_configuration, R"({"nodeToNodeMeshEnabled":false,"nodeMeshMaxRestartTime":"1m"})",
       "needs nodeToNodeMeshEnabled"},
      {Kind::bgp_configuration, R"({"nodeMeshPassword":{}})", "secretKeyRef = '' (is required)"},
      {Kind::bgp_configuration, R"({"nodeMeshPassword":{"secretKeyRef":{"name":"a"}}})",
       "nodeMeshPassword.secretKeyRef.key = '' (is required)"},
      {Kind::bgp_configuration, R"({"ignoredInterfaces":["*"]})", "but not '*' alone"},
      {Kind::bgp_configuration, R"({"localWorkloadPeeringIPV4":"fd00::1"})", "an IPv4 address"},
      {Kind::bgp_configuration, R"({"localWorkloadPeeringIPV6":"10.0.0.1"})", "an IPv6 address"},
      {Kind::bgp_configuration, R"({"ipv4NormalRoutePriority":2147483647})", "2147483646"},
  });
}

TEST(Strict, bgp_peers) {
  check_rows({
      {Kind::bgp_peer, R"({"node":"n","nodeSelector":"all() ","peerIP":"10.0.0.1"})",
       "node and nodeSelector cannot both be set"},
      {Kind::bgp_peer, R"({"peerIP":"1.2.3.400"})", "spec.peerIP = '1.2.3.400'"},
      {Kind::bgp_peer, R"({"peerIP":"10.0.0.1:0"})", "spec.peerIP"},
      {Kind::bgp_peer, R"({"peerIP":"10.0.0.1:"})", "spec.peerIP"},
      {Kind::bgp_peer, R"({"peerIP":"[fd00::1]"})", "spec.peerIP"},
      {Kind::bgp_peer, R"({"peerIP":"[10.0.0.1]:179"})", "spec.peerIP"},
      {Kind::bgp_peer, R"({"peerIP":"fe80::1%eth0"})", "a zone is not possible"},
      {Kind::bgp_peer, R"({"peerIP":"fd00::1"})", "valid"},
      {Kind::bgp_peer, R"({"peerIP":"[fd00::1]:1790","asNumber":0})", "valid"},
      {Kind::bgp_peer, R"({"peerIP":"10.0.0.1","peerSelector":"all() "})", "excludes peerSelector"},
      {Kind::bgp_peer, R"({"peerSelector":"all() ","asNumber":1})", "must be absent with"},
      {Kind::bgp_peer, R"({"localWorkloadSelector":"all() "})", "is required with local"},
      {Kind::bgp_peer, R"({"localWorkloadSelector":"all() ","asNumber":1,"peerIP":"10.0.0.1"})",
       "excludes peerIP and peerSelector"},
      {Kind::bgp_peer, R"({"peerIP":"10.0.0.1","keepOriginalNextHop":true,"nextHopMode":"Self"})",
       "excludes nextHopMode"},
      {Kind::bgp_peer, R"({"peerIP":"10.0.0.1","reachableBy":"fd00::1"})", "same IP version"},
      {Kind::bgp_peer, R"({"peerSelector":"all() ","reachableBy":"10.0.0.1"})", "needs a peerIP"},
      {Kind::bgp_peer, R"({"ttlSecurity":256})", "must be from 0 to 255"},
      {Kind::bgp_peer, R"({"keepaliveTime":"15"})", "must be a duration"},
      {Kind::bgp_peer, R"({"filters":["A_b"]})", "spec.filters[0] = 'A_b'"},
      {Kind::bgp_peer, R"({"localASNumber":0})", "from 1 to 4294967295"},
      {Kind::bgp_peer, R"({"asNumber":1.2})", "must be an AS number"},
      {Kind::bgp_peer, R"({"addressFamilies":["IPv4","IPv5"]})", "must be one of IPv4, IPv6"},
      {Kind::bgp_peer, R"({"addressFamilies":["IPv4","IPv4"]})", "spec.addressFamilies[1]"},
      {Kind::bgp_peer, R"({"maxPrefixes":-1})", "must be from 0"},
      {Kind::bgp_peer, R"({"maxPrefixes":5,"maxPrefixesRestartTime":"0s"})", "at least 1s"},
      {Kind::bgp_peer, R"({"maxPrefixesRestartTime":"1m"})", "needs maxPrefixes"},
      {Kind::bgp_peer, R"({"gracefulNotification":"Yes"})", "must be one of Enabled, Disabled"},
      {Kind::bgp_peer, R"({"gracefulNotification":"Enabled","maxRestartTime":"0s"})",
       "maxRestartTime is 0"},
  });
}

TEST(Strict, bgp_filters) {
  const auto v4 = [](const std::string& rule, const char* part) {
    return Row{Kind::bgp_filter, R"({"exportV4":[)" + rule + "]}", part};
  };
  check_rows({
      v4(R"({})", "exportV4[0].action = '' (is required)"),
      v4(R"({"action":"Permit"})", "must be one of Accept, Reject"),
      v4(R"({"action":"Accept","cidr":"10.0.0.0/8"})", "must be given together"),
      v4(R"({"action":"Accept","matchOperator":"In"})", "must be given together"),
      v4(R"({"action":"Accept","cidr":"fd00::/8","matchOperator":"In"})", "must be IPv4"),
      v4(R"({"action":"Accept","prefixLength":{"min":8}})", "needs a cidr"),
      v4(R"({"action":"Accept","cidr":"10.0.0.0/8","matchOperator":"In","prefixLength":{"max":33}})",
         "prefixLength.max = '33' (must be from 0 to 32)"),
      v4(R"({"action":"Accept","source":"Local"})", "must be RemotePeers"),
      v4(R"({"action":"Accept","interface":"0123456789abcdef"})", "1 to 15 characters"),
      v4(R"({"action":"Accept","communities":{"values":["1:2","3:4"]}})", "exactly one"),
      v4(R"({"action":"Accept","communities":{"values":["01:2"]}})", "exactly one"),
      v4(R"({"action":"Reject","operations":[{"setPriority":{"value":1}}]})", "Accept only"),
      v4(R"({"action":"Accept","operations":[{}]})", "must have exactly one of addCommunity"),
      v4(R"({"action":"Accept","operations":[{"addCommunity":{"value":"x"}}]})", "aa:nn"),
      v4(R"({"action":"Accept","operations":[{"prependASPath":{"prefix":[]}}]})", "1 to 10 AS"),
      v4(R"({"action":"Accept","priority":0})", "must be from 1 to 2147483646"),
      {Kind::bgp_filter,
       R"({"importV6":[{"action":"Accept","cidr":"10.0.0.0/8",)"
       R"("matchOperator":"Equal"}]})",
       "importV6[0].cidr = '10.0.0.0/8' (must be IPv6)"},
  });
}

TEST(Strict, blocks) {
  const Key key{Kind::ipam_block, "", "10.0.0.0/30"};
  const auto block = [&](const std::string& rest) {
    return verdict(key, R"({"cidr":"10.0.0.0/30",)" + rest + "}");
  };
  EXPECT_EQ(block(R"("allocations":[null,0,null,null],"attributes":[{}])"), "valid");
  EXPECT_THAT(block(R"("allocations":[null])"), HasSubstr("one item for each address"));
  EXPECT_THAT(block(R"("allocations":[null,1,-1,null],"attributes":[{}])"),
              HasSubstr("allocations[1] = '1' (must be an index into attributes)"));
  EXPECT_THAT(block(R"("allocation":[])"), HasSubstr("not recognized"));
}

}  // namespace
}  // namespace margay::model
