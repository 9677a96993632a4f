// SPDX-License-Identifier: Apache-2.0
// Which addresses of Services a node announces (spec bgp.md 6.3): resources in, routes out.
#include "tests/unit/bgp_intent/objects.h"

namespace margay::bgp {
namespace {

// `spec` and `status` without their braces.
Object service(const std::string& name, const std::string& spec, const std::string& ingress = "") {
  return {Kind::service, name,
          R"({"metadata":{"name":")" + name + R"(","namespace":"shop"},"spec":{)" + spec +
              R"(},"status":{"loadBalancer":{"ingress":[)" + ingress + "]}}}",
          "", "shop"};
}
// `where`: nodes of the endpoints; "!n1" for one that is not ready, "?n1" without conditions.
Object slice(const std::string& name, const std::string& of, const std::vector<std::string>& where,
             const std::string& family = "IPv4") {
  std::string endpoints;
  for (std::string node : where) {
    std::string conditions = R"({"ready":true})";
    if (node[0] == '!') conditions = R"({"ready":false})";
    if (node[0] == '?') conditions = "{}";
    if (node[0] == '!' || node[0] == '?') node.erase(0, 1);
    endpoints += (endpoints.empty() ? "" : ",") + (R"({"addresses":["10.65.0.9"],"conditions":)" +
                                                   conditions + R"(,"nodeName":")" + node + "\"}");
  }
  return {Kind::endpoint_slice, name,
          R"({"metadata":{"name":")" + name + R"(","namespace":"shop","labels":{)" +
              R"("kubernetes.io/service-name":")" + of + R"("}},"addressType":")" + family +
              R"(","endpoints":[)" + endpoints + "]}",
          "", "shop"};
}

const std::string kLocal = R"(,"externalTrafficPolicy":"Local")";
const std::string kCluster = R"(,"externalTrafficPolicy":"Cluster")";
const std::string kIp = R"("type":"NodePort","clusterIP":"10.96.0.7","clusterIPs":["10.96.0.7"])";
const std::string kLb = R"("type":"LoadBalancer","clusterIP":"10.96.0.7")";
const std::string kDual =
    R"("type":"NodePort","clusterIP":"10.96.0.7","clusterIPs":["10.96.0.7","fd96::7"])";

struct Row {
  const char* name;
  std::string configuration;
  std::vector<Object> objects;
  Names want;
};

const std::string kClusterIps = R"("serviceClusterIPs":[{"cidr":"10.96.0.0/12"}])";
const std::string kExternalIps =
    R"("serviceExternalIPs":[{"cidr":"192.0.2.0/24"},{"cidr":"198.51.100.9/32"}])";
const std::string kLbIps =
    R"("serviceLoadBalancerIPs":[{"cidr":"203.0.113.0/24"},{"cidr":"198.51.100.1/32"}])";
const std::string kSingly = R"(,"serviceLoadBalancerAggregation":"Disabled")";
const std::string kIngress = R"({"ip":"203.0.113.5"})";

const Row kRows[] = {
    {"no ranges, no addresses", "", {service("a", kIp + kLocal), slice("s", "a", {"n1"})}, {}},
    {"the range alone, for a Service that is reached anywhere",
     kClusterIps,
     {service("a", kIp + kCluster), slice("s", "a", {"n1"})},
     {"10.96.0.0/12"}},
    {"local, with an endpoint here",
     kClusterIps,
     {service("a", kIp + kLocal), slice("s", "a", {"n2", "n1"})},
     {"10.96.0.0/12", "10.96.0.7/32"}},
    {"local, endpoints elsewhere",
     kClusterIps,
     {service("a", kIp + kLocal), slice("s", "a", {"n2"})},
     {"10.96.0.0/12"}},
    {"local, the endpoint here is not ready",
     kClusterIps,
     {service("a", kIp + kLocal), slice("s", "a", {"!n1", "n2"})},
     {"10.96.0.0/12"}},
    {"local, readiness unknown counts as ready",
     kClusterIps,
     {service("a", kIp + kLocal), slice("s", "a", {"?n1"})},
     {"10.96.0.0/12", "10.96.0.7/32"}},
    {"local, in the second slice",
     kClusterIps,
     {service("a", kIp + kLocal), slice("s", "a", {"n2"}), slice("t", "a", {"n1"})},
     {"10.96.0.0/12", "10.96.0.7/32"}},
    {"a slice of a family that the Service has not",
     kClusterIps,
     {service("a", kIp + kLocal + R"(,"ipFamilies":["IPv4"])"), slice("s", "a", {"n1"}, "IPv6")},
     {"10.96.0.0/12"}},
    {"both families",
     kClusterIps,
     {service("a", kDual + kLocal), slice("s", "a", {"n1"}, "IPv6")},
     {"10.96.0.0/12", "10.96.0.7/32", "fd96::7/128"}},
    {"another Service's slice",
     kClusterIps,
     {service("a", kIp + kLocal), slice("s", "b", {"n1"})},
     {"10.96.0.0/12"}},
    {"external addresses, those in the ranges",
     kExternalIps,
     {service("a", kIp + kLocal + R"(,"externalIPs":["192.0.2.8","192.0.3.8"])"),
      slice("s", "a", {"n1"})},
     {"192.0.2.0/24", "192.0.2.8/32"}},
    {"an external address that is an entry of its own, from everywhere",
     kExternalIps,
     {service("a", kIp + kCluster + R"(,"externalIPs":["198.51.100.9"])")},
     {"192.0.2.0/24", "198.51.100.9/32"}},
    {"which is so without the default filled in",
     kExternalIps,
     {service("a", R"("clusterIP":"10.96.0.7","externalIPs":["198.51.100.9"])")},
     {"192.0.2.0/24", "198.51.100.9/32"}},
    {"a load balancer's address, local",
     kLbIps,
     {service("a", kLb + kLocal, kIngress), slice("s", "a", {"n1"})},
     {"203.0.113.0/24", "203.0.113.5/32"}},
    {"a load balancer's address in a range, anywhere",
     kLbIps,
     {service("a", kLb + kCluster, kIngress), slice("s", "a", {"n1"})},
     {"203.0.113.0/24"}},
    {"the address asked for is an entry of its own",
     kLbIps,
     {service("a", kLb + kCluster + R"(,"loadBalancerIP":"198.51.100.1")",
              R"({"ip":"198.51.100.1"})")},
     {"198.51.100.1/32", "203.0.113.0/24"}},
    {"so is the address given",
     kLbIps,
     {service("a", kLb + kCluster, R"({"ip":"198.51.100.1"})")},
     {"198.51.100.1/32", "203.0.113.0/24"}},
    {"one by one: from every node as soon as one endpoint is ready anywhere",
     kLbIps + kSingly,
     {service("a", kLb + kCluster, kIngress), slice("s", "a", {"n2"})},
     {"203.0.113.5/32"}},
    {"one by one: none is ready",
     kLbIps + kSingly,
     {service("a", kLb + kCluster, kIngress), slice("s", "a", {"!n2"})},
     {}},
    {"one by one, local: here only",
     kLbIps + kSingly,
     {service("a", kLb + kLocal, kIngress), slice("s", "a", {"n2"})},
     {}},
    {"two Services share an address: announced once",
     kExternalIps,
     {service("a", kIp + kLocal + R"(,"externalIPs":["192.0.2.8"])"), slice("s", "a", {"n1"}),
      service("b", kIp + kLocal + R"(,"externalIPs":["192.0.2.8"])"), slice("t", "b", {"n1"})},
     {"192.0.2.0/24", "192.0.2.8/32"}},
    {"headless",
     kClusterIps,
     {service("a", R"("type":"ClusterIP","clusterIP":"None")" + kLocal), slice("s", "a", {"n1"})},
     {"10.96.0.0/12"}},
    {"a name outside",
     kClusterIps,
     {service("a", R"("type":"ExternalName","clusterIP":"10.96.0.7")" + kLocal),
      slice("s", "a", {"n1"})},
     {"10.96.0.0/12"}},
    {"a node that is kept out of load balancing",
     kClusterIps,
     {node("n1", kN1, R"("node.kubernetes.io/exclude-from-external-load-balancers":"true")"),
      service("a", kIp + kLocal), slice("s", "a", {"n1"})},
     {}},
    {"kept out takes exactly 'true'",
     kClusterIps,
     {node("n1", kN1, R"("node.kubernetes.io/exclude-from-external-load-balancers":"yes")")},
     {"10.96.0.0/12"}},
};

TEST(Services, are_announced_as_the_specification_says) {
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    std::vector<Object> objects = {node("n1", kN1), config(row.configuration)};
    objects.insert(objects.end(), row.objects.begin(), row.objects.end());
    const auto c = compute(objects);
    EXPECT_EQ(originated(c), row.want);
    auto accepted = texts(c.export_policy.service_routes);
    std::sort(accepted.begin(), accepted.end());
    auto sorted = row.want;
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(accepted, sorted) << "what is originated is let out, exactly";
  }
}

TEST(Services, are_followed_and_what_does_not_matter_wakes_nobody) {
  Intent intent({"n1", "", "kube-system", {}});
  for (const auto& o : {node("n1", kN1), config(kClusterIps), service("a", kIp + kLocal)}) {
    give(intent, o);
  }
  intent.set_in_sync();
  EXPECT_EQ(originated(*intent.compute()), Names{"10.96.0.0/12"});
  give(intent, slice("s", "a", {"n2"}));
  (void)intent.compute();
  give(intent, slice("s", "a", {"n2", "n3"}));
  EXPECT_FALSE(intent.compute().has_value()) << "another endpoint elsewhere";
  give(intent, slice("s", "a", {"n2", "n1"}));
  EXPECT_EQ(originated(*intent.compute()), (Names{"10.96.0.0/12", "10.96.0.7/32"}));
  intent.remove({Kind::endpoint_slice, "shop", "s"});
  EXPECT_EQ(originated(*intent.compute()), Names{"10.96.0.0/12"});
  give(intent, slice("s", "a", {"n1"}));
  EXPECT_EQ(originated(*intent.compute()).size(), 2U);
  intent.remove({Kind::service, "shop", "a"});
  EXPECT_EQ(originated(*intent.compute()), Names{"10.96.0.0/12"});
}

TEST(Services, of_a_node_with_another_name_in_kubernetes_and_a_range_from_the_environment) {
  IntentOptions options{"n1", "", {}, {}};
  options.endpoint_node = "host-1.example";
  options.cluster_ips = *Prefix::parse("10.100.0.0/16");
  const auto c = compute({node("n1", kN1), config(kClusterIps), service("a", kIp + kLocal),
                          slice("s", "a", {"host-1.example"})},
                         options);
  EXPECT_EQ(originated(c), (Names{"10.96.0.7/32", "10.100.0.0/16"}));
  EXPECT_EQ(texts(c.kernel_policy.service_ranges), Names{"10.100.0.0/16"});
}

}  // namespace
}  // namespace margay::bgp
