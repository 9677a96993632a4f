// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/calc/reference_routes.h"

#include <openssl/sha.h>

#include <set>

namespace margay::calc {
namespace {

using model::Kind;

class Routes {
 public:
  Routes(const Options& options, const Resources& resources, View& view)
      : options_(options), resources_(resources), view_(view) {}

  void calculate() {
    node_tables();
    route_table();
  }

 private:
  // --- nodes ----------------------------------------------------------------------------------
  static std::optional<InterfaceAddress> node_address(const model::NodeSpec& spec, Family family) {
    if (spec.bgp) {
      const auto& own = family == Family::v4 ? spec.bgp->ipv4_address : spec.bgp->ipv6_address;
      if (own) return own;
    }
    for (const char* type : {"InternalIP", "ExternalIP"}) {
      for (const auto& a : spec.addresses) {
        const auto ip = Ip::parse(a.address);
        if (a.type == type && ip.ok() && ip->family() == family) {
          return InterfaceAddress{*ip, max_prefix_length(family)};
        }
      }
    }
    return std::nullopt;
  }

  static Mac derived(const std::string& text) {
    unsigned char digest[20];
    std::vector<unsigned char> bytes(text.begin(), text.end());
    SHA1(bytes.data(), bytes.size(), digest);
    return {{0x66, digest[0], digest[1], digest[2], digest[3], digest[4]}};
  }

  void node_tables() {
    model::LocalNode local;
    local.name = options_.node;
    local.vxlan_mac_v4 = derived(options_.node);
    local.vxlan_mac_v6 = derived(options_.node + "-v6");
    for (const auto& [key, node] : all_of<model::Node>(resources_)) {
      const auto& spec = node.spec;
      const auto v4 = node_address(spec, Family::v4), v6 = node_address(spec, Family::v6);
      model::HostAddresses host{key.name, {}};
      if (v4) host.addresses.push_back(v4->addr);
      if (v6) host.addresses.push_back(v6->addr);
      const bool empty_bgp = spec.bgp && !spec.bgp->ipv4_address && !spec.bgp->ipv6_address;
      if (!host.addresses.empty() && !empty_bgp) view_.hosts[key.name] = host;
      const Mac mac4 = spec.vxlan_tunnel_mac_addr.value_or(derived(key.name));
      const Mac mac6 = spec.vxlan_tunnel_mac_addr_v6.value_or(derived(key.name + "-v6"));
      if (key.name == options_.node) {
        local.ipv4 = v4;
        local.ipv6 = v6;
        local.vxlan_v4 = spec.ipv4_vxlan_tunnel_addr;
        local.vxlan_v6 = spec.ipv6_vxlan_tunnel_addr;
        local.vxlan_mac_v4 = mac4;
        local.vxlan_mac_v6 = mac6;
        if (spec.bgp) local.ipip_v4 = spec.bgp->ipv4_ipip_tunnel_addr;
        continue;
      }
      if (spec.bgp && spec.bgp->ipv4_address && spec.ipv4_vxlan_tunnel_addr) {
        view_.vteps[{key.name, Family::v4}] = {key.name, *spec.ipv4_vxlan_tunnel_addr, mac4,
                                               spec.bgp->ipv4_address->addr};
      }
      if (spec.bgp && spec.bgp->ipv6_address && spec.ipv6_vxlan_tunnel_addr) {
        view_.vteps[{key.name, Family::v6}] = {key.name, *spec.ipv6_vxlan_tunnel_addr, mac6,
                                               spec.bgp->ipv6_address->addr};
      }
    }
    view_.local = local;
    view_.ranges.emplace();
    const auto config = resources_.find({Kind::bgp_configuration, "", "default"});
    if (config == resources_.end()) return;
    const auto& spec = std::get<model::BgpConfiguration>(config->second).spec;
    for (const auto& b : spec.service_cluster_ips) view_.ranges->cluster_ips.push_back(b.cidr);
    for (const auto& b : spec.service_external_ips) view_.ranges->external_ips.push_back(b.cidr);
    for (const auto& b : spec.service_load_balancer_ips) {
      view_.ranges->load_balancer_ips.push_back(b.cidr);
    }
  }

  // --- routes ---------------------------------------------------------------------------------
  struct Claims {
    std::set<std::string> blocks, borrowed, workloads, vxlan, ipip, hosts;
  };

  void pools() {
    view_.encap.emplace();
    for (const auto& [key, pool] : all_of<model::IpPool>(resources_)) {
      const auto& s = pool.spec;
      const bool vxlan = s.vxlan_mode != model::EncapMode::never;
      const bool ipip = s.ipip_mode != model::EncapMode::never;
      if (ipip) view_.encap->ipip = true;
      if (vxlan && s.cidr.family() == Family::v4) view_.encap->vxlan_v4 = true;
      if (vxlan && s.cidr.family() == Family::v6) view_.encap->vxlan_v6 = true;
      const std::set<std::string> uses(s.allowed_uses.begin(), s.allowed_uses.end());
      if (!uses.empty() && !uses.contains("Workload") && !uses.contains("Tunnel")) continue;
      model::DesiredPool out;
      out.cidr = s.cidr;
      out.nat_outgoing = s.nat_outgoing;
      out.encap = vxlan ? model::Encap::vxlan : ipip ? model::Encap::ipip : model::Encap::none;
      const auto mode = vxlan ? s.vxlan_mode : s.ipip_mode;
      out.cross_subnet = mode == model::EncapMode::cross_subnet;
      view_.pools.try_emplace(s.cidr, out);
    }
    if (options_.ipip_enabled) view_.encap->ipip = *options_.ipip_enabled;
    if (options_.vxlan_enabled) view_.encap->vxlan_v4 = *options_.vxlan_enabled;
  }

  std::map<Prefix, Claims> collect_claims() {
    std::map<Prefix, Claims> out;
    for (const auto& [key, block] : all_of<model::IpamBlock>(resources_)) {
      const Prefix cidr = Prefix::parse(key.name).value();
      std::string owner;
      if (block.affinity.starts_with("host:")) owner = block.affinity.substr(5);
      if (!owner.empty()) {
        out[cidr].blocks.insert(owner);
        block_owner_[cidr] = owner;
      }
      for (std::size_t i = 0; i < block.allocations.size(); ++i) {
        if (!block.allocations[i]) continue;
        const auto index = static_cast<std::size_t>(*block.allocations[i]);
        if (index >= block.attributes.size()) continue;
        const auto* user = model::find_label(block.attributes[index], "node");
        if (user == nullptr || user->empty() || *user == owner) continue;
        const Ip ip = cidr.addr().plus(i);
        if (cidr.contains(ip)) out[Prefix::host(ip)].borrowed.insert(*user);
      }
    }
    for (const auto& [key, wep] : all_of<model::WorkloadEndpoint>(resources_)) {
      const auto& s = wep.spec;
      if (s.node.empty() || !in_use(wep, options_)) continue;
      if (options_.route_source == RouteSource::calico_ipam && s.node != options_.node) continue;
      for (const Prefix& net : s.ip_networks) out[net].workloads.insert(s.node);
    }
    for (const auto& [key, node] : all_of<model::Node>(resources_)) {
      const auto& s = node.spec;
      if (s.ipv4_vxlan_tunnel_addr) {
        out[Prefix::host(*s.ipv4_vxlan_tunnel_addr)].vxlan.insert(key.name);
      }
      if (s.ipv6_vxlan_tunnel_addr) {
        out[Prefix::host(*s.ipv6_vxlan_tunnel_addr)].vxlan.insert(key.name);
      }
      if (s.bgp && s.bgp->ipv4_ipip_tunnel_addr) {
        out[Prefix::host(*s.bgp->ipv4_ipip_tunnel_addr)].ipip.insert(key.name);
      }
      for (const Family f : kFamilies) {
        if (const auto a = node_address(s, f)) out[Prefix::host(a->addr)].hosts.insert(key.name);
      }
    }
    return out;
  }

  std::string pick(const std::set<std::string>& nodes) const {
    return nodes.contains(options_.node) ? options_.node : *nodes.begin();
  }

  std::string outer_block(const Prefix& cidr) const {
    std::string owner;
    int best = -1;
    for (const auto& [block, node] : block_owner_) {
      const int length = static_cast<int>(block.length());
      if (block == cidr || !block.contains(cidr) || length <= best) continue;
      best = length;
      owner = node;
    }
    return owner;
  }

  std::optional<model::RouteTarget> route(const Prefix& cidr, const Claims& c) const {
    using Route = model::RouteTarget;
    if (cidr.is_host() && cidr.addr().is_any()) return std::nullopt;
    Route r;
    r.dst = cidr;
    bool cross = false;
    int best = -1;
    for (const auto& [pool_cidr, pool] : view_.pools) {
      if (!pool_cidr.contains(cidr)) continue;
      r.in_pool = true;
      r.nat_outgoing = r.nat_outgoing || pool.nat_outgoing;
      if (static_cast<int>(pool_cidr.length()) <= best) continue;
      best = static_cast<int>(pool_cidr.length());
      r.encap = pool.encap;
      cross = pool.cross_subnet;
    }
    const std::string outer = outer_block(cidr);
    if (!c.workloads.empty()) {
      r.node = pick(c.workloads);
      r.kind = r.node == options_.node ? Route::Kind::local_workload : Route::Kind::remote_workload;
    } else if (!c.vxlan.empty() || !c.ipip.empty()) {
      const bool ipip = c.vxlan.empty() || (!c.ipip.empty() && r.encap == model::Encap::ipip);
      r.encap = ipip ? model::Encap::ipip : model::Encap::vxlan;
      r.node = pick(ipip ? c.ipip : c.vxlan);
      r.kind = r.node == options_.node ? Route::Kind::local_tunnel : Route::Kind::remote_tunnel;
      if (r.node != options_.node && outer == r.node) return std::nullopt;
    } else if (!c.hosts.empty()) {
      return std::nullopt;
    } else if (!c.blocks.empty()) {
      r.node = pick(c.blocks);
      r.kind = r.node != options_.node ? Route::Kind::remote_workload
               : cidr.is_host()        ? Route::Kind::local_workload
                                       : Route::Kind::local_block;
    } else if (!c.borrowed.empty()) {
      r.node = pick(c.borrowed);
      r.kind = r.node != options_.node ? Route::Kind::remote_workload : Route::Kind::local_workload;
    } else {
      return std::nullopt;
    }
    r.borrowed = !outer.empty() && outer != r.node;
    r.node_ip = ip_of(r.node, cidr.family());
    const auto own = resources_.find({Kind::node, "", options_.node});
    if (cross && r.node != options_.node && r.node_ip && own != resources_.end()) {
      const auto a = node_address(std::get<model::Node>(own->second).spec, cidr.family());
      r.same_subnet = a && a->subnet().contains(*r.node_ip);
    }
    return r;
  }

  std::optional<Ip> ip_of(const std::string& node, Family family) const {
    const auto it = resources_.find({Kind::node, "", node});
    if (it == resources_.end()) return std::nullopt;
    const auto a = node_address(std::get<model::Node>(it->second).spec, family);
    if (!a) return std::nullopt;
    return a->addr;
  }

  void route_table() {
    pools();
    for (const auto& [cidr, claims] : collect_claims()) {
      if (const auto r = route(cidr, claims)) view_.routes[cidr] = *r;
    }
  }

  const Options& options_;
  const Resources& resources_;
  View& view_;
  std::map<Prefix, std::string> block_owner_;
};

}  // namespace

bool in_use(const model::WorkloadEndpoint& wep, const Options& options) {
  return !wep.spec.interface_name.empty() &&
         (wep.spec.allow_spoofed_source_prefixes.empty() || options.allow_source_spoofing);
}

void reference_routes(const Options& options, const Resources& resources, View& view) {
  Routes(options, resources, view).calculate();
}

}  // namespace margay::calc
