// SPDX-License-Identifier: Apache-2.0
#include "agent/subsystems.h"

#include <array>
#include <map>
#include <utility>

#include "agent/derive.h"
#include "agent/split.h"
#include "base/log.h"
#include "dataplane/route/leftovers.h"

namespace margay::agent {
namespace {

// Tells the policy thread of every link that is no workload's; called on the route thread.
auto interfaces_to(PolicyThread& policy) {
  using Addresses = std::map<std::string, std::vector<Ip>>;
  return [&policy, known = std::map<IfIndex, std::pair<std::string, std::vector<Ip>>>()](
             const dataplane::InterfaceState& link) mutable {
    const auto before = known.find(link.index);
    if (!link.present || link.workload) {
      if (before == known.end()) return;
      known.erase(before);
    } else {
      std::vector<Ip> addresses;
      for (const InterfaceAddress& a : link.addresses) addresses.push_back(a.addr);
      std::pair now(link.name, std::move(addresses));
      if (before != known.end() && before->second == now) return;
      known.insert_or_assign(link.index, std::move(now));
    }
    Addresses all;
    for (const auto& [index, entry] : known) all.insert(entry);
    policy.set_interfaces(std::move(all));
  };
}

dataplane::RoutePlaneEvents route_events(PolicyThread& policy, std::function<void()> fatal) {
  dataplane::RoutePlaneEvents events;
  events.on_fatal = [fatal = std::move(fatal)](const std::string& reason) {
    log::error("routes_fatal", kv("reason", reason));
    fatal();
  };
  events.on_interface = interfaces_to(policy);
  return events;
}

// To be asked before the first route is written.
bool earlier_run_left_routes(const dataplane::RouteConfig& c) {
  const std::array protocols = {c.bgp_protocol, c.agent_protocol, c.device_protocol};
  const auto found = route::has_routes_of(protocols);
  if (!found.ok()) log::warn("bgp_restart_unknown", kv("error", found.error()));
  return found.ok() && *found;
}

}  // namespace

Subsystems::Subsystems(const config::Config& config, Parts parts, std::function<void()> fatal)
    : parts_(parts), route_config_(route_config(config, parts.bgp)), servers_(health_, registry_) {
  // Without a dataplane nothing of ours can have stopped forwarding.
  bool restarting = true;
  if (parts.dataplane) {
    policy_ = std::make_unique<PolicyThread>(health_, registry_, policy_config(config));
    routes_ = std::make_unique<RouteThread>(health_, registry_, route_config_,
                                            route_events(*policy_, std::move(fatal)));
    restarting = parts.bgp && earlier_run_left_routes(route_config_);
  }
  if (parts.bgp) {
    bgp_ = std::make_unique<BgpThread>(health_, registry_, routes_.get(), restarting);
    servers_.add_page([this](auto answer) { bgp_->show_metrics(std::move(answer)); });
  }
  configure(config);
}

Subsystems::~Subsystems() { servers_.stop(); }

Core::Outputs Subsystems::outputs() {
  Core::Outputs out;
  out.batch = [this](model::Batch batch) {
    if (!parts_.dataplane) return;
    SplitBatch split_batch = split(std::move(batch));
    routes_->apply(std::move(split_batch.routes));
    policy_->apply(std::move(split_batch.policy));
  };
  out.config = [this](const config::Config& config) { configure(config); };
  if (bgp_) out.speaker = [this](const bgp::SpeakerConfig& config) { configure(config); };
  return out;
}

void Subsystems::configure(const config::Config& config) {
  log::set_level(log_level(config));
  dataplane::RouteConfig before = std::exchange(route_config_, route_config(config, parts_.bgp));
  route_config_.bgp_ignored_interfaces = std::move(before.bgp_ignored_interfaces);
  route_config_.workload_gateways = std::move(before.workload_gateways);
  if (parts_.dataplane) {
    policy_->configure(policy_config(config));
    routes_->configure(route_config_);
  }
  const Served s = served(config);
  servers_.configure(s.probes, s.metrics);
}

void Subsystems::configure(const bgp::SpeakerConfig& config) {
  bgp_->configure(config);
  dataplane::RouteConfig now = route_config_;
  now.bgp_ignored_interfaces = config.ignored_interfaces;
  now.workload_gateways = config.workload_gateways;
  if (now == route_config_) return;
  route_config_ = std::move(now);
  if (parts_.dataplane) routes_->configure(route_config_);
}

void Subsystems::offer(local_api::LocalApi& api) {
  if (parts_.dataplane) {
    api.add("policy", [this](local_api::Answer a) { policy_->show(std::move(a)); });
    api.add("foreign", [this](local_api::Answer a) { policy_->show_foreign(std::move(a)); });
    api.add("routes", [this](local_api::Answer a) { routes_->show(std::move(a)); });
  }
  if (!bgp_) return;
  api.add("bgp", [this](local_api::Answer a) { bgp_->show_peers(std::move(a)); });
  api.add("bgp-routes", [this](const local_api::Question& q, local_api::Answer a) {
    bgp_->show_routes(q, std::move(a));
  });
}

}  // namespace margay::agent
