// SPDX-License-Identifier: Apache-2.0
// Pools, nodes, VTEPs, service ranges and floating addresses -> table `margay-static`. No I/O.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "dataplane/managers/set_keeper.h"
#include "dataplane/managers/unit_store.h"
#include "dataplane/policy/config.h"
#include "dataplane/policy/static_table.h"

namespace margay::managers {

class StaticBook {
 public:
  StaticBook(SetKeeper& sets, UnitStore& units, const policy::PolicyConfig& config)
      : sets_(sets), units_(units), config_(config) {}

  void set_pool(const model::DesiredPool& pool);
  void remove_pool(const Prefix& cidr);
  void set_host(const model::HostAddresses& host);
  void remove_host(const std::string& node);
  void set_vtep(const model::Vtep& vtep);
  void remove_vtep(const model::VtepRemove& vtep);
  void set_node(const model::LocalNode& node);
  void set_services(const model::ServiceRanges& services);
  void set_encap(const model::EncapInUse& encap);
  void set_floating(std::vector<model::IpNat> floating);
  void config_changed() { due_ = hosts_due_ = true; }

  void refresh();

  [[nodiscard]] const model::EncapInUse& encap() const { return spec_.encap; }
  [[nodiscard]] bool has_pool_of(Family f) const;
  // What the endpoints' table needs a copy of, when there are host endpoints. By set id.
  [[nodiscard]] std::map<std::string, std::vector<Prefix>> host_sets() const;

 private:
  SetKeeper& sets_;
  UnitStore& units_;
  const policy::PolicyConfig& config_;

  std::map<Prefix, model::DesiredPool> pools_;
  std::map<std::string, model::HostAddresses> hosts_;
  std::map<std::pair<std::string, Family>, Ip> vteps_;
  policy::StaticSpec spec_;
  bool due_ = true, pools_due_ = true, hosts_due_ = true;
};

}  // namespace margay::managers
