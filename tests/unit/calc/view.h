// SPDX-License-Identifier: Apache-2.0
// What a consumer of batches knows: the tables that they build. apply() also checks the promise
// about order: nothing is named before it is known, nothing goes while something names it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/desired.h"

namespace margay::calc {

struct View {
  struct Set {
    model::SetKind kind = model::SetKind::nets;
    std::set<model::SetMember> members;
    bool more = false;
    friend bool operator==(const Set&, const Set&) = default;
  };
  std::map<model::SetId, Set> sets;
  std::map<model::PolicyKey, model::ActivePolicy> policies;
  std::map<std::string, model::ActiveProfile> profiles;
  std::map<model::EndpointId, model::LocalWorkload> workloads;
  std::map<model::EndpointId, model::LocalHostEndpoint> host_endpoints;
  std::map<Prefix, model::DesiredPool> pools;
  std::map<Prefix, model::RouteTarget> routes;
  std::map<std::pair<std::string, Family>, model::Vtep> vteps;
  std::map<std::string, model::HostAddresses> hosts;
  std::optional<model::LocalNode> local;
  std::optional<model::ServiceRanges> ranges;
  std::optional<model::EncapInUse> encap;

  // Broken promises found on the way, in words.
  std::vector<std::string> broken;
  void apply(const model::Batch& batch);

  // Empty when equal; else what differs first, for a person.
  [[nodiscard]] std::string difference(const View& want) const;

 private:
  void put(const model::SetUpdate& c);
  void put(const model::SetRemove& c);
  void put(const model::ActivePolicy& c);
  void put(const model::PolicyRemove& c);
  void put(const model::ActiveProfile& c);
  void put(const model::ProfileRemove& c);
  void put(const model::LocalWorkload& c);
  void put(const model::WorkloadRemove& c);
  void put(const model::LocalHostEndpoint& c);
  void put(const model::HostEndpointRemove& c);
  void put(const model::DesiredPool& c) { pools[c.cidr] = c; }
  void put(const model::PoolRemove& c);
  void put(const model::RouteTarget& c) { routes[c.dst] = c; }
  void put(const model::RouteRemove& c);
  void put(const model::Vtep& c) { vteps[{c.node, c.tunnel_ip.family()}] = c; }
  void put(const model::VtepRemove& c);
  void put(const model::HostAddresses& c) { hosts[c.node] = c; }
  void put(const model::HostRemove& c);
  void put(const model::LocalNode& c) { local = c; }
  void put(const model::ServiceRanges& c) { ranges = c; }
  void put(const model::EncapInUse& c) { encap = c; }
  void check(bool ok, const std::string& what);
  void check_rules(const std::vector<model::ActiveRule>& rules, const std::string& who);
  void check_tiers(const std::vector<model::EndpointTier>& tiers, const std::string& who);
};

}  // namespace margay::calc
