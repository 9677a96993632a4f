// SPDX-License-Identifier: Apache-2.0
#include "model/key.h"

#include <algorithm>
#include <array>
#include <vector>

namespace margay::model {
namespace {

constexpr std::string_view kCalicoVersion = "projectcalico.org/v3";
constexpr std::string_view kNativeRoot = "/calico/resources/v3/kubernetes/";
constexpr std::string_view kCalicoRoot = "/calico/resources/v3/projectcalico.org/";
constexpr std::string_view kBlockRoot = "/calico/ipam/v2/assignment/";
constexpr std::string_view kHandleRoot = "/calico/ipam/v2/handle/";
constexpr std::string_view kHostRoot = "/calico/ipam/v2/host/";
constexpr std::string_view kVirtualRoot = "/calico/ipam/v2/virtual/";
constexpr std::string_view kConfigPath = "/calico/ipam/v2/config";

// clang-format off
constexpr std::array<KindInfo, kKindCount> kKinds{{
    {Kind::bgp_configuration, "BGPConfiguration", kCalicoVersion, "bgpconfigurations", false, "bgpconfig bgpconfigs"},
    {Kind::bgp_filter, "BGPFilter", kCalicoVersion, "bgpfilters", false, "bgpf bgpfs bf bfs"},
    {Kind::bgp_peer, "BGPPeer", kCalicoVersion, "bgppeers", false, "bgpp bgpps bp bps"},
    {Kind::calico_node_status, "CalicoNodeStatus", kCalicoVersion, "caliconodestatuses", false, "nodestatus nodestatuses"},
    {Kind::cluster_information, "ClusterInformation", kCalicoVersion, "clusterinformations", false, "clusterinfo clusterinfos"},
    {Kind::felix_configuration, "FelixConfiguration", kCalicoVersion, "felixconfigurations", false, "felixconfig felixconfigs"},
    {Kind::global_network_policy, "GlobalNetworkPolicy", kCalicoVersion, "globalnetworkpolicies", false, "gnp gnps"},
    {Kind::global_network_set, "GlobalNetworkSet", kCalicoVersion, "globalnetworksets", false, "gnetsets"},
    {Kind::host_endpoint, "HostEndpoint", kCalicoVersion, "hostendpoints", false, "hep heps"},
    {Kind::ipam_configuration, "IPAMConfiguration", kCalicoVersion, "ipamconfigurations", false, "ipamconfig ipamconfigs"},
    {Kind::ip_pool, "IPPool", kCalicoVersion, "ippools", false, "ipp ipps pool pools"},
    {Kind::ip_reservation, "IPReservation", kCalicoVersion, "ipreservations", false, "reservation reservations"},
    {Kind::kube_controllers_configuration, "KubeControllersConfiguration", kCalicoVersion, "kubecontrollersconfigurations", false, "kubecontrollersconfig kubecontrollersconfigs"},
    {Kind::network_policy, "NetworkPolicy", kCalicoVersion, "networkpolicies", true, "policy policies np nps pol pols"},
    {Kind::network_set, "NetworkSet", kCalicoVersion, "networksets", true, "netsets"},
    {Kind::node, "Node", kCalicoVersion, "nodes", false, "no nos"},
    {Kind::profile, "Profile", kCalicoVersion, "profiles", false, "pro pros"},
    {Kind::staged_global_network_policy, "StagedGlobalNetworkPolicy", kCalicoVersion, "stagedglobalnetworkpolicies", false, "sgnp sgnps"},
    {Kind::staged_kubernetes_network_policy, "StagedKubernetesNetworkPolicy", kCalicoVersion, "stagedkubernetesnetworkpolicies", true, "stagedkubernetespolicy stagedkubernetespolicies sknp sknps skpol skpols"},
    {Kind::staged_network_policy, "StagedNetworkPolicy", kCalicoVersion, "stagednetworkpolicies", true, "stagedpolicy stagedpolicies snp snps spol spols"},
    {Kind::tier, "Tier", kCalicoVersion, "tiers", false, ""},
    {Kind::workload_endpoint, "WorkloadEndpoint", kCalicoVersion, "workloadendpoints", true, "wep weps"},
    {Kind::ipam_block, "IPAMBlock", "", "", false, ""},
    {Kind::block_affinity, "BlockAffinity", "", "", false, ""},
    {Kind::ipam_handle, "IPAMHandle", "", "", false, ""},
    {Kind::ipam_config, "IPAMConfig", "", "", false, ""},
    {Kind::kubernetes_namespace, "Namespace", "v1", "namespaces", false, "ns"},
    {Kind::service_account, "ServiceAccount", "v1", "serviceaccounts", true, "sa"},
    {Kind::pod, "Pod", "v1", "pods", true, "po"},
    {Kind::kubernetes_node, "Node", "v1", "nodes", false, "kubernetesnode kubernetesnodes"},
    {Kind::service, "Service", "v1", "services", true, "svc"},
    {Kind::endpoint_slice, "EndpointSlice", "discovery.k8s.io/v1", "endpointslices", true, ""},
    {Kind::kubernetes_network_policy, "NetworkPolicy", "networking.k8s.io/v1", "networkpolicies", true, "kubernetesnetworkpolicy kubernetesnetworkpolicies knp knps"},
    {Kind::cluster_network_policy, "ClusterNetworkPolicy", "policy.networking.k8s.io/v1alpha2", "clusternetworkpolicies", false, "cnp cnps"},
    {Kind::secret, "Secret", "v1", "secrets", true, ""},
}};
// clang-format on

constexpr bool table_follows_enum() {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (kKinds[i].kind != static_cast<Kind>(i)) return false;
  }
  return true;
}
static_assert(table_follows_enum());

std::string_view native_group(std::string_view api_version) {
  const auto slash = api_version.find('/');
  return slash == std::string_view::npos ? "core" : api_version.substr(0, slash);
}

// Takes the text up to the next '/' (or the end) off `rest`.
std::string_view next_part(std::string_view& rest) {
  const auto slash = rest.find('/');
  const auto part = rest.substr(0, slash);
  rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
  return part;
}

bool take(std::string_view& rest, std::string_view prefix) {
  if (!rest.starts_with(prefix)) return false;
  rest.remove_prefix(prefix.size());
  return true;
}

Error not_a_key(std::string_view path) {
  return make_error(Code::not_found, "'" + std::string(path) + "' is not the path of a resource");
}

std::string block_path_tail(const std::string& cidr) {
  std::string tail = cidr.find(':') == std::string::npos ? "ipv4/block/" : "ipv6/block/";
  tail += cidr;
  std::replace(tail.end() - static_cast<std::ptrdiff_t>(cidr.size()), tail.end(), '/', '-');
  return tail;
}

// "ipv4/block/10.65.1.0-26" -> "10.65.1.0/26"
std::optional<std::string> parse_block_tail(std::string_view tail) {
  const bool v4 = take(tail, "ipv4/block/");
  if (!v4 && !take(tail, "ipv6/block/")) return std::nullopt;
  const auto dash = tail.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  std::string cidr(tail);
  cidr[dash] = '/';
  const auto prefix = Prefix::parse(cidr);
  if (!prefix.ok() || (prefix->family() == Family::v4) != v4) return std::nullopt;
  return cidr;
}

std::string affinity_path(const Key& key) {
  const auto colon = key.ns.find(':');
  std::string out(key.ns.starts_with("virtual:") ? kVirtualRoot : kHostRoot);
  out += key.ns.substr(colon == std::string::npos ? 0 : colon + 1);
  out += '/';
  return out += block_path_tail(key.name);
}

Result<Key> parse_affinity(std::string_view whole, std::string_view rest, std::string_view type) {
  const auto owner = next_part(rest);
  auto cidr = parse_block_tail(rest);
  if (owner.empty() || !cidr) return not_a_key(whole);
  return Key{Kind::block_affinity, std::string(type) + std::string(owner), std::move(*cidr)};
}

Result<Key> parse_ipam_key(std::string_view whole) {
  std::string_view rest = whole;
  if (rest == kConfigPath) return Key{Kind::ipam_config, "", "default"};
  if (take(rest, kBlockRoot)) {
    auto cidr = parse_block_tail(rest);
    if (!cidr) return not_a_key(whole);
    return Key{Kind::ipam_block, "", std::move(*cidr)};
  }
  if (take(rest, kHandleRoot)) {
    if (rest.empty() || rest.find('/') != std::string_view::npos) return not_a_key(whole);
    return Key{Kind::ipam_handle, "", std::string(rest)};
  }
  if (take(rest, kHostRoot)) return parse_affinity(whole, rest, "host:");
  if (take(rest, kVirtualRoot)) return parse_affinity(whole, rest, "virtual:");
  return not_a_key(whole);
}

const KindInfo* find_plural(std::string_view plural, std::string_view group) {
  for (const auto& k : kKinds) {
    if (k.plural != plural || plural.empty()) continue;
    const bool calico = k.api_version == kCalicoVersion;
    if (group.empty() ? calico : !calico && native_group(k.api_version) == group) return &k;
  }
  return nullptr;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

bool has_word(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const auto blank = words.find(' ');
    if (words.substr(0, blank) == word) return true;
    words.remove_prefix(blank == std::string_view::npos ? words.size() : blank + 1);
  }
  return false;
}

}  // namespace

const KindInfo& info(Kind kind) { return kKinds.at(static_cast<std::size_t>(kind)); }
std::span<const KindInfo> all_kinds() { return kKinds; }

std::optional<Kind> find_kind(std::string_view api_version, std::string_view name) {
  for (const auto& k : kKinds) {
    if (!k.api_version.empty() && k.api_version == api_version && k.name == name) return k.kind;
  }
  return std::nullopt;
}

std::optional<Kind> kind_by_alias(std::string_view text) {
  const std::string word = lowered(text);
  for (const auto& k : kKinds) {
    if (k.plural.empty()) continue;
    if (k.plural == word || lowered(k.name) == word || has_word(k.aliases, word)) return k.kind;
  }
  return std::nullopt;
}

std::string path_prefix(Kind kind) {
  if (kind == Kind::ipam_block) return std::string(kBlockRoot);
  if (kind == Kind::ipam_handle) return std::string(kHandleRoot);
  if (kind == Kind::block_affinity || kind == Kind::ipam_config) return std::string(kIpamPrefix);
  const KindInfo& k = info(kind);
  std::string out;
  if (k.api_version == kCalicoVersion) {
    out = kCalicoRoot;
  } else {
    out = kNativeRoot;
    out += native_group(k.api_version);
    out += '/';
  }
  out += k.plural;
  out += '/';
  return out;
}

std::string path(const Key& key) {
  if (key.kind == Kind::ipam_block) return std::string(kBlockRoot) + block_path_tail(key.name);
  if (key.kind == Kind::block_affinity) return affinity_path(key);
  if (key.kind == Kind::ipam_handle) return std::string(kHandleRoot) + key.name;
  if (key.kind == Kind::ipam_config) return std::string(kConfigPath);
  std::string out = path_prefix(key.kind);
  if (info(key.kind).namespaced) {
    out += key.ns;
    out += '/';
  }
  return out += key.name;
}

Result<Key> parse_key(std::string_view whole) {
  std::string_view rest = whole;
  if (rest.starts_with(kIpamPrefix)) return parse_ipam_key(whole);
  std::string_view group;
  if (take(rest, kNativeRoot)) {
    group = next_part(rest);
    if (group.empty()) return not_a_key(whole);
  } else if (!take(rest, kCalicoRoot)) {
    return not_a_key(whole);
  }
  const KindInfo* k = find_plural(next_part(rest), group);
  if (k == nullptr) return not_a_key(whole);
  Key key{k->kind, {}, {}};
  if (k->namespaced) {
    key.ns = next_part(rest);
    if (key.ns.empty()) return not_a_key(whole);
  }
  if (rest.empty() || rest.find('/') != std::string_view::npos) return not_a_key(whole);
  key.name = rest;
  return key;
}

std::string describe(const Key& key) {
  std::string out(info(key.kind).name);
  out += '(';
  if (!key.ns.empty()) out += key.ns + "/";
  return out += key.name + ")";
}

Key block_key(const Prefix& cidr) { return {Kind::ipam_block, "", cidr.to_string()}; }

Key affinity_key(std::string_view node, const Prefix& cidr) {
  return {Kind::block_affinity, "host:" + std::string(node), cidr.to_string()};
}

Result<Prefix> cidr_of(const Key& key) {
  MARGAY_ASSERT(key.kind == Kind::ipam_block || key.kind == Kind::block_affinity);
  return Prefix::parse(key.name);
}

std::string_view affinity_node(std::string_view affinity) {
  return take(affinity, "host:") ? affinity : std::string_view{};
}

}  // namespace margay::model
