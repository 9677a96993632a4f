// SPDX-License-Identifier: Apache-2.0
// VXLAN peers of one family -> wants of the neighbour and FDB tables. A change costs what it
// touches, not what the cluster holds. Two nodes may claim one address for a while: the last by
// name has it. No I/O.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "dataplane/neigh/neigh_table.h"
#include "model/desired.h"

namespace margay::dataplane {

class VtepBook {
 public:
  // One node's peer was, and is from now on; null: none.
  void change(const model::Vtep* before, const model::Vtep* after);
  // Brings the wants up to date; `device` 0: there is none. `vteps`: all of them, by node.
  void refresh(neigh::NeighTable& table, IfIndex device,
               const std::map<std::string, model::Vtep>& vteps);

 private:
  void move_to(neigh::NeighTable& table, IfIndex device);

  std::set<std::pair<Ip, std::string>> addresses_;  // tunnel address, node
  std::set<std::pair<Mac, std::string>> macs_;
  std::set<Ip> touched_addresses_;
  std::set<Mac> touched_macs_;
  IfIndex device_;  // that the wants are of
};

}  // namespace margay::dataplane
