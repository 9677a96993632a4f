// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/nodes.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace margay::calc {
namespace {

void take_addresses(const model::NodeSpec& spec, std::string_view type, NodeInfo& out) {
  for (const auto& address : spec.addresses) {
    if (address.type != type) continue;
    const auto ip = Ip::parse(address.address);
    if (!ip.ok()) continue;
    auto& slot = ip->is_v4() ? out.v4 : out.v6;
    if (!slot) slot = InterfaceAddress{*ip, max_prefix_length(ip->family())};
  }
}

template <typename T>
void compare_one(const std::optional<T>& want, std::optional<T>& have, const model::Change& remove,
                 std::vector<model::Change>& updated, std::vector<model::Change>& removed) {
  if (want == have) return;
  if (want) {
    updated.emplace_back(*want);
  } else {
    removed.push_back(remove);
  }
  have = want;
}

}  // namespace

Mac derived_mac(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  const int done = EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr);
  MARGAY_ASSERT(done == 1 && size == 20);
  Mac mac;
  mac.bytes[0] = 'f';
  std::copy(digest.begin(), digest.begin() + 5, mac.bytes.begin() + 1);
  return mac;
}

NodeInfo node_info(std::string_view name, const model::NodeSpec& spec) {
  NodeInfo out;
  if (spec.bgp) {
    out.v4 = spec.bgp->ipv4_address;
    out.v6 = spec.bgp->ipv6_address;
    out.ipip_v4 = spec.bgp->ipv4_ipip_tunnel_addr;
    out.listed = out.v4 || out.v6;
    if (out.v4) out.vxlan_parent_v4 = out.v4->addr;
    if (out.v6) out.vxlan_parent_v6 = out.v6->addr;
  }
  take_addresses(spec, "InternalIP", out);
  take_addresses(spec, "ExternalIP", out);
  out.vxlan_v4 = spec.ipv4_vxlan_tunnel_addr;
  out.vxlan_v6 = spec.ipv6_vxlan_tunnel_addr;
  const std::string text(name);
  out.vxlan_mac_v4 = spec.vxlan_tunnel_mac_addr ? *spec.vxlan_tunnel_mac_addr : derived_mac(text);
  out.vxlan_mac_v6 =
      spec.vxlan_tunnel_mac_addr_v6 ? *spec.vxlan_tunnel_mac_addr_v6 : derived_mac(text + "-v6");
  return out;
}

bool Nodes::set(const std::string& name, const NodeInfo& info) {
  const auto [it, created] = nodes_.try_emplace(name, info);
  if (!created && it->second == info) return false;
  it->second = info;
  dirty_.insert(name);
  return true;
}

bool Nodes::erase(const std::string& name) {
  if (nodes_.erase(name) == 0) return false;
  dirty_.insert(name);
  return true;
}

const NodeInfo* Nodes::find(std::string_view name) const {
  const auto it = nodes_.find(name);
  return it == nodes_.end() ? nullptr : &it->second;
}

std::optional<model::Vtep> Nodes::vtep(const std::string& name, Family family) const {
  const NodeInfo* info = find(name);
  if (info == nullptr || name == own_) return std::nullopt;
  const bool v4 = family == Family::v4;
  const auto& parent = v4 ? info->vxlan_parent_v4 : info->vxlan_parent_v6;
  const auto& tunnel = v4 ? info->vxlan_v4 : info->vxlan_v6;
  if (!parent || !tunnel) return std::nullopt;
  return model::Vtep{name, *tunnel, v4 ? info->vxlan_mac_v4 : info->vxlan_mac_v6, *parent};
}

void Nodes::compare(const std::string& name, Changes& out) {
  const NodeInfo* info = find(name);
  std::optional<model::HostAddresses> host;
  if (info != nullptr && info->listed) {
    host = model::HostAddresses{name, {}};
    if (info->v4) host->addresses.push_back(info->v4->addr);
    if (info->v6) host->addresses.push_back(info->v6->addr);
    if (host->addresses.empty()) host.reset();
  }
  Sent& sent = sent_[name];
  compare_one(host, sent.host, model::HostRemove{name}, out.hosts, out.removed_hosts);
  compare_one(vtep(name, Family::v4), sent.v4, model::VtepRemove{name, Family::v4}, out.vteps,
              out.removed_vteps);
  compare_one(vtep(name, Family::v6), sent.v6, model::VtepRemove{name, Family::v6}, out.vteps,
              out.removed_vteps);
  if (!sent.host && !sent.v4 && !sent.v6) sent_.erase(name);
}

Nodes::Changes Nodes::take_changes() {
  Changes out;
  const std::set<std::string> dirty = std::exchange(dirty_, {});
  for (const auto& name : dirty) compare(name, out);
  if (sent_local_ && !dirty.contains(own_)) return out;
  model::LocalNode local;
  local.name = own_;
  local.vxlan_mac_v4 = derived_mac(own_);
  local.vxlan_mac_v6 = derived_mac(own_ + "-v6");
  if (const NodeInfo* info = own()) {
    local.ipv4 = info->v4;
    local.ipv6 = info->v6;
    local.vxlan_v4 = info->vxlan_v4;
    local.vxlan_v6 = info->vxlan_v6;
    local.vxlan_mac_v4 = info->vxlan_mac_v4;
    local.vxlan_mac_v6 = info->vxlan_mac_v6;
    local.ipip_v4 = info->ipip_v4;
  }
  if (sent_local_ != local) {
    out.local = local;
    sent_local_ = std::move(local);
  }
  return out;
}

}  // namespace margay::calc
