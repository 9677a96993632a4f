// SPDX-License-Identifier: Apache-2.0
// Random resources from a small world of names, labels and addresses, so that they meet, contradict
// and overlap each other often.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/calc/reference.h"

namespace margay::calc {

class RandomCluster {
 public:
  explicit RandomCluster(std::uint64_t seed) : random_(seed) {}
  [[nodiscard]] std::pair<model::Key, Value> object();
  [[nodiscard]] unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }
  [[nodiscard]] bool chance(unsigned percent) { return below(100) < percent; }

 private:
  template <typename T>
  const T& one_of(const std::vector<T>& list) {
    return list[below(static_cast<unsigned>(list.size()))];
  }
  std::pair<model::Key, Value> policy_object(unsigned kind);
  std::pair<model::Key, Value> network_object(unsigned kind);
  std::string node();
  std::string ns();
  std::string label();
  std::string value();
  std::string selector();
  model::Labels labels(const std::string& prefix = "");
  Ip address();
  Prefix net();
  std::vector<Prefix> nets(unsigned most);
  std::vector<model::EndpointPort> ports();
  std::vector<std::string> profiles(const std::string& in);
  model::EntityRule entity(bool may_be_service);
  model::Rule rule(bool ingress);
  model::PolicySpec policy(bool global);
  model::WorkloadEndpoint workload(const std::string& in);
  model::Node node_resource();
  model::IpamBlock block(const Prefix& cidr);
  model::EndpointSlice slice();

  std::mt19937_64 random_;
};

}  // namespace margay::calc
