// SPDX-License-Identifier: Apache-2.0
// The workloads of this node as routing sees them: which addresses which interface answers for. Of
// two endpoints that name one interface the lexically smaller is active, the other waits for its
// turn. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ip.h"
#include "model/desired.h"

namespace margay::dataplane {

class Workloads {
 public:
  // What a change touched: addresses to route anew, interfaces to look at again.
  struct Touched {
    std::vector<Prefix> addresses;
    std::set<std::string> interfaces;
  };

  explicit Workloads(bool floating_ips) : floating_ips_(floating_ips) {}

  [[nodiscard]] Touched set(const model::LocalWorkload& workload);
  [[nodiscard]] Touched remove(const model::EndpointId& id);
  [[nodiscard]] Touched set_floating_ips(bool on);

  [[nodiscard]] const model::LocalWorkload* find(const model::EndpointId& id) const {
    const auto it = workloads_.find(id);
    return it == workloads_.end() ? nullptr : &it->second;
  }
  // The active endpoint of an interface; null when there is none.
  [[nodiscard]] const model::LocalWorkload* on(const std::string& interface) const;
  // The addresses that interface answers for (none when its endpoint is administratively down).
  [[nodiscard]] std::vector<Prefix> addresses_on(const std::string& interface) const;
  // The interfaces that claim this address; null when none does.
  [[nodiscard]] const std::set<std::string>* claims(const Prefix& address) const;
  [[nodiscard]] std::vector<std::string> interfaces() const;

 private:
  void activate(const std::string& interface, Touched& touched);
  [[nodiscard]] std::vector<Prefix> addresses_of(const model::LocalWorkload& w) const;

  bool floating_ips_;
  std::map<model::EndpointId, model::LocalWorkload> workloads_;
  std::unordered_map<std::string, std::set<model::EndpointId>> by_interface_;
  std::unordered_map<std::string, std::vector<Prefix>> active_;  // claims in force
  std::unordered_map<Prefix, std::set<std::string>> claims_;
};

}  // namespace margay::dataplane
