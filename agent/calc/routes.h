// SPDX-License-Identifier: Apache-2.0
// Destinations of the pod network: which node each block, borrowed address, workload and tunnel
// address belongs to, and how the enclosing pools say to get there (spec calc-graph.md 6). One
// record per CIDR; references to it are kept as a multiset, so that two objects that claim one
// address give the same result in any order.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "agent/calc/index_table.h"
#include "agent/calc/labels.h"
#include "agent/calc/nodes.h"
#include "model/desired.h"
#include "model/resources.h"

namespace margay::calc {

class Routes {
 public:
  explicit Routes(const Nodes& nodes) : nodes_(nodes) {}  // must outlive this object
  Routes(const Routes&) = delete;
  Routes& operator=(const Routes&) = delete;

  enum class Claim : std::uint32_t { block, borrowed, workload, vxlan_tunnel, ipip_tunnel, host };

  // A node holds, or no longer holds, a CIDR.
  void claim(const Prefix& cidr, Claim claim, std::string_view node);
  void unclaim(const Prefix& cidr, Claim claim, std::string_view node);

  void set_block(const Prefix& cidr, const model::IpamBlock& block);
  void erase_block(const Prefix& cidr);
  void set_pool(const std::string& name, const model::IpPoolSpec& spec);
  void erase_pool(const std::string& name);
  // Called with the values before and after (nullptr: none).
  void node_changed(const std::string& name, const NodeInfo* before, const NodeInfo* after);

  struct Changes {
    std::vector<model::Change> routes, removed_routes;
    std::vector<model::Change> pools, removed_pools;
  };
  [[nodiscard]] Changes take_changes();
  [[nodiscard]] model::EncapInUse encap_in_use() const;

 private:
  struct Record {
    IdList claims;  // kind << 28 | node
    std::optional<model::RouteTarget> sent;
  };
  struct Block {
    std::string node;  // empty: of no node
    std::vector<std::pair<Prefix, std::string>> borrowed;
    friend bool operator==(const Block&, const Block&) = default;
  };
  void claim_node(const std::string& name, const NodeInfo& info, bool add);
  void claim_block(const Prefix& cidr, const Block& block, bool add);
  [[nodiscard]] std::optional<std::string_view> claimant(const Record& r, Claim claim) const;
  [[nodiscard]] std::optional<std::string_view> enclosing_block(const Prefix& cidr) const;
  [[nodiscard]] std::optional<model::RouteTarget> base_target(const Prefix& cidr,
                                                              const Record& r) const;
  [[nodiscard]] std::optional<model::RouteTarget> tunnel_target(const Prefix& cidr,
                                                                const Record& r) const;
  [[nodiscard]] std::optional<model::RouteTarget> target(const Prefix& cidr, const Record& r) const;
  void apply_pools(model::RouteTarget& target) const;
  void resolve(const Prefix& cidr, Changes& out);
  void mark_dirty();
  void mark_within(const Prefix& outer);
  [[nodiscard]] std::map<Prefix, model::DesiredPool> wanted_pools() const;

  const Nodes& nodes_;
  Interner names_;  // of nodes
  std::map<Prefix, Record> records_;  // what lies within a prefix stands together
  std::unordered_map<std::uint32_t, std::vector<Prefix>> records_of_;  // by node, as often as claimed
  std::map<Prefix, Block> blocks_;
  std::map<unsigned, std::size_t> block_lengths_[2];  // by family: length -> number of blocks
  std::map<std::string, model::IpPoolSpec> pools_;
  std::map<Prefix, model::DesiredPool> desired_pools_, sent_pools_;
  std::unordered_set<Prefix> dirty_, dirty_blocks_;
  std::set<std::string> dirty_nodes_;
  std::vector<Prefix> dirty_pools_;
  bool all_dirty_ = false;
};

}  // namespace margay::calc
