// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/graph_impl.h"

#include <algorithm>
#include <utility>

namespace margay::calc {
namespace {

using model::Key;
using model::Kind;

// The name of an object among endpoints: a letter for its kind, namespace, name.
std::string endpoint_text(const Key& key) {
  const char letter = key.kind == Kind::workload_endpoint ? 'w'
                      : key.kind == Kind::host_endpoint   ? 'h'
                      : key.kind == Kind::network_set     ? 's'
                                                          : 'g';
  return letter + key.ns + "/" + key.name;
}

void put_label(model::Labels& labels, std::string_view key, std::string_view value) {
  const auto at = std::lower_bound(labels.begin(), labels.end(), key,
                                   [](const auto& l, std::string_view k) { return l.first < k; });
  if (at != labels.end() && at->first == key) {
    at->second = value;
  } else {
    labels.emplace(at, key, value);
  }
}

model::LocalWorkload local_workload(const Key& key, const model::WorkloadEndpointSpec& spec) {
  model::LocalWorkload out;
  out.id.orchestrator = spec.orchestrator;
  out.id.workload = spec.orchestrator == "k8s" ? key.ns + "/" + spec.pod : spec.workload;
  out.id.endpoint = spec.endpoint;
  out.interface_name = spec.interface_name;
  out.mac = spec.mac;
  for (const Prefix& net : spec.ip_networks) {
    if (net.is_host()) out.addresses.push_back(net);
  }
  out.spoofable = spec.allow_spoofed_source_prefixes;
  out.nats = spec.ip_nats;
  out.profiles = spec.profiles;
  return out;
}

// What a namespace or service account must not be able to claim for its pods is set from the key.
EndpointValue workload_value(const Key& key, const model::WorkloadEndpoint& wep) {
  EndpointValue out;
  out.labels = wep.metadata.labels;
  put_label(out.labels, model::kNamespaceLabel, key.ns);
  if (!wep.spec.orchestrator.empty()) {
    put_label(out.labels, model::kOrchestratorLabel, wep.spec.orchestrator);
  }
  if (!wep.spec.service_account_name.empty()) {
    put_label(out.labels, model::kServiceAccountLabel, wep.spec.service_account_name);
  }
  out.profiles = wep.spec.profiles;
  out.ports = wep.spec.ports;
  out.nets = wep.spec.ip_networks;
  out.node = wep.spec.node;
  return out;
}

std::vector<Prefix> ranges(const std::vector<model::CidrBlock>& blocks) {
  std::vector<Prefix> out;
  for (const auto& block : blocks) out.push_back(block.cidr);
  return out;
}

}  // namespace

Graph::Impl::Impl(Options options) : options_(std::move(options)), nodes_(options_.node) {
  sets_.connect(endpoints_, services_);
}

void Graph::Impl::accept(const Key& key) {
  problems_.erase(key);
  dirty_ = true;
}

void Graph::Impl::report(const Key& key, std::string reason, Problem::InForce in_force) {
  problems_[key] = {std::move(reason), in_force};
  dirty_ = true;
}

// --- endpoints and network sets --------------------------------------------------------------

// With CalicoIPAM only workloads of this node have routes of their own.
void Graph::Impl::claim_addresses(const std::string& text, bool add) {
  if (text.front() != 'w') return;
  const auto view = endpoints_.find(text);
  if (!view || view->hidden || view->node.empty()) return;
  if (options_.route_source == RouteSource::calico_ipam && view->node != options_.node) return;
  for (const Prefix& net : view->nets) {
    if (add) {
      routes_.claim(net, Routes::Claim::workload, view->node);
    } else {
      routes_.unclaim(net, Routes::Claim::workload, view->node);
    }
  }
}

void Graph::Impl::set_endpoint(const Key& key, const std::string& text, const EndpointValue& value,
                               bool workload) {
  // Most workloads are remote, and then nobody claims anything.
  const bool claims = workload && (options_.route_source == RouteSource::workload_ips ||
                                   value.node == options_.node || local_weps_.contains(text));
  if (claims) claim_addresses(text, false);
  endpoints_.set(text, value);
  if (claims) claim_addresses(text, true);
  accept(key);
}

void Graph::Impl::erase_endpoint(const std::string& text) {
  claim_addresses(text, false);
  locals_.erase(text);
  local_weps_.erase(text);
  spoofers_.erase(text);
  endpoints_.erase(text);
}

void Graph::Impl::apply_local(const std::string& text, const LocalWep& wep) {
  if (!wep.value.spoofable.empty() && !options_.allow_source_spoofing) return locals_.erase(text);
  model::LocalWorkload value = wep.value;
  if (!options_.floating_ips && value.id.orchestrator != "openstack") value.nats.clear();
  locals_.set(text, wep.cls, std::move(value));
}

void Graph::Impl::judge_spoofing(const Key& key) {
  if (!options_.allow_source_spoofing) {
    report(key,
           "spec.allowSpoofedSourcePrefixes: not allowed while WorkloadSourceSpoofing is Disabled",
           Problem::InForce::nothing);
  } else {
    problems_.erase(key);
  }
}

void Graph::Impl::set(const Key& key, const model::WorkloadEndpoint& value) {
  set_or_drop(key, value);
}
Result<void> Graph::Impl::offer(const Key& key, const model::WorkloadEndpoint& value) {
  if (value.spec.interface_name.empty()) {
    return make_error(Code::invalid, "spec.interfaceName: must not be empty");
  }
  const std::string text = endpoint_text(key);
  EndpointValue endpoint = workload_value(key, value);
  const bool spoofs = !value.spec.allow_spoofed_source_prefixes.empty();
  endpoint.hidden = spoofs && !options_.allow_source_spoofing;
  set_endpoint(key, text, endpoint, true);
  if (value.spec.node == options_.node) {
    LocalWep& wep = local_weps_[text];
    wep = {local_workload(key, value.spec), endpoints_.find(text)->cls};
    apply_local(text, wep);
  } else if (local_weps_.erase(text) != 0) {
    locals_.erase(text);
  }
  if (spoofs) {
    spoofers_[text] = key;
    judge_spoofing(key);
  } else {
    spoofers_.erase(text);
  }
  return {};
}

void Graph::Impl::set(const Key& key, const model::HostEndpoint& value) {
  const std::string text = endpoint_text(key);
  EndpointValue endpoint;
  endpoint.labels = value.metadata.labels;
  endpoint.profiles = value.spec.profiles;
  endpoint.ports = value.spec.ports;
  for (const Ip& ip : value.spec.expected_ips) endpoint.nets.push_back(Prefix::host(ip));
  endpoint.node = value.spec.node;
  set_endpoint(key, text, endpoint, false);
  if (value.spec.node != options_.node) return locals_.erase(text);
  model::LocalHostEndpoint local;
  local.id.endpoint = key.name;
  local.interface_name = value.spec.interface_name;
  local.expected_ips = value.spec.expected_ips;
  local.profiles = value.spec.profiles;
  locals_.set(text, endpoints_.find(text)->cls, std::move(local));
}

void Graph::Impl::set(const Key& key, const model::NetworkSet& value) {
  EndpointValue endpoint;
  endpoint.labels = value.metadata.labels;
  put_label(endpoint.labels, model::kNamespaceLabel, key.ns);
  endpoint.profiles = {"kns." + key.ns};
  endpoint.nets = value.spec.nets;
  set_endpoint(key, endpoint_text(key), endpoint, false);
}

void Graph::Impl::set(const Key& key, const model::GlobalNetworkSet& value) {
  EndpointValue endpoint;
  endpoint.labels = value.metadata.labels;
  endpoint.nets = value.spec.nets;
  set_endpoint(key, endpoint_text(key), endpoint, false);
}

void Graph::Impl::set(const Key& key, const model::EndpointSlice& value) {
  services_.set(key.ns + "/" + key.name, key.ns, value);
  accept(key);
}

// --- nodes and addresses ---------------------------------------------------------------------

void Graph::Impl::set(const Key& key, const model::Node& value) {
  const NodeInfo info = node_info(key.name, value.spec);
  const NodeInfo* found = nodes_.find(key.name);
  const std::optional<NodeInfo> before = found ? std::optional(*found) : std::nullopt;
  if (!nodes_.set(key.name, info)) return accept(key);
  routes_.node_changed(key.name, before ? &*before : nullptr, &info);
  accept(key);
}

void Graph::Impl::set(const Key& key, const model::IpPool& value) {
  routes_.set_pool(key.name, value.spec);
  accept(key);
}

void Graph::Impl::set(const Key& key, const model::IpamBlock& value) { set_or_drop(key, value); }
Result<void> Graph::Impl::offer(const Key& key, const model::IpamBlock& value) {
  MARGAY_TRY(const auto cidr, model::cidr_of(key));
  routes_.set_block(cidr, value);
  accept(key);
  return {};
}

void Graph::Impl::set(const Key& key, const model::BgpConfiguration& value) {
  if (key.name != "default") return;  // of single nodes: nothing that calculation needs
  bgp_config_ = value;
  accept(key);
}

// --- absence ---------------------------------------------------------------------------------

void Graph::Impl::remove(const Key& key) {
  drop(key);
  accept(key);
}

void Graph::Impl::drop(const Key& key) {
  switch (key.kind) {
    case Kind::network_policy:
    case Kind::global_network_policy:
    case Kind::kubernetes_network_policy:
    case Kind::cluster_network_policy:
      return erase_policy(key);
    case Kind::workload_endpoint:
    case Kind::host_endpoint:
    case Kind::network_set:
    case Kind::global_network_set:
      return erase_endpoint(endpoint_text(key));
    case Kind::tier:
      locals_.tiers().erase(key.name);
      locals_.tiers_changed();
      return judge_tier(key.name);
    case Kind::profile:
      return profiles_.erase(key.name, Profiles::Origin::resource);
    case Kind::kubernetes_namespace:
      return profiles_.erase("kns." + key.name, Profiles::Origin::native);
    case Kind::service_account:
      return profiles_.erase("ksa." + key.ns + "." + key.name, Profiles::Origin::native);
    case Kind::endpoint_slice:
      return services_.erase(key.ns + "/" + key.name);
    case Kind::ip_pool:
      return routes_.erase_pool(key.name);
    case Kind::ipam_block:
      if (const auto cidr = model::cidr_of(key); cidr.ok()) routes_.erase_block(*cidr);
      return;
    case Kind::node:
      if (const NodeInfo* found = nodes_.find(key.name)) {
        const NodeInfo before = *found;
        nodes_.erase(key.name);
        routes_.node_changed(key.name, &before, nullptr);
      }
      return;
    case Kind::bgp_configuration:
      if (key.name == "default") bgp_config_.reset();
      return;
    default:
      return;  // kinds that calculation does not keep
  }
}

void Graph::Impl::configure(const Options& options) {
  if (options == options_) return;
  const bool spoofing_changed = options.allow_source_spoofing != options_.allow_source_spoofing;
  const bool all_claims = options.route_source != options_.route_source || spoofing_changed;
  const auto claim_all = [&](bool add) {
    std::vector<std::string> texts;
    endpoints_.for_each([&](std::string_view text, const auto&) { texts.emplace_back(text); });
    for (const auto& text : texts) claim_addresses(text, add);
  };
  if (all_claims) claim_all(false);
  const std::string own = options_.node;
  options_ = options;
  options_.node = own;
  for (const auto& [text, key] : spoofers_) {
    endpoints_.hide(text, !options_.allow_source_spoofing);
    judge_spoofing(key);
  }
  if (all_claims) claim_all(true);
  for (const auto& [text, wep] : local_weps_) apply_local(text, wep);
  dirty_ = true;
}

// --- results ---------------------------------------------------------------------------------

void Graph::Impl::set_in_sync() {
  if (std::exchange(in_sync_, true)) return;
  for (const auto& [tier, policies] : tier_users_) judge_tier(tier);
  dirty_ = true;
}

bool Graph::Impl::pending() const {
  return in_sync_ && (dirty_ || sets_.filling() || !in_sync_sent_);
}

std::vector<model::Change> Graph::Impl::calculate(std::size_t max_new_members) {
  dirty_ = false;
  std::vector<ClassId> stale;
  for (const auto& profile : profiles_.take_relabelled()) {
    const auto classes = classes_.classes_of(profile);
    stale.insert(stale.end(), classes.begin(), classes.end());
    locals_.profile_relabelled(profile);
  }
  locals_.match();
  auto policies = policies_.refresh();
  auto profiles = profiles_.refresh();
  sets_.refresh(stale, max_new_members);
  auto sets = sets_.take_changes();
  auto locals = locals_.resolve();
  auto nodes = nodes_.take_changes();
  auto routes = routes_.take_changes();

  std::vector<model::Change> out;
  const auto queue = [&out](std::vector<model::Change>&& changes) {
    out.insert(out.end(), std::make_move_iterator(changes.begin()),
               std::make_move_iterator(changes.end()));
  };
  // What is named comes before what names it; removals the other way round.
  queue(std::move(sets.fresh));
  queue(std::move(sets.deltas));
  queue(std::move(policies.updated));
  queue(std::move(profiles.updated));
  queue(std::move(locals.updated));
  queue(std::move(locals.removed));
  queue(std::move(profiles.removed));
  queue(std::move(policies.removed));
  queue(std::move(sets.removed));
  queue(std::move(routes.removed_routes));
  queue(std::move(nodes.removed_vteps));
  queue(std::move(nodes.removed_hosts));
  queue(std::move(routes.removed_pools));
  model::EncapInUse encap = routes_.encap_in_use();
  encap.ipip = options_.ipip_enabled.value_or(encap.ipip);
  encap.vxlan_v4 = options_.vxlan_enabled.value_or(encap.vxlan_v4);
  if (nodes.local) out.push_back(std::move(*nodes.local));
  if (sent_encap_ != encap) out.emplace_back(encap);
  sent_encap_ = encap;
  queue(std::move(routes.pools));
  queue(std::move(nodes.hosts));
  queue(std::move(nodes.vteps));
  queue(std::move(routes.routes));
  model::ServiceRanges services;
  if (bgp_config_) {
    services.cluster_ips = ranges(bgp_config_->spec.service_cluster_ips);
    services.external_ips = ranges(bgp_config_->spec.service_external_ips);
    services.load_balancer_ips = ranges(bgp_config_->spec.service_load_balancer_ips);
  }
  if (sent_ranges_ != services) out.emplace_back(services);
  sent_ranges_ = std::move(services);
  return out;
}

model::Batch Graph::Impl::flush(std::size_t max_new_members) {
  model::Batch batch;
  if (!in_sync_) return batch;
  batch.in_sync = !std::exchange(in_sync_sent_, true);
  if (dirty_ || sets_.filling()) {
    batch.changes = calculate(batch.in_sync ? IpSets::kNoLimit : max_new_members);
  }
  return batch;
}

Counts Graph::Impl::counts() const {
  Counts out;
  out.policies = policies_.size();
  out.active_policies = policies_.active();
  out.active_profiles = profiles_.active();
  out.tiers = locals_.tiers().size();
  out.endpoints = endpoints_.size();
  out.local_endpoints = locals_.size();
  out.active_sets = sets_.size();
  out.set_members = sets_.member_count();
  out.labels = classes_.labels().size() + classes_.labels().keys().size();
  return out;
}

}  // namespace margay::calc
