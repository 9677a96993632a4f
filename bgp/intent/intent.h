// SPDX-License-Identifier: Apache-2.0
// From Calico's resources to the speaker's configuration (spec bgp.md 2 to 7): peers of the mesh,
// explicit and reverse peerings, their parameters and filters, the routes that this node originates
// and the policy around them. Pure: a function of the resources given so far; the order in which
// they came does not matter. Resources arrive as the Store's JSON; one that does not decode is not
// taken, and what to do about it is the caller's affair.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bgp/speaker/config.h"
#include "model/key.h"

namespace margay::bgp {

struct IntentOptions {
  std::string node;       // our name in Node resources
  std::string router_id;  // CALICO_ROUTER_ID: "" (our IPv4 address), "hash", or an address
  std::string secrets_namespace = "kube-system";
  // FelixConfiguration programClusterRoutes; empty: EnabledIPIPOnly.
  std::string felix_program_cluster_routes;
  // CALICO_K8S_NODE_REF: what EndpointSlices call us; empty: `node`.
  std::string endpoint_node = {};
  // CALICO_ADVERTISE_CLUSTER_IPS: instead of serviceClusterIPs.
  std::optional<Prefix> cluster_ips = {};
  // BGP_LOGSEVERITYSCREEN: instead of logSeverityScreen.
  std::optional<log::Level> log_level = {};
  // FelixConfiguration ipv4- and ipv6NormalRoutePriority.
  std::uint32_t felix_priority_v4 = kNormalPriority, felix_priority_v6 = kNormalPriority;
  // Where set_passwords() has its files from, for messages.
  std::string password_directory = {};
  // This machine passes on routes for others and forwards nothing: whatever peers send goes on.
  bool reflector_only = false;
  friend bool operator==(const IntentOptions&, const IntentOptions&) = default;
};

// By a Secret's name and key: what a file says instead of a Secret in the datastore.
using Passwords = std::map<std::pair<std::string, std::string>, std::string>;

struct Problem {
  std::string object;  // "BGPPeer(rack1)"
  std::string text;
  friend bool operator==(const Problem&, const Problem&) = default;
};

class Intent {
 public:
  explicit Intent(IntentOptions options);
  ~Intent();
  Intent(const Intent&) = delete;
  Intent& operator=(const Intent&) = delete;

  // Takes effect with the next compute(). Our names and the Secrets' namespace never change: what
  // was kept was chosen by them.
  void configure(IntentOptions options);

  // Whether update() wants objects of this kind at all.
  [[nodiscard]] static bool takes(model::Kind kind);

  // Objects of other kinds, and of other nodes where only ours matter, are ignored. One that does
  // not decode changes nothing; the error says why.
  [[nodiscard]] Result<void> offer(const model::Key& key, std::string_view json);
  void remove(const model::Key& key);
  void set_passwords(Passwords passwords);
  // The first whole view is complete. Before that compute() gives nothing: peers and routes are
  // never decided on partial data.
  void set_in_sync();

  // The configuration as it should be now; nullopt while not in sync, and when nothing that matters
  // was updated since the last call. A node without BGP gets a configuration without peers.
  [[nodiscard]] std::optional<SpeakerConfig> compute();

  // What could not be made of the input, as of the last compute().
  [[nodiscard]] const std::vector<Problem>& problems() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace margay::bgp
