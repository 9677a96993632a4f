// SPDX-License-Identifier: Apache-2.0
#include "bgp/intent/intent.h"

#include <openssl/sha.h>

#include <array>

#include "bgp/intent/inputs.h"
#include "model/codec.h"

namespace margay::bgp {
namespace {

constexpr Asn kDefaultAs{64512};
constexpr std::string_view kNodePrefix = "node.";

}  // namespace

// --- inputs ----------------------------------------------------------------------------------

const model::Node* Inputs::local() const {
  const auto it = nodes.find(options.node);
  return it == nodes.end() || !it->second.spec.bgp ? nullptr : &it->second;
}

const model::BgpConfigurationSpec& Inputs::global() const {
  static const model::BgpConfigurationSpec kDefaults;
  const auto it = configurations.find("default");
  return it == configurations.end() ? kDefaults : it->second.spec;
}

const model::BgpConfigurationSpec* Inputs::of_node(const std::string& node) const {
  const auto it = configurations.find(std::string(kNodePrefix) + node);
  return it == configurations.end() ? nullptr : &it->second.spec;
}

Asn Inputs::cluster_as() const { return global().as_number.value_or(kDefaultAs); }

Asn Inputs::as_of(const model::Node& node) const {
  return node.spec.bgp && node.spec.bgp->as_number ? *node.spec.bgp->as_number : cluster_as();
}

std::uint16_t Inputs::listen_port(const std::string& node) const {
  const auto* own = of_node(node);
  const auto port = own != nullptr && own->listen_port ? own->listen_port : global().listen_port;
  return static_cast<std::uint16_t>(port.value_or(kBgpPort));
}

std::uint32_t Inputs::normal_priority(Family f) const {
  const auto& g = global();
  const auto v = f == Family::v4 ? g.ipv4_normal_route_priority : g.ipv6_normal_route_priority;
  return v ? static_cast<std::uint32_t>(*v) : kNormalPriority;
}

ServiceRanges Inputs::service_ranges() const {
  const auto cidrs = [](const std::vector<model::CidrBlock>& in) {
    std::vector<Prefix> out;
    for (const auto& c : in) out.push_back(c.cidr);
    return out;
  };
  const auto& g = global();
  ServiceRanges out;
  out.cluster =
      options.cluster_ips ? std::vector{*options.cluster_ips} : cidrs(g.service_cluster_ips);
  out.external = cidrs(g.service_external_ips);
  out.load_balancer = cidrs(g.service_load_balancer_ips);
  out.aggregate_load_balancer = g.service_load_balancer_aggregation != "Disabled";
  return out;
}

std::optional<InterfaceAddress> address_of(const model::Node& node, Family f) {
  if (!node.spec.bgp) return std::nullopt;
  return f == Family::v4 ? node.spec.bgp->ipv4_address : node.spec.bgp->ipv6_address;
}

std::string cluster_id_of(const model::Node& node) {
  return node.spec.bgp ? node.spec.bgp->route_reflector_cluster_id : std::string();
}

// --- intent ----------------------------------------------------------------------------------

struct Intent::Impl {
  explicit Impl(IntentOptions options) : in(std::move(options)) {}

  Inputs in;
  bool in_sync = false, changed = true;
  std::vector<Problem> problems;

  template <typename T, typename Map, typename Id>
  Result<void> put(Map& map, const Id& id, std::string_view json) {
    MARGAY_TRY(auto decoded, model::decode<T>(json));
    map.insert_or_assign(id, std::move(decoded));
    changed = true;
    return {};
  }
  // Pods come and go by the thousand; only what an announcement hangs on concerns us.
  template <typename T>
  Result<void> put_service(const model::Key& key, std::string_view json) {
    MARGAY_TRY(const auto decoded, model::decode<T>(json));
    changed |= in.services.set(key, decoded) && !in.service_ranges().empty();
    return {};
  }
  template <typename Map, typename Id>
  void drop(Map& map, const Id& id) {
    if (map.erase(id) != 0) changed = true;
  }

  Result<void> offer(const model::Key& key, std::string_view json);
  void remove(const model::Key& key);
  [[nodiscard]] bool ours(const model::Key& affinity) const {
    return model::affinity_node(affinity.ns) == in.options.node;
  }
  [[nodiscard]] std::optional<RouterId> router_id(const model::Node& local, Problems& p) const;
  void make_global(const model::Node& local, SpeakerConfig& out, Problems& p) const;
};

Result<void> Intent::Impl::offer(const model::Key& key, std::string_view json) {
  using model::Kind;
  switch (key.kind) {  // NOLINT: the kinds that takes() names
    case Kind::node:
      return put<model::Node>(in.nodes, key.name, json);
    case Kind::bgp_configuration:
      return put<model::BgpConfiguration>(in.configurations, key.name, json);
    case Kind::bgp_peer:
      return put<model::BgpPeer>(in.peers, key.name, json);
    case Kind::bgp_filter:
      return put<model::BgpFilter>(in.filters, key.name, json);
    case Kind::ip_pool:
      return put<model::IpPool>(in.pools, key.name, json);
    case Kind::secret:
      if (key.ns != in.options.secrets_namespace) return {};
      return put<model::Secret>(in.secrets, key.name, json);
    case Kind::service:
      return put_service<model::Service>(key, json);
    case Kind::endpoint_slice:
      return put_service<model::EndpointSlice>(key, json);
    case Kind::block_affinity:
      if (const auto cidr = model::cidr_of(key); cidr && ours(key)) {
        return put<model::BlockAffinity>(in.affinities, *cidr, json);
      }
      return {};
    case Kind::workload_endpoint: {
      MARGAY_TRY(auto decoded, model::decode<model::WorkloadEndpoint>(json));
      // Thousands of other nodes' endpoints pass here; only ours are kept.
      if (decoded.spec.node != in.options.node) {
        remove(key);
        return {};
      }
      in.local_workloads.insert_or_assign(key, std::move(decoded));
      changed = true;
      return {};
    }
    default:
      return {};
  }
}

void Intent::Impl::remove(const model::Key& key) {
  using model::Kind;
  switch (key.kind) {  // NOLINT: as above
    case Kind::node:
      return drop(in.nodes, key.name);
    case Kind::bgp_configuration:
      return drop(in.configurations, key.name);
    case Kind::bgp_peer:
      return drop(in.peers, key.name);
    case Kind::bgp_filter:
      return drop(in.filters, key.name);
    case Kind::ip_pool:
      return drop(in.pools, key.name);
    case Kind::secret:
      if (key.ns == in.options.secrets_namespace) drop(in.secrets, key.name);
      return;
    case Kind::service:
    case Kind::endpoint_slice:
      changed |= in.services.remove(key) && !in.service_ranges().empty();
      return;
    case Kind::block_affinity:
      if (const auto cidr = model::cidr_of(key); cidr && ours(key)) drop(in.affinities, *cidr);
      return;
    case Kind::workload_endpoint:
      return drop(in.local_workloads, key);
    default:
      return;
  }
}

std::optional<RouterId> Intent::Impl::router_id(const model::Node& local, Problems& p) const {
  const std::string& mode = in.options.router_id;
  if (mode == "hash") {
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    const std::string& name = local.metadata.name.empty() ? in.options.node : local.metadata.name;
    SHA256(static_cast<const unsigned char*>(static_cast<const void*>(name.data())), name.size(),
           digest.data());
    // Below the multicast range, as an IPv4 address would be.
    if (digest[0] > 223) digest[0] = static_cast<unsigned char>(digest[0] - 32);
    return RouterId(std::uint32_t{digest[0]} << 24 | std::uint32_t{digest[1]} << 16 |
                    std::uint32_t{digest[2]} << 8 | digest[3]);
  }
  if (!mode.empty()) {
    auto id = parse_router_id(mode);
    if (id) return *id;
    p.add("CALICO_ROUTER_ID", id.error().message());
    return std::nullopt;
  }
  if (const auto a = address_of(local, Family::v4)) return RouterId(a->addr.v4_host_order());
  p.add("Node(" + in.options.node + ")",
        "no router id: without spec.bgp.ipv4Address CALICO_ROUTER_ID must be set, for example to "
        "'hash'");
  return std::nullopt;
}

void Intent::Impl::make_global(const model::Node& local, SpeakerConfig& out, Problems& p) const {
  out.local_as = in.as_of(local);
  out.listen_port = in.listen_port(in.options.node);
  const auto* own = in.of_node(in.options.node);
  const bool own_level = own != nullptr && !own->log_severity_screen.empty();
  (void)log::parse_level(own_level ? own->log_severity_screen : in.global().log_severity_screen,
                         out.log_level);
  if (in.options.log_level) out.log_level = *in.options.log_level;
  out.ignored_interfaces = in.global().ignored_interfaces;
  if (in.global().bind_mode == "NodeIP") {
    for (const Family f : kFamilies) {
      if (const auto a = address_of(local, f)) out.listen_addresses.push_back(a->addr);
    }
  }
  if (const std::string id = cluster_id_of(local); !id.empty()) {
    auto parsed = parse_router_id(id);
    if (parsed) {
      out.cluster_id = *parsed;
    } else {
      p.add("Node(" + in.options.node + ")",
            "spec.bgp.routeReflectorClusterID: " + parsed.error().message());
    }
  }
  for (const auto& [name, c] : in.configurations) {
    if (name != "default" && !name.starts_with(kNodePrefix)) {
      p.add("BGPConfiguration(" + name + ")", "ignored: only default and node.<name> are in use");
    }
  }
}

Intent::Intent(IntentOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Intent::~Intent() = default;

bool Intent::takes(model::Kind kind) {
  using model::Kind;
  switch (kind) {  // NOLINT: a selection of many
    case Kind::node:
    case Kind::bgp_configuration:
    case Kind::bgp_peer:
    case Kind::bgp_filter:
    case Kind::ip_pool:
    case Kind::block_affinity:
    case Kind::workload_endpoint:
    case Kind::secret:
    case Kind::service:
    case Kind::endpoint_slice:
      return true;
    default:
      return false;
  }
}

void Intent::configure(IntentOptions options) {
  IntentOptions& have = impl_->in.options;
  options.node = have.node;
  options.secrets_namespace = have.secrets_namespace;
  options.endpoint_node = have.endpoint_node;
  if (options == have) return;
  have = std::move(options);
  impl_->changed = true;
}

Result<void> Intent::offer(const model::Key& key, std::string_view json) {
  return impl_->offer(key, json);
}
void Intent::remove(const model::Key& key) { impl_->remove(key); }

void Intent::set_passwords(Passwords passwords) {
  if (passwords == impl_->in.passwords) return;
  impl_->in.passwords = std::move(passwords);
  impl_->changed = true;
}

void Intent::set_in_sync() {
  if (!impl_->in_sync) impl_->changed = true;
  impl_->in_sync = true;
}

std::optional<SpeakerConfig> Intent::compute() {
  if (!impl_->in_sync || !impl_->changed) return std::nullopt;
  impl_->changed = false;
  Problems problems;
  SpeakerConfig out;
  if (const model::Node* local = impl_->in.local()) {
    impl_->make_global(*local, out, problems);
    make_routes(impl_->in, out, problems);
    if (const auto id = impl_->router_id(*local, problems)) {
      out.router_id = *id;
      make_peers(impl_->in, out, problems);
    }
  }
  impl_->problems = problems.take();
  return out;
}

const std::vector<Problem>& Intent::problems() const { return impl_->problems; }

}  // namespace margay::bgp
