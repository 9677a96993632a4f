// SPDX-License-Identifier: Apache-2.0
// Kinds that the node agent does not act on itself: settings of Kubernetes controllers, and
// requests for status reports. Here so that the Store validates them and the command line can show
// them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/resources.h"

namespace margay::model {

struct CalicoNodeStatusSpec {
  std::string node;
  std::vector<std::string> classes;  // Agent, BGP, Routes
  std::optional<int> update_period_seconds;
};
struct CalicoNodeStatus {
  Metadata metadata;
  CalicoNodeStatusSpec spec;
};

struct HostEndpointTemplate {
  std::string generate_name;
  std::vector<Prefix> interface_cidrs;
  std::string interface_pattern;
  Labels labels;
  Labels annotations;
  std::string node_selector;
};
struct AutoHostEndpoint {
  std::string auto_create;
  std::string create_default_host_endpoint;
  std::vector<HostEndpointTemplate> templates;
};
struct NodeController {
  std::string reconciler_period;
  std::string sync_labels;
  std::optional<AutoHostEndpoint> host_endpoint;
  std::string leak_grace_period;
};
struct ReconcilingController {
  std::string reconciler_period;
};
struct LoadBalancerController {
  std::string assign_ips;
};
struct MigrationController {
  std::string policy_name_migrator;
};
struct Controllers {
  std::optional<NodeController> node;
  std::optional<ReconcilingController> policy, workload_endpoint, service_account, name_space;
  std::optional<LoadBalancerController> load_balancer;
  std::optional<MigrationController> migration;
};
struct KubeControllersSpec {
  std::string log_severity_screen;
  std::string health_checks;
  std::string etcd_v3_compaction_period;
  std::optional<int> prometheus_metrics_port;
  std::optional<int> debug_profile_port;
  Controllers controllers;
};
struct KubeControllersConfiguration {
  Metadata metadata;
  KubeControllersSpec spec;
};

}  // namespace margay::model
