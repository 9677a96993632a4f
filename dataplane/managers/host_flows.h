// SPDX-License-Identifier: Apache-2.0
// Which connections of the host itself its host endpoints deny. The kernel's table of connections
// does not say by which interface one came, so only that counts as denied which is denied by every
// host endpoint here, of a connection whose address here is an interface's with a host endpoint.
// Untracked and pre-DNAT policy decides before normal policy does: an endpoint that has some is
// taken to allow. Failsafe ports and our own tunnels are never denied. Pure but for its references.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "dataplane/conntrack/flow.h"
#include "dataplane/managers/endpoint_book.h"
#include "dataplane/managers/flow_judge.h"

namespace margay::managers {

class HostFlows {
 public:
  HostFlows(const EndpointBook& endpoints, const policy::PolicyConfig& config, FlowJudge judge)
      : endpoints_(endpoints), config_(config), judge_(std::move(judge)) {}

  // Reads the endpoints and interfaces; what follows is of that moment.
  void look();
  // Addresses of interfaces that have a host endpoint.
  [[nodiscard]] const std::unordered_set<Ip>& addresses() const { return addresses_; }
  [[nodiscard]] bool names(const std::set<model::PolicyKey>& policies,
                           const std::set<std::string>& profiles) const;
  // `packet` as policy sees it, behind DNAT; `elsewhere`: the address is neither this host's nor a
  // local workload's.
  [[nodiscard]] bool denies(const conntrack::Tuple& packet, const model::PolicyTables& tables,
                            const std::function<bool(const Ip&)>& elsewhere) const;

 private:
  struct Judged {
    model::LocalWorkload policy;  // as the judge wants it
    bool early_in = false, early_out = false;
  };
  [[nodiscard]] bool exempt(const conntrack::Tuple& packet, bool in) const;
  const EndpointBook& endpoints_;
  const policy::PolicyConfig& config_;
  FlowJudge judge_;
  std::vector<Judged> judged_;
  std::unordered_set<Ip> addresses_;
};

}  // namespace margay::managers
