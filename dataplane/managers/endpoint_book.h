// SPDX-License-Identifier: Apache-2.0
// Local endpoints -> dispatch elements, allowed source addresses and base chains of table `margay`.
// Of several workloads with one interface the one with the least id counts; host endpoints are
// resolved to interfaces by name, or by the addresses that the host's interfaces have. No I/O.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dataplane/managers/program_book.h"
#include "dataplane/policy/base_chains.h"

namespace margay::managers {

using InterfaceAddresses = std::map<std::string, std::vector<Ip>>;

class EndpointBook {
 public:
  EndpointBook(nft::Table& table, UnitStore& units, ProgramBook& programs,
               const policy::SetShapes& shapes, const policy::PolicyConfig& config);

  void set_workload(model::LocalWorkload workload);
  void remove_workload(const model::EndpointId& id);
  void set_host_endpoint(model::LocalHostEndpoint endpoint);
  void remove_host_endpoint(const model::EndpointId& id);
  void set_interfaces(InterfaceAddresses interfaces);
  void set_encap(bool vxlan, bool ipip);
  void config_changed();
  void shapes_changed();  // of the sets that the base chains name

  // Endpoints whose programs name one of these policies are due.
  void passing_changed(const std::set<model::PolicyKey>& keys);
  // Brings the table's wants up to date.
  void refresh();

  [[nodiscard]] const std::map<model::EndpointId, model::LocalWorkload>& workloads() const {
    return workloads_;
  }
  [[nodiscard]] const InterfaceAddresses& interfaces() const { return interfaces_; }
  // Interface, or "*", and the host endpoint that counts there; until the next change.
  [[nodiscard]] std::map<std::string, const model::LocalHostEndpoint*> host_endpoints_by_interface()
      const;
  [[nodiscard]] bool has_address_of(Family f) const { return addresses_[f == Family::v6] > 0; }
  // Host endpoints are in use: the base chains need the hosts' sets.
  [[nodiscard]] bool has_host_endpoints() const { return !host_endpoints_.empty(); }

 private:
  struct Programmed {
    std::string from, to;  // programs in use; empty for an inactive workload
    std::vector<nft::Packed> sources4, sources6;
  };
  // Programs of one host endpoint, one for each hook that it has policy for.
  struct HostPrograms {
    std::optional<std::string> input, output, output_after_nat;
    std::optional<std::string> forward_in, forward_out, before_nat, untracked_in, untracked_out;
  };

  void refresh_interface(const std::string& name);
  Programmed program(const model::LocalWorkload& w);
  void write_sources(const std::string& name, const Programmed& old, const Programmed& fresh);
  void refresh_host();
  HostPrograms host_programs(const model::LocalHostEndpoint& h);
  std::optional<std::string> host_program(const std::vector<model::EndpointTier>& tiers,
                                          const std::vector<std::string>& profiles, policy::Way way,
                                          policy::Stage stage, bool normal);
  void write_base();
  [[nodiscard]] bool is_workload_interface(std::string_view name) const;

  nft::Table& table_;
  UnitStore& units_;
  ProgramBook& programs_;
  const policy::SetShapes& shapes_;
  const policy::PolicyConfig& config_;

  std::map<model::EndpointId, model::LocalWorkload> workloads_;
  std::map<std::string, std::set<model::EndpointId>> by_interface_;
  std::map<std::string, Programmed> programmed_;
  std::map<model::EndpointId, model::LocalHostEndpoint> host_endpoints_;
  InterfaceAddresses interfaces_;

  std::array<std::size_t, 2> addresses_{};  // of workloads, v4 and v6

  std::set<std::string> due_;
  bool host_due_ = true, base_due_ = true;
  std::vector<std::string> host_uses_;  // programs that host endpoints hold
  policy::BaseSpec base_;
};

}  // namespace margay::managers
