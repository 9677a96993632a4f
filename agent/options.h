// SPDX-License-Identifier: Apache-2.0
// The command line of margay-agent, and what the environment says beside FELIX_*.
#pragma once

#include <optional>
#include <string>

#include "agent/config/config.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/result.h"

namespace margay::agent {

enum class Backend { bird, vxlan, none };  // CALICO_NETWORKING_BACKEND; bird: speak BGP ourselves

enum class Mode { run, check_config, config_reference, limits, version, help };

struct Options {
  Mode mode = Mode::run;
  std::string config_file;  // empty: none
  std::string socket_path = "/run/margay/agent.sock";
  std::string node_name;  // NODENAME; FelixHostname wins
  Backend backend = Backend::bird;
  std::string router_id;                          // CALICO_ROUTER_ID
  std::string secrets_namespace = "kube-system";  // NAMESPACE
  std::string k8s_node_ref;                       // CALICO_K8S_NODE_REF
  std::optional<Prefix> cluster_ips;              // CALICO_ADVERTISE_CLUSTER_IPS
  std::optional<log::Level> bgp_log_level;        // BGP_LOGSEVERITYSCREEN
  // On a single host: the SQLite file that this agent owns, instead of a Typha; and where it
  // offers it to margayctl.
  std::string datastore;
  std::string store_socket = "/run/margay/store.sock";
  std::string resources_file;  // instead of both: a file of resources; empty: none
  std::string password_directory = "/etc/margay/bgp-passwords";
  bool dataplane = true;  // false: a route reflector on a machine that is no node
  config::Layers layers;  // environment and file are filled
};

// `argv` and `environment` as main gets them. Errors name the argument or the line.
[[nodiscard]] Result<Options> parse_options(int argc, const char* const* argv,
                                            const char* const* environment);
[[nodiscard]] std::string usage();
// Reads the file again (SIGHUP); an error leaves the layer as it was.
[[nodiscard]] Result<void> reload_file(Options& options);
// FelixHostname, else NODENAME, else the host's name in lower case.
[[nodiscard]] std::string node_name(const Options& options, const config::Config& config);

}  // namespace margay::agent
