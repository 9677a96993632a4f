// SPDX-License-Identifier: Apache-2.0
// The endpoints of Services, from EndpointSlices: members of the IP sets of rules that name a
// service. Readiness is not looked at: whether an endpoint gets traffic is the proxy's business,
// and a rule that followed it would cut the connections of a pod that is shutting down.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/desired.h"
#include "model/kubernetes.h"

namespace margay::calc {

class IpSets;

class Services {
 public:
  explicit Services(IpSets& sets) : sets_(sets) {}  // must outlive this object
  Services(const Services&) = delete;
  Services& operator=(const Services&) = delete;

  // `key`: "<namespace>/<name>" of the slice.
  void set(const std::string& key, const std::string& ns, const model::EndpointSlice& slice);
  void erase(const std::string& key);

  // f(member) for each contribution to the set of a service ("<namespace>/<name>").
  template <typename F>
  void for_each_member(std::string_view service, bool with_ports, const F& f) const {
    const auto slices = by_service_.find(std::string(service));
    if (slices == by_service_.end()) return;
    for (const auto& [key, slice] : slices->second) {
      for (const auto& member : with_ports ? slice.with_ports : slice.addresses) f(member);
    }
  }

 private:
  struct Slice {
    std::vector<model::SetMember> addresses;
    std::vector<model::SetMember> with_ports;
  };
  void contribute(const std::string& service, const Slice& slice, bool add);

  IpSets& sets_;
  std::unordered_map<std::string, std::string> service_of_;  // by the slice's key
  std::unordered_map<std::string, std::map<std::string, Slice>> by_service_;
};

}  // namespace margay::calc
