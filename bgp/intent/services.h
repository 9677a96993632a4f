// SPDX-License-Identifier: Apache-2.0
// Services and where their endpoints are, as far as it decides which single addresses of Services
// this node announces (spec bgp.md 6.3). Of the many slices of a cluster a few bits each are kept,
// and most of their changes change nothing. Inner header of bgp/intent.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/ip.h"
#include "model/key.h"
#include "model/kubernetes.h"

namespace margay::bgp {

// Which addresses of Services are the cluster's to announce.
struct ServiceRanges {
  std::vector<Prefix> cluster, external, load_balancer;
  bool aggregate_load_balancer = true;  // false: their addresses one by one
  [[nodiscard]] bool empty() const {
    return cluster.empty() && external.empty() && load_balancer.empty();
  }
};

class ServiceBook {
 public:
  // `node`: how endpoints name this node.
  explicit ServiceBook(std::string node) : node_(std::move(node)) {}

  // True when addresses() may be others now.
  bool set(const model::Key& key, const model::Service& service);
  bool set(const model::Key& key, const model::EndpointSlice& slice);
  bool remove(const model::Key& key);

  // Beside the ranges as a whole; sorted, each once.
  [[nodiscard]] std::vector<Prefix> addresses(const ServiceRanges& ranges) const;

 private:
  using Name = std::pair<std::string, std::string>;  // namespace, name
  enum class Policy { none, cluster, local };
  struct Service {
    Policy policy = Policy::none;
    bool load_balancer = false;
    std::vector<std::string> families;  // empty: any
    std::vector<Ip> cluster, external, ingress;
    std::vector<Ip> asked;  // spec.loadBalancerIP
    friend bool operator==(const Service&, const Service&) = default;
  };
  struct Slice {
    Name service;
    std::string family;  // "IPv4", "IPv6"
    bool ready = false;  // at least one endpoint is
    bool ready_here = false;
    friend bool operator==(const Slice&, const Slice&) = default;
  };
  struct Ready {
    bool anywhere = false, here = false;
  };
  [[nodiscard]] Ready ready(const Name& name, const Service& service) const;
  [[nodiscard]] static bool announced(const Service& s, const Ready& ready,
                                      const ServiceRanges& ranges);

  std::string node_;
  std::map<Name, Service> services_;
  std::map<Name, Slice> slices_;
  std::multimap<Name, Name> slices_of_;  // by Service
};

}  // namespace margay::bgp
