// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/static_book.h"

#include <algorithm>

namespace margay::managers {

namespace {

// Assigns and tells whether that changed anything.
template <typename T>
bool assign(T& into, const T& value) {
  if (into == value) return false;
  into = value;
  return true;
}

template <typename M, typename V>
bool assign_key(M& map, const typename M::key_type& key, const V& value) {
  const auto [it, fresh] = map.try_emplace(key, value);
  return fresh || assign(it->second, value);
}

bool same(const std::vector<model::IpNat>& a, const std::vector<model::IpNat>& b) {
  return std::ranges::equal(a, b, [](const model::IpNat& x, const model::IpNat& y) {
    return x.internal_ip == y.internal_ip && x.external_ip == y.external_ip;
  });
}

}  // namespace

void StaticBook::set_pool(const model::DesiredPool& pool) {
  pools_due_ = assign_key(pools_, pool.cidr, pool) || pools_due_;
}
void StaticBook::remove_pool(const Prefix& cidr) {
  pools_due_ = pools_.erase(cidr) > 0 || pools_due_;
}
void StaticBook::set_host(const model::HostAddresses& host) {
  hosts_due_ = assign_key(hosts_, host.node, host) || hosts_due_;
}
void StaticBook::remove_host(const std::string& node) {
  hosts_due_ = hosts_.erase(node) > 0 || hosts_due_;
}
void StaticBook::set_vtep(const model::Vtep& vtep) {
  hosts_due_ =
      assign_key(vteps_, {vtep.node, vtep.tunnel_ip.family()}, vtep.parent_ip) || hosts_due_;
}
void StaticBook::remove_vtep(const model::VtepRemove& vtep) {
  hosts_due_ = vteps_.erase({vtep.node, vtep.family}) > 0 || hosts_due_;
}

void StaticBook::set_node(const model::LocalNode& node) {
  const bool changed = assign(spec_.vxlan_v4, node.vxlan_v4) |
                       assign(spec_.vxlan_v6, node.vxlan_v6) | assign(spec_.ipip_v4, node.ipip_v4);
  due_ = due_ || changed;
}
void StaticBook::set_services(const model::ServiceRanges& services) {
  due_ = assign(spec_.services, services) || due_;
}
void StaticBook::set_encap(const model::EncapInUse& encap) {
  if (assign(spec_.encap, encap)) due_ = hosts_due_ = true;
}
void StaticBook::set_floating(std::vector<model::IpNat> floating) {
  if (same(floating, spec_.floating)) return;
  spec_.floating = std::move(floating);
  due_ = true;
}

bool StaticBook::has_pool_of(Family f) const {
  return std::ranges::any_of(pools_, [f](const auto& p) { return p.first.family() == f; });
}

std::map<std::string, std::vector<Prefix>> StaticBook::host_sets() const {
  std::map<std::string, std::vector<Prefix>> out;
  auto& vxlan = out[std::string(policy::kVxlanHosts)];
  auto& all = out[std::string(policy::kAllHosts)];
  if (spec_.encap.vxlan_v4 || spec_.encap.vxlan_v6) {
    for (const auto& [key, parent] : vteps_) vxlan.push_back(Prefix::host(parent));
    vxlan.insert(vxlan.end(), config_.external_nodes.begin(), config_.external_nodes.end());
  }
  if (spec_.encap.ipip || config_.nat_excludes_hosts) {  // nobody else asks for them
    for (const auto& [node, host] : hosts_) {
      for (const Ip& a : host.addresses) all.push_back(Prefix::host(a));
    }
    all.insert(all.end(), config_.external_nodes.begin(), config_.external_nodes.end());
  }
  return out;
}

void StaticBook::refresh() {
  if (pools_due_) {
    std::vector<Prefix> all, nat;
    for (const auto& [cidr, pool] : pools_) {
      all.push_back(cidr);
      if (pool.nat_outgoing) nat.push_back(cidr);
    }
    sets_.replace(policy::kAllPools, all);
    sets_.replace(policy::kNatPools, nat);
  }
  if (hosts_due_) {
    for (const auto& [id, members] : host_sets()) sets_.replace(id, members);
  }
  due_ = due_ || !sets_.take_changed().empty();
  if (due_) {
    policy::ConstantSets constants;
    const auto chains = policy::static_chains(spec_, sets_.shapes(), config_, constants);
    units_.put("static", chains, constants);
  }
  due_ = pools_due_ = hosts_due_ = false;
}

}  // namespace margay::managers
