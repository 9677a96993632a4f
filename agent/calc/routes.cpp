// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/routes.h"

#include <algorithm>

#include "model/key.h"

namespace margay::calc {
namespace {

using model::Encap;
using model::RouteTarget;

constexpr unsigned kNodeBits = 28;
constexpr std::uint32_t kNodeMask = (1U << kNodeBits) - 1;

std::size_t family_index(Family f) { return f == Family::v4 ? 0 : 1; }

bool for_workloads(const model::IpPoolSpec& pool) {
  return pool.allowed_uses.empty() ||
         std::any_of(pool.allowed_uses.begin(), pool.allowed_uses.end(),
                     [](const std::string& use) { return use == "Workload" || use == "Tunnel"; });
}

model::DesiredPool desired(const model::IpPoolSpec& spec) {
  model::DesiredPool out;
  out.cidr = spec.cidr;
  out.nat_outgoing = spec.nat_outgoing;
  const bool vxlan = spec.vxlan_mode != model::EncapMode::never;
  const model::EncapMode mode = vxlan ? spec.vxlan_mode : spec.ipip_mode;
  if (mode != model::EncapMode::never) out.encap = vxlan ? Encap::vxlan : Encap::ipip;
  out.cross_subnet = mode == model::EncapMode::cross_subnet;
  return out;
}

// The node that uses an allocated address of a block, as far as its attributes say.
const std::string* user_of(const model::IpamBlock& block, std::size_t ordinal) {
  const auto& index = block.allocations[ordinal];
  if (!index || *index < 0 || static_cast<std::size_t>(*index) >= block.attributes.size()) {
    return nullptr;
  }
  return model::find_label(block.attributes[static_cast<std::size_t>(*index)], "node");
}

}  // namespace

void Routes::claim(const Prefix& cidr, Claim claim, std::string_view node) {
  const std::uint32_t id = names_.acquire(node);
  records_[cidr].claims.push(static_cast<std::uint32_t>(claim) << kNodeBits | id);
  records_of_[id].push_back(cidr);
  dirty_.insert(cidr);
}

void Routes::unclaim(const Prefix& cidr, Claim claim, std::string_view node) {
  const std::uint32_t id = names_.find(node);
  const auto it = records_.find(cidr);
  MARGAY_ASSERT(id != kNone && it != records_.end());
  it->second.claims.erase(static_cast<std::uint32_t>(claim) << kNodeBits | id);
  const auto of_node = records_of_.find(id);
  std::vector<Prefix>& held = of_node->second;
  *std::find(held.begin(), held.end(), cidr) = held.back();
  held.pop_back();
  if (held.empty()) records_of_.erase(of_node);
  names_.release(id);
  dirty_.insert(cidr);
}

void Routes::claim_block(const Prefix& cidr, const Block& block, bool add) {
  const auto change = [&](const Prefix& p, Claim what, const std::string& node) {
    if (add) {
      claim(p, what, node);
    } else {
      unclaim(p, what, node);
    }
  };
  if (!block.node.empty()) change(cidr, Claim::block, block.node);
  for (const auto& [address, node] : block.borrowed) change(address, Claim::borrowed, node);
}

void Routes::set_block(const Prefix& cidr, const model::IpamBlock& value) {
  Block block;
  block.node = model::affinity_node(value.affinity);
  const std::size_t capacity = value.allocations.size();
  for (std::size_t i = 0; i < capacity; ++i) {
    const std::string* user = user_of(value, i);
    if (user == nullptr || user->empty() || *user == block.node) continue;
    const Ip address = cidr.addr().plus(i);
    if (cidr.contains(address)) block.borrowed.emplace_back(Prefix::host(address), *user);
  }
  const auto it = blocks_.find(cidr);
  if (it != blocks_.end() && it->second == block) return;
  claim_block(cidr, block, true);
  if (it != blocks_.end()) {
    claim_block(cidr, it->second, false);
    if (it->second.node != block.node) dirty_blocks_.insert(cidr);
    it->second = std::move(block);
    return;
  }
  ++block_lengths_[family_index(cidr.family())][cidr.length()];
  blocks_[cidr] = std::move(block);
  dirty_blocks_.insert(cidr);
}

void Routes::erase_block(const Prefix& cidr) {
  const auto it = blocks_.find(cidr);
  if (it == blocks_.end()) return;
  claim_block(cidr, it->second, false);
  auto& lengths = block_lengths_[family_index(cidr.family())];
  const auto length = lengths.find(cidr.length());
  if (--length->second == 0) lengths.erase(length);
  blocks_.erase(it);
  dirty_blocks_.insert(cidr);
}

std::map<Prefix, model::DesiredPool> Routes::wanted_pools() const {
  std::map<Prefix, model::DesiredPool> out;
  for (const auto& [name, spec] : pools_) {  // of two with one CIDR the first name wins
    if (for_workloads(spec)) out.try_emplace(spec.cidr, desired(spec));
  }
  return out;
}

void Routes::set_pool(const std::string& name, const model::IpPoolSpec& spec) {
  erase_pool(name);
  dirty_pools_.push_back(spec.cidr);
  pools_[name] = spec;
}

void Routes::erase_pool(const std::string& name) {
  const auto it = pools_.find(name);
  if (it == pools_.end()) return;
  dirty_pools_.push_back(it->second.cidr);
  pools_.erase(it);
}

void Routes::claim_node(const std::string& name, const NodeInfo& info, bool add) {
  const auto change = [&](const std::optional<Ip>& ip, Claim what) {
    if (!ip) return;
    if (add) {
      claim(Prefix::host(*ip), what, name);
    } else {
      unclaim(Prefix::host(*ip), what, name);
    }
  };
  change(info.vxlan_v4, Claim::vxlan_tunnel);
  change(info.vxlan_v6, Claim::vxlan_tunnel);
  change(info.ipip_v4, Claim::ipip_tunnel);
  if (info.v4) change(info.v4->addr, Claim::host);
  if (info.v6) change(info.v6->addr, Claim::host);
}

void Routes::node_changed(const std::string& name, const NodeInfo* before, const NodeInfo* after) {
  if (after != nullptr) claim_node(name, *after, true);
  if (before != nullptr) claim_node(name, *before, false);
  dirty_nodes_.insert(name);
  if (name == nodes_.own_name()) all_dirty_ = true;  // our subnet decides about others' routes
}

std::optional<std::string_view> Routes::claimant(const Record& r, Claim claim) const {
  std::optional<std::string_view> best;
  for (const std::uint32_t c : r.claims.span()) {
    if (c >> kNodeBits != static_cast<std::uint32_t>(claim)) continue;
    const std::string_view name = names_.text(c & kNodeMask);
    if (name == nodes_.own_name()) return name;
    if (!best || name < *best) best = name;
  }
  return best;
}

std::optional<std::string_view> Routes::enclosing_block(const Prefix& cidr) const {
  const auto& lengths = block_lengths_[family_index(cidr.family())];
  for (auto it = lengths.rbegin(); it != lengths.rend(); ++it) {
    if (it->first >= cidr.length()) continue;
    const auto block = blocks_.find(Prefix::containing(cidr.addr(), it->first));
    if (block != blocks_.end() && !block->second.node.empty()) return block->second.node;
  }
  return std::nullopt;
}

// A tunnel address within its own node's block is reached like the rest of the block.
std::optional<RouteTarget> Routes::tunnel_target(const Prefix& cidr, const Record& r) const {
  const auto vxlan = claimant(r, Claim::vxlan_tunnel);
  const auto ipip = claimant(r, Claim::ipip_tunnel);
  if (!vxlan && !ipip) return std::nullopt;
  RouteTarget out;
  out.dst = cidr;
  apply_pools(out);
  const bool use_ipip = !vxlan || (ipip && out.encap == Encap::ipip);
  out.encap = use_ipip ? Encap::ipip : Encap::vxlan;
  out.node = use_ipip ? *ipip : *vxlan;
  const auto block = enclosing_block(cidr);
  out.borrowed = block && *block != out.node;
  if (out.node == nodes_.own_name()) {
    out.kind = RouteTarget::Kind::local_tunnel;
    return out;
  }
  if (block && *block == out.node) return std::nullopt;
  out.kind = RouteTarget::Kind::remote_tunnel;
  return out;
}

std::optional<RouteTarget> Routes::base_target(const Prefix& cidr, const Record& r) const {
  RouteTarget out;
  out.dst = cidr;
  if (const auto node = claimant(r, Claim::workload)) {
    const auto block = enclosing_block(cidr);
    out.node = *node;
    out.borrowed = block && *block != *node;
    out.kind = *node == nodes_.own_name() ? RouteTarget::Kind::local_workload
                                          : RouteTarget::Kind::remote_workload;
    apply_pools(out);
    return out;
  }
  if (auto tunnel = tunnel_target(cidr, r)) return tunnel;
  if (claimant(r, Claim::vxlan_tunnel) || claimant(r, Claim::ipip_tunnel)) return std::nullopt;
  if (claimant(r, Claim::host)) return std::nullopt;
  const auto block = claimant(r, Claim::block);
  const auto borrower = claimant(r, Claim::borrowed);
  const auto node = block ? block : borrower;
  if (!node) return std::nullopt;
  out.node = *node;
  const auto outer = enclosing_block(cidr);
  out.borrowed = outer && *outer != *node;
  const bool own = *node == nodes_.own_name();
  out.kind = !own                       ? RouteTarget::Kind::remote_workload
             : block && !cidr.is_host() ? RouteTarget::Kind::local_block
                                        : RouteTarget::Kind::local_workload;
  apply_pools(out);
  return out;
}

void Routes::apply_pools(RouteTarget& target) const {
  unsigned best = 0;
  for (const auto& [cidr, pool] : desired_pools_) {
    if (!cidr.contains(target.dst)) continue;
    target.nat_outgoing |= pool.nat_outgoing;
    if (target.in_pool && cidr.length() < best) continue;
    target.in_pool = true;
    best = cidr.length();
    target.encap = pool.encap;
    target.same_subnet = pool.cross_subnet;  // so far: may it be?
  }
}

std::optional<RouteTarget> Routes::target(const Prefix& cidr, const Record& r) const {
  if (cidr.is_host() && cidr.addr().is_any()) return std::nullopt;
  auto out = base_target(cidr, r);
  if (!out) return out;
  const NodeInfo* node = nodes_.find(out->node);
  if (node != nullptr && node->address(cidr.family())) {
    out->node_ip = node->address(cidr.family())->addr;
  }
  const NodeInfo* own = nodes_.own();
  const bool remote = out->node != nodes_.own_name();
  out->same_subnet = out->same_subnet && remote && out->node_ip && own != nullptr &&
                     own->address(cidr.family()) &&
                     own->address(cidr.family())->subnet().contains(*out->node_ip);
  return out;
}

void Routes::resolve(const Prefix& cidr, Changes& out) {
  const auto it = records_.find(cidr);
  if (it == records_.end()) return;
  auto want = target(cidr, it->second);
  if (want != it->second.sent) {
    if (want) {
      out.routes.emplace_back(*want);
    } else {
      out.removed_routes.emplace_back(model::RouteRemove{cidr});
    }
    it->second.sent = std::move(want);
  }
  if (it->second.claims.empty()) records_.erase(it);
}

// Whether a destination is borrowed, or covered by its node's block, depends on the blocks around
// it; its encapsulation on pools; its next hop on nodes.
void Routes::mark_dirty() {
  if (dirty_nodes_.empty() && dirty_pools_.empty() && dirty_blocks_.empty() && !all_dirty_) return;
  for (const auto& name : dirty_nodes_) {
    const auto held = records_of_.find(names_.find(name));
    if (held != records_of_.end()) dirty_.insert(held->second.begin(), held->second.end());
  }
  for (const Prefix& pool : dirty_pools_) mark_within(pool);
  for (const Prefix& block : dirty_blocks_) mark_within(block);
  if (all_dirty_) {
    for (const auto& [cidr, record] : records_) dirty_.insert(cidr);
  }
  dirty_nodes_.clear();
  dirty_pools_.clear();
  dirty_blocks_.clear();
  all_dirty_ = false;
}

void Routes::mark_within(const Prefix& outer) {
  for (auto it = records_.lower_bound(outer); it != records_.end() && outer.contains(it->first);
       ++it) {
    dirty_.insert(it->first);
  }
}

Routes::Changes Routes::take_changes() {
  Changes out;
  if (!dirty_pools_.empty()) {
    desired_pools_ = wanted_pools();
    for (const auto& [cidr, pool] : desired_pools_) {
      const auto it = sent_pools_.find(cidr);
      if (it == sent_pools_.end() || it->second != pool) out.pools.emplace_back(pool);
    }
    for (const auto& [cidr, pool] : sent_pools_) {
      if (!desired_pools_.contains(cidr)) out.removed_pools.emplace_back(model::PoolRemove{cidr});
    }
    sent_pools_ = desired_pools_;
  }
  mark_dirty();
  for (const Prefix& cidr : std::exchange(dirty_, {})) resolve(cidr, out);
  return out;
}

model::EncapInUse Routes::encap_in_use() const {
  model::EncapInUse out;
  for (const auto& [name, spec] : pools_) {
    out.ipip |= spec.ipip_mode != model::EncapMode::never;
    const bool vxlan = spec.vxlan_mode != model::EncapMode::never;
    (spec.cidr.family() == Family::v4 ? out.vxlan_v4 : out.vxlan_v6) |= vxlan;
  }
  return out;
}

}  // namespace margay::calc
