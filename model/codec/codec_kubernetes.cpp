// SPDX-License-Identifier: Apache-2.0
// Tables of the native Kubernetes kinds, and of the staged policy in their form.
#include "model/codec/codec_impl.h"

namespace margay::model::codec {

// --- namespaces, pods, nodes -----------------------------------------------------------------

constexpr auto fields(Tag<KubernetesNamespace>) {
  return std::tuple{kKindName, kApiVersion,
                    field("metadata", &KubernetesNamespace::metadata, Required{})};
}
constexpr auto fields(Tag<ServiceAccount>) {
  return std::tuple{kKindName, kApiVersion,
                    field("metadata", &ServiceAccount::metadata, Required{})};
}
constexpr auto fields(Tag<ContainerPort>) {
  using T = ContainerPort;
  return std::tuple{field("name", &T::name), field("containerPort", &T::container_port),
                    field("hostPort", &T::host_port), field("protocol", &T::protocol)};
}
constexpr auto fields(Tag<Container>) {
  return std::tuple{field("name", &Container::name), field("ports", &Container::ports)};
}
constexpr auto fields(Tag<PodIp>) { return std::tuple{field("ip", &PodIp::ip)}; }
constexpr auto fields(Tag<PodSpec>) {
  using T = PodSpec;
  return std::tuple{
      field("nodeName", &T::node_name),
      field("hostNetwork", &T::host_network),
      field("serviceAccountName", &T::service_account_name),
      field("containers", &T::containers),
      field("initContainers", &T::init_containers),
  };
}
constexpr auto fields(Tag<PodStatus>) {
  using T = PodStatus;
  return std::tuple{field("phase", &T::phase), field("podIP", &T::pod_ip),
                    field("podIPs", &T::pod_ips)};
}
constexpr auto fields(Tag<KubernetesNodeAddress>) {
  using T = KubernetesNodeAddress;
  return std::tuple{field("type", &T::type), field("address", &T::address)};
}
constexpr auto fields(Tag<KubernetesNodeSpec>) {
  using T = KubernetesNodeSpec;
  return std::tuple{field("podCIDR", &T::pod_cidr), field("podCIDRs", &T::pod_cidrs)};
}
constexpr auto fields(Tag<KubernetesNodeStatus>) {
  return std::tuple{field("addresses", &KubernetesNodeStatus::addresses)};
}

// --- services --------------------------------------------------------------------------------

constexpr auto fields(Tag<ServicePort>) {
  using T = ServicePort;
  return std::tuple{
      field("name", &T::name),          field("protocol", &T::protocol),
      field("port", &T::port),          field("targetPort", &T::target_port),
      field("nodePort", &T::node_port),
  };
}
constexpr auto fields(Tag<ServiceSpec>) {
  using T = ServiceSpec;
  return std::tuple{
      field("type", &T::type),
      field("clusterIP", &T::cluster_ip),
      field("clusterIPs", &T::cluster_ips),
      field("externalIPs", &T::external_ips),
      field("loadBalancerIP", &T::load_balancer_ip),
      field("externalTrafficPolicy", &T::external_traffic_policy),
      field("internalTrafficPolicy", &T::internal_traffic_policy),
      field("ipFamilies", &T::ip_families),
      field("ports", &T::ports),
      field("selector", &T::selector),
  };
}
constexpr auto fields(Tag<LoadBalancerIngress>) {
  using T = LoadBalancerIngress;
  return std::tuple{field("ip", &T::ip), field("hostname", &T::hostname)};
}
constexpr auto fields(Tag<LoadBalancerStatus>) {
  return std::tuple{field("ingress", &LoadBalancerStatus::ingress)};
}
constexpr auto fields(Tag<ServiceStatus>) {
  return std::tuple{field("loadBalancer", &ServiceStatus::load_balancer)};
}
constexpr auto fields(Tag<EndpointConditions>) {
  using T = EndpointConditions;
  return std::tuple{field("ready", &T::ready), field("serving", &T::serving),
                    field("terminating", &T::terminating)};
}
constexpr auto fields(Tag<SliceEndpoint>) {
  using T = SliceEndpoint;
  return std::tuple{field("addresses", &T::addresses), field("conditions", &T::conditions),
                    field("nodeName", &T::node_name)};
}
constexpr auto fields(Tag<SlicePort>) {
  using T = SlicePort;
  return std::tuple{field("name", &T::name), field("protocol", &T::protocol),
                    field("port", &T::port)};
}
constexpr auto fields(Tag<EndpointSlice>) {
  using T = EndpointSlice;
  return std::tuple{
      kKindName,
      kApiVersion,
      field("metadata", &T::metadata, Required{}),
      field("addressType", &T::address_type, Required{}, one_of("IPv4", "IPv6", "FQDN")),
      field("endpoints", &T::endpoints),
      field("ports", &T::ports),
  };
}
constexpr auto fields(Tag<Secret>) {
  using T = Secret;
  return std::tuple{kKindName,
                    kApiVersion,
                    field("metadata", &T::metadata, Required{}),
                    field("type", &T::type),
                    field("data", &T::data),
                    field("stringData", &T::string_data)};
}

// --- policies --------------------------------------------------------------------------------

constexpr auto fields(Tag<IpBlock>) {
  return std::tuple{field("cidr", &IpBlock::cidr, Required{}, CidrText{}),
                    field("except", &IpBlock::except, CidrText{})};
}
constexpr auto fields(Tag<KubernetesPolicyPeer>) {
  using T = KubernetesPolicyPeer;
  return std::tuple{field("podSelector", &T::pod_selector),
                    field("namespaceSelector", &T::namespace_selector),
                    field("ipBlock", &T::ip_block)};
}
constexpr auto fields(Tag<KubernetesPolicyPort>) {
  using T = KubernetesPolicyPort;
  return std::tuple{field("protocol", &T::protocol), field("port", &T::port),
                    field("endPort", &T::end_port, Range{1, 65535})};
}
constexpr auto fields(Tag<KubernetesIngressRule>) {
  using T = KubernetesIngressRule;
  return std::tuple{field("ports", &T::ports), field("from", &T::from)};
}
constexpr auto fields(Tag<KubernetesEgressRule>) {
  using T = KubernetesEgressRule;
  return std::tuple{field("ports", &T::ports), field("to", &T::to)};
}
constexpr auto fields(Tag<KubernetesPolicySpec>) {
  using T = KubernetesPolicySpec;
  return std::tuple{
      field("stagedAction", &T::staged_action, OnlyFor{Kind::staged_kubernetes_network_policy},
            one_of("Set", "Delete", "Learn", "Ignore")),
      field("podSelector", &T::pod_selector, Always{}),
      field("ingress", &T::ingress, MaxItems{1024}),
      field("egress", &T::egress, MaxItems{1024}),
      field("policyTypes", &T::policy_types, Unique{}),
  };
}

constexpr auto fields(Tag<NamespacedPods>) {
  using T = NamespacedPods;
  return std::tuple{field("namespaceSelector", &T::namespace_selector, Always{}),
                    field("podSelector", &T::pod_selector, Always{})};
}
constexpr auto fields(Tag<ClusterPolicySubject>) {
  using T = ClusterPolicySubject;
  return std::tuple{field("namespaces", &T::namespaces), field("pods", &T::pods)};
}
constexpr auto fields(Tag<ClusterPolicyPeer>) {
  using T = ClusterPolicyPeer;
  return std::tuple{field("namespaces", &T::namespaces), field("pods", &T::pods),
                    field("networks", &T::networks, CidrText{}, MaxItems{25})};
}
constexpr auto fields(Tag<ClusterPolicyPortRange>) {
  using T = ClusterPolicyPortRange;
  return std::tuple{field("start", &T::start, Required{}), field("end", &T::end, Required{})};
}
constexpr auto fields(Tag<ClusterPolicyPort>) {
  using T = ClusterPolicyPort;
  return std::tuple{field("number", &T::number, Range{1, 65535}), field("range", &T::range)};
}
constexpr auto fields(Tag<ClusterPolicyProtocolPorts>) {
  return std::tuple{field("destinationPort", &ClusterPolicyProtocolPorts::destination_port)};
}
constexpr auto fields(Tag<ClusterPolicyProtocol>) {
  using T = ClusterPolicyProtocol;
  return std::tuple{field("tcp", &T::tcp), field("udp", &T::udp), field("sctp", &T::sctp),
                    field("destinationNamedPort", &T::destination_named_port)};
}
constexpr auto enum_names(Tag<ClusterPolicyAction>) {
  using A = ClusterPolicyAction;
  return std::array{EnumName<A>{"Accept", A::accept}, EnumName<A>{"Deny", A::deny},
                    EnumName<A>{"Pass", A::pass}};
}
constexpr auto fields(Tag<ClusterPolicyIngressRule>) {
  using T = ClusterPolicyIngressRule;
  return std::tuple{
      field("name", &T::name),
      field("action", &T::action, Required{}, Always{}),
      field("from", &T::from, Required{}, MaxItems{25}),
      field("protocols", &T::protocols, MaxItems{25}),
  };
}
constexpr auto fields(Tag<ClusterPolicyEgressRule>) {
  using T = ClusterPolicyEgressRule;
  return std::tuple{
      field("name", &T::name),
      field("action", &T::action, Required{}, Always{}),
      field("to", &T::to, Required{}, MaxItems{25}),
      field("protocols", &T::protocols, MaxItems{25}),
  };
}
constexpr auto fields(Tag<ClusterNetworkPolicySpec>) {
  using T = ClusterNetworkPolicySpec;
  return std::tuple{
      field("tier", &T::tier, Required{}, one_of("Admin", "Baseline")),
      field("priority", &T::priority, Required{}, Range{0, 1000}, Always{}),
      field("subject", &T::subject, Required{}, Always{}),
      field("ingress", &T::ingress, MaxItems{25}),
      field("egress", &T::egress, MaxItems{25}),
  };
}

template struct KindCodec<KubernetesNamespace>;
template struct KindCodec<ServiceAccount>;
template struct KindCodec<Pod>;
template struct KindCodec<KubernetesNode>;
template struct KindCodec<Service>;
template struct KindCodec<EndpointSlice>;
template struct KindCodec<KubernetesNetworkPolicy>;
template struct KindCodec<StagedKubernetesNetworkPolicy>;
template struct KindCodec<ClusterNetworkPolicy>;
template struct KindCodec<Secret>;

}  // namespace margay::model::codec
