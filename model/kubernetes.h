// SPDX-License-Identifier: Apache-2.0
// Native Kubernetes kinds, as far as calculation reads them (spec datastores.md 3.2 to 3.5,
// policy-model.md 5), and the staged policy that has their form. Plain values, filled by
// model/codec.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/resources.h"

namespace margay::model {

struct LabelRequirement {
  std::string key;
  std::string op;  // In, NotIn, Exists, DoesNotExist
  std::vector<std::string> values;
};
struct LabelSelector {  // all must hold; empty: matches everything
  Labels match_labels;
  std::vector<LabelRequirement> match_expressions;
};

struct KubernetesNamespace {
  Metadata metadata;
};
struct ServiceAccount {
  Metadata metadata;
};

struct ContainerPort {
  std::string name;
  std::uint16_t container_port = 0;
  std::uint16_t host_port = 0;
  Protocol protocol{6};
};
struct Container {
  std::string name;
  std::vector<ContainerPort> ports;
};
struct PodIp {
  std::string ip;
};
struct PodSpec {
  std::string node_name;
  bool host_network = false;
  std::string service_account_name;
  std::vector<Container> containers;
  std::vector<Container> init_containers;
};
struct PodStatus {
  std::string phase;
  std::string pod_ip;
  std::vector<PodIp> pod_ips;
};
struct Pod {
  Metadata metadata;
  PodSpec spec;
  PodStatus status;
};

struct KubernetesNodeAddress {
  std::string type;  // InternalIP, ExternalIP, Hostname, ...
  std::string address;
};
struct KubernetesNodeSpec {
  std::string pod_cidr;
  std::vector<std::string> pod_cidrs;
};
struct KubernetesNodeStatus {
  std::vector<KubernetesNodeAddress> addresses;
};
struct KubernetesNode {
  Metadata metadata;
  KubernetesNodeSpec spec;
  KubernetesNodeStatus status;
};

struct ServicePort {
  std::string name;
  Protocol protocol{6};
  std::uint16_t port = 0;
  std::optional<Port> target_port;
  std::uint16_t node_port = 0;
};
struct ServiceSpec {
  std::string type;
  std::string cluster_ip;  // an address, "None", or empty
  std::vector<std::string> cluster_ips;
  std::vector<std::string> external_ips;
  std::string load_balancer_ip;
  std::string external_traffic_policy;
  std::string internal_traffic_policy;
  std::vector<std::string> ip_families;
  std::vector<ServicePort> ports;
  Labels selector;
};
struct LoadBalancerIngress {
  std::string ip;
  std::string hostname;
};
struct LoadBalancerStatus {
  std::vector<LoadBalancerIngress> ingress;
};
struct ServiceStatus {
  LoadBalancerStatus load_balancer;
};
struct Service {
  Metadata metadata;
  ServiceSpec spec;
  ServiceStatus status;
};

struct EndpointConditions {
  std::optional<bool> ready;  // absent: ready
  std::optional<bool> serving;
  std::optional<bool> terminating;
};
struct SliceEndpoint {
  std::vector<std::string> addresses;
  EndpointConditions conditions;
  std::string node_name;
};
struct SlicePort {
  std::string name;
  Protocol protocol{6};
  std::optional<std::uint16_t> port;  // absent: all ports
};
struct EndpointSlice {  // its Service is named by the label kubernetes.io/service-name
  Metadata metadata;
  std::string address_type;  // IPv4, IPv6, FQDN
  std::vector<SliceEndpoint> endpoints;
  std::vector<SlicePort> ports;
};

struct IpBlock {
  Prefix cidr;
  std::vector<Prefix> except;
};
struct KubernetesPolicyPeer {
  std::optional<LabelSelector> pod_selector;
  std::optional<LabelSelector> namespace_selector;
  std::optional<IpBlock> ip_block;
};
struct KubernetesPolicyPort {
  Protocol protocol{6};
  std::optional<Port> port;  // absent: all ports of the protocol
  std::optional<std::uint16_t> end_port;
};
struct KubernetesIngressRule {
  std::vector<KubernetesPolicyPort> ports;
  std::vector<KubernetesPolicyPeer> from;  // empty: anyone
};
struct KubernetesEgressRule {
  std::vector<KubernetesPolicyPort> ports;
  std::vector<KubernetesPolicyPeer> to;
};
struct KubernetesPolicySpec {
  LabelSelector pod_selector;
  std::vector<PolicyType> policy_types;
  std::vector<KubernetesIngressRule> ingress;
  std::vector<KubernetesEgressRule> egress;
  std::string staged_action;  // of StagedKubernetesNetworkPolicy only
};
struct KubernetesNetworkPolicy {
  Metadata metadata;
  KubernetesPolicySpec spec;
};
struct StagedKubernetesNetworkPolicy {
  Metadata metadata;
  KubernetesPolicySpec spec;
};

struct NamespacedPods {
  LabelSelector namespace_selector;
  LabelSelector pod_selector;
};
struct ClusterPolicySubject {  // exactly one is set
  std::optional<LabelSelector> namespaces;
  std::optional<NamespacedPods> pods;
};
struct ClusterPolicyPeer {  // exactly one is set; networks in egress only
  std::optional<LabelSelector> namespaces;
  std::optional<NamespacedPods> pods;
  std::vector<Prefix> networks;
};
struct ClusterPolicyPortRange {
  std::uint16_t start = 0;
  std::uint16_t end = 0;
};
struct ClusterPolicyPort {  // exactly one is set
  std::optional<std::uint16_t> number;
  std::optional<ClusterPolicyPortRange> range;
};
struct ClusterPolicyProtocolPorts {
  std::optional<ClusterPolicyPort> destination_port;
};
struct ClusterPolicyProtocol {  // exactly one is set
  std::optional<ClusterPolicyProtocolPorts> tcp, udp, sctp;
  std::string destination_named_port;
};
enum class ClusterPolicyAction { accept, deny, pass };
struct ClusterPolicyIngressRule {
  std::string name;
  ClusterPolicyAction action = ClusterPolicyAction::deny;
  std::vector<ClusterPolicyPeer> from;
  std::vector<ClusterPolicyProtocol> protocols;
};
struct ClusterPolicyEgressRule {
  std::string name;
  ClusterPolicyAction action = ClusterPolicyAction::deny;
  std::vector<ClusterPolicyPeer> to;
  std::vector<ClusterPolicyProtocol> protocols;
};
struct ClusterNetworkPolicySpec {
  std::string tier;  // Admin or Baseline
  int priority = 0;  // 0 to 1000, lower first
  ClusterPolicySubject subject;
  std::vector<ClusterPolicyIngressRule> ingress;
  std::vector<ClusterPolicyEgressRule> egress;
};
struct ClusterNetworkPolicy {
  Metadata metadata;
  ClusterNetworkPolicySpec spec;
};

struct Secret {
  Metadata metadata;
  std::string type;
  Labels data;         // values in base64
  Labels string_data;  // values as they are; written by people only
};

}  // namespace margay::model
