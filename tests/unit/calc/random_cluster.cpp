// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/calc/random_cluster.h"

namespace margay::calc {

using model::Key;
using model::Kind;

std::string RandomCluster::node() { return "node" + std::to_string(below(4)); }
std::string RandomCluster::ns() { return "ns" + std::to_string(below(3)); }
std::string RandomCluster::label() { return std::string(1, static_cast<char>('a' + below(3))); }
std::string RandomCluster::value() { return "v" + std::to_string(below(3)); }

std::string RandomCluster::selector() {
  const std::string l = one_of<std::string>(
      {label(), label(), "projectcalico.org/namespace", "projectcalico.org/orchestrator"});
  switch (below(12)) {
    case 0:
      return "all()";
    case 1:
      return "has(" + l + ")";
    case 2:
      return "!has(" + l + ")";
    case 3:
      return l + " != '" + value() + "'";
    case 4:
      return l + " in {'" + value() + "', '" + value() + "', 'k8s', 'ns1'}";
    case 5:
      return l + " not in {'" + value() + "'}";
    case 6:
      return l + " starts with 'v'";
    case 7:
      return "(" + selector() + ") && (" + selector() + ")";
    case 8:
      return "(" + selector() + ") || (" + selector() + ")";
    case 9:
      return "!(" + selector() + ")";
    case 10:
      return l + " contains '1'";
    default:
      return l + " == '" + value() + "'";
  }
}

model::Labels RandomCluster::labels(const std::string& prefix) {
  model::Labels out;
  for (const char* name : {"a", "b", "c"}) {
    if (chance(50)) out.emplace_back(prefix + name, value());
  }
  return out;
}

Ip RandomCluster::address() {
  const unsigned n = below(64);
  if (chance(70)) return Ip::v4(0x0a000000U + n);
  return Ip::parse("fd00::" + std::to_string(n)).value();
}

Prefix RandomCluster::net() {
  const Ip ip = address();
  return chance(60) ? Prefix::host(ip) : Prefix::containing(ip, ip.is_v4() ? 28 : 124);
}

std::vector<Prefix> RandomCluster::nets(unsigned most) {
  std::vector<Prefix> out(below(most + 1));
  for (auto& n : out) n = net();
  return out;
}

std::vector<model::EndpointPort> RandomCluster::ports() {
  std::vector<model::EndpointPort> out;
  if (chance(40)) out.push_back({"http", {6}, static_cast<std::uint16_t>(80 + below(2))});
  if (chance(20)) out.push_back({"http", {17}, 80});
  if (chance(30)) out.push_back({"dns", {17}, 53});
  return out;
}

std::vector<std::string> RandomCluster::profiles(const std::string& in) {
  std::vector<std::string> out;
  if (chance(80)) out.push_back("kns." + in);
  if (chance(40)) out.push_back("ksa." + in + ".sa" + std::to_string(below(2)));
  if (chance(10)) out.push_back("projectcalico-default-allow");
  if (chance(10)) out.push_back("nobody-knows");
  return out;
}

model::EntityRule RandomCluster::entity(bool may_be_service) {
  model::EntityRule out;
  if (may_be_service && chance(15)) {
    out.services = model::ServiceMatch{"svc" + std::to_string(below(2)), chance(50) ? ns() : ""};
    return out;
  }
  if (chance(40)) out.selector = chance(3) ? "broken(" : selector();
  if (chance(15)) out.not_selector = selector();
  if (chance(20)) out.namespace_selector = chance(20) ? "global()" : selector();
  if (chance(15)) {
    out.service_accounts = model::ServiceAccountMatch{{}, ""};
    if (chance(50)) out.service_accounts->names = {"sa" + std::to_string(below(2))};
    if (chance(50)) out.service_accounts->selector = selector();
  }
  if (chance(20)) out.nets = nets(3);
  if (chance(10)) out.not_nets = nets(3);
  if (chance(25)) out.ports.emplace_back(std::string(chance(50) ? "http" : "dns"));
  if (chance(25)) out.ports.emplace_back(model::PortRange{80, 90});
  if (chance(10)) out.not_ports.emplace_back(std::string("http"));
  return out;
}

model::Rule RandomCluster::rule(bool ingress) {
  model::Rule out;
  out.action = one_of<model::Action>(
      {model::Action::allow, model::Action::deny, model::Action::pass, model::Action::log});
  if (chance(50)) out.protocol = model::Protocol{static_cast<std::uint8_t>(chance(50) ? 6 : 17)};
  if (chance(10)) out.ip_version = chance(50) ? 4 : 6;
  if (chance(5)) out.http = model::HttpMatch{};
  if (chance(5)) out.icmp = model::Icmp{8, std::nullopt};
  if (chance(10)) out.metadata = model::RuleMetadata{{{"name", "r" + value()}}};
  out.source = entity(ingress);
  out.destination = entity(!ingress);
  return out;
}

model::PolicySpec RandomCluster::policy(bool global) {
  model::PolicySpec out;
  out.tier = one_of<std::string>({"default", "default", "t1", "t2", "kube-admin"});
  if (chance(70)) out.order = below(3);
  out.selector = chance(3) ? "broken" : chance(20) ? "" : selector();
  if (global && chance(30)) out.namespace_selector = selector();
  if (chance(20)) out.service_account_selector = selector();
  if (chance(60)) {
    if (chance(70)) out.types.push_back(model::PolicyType::ingress);
    if (chance(70)) out.types.push_back(model::PolicyType::egress);
  }
  for (unsigned i = below(4); i > 0; --i) out.ingress.push_back(rule(true));
  for (unsigned i = below(3); i > 0; --i) out.egress.push_back(rule(false));
  out.do_not_track = chance(8);
  out.pre_dnat = global && chance(8);
  out.apply_on_forward = chance(20);
  if (chance(5)) out.performance_hints = {"AssumeNeededOnEveryNode"};
  return out;
}

model::WorkloadEndpoint RandomCluster::workload(const std::string& in) {
  model::WorkloadEndpoint out;
  out.metadata.labels = labels();
  auto& s = out.spec;
  s.orchestrator = chance(90) ? "k8s" : "openstack";
  s.node = node();
  s.pod = "pod" + std::to_string(below(6));
  s.workload = "vm" + std::to_string(below(4));
  s.endpoint = "eth0";
  s.interface_name = chance(95) ? "cali" + std::to_string(below(100)) : "";
  if (chance(40)) s.service_account_name = "sa" + std::to_string(below(2));
  s.ip_networks = nets(2);
  s.profiles = profiles(in);
  s.ports = ports();
  if (chance(8)) s.allow_spoofed_source_prefixes = {net()};
  if (chance(10)) s.ip_nats = {{address(), address()}};
  return out;
}

model::Node RandomCluster::node_resource() {
  model::Node out;
  auto& s = out.spec;
  const auto outside = [this] { return Ip::v4(0xac100000U + (below(2) << 8) + below(3)); };
  if (chance(85)) {
    s.bgp.emplace();
    if (chance(85)) s.bgp->ipv4_address = InterfaceAddress{outside(), 24};
    if (chance(50)) {
      s.bgp->ipv6_address =
          InterfaceAddress{Ip::parse("fe::" + std::to_string(below(4))).value(), 64};
    }
    if (chance(20)) s.bgp->ipv4_ipip_tunnel_addr = Ip::v4(0x0a000000U + below(64));
  }
  if (chance(40)) s.addresses.push_back({outside().to_string(), "InternalIP"});
  if (chance(20)) s.addresses.push_back({"fe::77", "ExternalIP"});
  if (chance(10)) s.addresses.push_back({"a name", "InternalIP"});
  if (chance(70)) s.ipv4_vxlan_tunnel_addr = Ip::v4(0x0a000000U + below(64));
  if (chance(40))
    s.ipv6_vxlan_tunnel_addr = Ip::parse("fd00::" + std::to_string(below(64))).value();
  if (chance(30))
    s.vxlan_tunnel_mac_addr = Mac{{0x66, 1, 2, 3, 4, static_cast<std::uint8_t>(below(3))}};
  return out;
}

model::IpamBlock RandomCluster::block(const Prefix& cidr) {
  model::IpamBlock out;
  out.cidr = cidr;
  out.affinity = chance(85) ? "host:" + node() : chance(50) ? "virtual:lb" : "";
  for (const std::string& n : {std::string("node0"), std::string("node1"), std::string("node9")}) {
    out.attributes.push_back({{"node", n}});
  }
  out.attributes.push_back({});
  const std::size_t size = std::size_t{1} << (max_prefix_length(cidr.family()) - cidr.length());
  for (std::size_t i = 0; i < size; ++i) {
    out.allocations.emplace_back();
    if (chance(15)) out.allocations.back() = static_cast<int>(below(5));  // 4: out of range
  }
  return out;
}

model::EndpointSlice RandomCluster::slice() {
  model::EndpointSlice out;
  if (chance(90)) {
    out.metadata.labels = {{"kubernetes.io/service-name", "svc" + std::to_string(below(2))}};
  }
  for (unsigned i = below(3); i > 0; --i) {
    out.endpoints.push_back({{address().to_string(), "a.name"}, {}, ""});
  }
  if (chance(70)) out.ports.push_back({"p", {6}, static_cast<std::uint16_t>(80 + below(2))});
  if (chance(20)) out.ports.push_back({"q", {17}, std::nullopt});
  return out;
}

std::pair<Key, Value> RandomCluster::object() {
  const unsigned kind = below(100);
  return kind < 73 ? policy_object(kind) : network_object(kind);
}

// Policies, and what they select.
std::pair<Key, Value> RandomCluster::policy_object(unsigned kind) {
  const std::string in = ns();
  const auto numbered = [this](const char* name, unsigned n) {
    return name + std::to_string(below(n));
  };
  if (kind < 25) return {{Kind::workload_endpoint, in, numbered("wep", 8)}, workload(in)};
  if (kind < 40) {
    model::NetworkPolicy p;
    p.spec = policy(false);
    return {{Kind::network_policy, in, numbered("p", 3)}, p};
  }
  if (kind < 50) {
    model::GlobalNetworkPolicy p;
    p.spec = policy(true);
    return {{Kind::global_network_policy, "", numbered("p", 5)}, p};
  }
  if (kind < 54) {
    model::Tier t;
    if (chance(80)) t.spec.order = below(4);
    t.spec.default_pass = chance(50);
    return {{Kind::tier, "", one_of<std::string>({"t1", "t2", "default"})}, t};
  }
  if (kind < 60) {
    model::Profile p;
    p.spec.labels_to_apply = labels(chance(70) ? "pcns." : "");
    if (chance(70)) p.spec.ingress = {rule(true)};
    if (chance(50)) p.spec.egress = {rule(false)};
    for (auto* list : {&p.spec.ingress, &p.spec.egress}) {
      for (auto& r : *list) r.source.selector = r.destination.selector = "";
    }
    return {{Kind::profile, "", "kns." + in}, p};
  }
  if (kind < 64) {
    model::NetworkSet s;
    s.metadata.labels = labels();
    s.spec.nets = nets(5);
    return {{Kind::network_set, in, numbered("s", 2)}, s};
  }
  if (kind < 68) {
    model::GlobalNetworkSet s;
    s.metadata.labels = labels();
    s.spec.nets = nets(5);
    return {{Kind::global_network_set, "", numbered("s", 3)}, s};
  }
  model::HostEndpoint h;
  h.metadata.labels = labels();
  h.spec.node = node();
  h.spec.interface_name = chance(50) ? "eth0" : "*";
  if (chance(50)) h.spec.expected_ips = {address()};
  h.spec.ports = ports();
  h.spec.profiles = profiles(in);
  return {{Kind::host_endpoint, "", numbered("h", 4)}, h};
}

// Nodes, addresses, and native kinds.
std::pair<Key, Value> RandomCluster::network_object(unsigned kind) {
  const std::string in = ns();
  const auto numbered = [this](const char* name, unsigned n) {
    return name + std::to_string(below(n));
  };
  if (kind < 77) {
    model::IpPool p;
    p.spec.cidr =
        one_of<Prefix>({Prefix::parse("10.0.0.0/24").value(), Prefix::parse("10.0.0.0/27").value(),
                        Prefix::parse("fd00::/120").value()});
    const auto mode = [this] {
      return one_of<model::EncapMode>(
          {model::EncapMode::never, model::EncapMode::always, model::EncapMode::cross_subnet});
    };
    p.spec.vxlan_mode = mode();
    if (chance(30)) p.spec.ipip_mode = mode();
    p.spec.nat_outgoing = chance(50);
    if (chance(15)) p.spec.allowed_uses = {"LoadBalancer"};
    return {{Kind::ip_pool, "", numbered("pool", 3)}, p};
  }
  if (kind < 85) {
    Prefix cidr = Prefix::containing(Ip::v4(0x0a000000U + below(64)), chance(80) ? 28 : 30);
    if (chance(20))
      cidr = Prefix::containing(Ip::parse("fd00::" + std::to_string(below(64))).value(), 124);
    return {model::block_key(cidr), block(cidr)};
  }
  if (kind < 91) return {{Kind::node, "", node()}, node_resource()};
  if (kind < 93) {
    model::KubernetesNamespace n;
    n.metadata.labels = labels();
    return {{Kind::kubernetes_namespace, "", in}, n};
  }
  if (kind < 95) {
    model::ServiceAccount s;
    s.metadata.labels = labels();
    return {{Kind::service_account, in, numbered("sa", 2)}, s};
  }
  if (kind < 98) return {{Kind::endpoint_slice, in, numbered("slice", 3)}, slice()};
  model::BgpConfiguration c;
  if (chance(50)) c.spec.service_cluster_ips = {{net()}};
  return {{Kind::bgp_configuration, "", "default"}, c};
}

}  // namespace margay::calc
