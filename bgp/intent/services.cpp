// SPDX-License-Identifier: Apache-2.0
#include "bgp/intent/services.h"

#include <algorithm>

namespace margay::bgp {
namespace {

constexpr std::string_view kServiceNameLabel = "kubernetes.io/service-name";

void parse_into(std::vector<Ip>& out, std::string_view text) {
  if (const auto ip = Ip::parse(text); ip.ok()) out.push_back(*ip);
}

std::vector<Ip> parsed(const std::vector<std::string>& texts) {
  std::vector<Ip> out;
  for (const auto& text : texts) parse_into(out, text);
  return out;
}

bool within(const std::vector<Prefix>& ranges, const Ip& ip) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const Prefix& p) { return p.contains(ip); });
}

bool any_single(const std::vector<Prefix>& ranges, const std::vector<Ip>& list) {
  return std::any_of(list.begin(), list.end(), [&](const Ip& ip) {
    return std::find(ranges.begin(), ranges.end(), Prefix::host(ip)) != ranges.end();
  });
}

}  // namespace

bool ServiceBook::set(const model::Key& key, const model::Service& service) {
  const auto& s = service.spec;
  const bool known =
      s.type.empty() || s.type == "ClusterIP" || s.type == "NodePort" || s.type == "LoadBalancer";
  if (!known || s.cluster_ip.empty() || s.cluster_ip == "None") return remove(key);
  Service now;
  now.load_balancer = s.type == "LoadBalancer";
  // Where nobody has filled in the default: what is reached from outside has one.
  const bool outside = now.load_balancer || s.type == "NodePort" || !s.external_ips.empty();
  const bool cluster =
      s.external_traffic_policy == "Cluster" || (s.external_traffic_policy.empty() && outside);
  if (cluster) now.policy = Policy::cluster;
  if (s.external_traffic_policy == "Local") now.policy = Policy::local;
  if (now.policy == Policy::none) return remove(key);
  now.families = s.ip_families;
  now.cluster = parsed(s.cluster_ips);
  if (s.cluster_ips.empty()) parse_into(now.cluster, s.cluster_ip);
  now.external = parsed(s.external_ips);
  for (const auto& ingress : service.status.load_balancer.ingress) {
    parse_into(now.ingress, ingress.ip);
  }
  parse_into(now.asked, s.load_balancer_ip);
  auto& have = services_[{key.ns, key.name}];
  if (have == now) return false;
  have = std::move(now);
  return true;
}

bool ServiceBook::set(const model::Key& key, const model::EndpointSlice& slice) {
  const auto* service = model::find_label(slice.metadata.labels, kServiceNameLabel);
  if (service == nullptr || slice.address_type == "FQDN") return remove(key);
  Slice now{{key.ns, *service}, slice.address_type, false, false};
  for (const auto& endpoint : slice.endpoints) {
    if (!endpoint.conditions.ready.value_or(true)) continue;
    now.ready = true;
    now.ready_here |= endpoint.node_name == node_;
  }
  const Name name{key.ns, key.name};
  if (const auto it = slices_.find(name); it != slices_.end() && it->second == now) return false;
  (void)remove(key);
  slices_of_.emplace(now.service, name);
  slices_.emplace(name, std::move(now));
  return true;
}

bool ServiceBook::remove(const model::Key& key) {
  const Name name{key.ns, key.name};
  if (key.kind == model::Kind::service) return services_.erase(name) != 0;
  const auto it = slices_.find(name);
  if (it == slices_.end()) return false;
  const auto [first, last] = slices_of_.equal_range(it->second.service);
  slices_of_.erase(std::find_if(first, last, [&](const auto& s) { return s.second == name; }));
  slices_.erase(it);
  return true;
}

ServiceBook::Ready ServiceBook::ready(const Name& name, const Service& service) const {
  Ready out;
  const auto [first, last] = slices_of_.equal_range(name);
  for (auto it = first; it != last; ++it) {
    const Slice& slice = slices_.at(it->second);
    const auto& families = service.families;
    const bool ours = families.empty() ||
                      std::find(families.begin(), families.end(), slice.family) != families.end();
    out.anywhere |= ours && slice.ready;
    out.here |= ours && slice.ready_here;
  }
  return out;
}

bool ServiceBook::announced(const Service& s, const Ready& ready, const ServiceRanges& ranges) {
  if (s.policy == Policy::local) return ready.here;
  const bool single = s.load_balancer && (any_single(ranges.load_balancer, s.asked) ||
                                          any_single(ranges.load_balancer, s.ingress));
  if (single || any_single(ranges.external, s.external)) return true;
  return !ranges.aggregate_load_balancer && ready.anywhere;
}

std::vector<Prefix> ServiceBook::addresses(const ServiceRanges& ranges) const {
  std::vector<Prefix> out;
  if (ranges.empty()) return out;
  for (const auto& [name, s] : services_) {
    if (!announced(s, ready(name, s), ranges)) continue;
    if (!ranges.cluster.empty()) {
      for (const Ip& ip : s.cluster) out.push_back(Prefix::host(ip));
    }
    for (const Ip& ip : s.external) {
      if (within(ranges.external, ip)) out.push_back(Prefix::host(ip));
    }
    for (const Ip& ip : s.ingress) {
      if (within(ranges.load_balancer, ip)) out.push_back(Prefix::host(ip));
    }
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace margay::bgp
