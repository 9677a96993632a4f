// SPDX-License-Identifier: Apache-2.0
// The resources that the intent has been given, decoded, and small questions about them. Inner
// header of bgp/intent.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bgp/intent/intent.h"
#include "bgp/intent/services.h"
#include "model/kubernetes.h"
#include "model/resources.h"

namespace margay::bgp {

// Ordered by name, so that the result does not depend on the order of arrival, and of two resources
// that claim the same thing the lower name wins.
struct Inputs {
  explicit Inputs(IntentOptions o)
      : options(std::move(o)),
        services(options.endpoint_node.empty() ? options.node : options.endpoint_node) {}

  IntentOptions options;
  std::map<std::string, model::Node> nodes;
  std::map<std::string, model::BgpConfiguration> configurations;
  std::map<std::string, model::BgpPeer> peers;
  std::map<std::string, model::BgpFilter> filters;
  std::map<std::string, model::IpPool> pools;
  std::map<Prefix, model::BlockAffinity> affinities;              // of this node
  std::map<model::Key, model::WorkloadEndpoint> local_workloads;  // of this node
  std::map<std::string, model::Secret> secrets;                   // of the secrets' namespace
  Passwords passwords;
  ServiceBook services;

  [[nodiscard]] const model::Node* local() const;
  [[nodiscard]] const model::BgpConfigurationSpec& global() const;  // "default", or all defaults
  [[nodiscard]] const model::BgpConfigurationSpec* of_node(const std::string& node) const;
  [[nodiscard]] Asn cluster_as() const;
  [[nodiscard]] Asn as_of(const model::Node& node) const;
  [[nodiscard]] std::uint16_t listen_port(const std::string& node) const;
  [[nodiscard]] std::uint32_t normal_priority(Family f) const;
  [[nodiscard]] ServiceRanges service_ranges() const;
};

[[nodiscard]] std::optional<InterfaceAddress> address_of(const model::Node& node, Family f);
[[nodiscard]] std::string cluster_id_of(const model::Node& node);  // empty: no reflector

// Collects what is wrong with a configuration while it is made.
class Problems {
 public:
  void add(std::string object, std::string text) {
    Problem p{std::move(object), std::move(text)};
    if (std::find(list_.begin(), list_.end(), p) == list_.end()) list_.push_back(std::move(p));
  }
  [[nodiscard]] std::vector<Problem> take() { return std::move(list_); }

 private:
  std::vector<Problem> list_;
};

// peers.cpp, spec 4 and 5.
void make_peers(const Inputs& in, SpeakerConfig& out, Problems& problems);
// filters.cpp, spec 3.2.
[[nodiscard]] std::shared_ptr<const Filter> make_filter(const model::BgpFilter& filter,
                                                        Problems& problems);
// routes.cpp, spec 6 and 7.2.
void make_routes(const Inputs& in, SpeakerConfig& out, Problems& problems);

}  // namespace margay::bgp
