// SPDX-License-Identifier: Apache-2.0
// What calculation knows of each node: its addresses, tunnel addresses and MACs (spec calc-graph.md
// 6 and 7), and the values made of them: hosts, VTEPs, and our own node.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "model/desired.h"
#include "model/resources.h"

namespace margay::calc {

struct NodeInfo {
  // BGP address, else InternalIP, else ExternalIP (these two with the host's length).
  std::optional<InterfaceAddress> v4, v6;
  bool listed = true;  // among the hosts of the cluster
  // Underlay addresses for VXLAN: of the BGP spec only.
  std::optional<Ip> vxlan_parent_v4, vxlan_parent_v6;
  std::optional<Ip> vxlan_v4, vxlan_v6, ipip_v4;
  Mac vxlan_mac_v4, vxlan_mac_v6;
  friend bool operator==(const NodeInfo&, const NodeInfo&) = default;

  [[nodiscard]] const std::optional<InterfaceAddress>& address(Family f) const {
    return f == Family::v4 ? v4 : v6;
  }
};
[[nodiscard]] NodeInfo node_info(std::string_view name, const model::NodeSpec& spec);
// 'f' and the first five bytes of SHA-1 of the text.
[[nodiscard]] Mac derived_mac(std::string_view text);

class Nodes {
 public:
  explicit Nodes(std::string own) : own_(std::move(own)) {}

  // True when something changed.
  bool set(const std::string& name, const NodeInfo& info);
  bool erase(const std::string& name);
  [[nodiscard]] const NodeInfo* find(std::string_view name) const;
  [[nodiscard]] const std::string& own_name() const { return own_; }
  [[nodiscard]] const NodeInfo* own() const { return find(own_); }

  struct Changes {
    std::optional<model::Change> local;  // LocalNode
    std::vector<model::Change> hosts, removed_hosts;
    std::vector<model::Change> vteps, removed_vteps;
  };
  [[nodiscard]] Changes take_changes();

 private:
  struct Sent {
    std::optional<model::HostAddresses> host;
    std::optional<model::Vtep> v4, v6;
  };
  void compare(const std::string& name, Changes& out);
  [[nodiscard]] std::optional<model::Vtep> vtep(const std::string& name, Family family) const;

  std::string own_;
  std::map<std::string, NodeInfo, std::less<>> nodes_;
  std::map<std::string, Sent> sent_;
  std::optional<model::LocalNode> sent_local_;
  std::set<std::string> dirty_;
};

}  // namespace margay::calc
