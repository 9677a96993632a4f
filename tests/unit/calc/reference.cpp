// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/calc/reference.h"

#include <algorithm>
#include <limits>
#include <set>

#include "model/selector_merge.h"
#include "tests/unit/calc/reference_routes.h"

namespace margay::calc {
namespace {

using model::ActiveRule;
using model::Key;
using model::Kind;
using model::Labels;
using model::Selector;

struct Profile {
  Labels labels;
  std::vector<model::Rule> ingress, egress;
};

struct Endpoint {
  Key key;
  std::map<std::string, std::string> labels;  // inherited ones included
  std::vector<Prefix> nets;
  std::vector<model::EndpointPort> ports;
  std::string node;
  const model::WorkloadEndpoint* wep = nullptr;
  const model::HostEndpoint* hep = nullptr;
};

struct Policy {
  model::PolicyKey key;
  model::PolicySpec spec;
  bool ingress = false, egress = false;
  Selector selector;
};

class Reference {
 public:
  Reference(const Options& options, const Resources& resources)
      : options_(options), resources_(resources) {}

  View calculate() {
    read_profiles();
    read_endpoints();
    read_policies();
    active_tables();
    local_endpoints();
    reference_routes(options_, resources_, view_);
    return std::move(view_);
  }

 private:
  // --- inputs ---------------------------------------------------------------------------------
  void read_profiles() {
    model::Rule allow;
    profiles_["projectcalico-default-allow"] = {{}, {allow}, {allow}};
    for (const auto& [key, ns] : all_of<model::KubernetesNamespace>(resources_)) {
      Profile p{{}, {allow}, {allow}};
      for (const auto& [k, v] : ns.metadata.labels) p.labels.emplace_back("pcns." + k, v);
      p.labels.emplace_back("pcns.projectcalico.org/name", key.name);
      profiles_["kns." + key.name] = p;
    }
    for (const auto& [key, sa] : all_of<model::ServiceAccount>(resources_)) {
      Profile p;
      for (const auto& [k, v] : sa.metadata.labels) p.labels.emplace_back("pcsa." + k, v);
      p.labels.emplace_back("pcsa.projectcalico.org/name", key.name);
      profiles_["ksa." + key.ns + "." + key.name] = p;
    }
    for (const auto& [key, p] : all_of<model::Profile>(resources_)) {
      profiles_[key.name] = {p.spec.labels_to_apply, p.spec.ingress, p.spec.egress};
    }
  }

  void inherit(Endpoint& e, const std::vector<std::string>& profiles) {
    for (const auto& name : profiles) {
      for (const auto& [k, v] : profiles_[name].labels) e.labels.try_emplace(k, v);
    }
  }

  void read_endpoints() {
    for (const auto& [key, value] : resources_) {
      Endpoint e;
      e.key = key;
      if (const auto* w = std::get_if<model::WorkloadEndpoint>(&value)) {
        if (!in_use(*w, options_)) continue;
        e.labels.insert(w->metadata.labels.begin(), w->metadata.labels.end());
        e.labels["projectcalico.org/namespace"] = key.ns;
        if (!w->spec.orchestrator.empty()) {
          e.labels["projectcalico.org/orchestrator"] = w->spec.orchestrator;
        }
        if (!w->spec.service_account_name.empty()) {
          e.labels["projectcalico.org/serviceaccount"] = w->spec.service_account_name;
        }
        inherit(e, w->spec.profiles);
        e.nets = w->spec.ip_networks;
        e.ports = w->spec.ports;
        e.node = w->spec.node;
        e.wep = w;
      } else if (const auto* h = std::get_if<model::HostEndpoint>(&value)) {
        e.labels.insert(h->metadata.labels.begin(), h->metadata.labels.end());
        inherit(e, h->spec.profiles);
        for (const Ip& ip : h->spec.expected_ips) e.nets.push_back(Prefix::host(ip));
        e.ports = h->spec.ports;
        e.node = h->spec.node;
        e.hep = h;
      } else if (const auto* s = std::get_if<model::NetworkSet>(&value)) {
        e.labels.insert(s->metadata.labels.begin(), s->metadata.labels.end());
        e.labels["projectcalico.org/namespace"] = key.ns;
        inherit(e, {"kns." + key.ns});
        e.nets = s->spec.nets;
      } else if (const auto* g = std::get_if<model::GlobalNetworkSet>(&value)) {
        e.labels.insert(g->metadata.labels.begin(), g->metadata.labels.end());
        e.nets = g->spec.nets;
      } else {
        continue;
      }
      endpoints_.push_back(std::move(e));
    }
  }

  static bool matches(const Selector& selector, const Endpoint& e) {
    return selector.matches_with([&](std::string_view label) -> const std::string* {
      const auto it = e.labels.find(std::string(label));
      return it == e.labels.end() ? nullptr : &it->second;
    });
  }

  bool rules_parse(const std::vector<model::Rule>& rules, const std::string& ns) {
    return std::all_of(rules.begin(), rules.end(), [&](const model::Rule& r) {
      return model::entity_selectors(r.source, ns).ok() &&
             model::entity_selectors(r.destination, ns).ok();
    });
  }

  void read_policy(const Key& key, const model::PolicySpec& spec, model::PolicyKind kind) {
    Policy p;
    p.key = {kind, key.ns, key.name};
    p.spec = spec;
    const auto selector = model::policy_selector(spec, key.ns);
    if (!selector.ok()) return;
    p.selector = *selector;
    const auto has = [&](model::PolicyType t) {
      return std::find(spec.types.begin(), spec.types.end(), t) != spec.types.end();
    };
    if (spec.types.empty()) {
      p.egress = !spec.egress.empty();
      p.ingress = !(spec.ingress.empty() && p.egress);
    } else {
      p.ingress = has(model::PolicyType::ingress);
      p.egress = has(model::PolicyType::egress);
    }
    if (spec.pre_dnat) p.egress = false;
    if (!rules_parse(spec.ingress, key.ns) || !rules_parse(spec.egress, key.ns)) {
      model::Rule deny;
      deny.action = model::Action::deny;
      p.spec.ingress = p.spec.egress = {deny};
    }
    policies_.push_back(std::move(p));
  }

  void read_policies() {
    for (const auto& [key, p] : all_of<model::NetworkPolicy>(resources_)) {
      read_policy(key, p.spec, model::PolicyKind::network_policy);
    }
    for (const auto& [key, p] : all_of<model::GlobalNetworkPolicy>(resources_)) {
      read_policy(key, p.spec, model::PolicyKind::global_network_policy);
    }
  }

  // --- sets -----------------------------------------------------------------------------------
  std::string selector_set(const Selector& selector) {
    View::Set& set = view_.sets[selector.id()];
    set.kind = model::SetKind::nets;
    for (const auto& e : endpoints_) {
      if (!matches(selector, e)) continue;
      for (const Prefix& net : e.nets) set.members.insert({net, 0, 0});
    }
    return selector.id();
  }

  std::string port_set(const Selector& selector, std::uint8_t protocol, const std::string& name) {
    const std::string id = model::named_port_id(selector.id(), protocol, name);
    View::Set& set = view_.sets[id];
    set.kind = model::SetKind::ip_port;
    for (const auto& e : endpoints_) {
      if (!matches(selector, e)) continue;
      for (const auto& port : e.ports) {
        if (port.name != name || (protocol != 0 && protocol != port.protocol.number)) continue;
        for (const Prefix& net : e.nets) {
          if (net.is_host()) set.members.insert({net, port.protocol.number, port.port});
        }
      }
    }
    return id;
  }

  std::string service_set(const model::ServiceMatch& match, const std::string& ns, bool ports) {
    const std::string service_ns = match.ns.empty() ? ns : match.ns;
    const std::string id = model::service_id(service_ns, match.name, ports);
    View::Set& set = view_.sets[id];
    set.kind = ports ? model::SetKind::ip_port : model::SetKind::nets;
    for (const auto& [key, slice] : all_of<model::EndpointSlice>(resources_)) {
      const auto* name = model::find_label(slice.metadata.labels, "kubernetes.io/service-name");
      if (key.ns != service_ns || name == nullptr || *name != match.name) continue;
      for (const auto& e : slice.endpoints) {
        for (const auto& text : e.addresses) {
          const auto ip = Ip::parse(text);
          if (!ip.ok()) continue;
          if (!ports) set.members.insert({Prefix::host(*ip), 0, 0});
          for (const auto& port : slice.ports) {
            if (!ports || !port.port) continue;
            set.members.insert({Prefix::host(*ip), port.protocol.number, *port.port});
          }
        }
      }
    }
    return id;
  }

  // --- rules ----------------------------------------------------------------------------------
  ActiveRule::Side side(const model::EntityRule& r, const std::string& ns, std::uint8_t protocol) {
    ActiveRule::Side out;
    out.nets = r.nets;
    out.not_nets = r.not_nets;
    const auto selectors = model::entity_selectors(r, ns);
    const Selector scope = selectors->positive ? *selectors->positive : Selector();
    for (const auto& port : r.ports) {
      if (const auto* name = std::get_if<std::string>(&port)) {
        out.port_sets.push_back(port_set(scope, protocol, *name));
      } else {
        out.ports.push_back(std::get<model::PortRange>(port));
      }
    }
    for (const auto& port : r.not_ports) {
      if (const auto* name = std::get_if<std::string>(&port)) {
        out.not_port_sets.push_back(port_set(scope, protocol, *name));
      } else {
        out.not_ports.push_back(std::get<model::PortRange>(port));
      }
    }
    const bool only_named = !out.port_sets.empty() && out.ports.empty();
    if (selectors->positive && !only_named) out.sets.push_back(selector_set(scope));
    if (selectors->negative) out.not_sets.push_back(selector_set(*selectors->negative));
    return out;
  }

  ActiveRule rule(const model::Rule& r, const std::string& ns, bool ingress) {
    ActiveRule out;
    out.action = r.action;
    out.protocol = r.protocol;
    out.not_protocol = r.not_protocol;
    out.icmp = r.icmp;
    out.not_icmp = r.not_icmp;
    const std::uint8_t protocol = r.protocol ? r.protocol->number : std::uint8_t{0};
    out.source = side(r.source, ns, protocol);
    out.destination = side(r.destination, ns, protocol);
    if (r.source.services) {
      out.source.sets.push_back(service_set(*r.source.services, ns, false));
      if (!ingress) out.never = true;
    }
    if (r.destination.services) {
      out.destination_service_sets.push_back(service_set(*r.destination.services, ns, true));
      if (ingress) out.never = true;
    }
    if (r.http) out.never = true;
    std::set<Family> limits;
    if (r.ip_version) limits.insert(*r.ip_version == 4 ? Family::v4 : Family::v6);
    for (const auto* nets :
         {&r.source.nets, &r.source.not_nets, &r.destination.nets, &r.destination.not_nets}) {
      std::set<Family> families;
      for (const Prefix& net : *nets) families.insert(net.family());
      if (families.size() == 1) limits.insert(*families.begin());
    }
    if (limits.size() == 1) out.family = *limits.begin();
    if (limits.size() > 1) out.never = true;
    if (r.metadata) {
      for (const auto& [key, value] : r.metadata->annotations) {
        if (!out.annotations.empty()) out.annotations += ", ";
        out.annotations += key + "=" + value;
      }
    }
    return out;
  }

  std::vector<ActiveRule> rules(const std::vector<model::Rule>& list, const std::string& ns,
                                bool ingress) {
    std::vector<ActiveRule> out;
    for (const auto& r : list) out.push_back(rule(r, ns, ingress));
    return out;
  }

  bool is_local(const Endpoint& e) const {
    return (e.wep != nullptr || e.hep != nullptr) && e.node == options_.node;
  }

  bool applies(const Policy& p, const Endpoint& e) const {
    if (e.wep != nullptr && (p.spec.do_not_track || p.spec.pre_dnat)) return false;
    return matches(p.selector, e);
  }

  void active_tables() {
    for (const auto& p : policies_) {
      bool active = std::find(p.spec.performance_hints.begin(), p.spec.performance_hints.end(),
                              "AssumeNeededOnEveryNode") != p.spec.performance_hints.end();
      for (const auto& e : endpoints_) active |= is_local(e) && applies(p, e);
      if (!active) continue;
      model::ActivePolicy out{p.key, p.spec.tier, {}, {}};
      if (p.ingress) out.inbound = rules(p.spec.ingress, p.key.ns, true);
      if (p.egress) out.outbound = rules(p.spec.egress, p.key.ns, false);
      view_.policies[p.key] = out;
    }
    for (const auto& e : endpoints_) {
      if (!is_local(e)) continue;
      for (const auto& name : e.wep ? e.wep->spec.profiles : e.hep->spec.profiles) {
        model::ActiveProfile out{name, {}, {}};
        if (known_profile(name)) {
          out.inbound = rules(profiles_[name].ingress, "", true);
          out.outbound = rules(profiles_[name].egress, "", false);
        } else {
          ActiveRule deny;
          deny.action = model::Action::deny;
          out.inbound = out.outbound = {deny};
        }
        view_.profiles[name] = out;
      }
    }
  }

  bool known_profile(const std::string& name) const {
    if (name == "projectcalico-default-allow") return true;
    if (resources_.contains({Kind::profile, "", name})) return true;
    for (const auto& [key, value] : resources_) {
      if (key.kind == Kind::kubernetes_namespace && name == "kns." + key.name) return true;
      if (key.kind == Kind::service_account && name == "ksa." + key.ns + "." + key.name)
        return true;
    }
    return false;
  }

  // --- local endpoints ------------------------------------------------------------------------
  struct TierInfo {
    bool missing = false;
    double order = std::numeric_limits<double>::infinity();
    bool pass = false;
  };
  TierInfo tier_info(const std::string& name) const {
    const auto it = resources_.find({Kind::tier, "", name});
    if (it != resources_.end()) {
      const auto& spec = std::get<model::Tier>(it->second).spec;
      return {false, spec.order.value_or(std::numeric_limits<double>::infinity()),
              spec.default_pass};
    }
    if (name == "kube-admin") return {false, 1000, true};
    if (name == "default") return {false, 1'000'000, false};
    if (name == "kube-baseline") return {false, 10'000'000, true};
    return {true, std::numeric_limits<double>::infinity(), false};
  }

  std::vector<model::EndpointTier> tiers(const std::vector<Policy>& list, bool early) const {
    using SortKey = std::tuple<bool, double, std::string, double, std::string>;
    std::map<SortKey, Policy> sorted;
    for (const auto& p : list) {
      const TierInfo t = tier_info(p.spec.tier);
      const std::string kind =
          p.key.kind == model::PolicyKind::network_policy ? "NetworkPolicy" : "GlobalNetworkPolicy";
      sorted[{t.missing, t.order, p.spec.tier,
              p.spec.order.value_or(std::numeric_limits<double>::infinity()),
              p.key.name + "/" + p.key.ns + "/" + kind}] = p;
    }
    std::vector<model::EndpointTier> out;
    for (const auto& [key, p] : sorted) {
      if (!p.ingress && !p.egress) continue;
      if (out.empty() || out.back().name != p.spec.tier) {
        out.push_back({p.spec.tier, early || tier_info(p.spec.tier).pass, {}, {}});
      }
      if (p.ingress) out.back().ingress.push_back(p.key);
      if (p.egress) out.back().egress.push_back(p.key);
    }
    return out;
  }

  void local_workload(const Endpoint& e, const std::vector<Policy>& normal) {
    const auto& spec = e.wep->spec;
    model::LocalWorkload out;
    out.id = {spec.orchestrator,
              spec.orchestrator == "k8s" ? e.key.ns + "/" + spec.pod : spec.workload,
              spec.endpoint};
    out.interface_name = spec.interface_name;
    out.mac = spec.mac;
    for (const Prefix& net : spec.ip_networks) {
      if (net.is_host()) out.addresses.push_back(net);
    }
    out.spoofable = spec.allow_spoofed_source_prefixes;
    if (options_.floating_ips || spec.orchestrator == "openstack") out.nats = spec.ip_nats;
    out.profiles = spec.profiles;
    out.tiers = tiers(normal, false);
    view_.workloads.try_emplace(out.id, out);  // keys come sorted: the first one wins
  }

  void local_endpoints() {
    for (const auto& e : endpoints_) {
      if (!is_local(e)) continue;
      std::vector<Policy> normal, untracked, pre_dnat, forward;
      for (const auto& p : policies_) {
        if (!applies(p, e)) continue;
        if (p.spec.do_not_track) {
          untracked.push_back(p);
        } else if (p.spec.pre_dnat) {
          pre_dnat.push_back(p);
        } else {
          normal.push_back(p);
          if (p.spec.apply_on_forward) forward.push_back(p);
        }
      }
      if (e.wep != nullptr) {
        local_workload(e, normal);
        continue;
      }
      model::LocalHostEndpoint out;
      out.id.endpoint = e.key.name;
      out.interface_name = e.hep->spec.interface_name;
      out.expected_ips = e.hep->spec.expected_ips;
      out.profiles = e.hep->spec.profiles;
      out.tiers = tiers(normal, false);
      out.untracked_tiers = tiers(untracked, true);
      out.pre_dnat_tiers = tiers(pre_dnat, true);
      out.forward_tiers = tiers(forward, false);
      view_.host_endpoints[out.id] = out;
    }
  }

  const Options& options_;
  const Resources& resources_;
  std::map<std::string, Profile> profiles_;
  std::vector<Endpoint> endpoints_;
  std::vector<Policy> policies_;
  View view_;
};

}  // namespace

View reference(const Options& options, const Resources& resources) {
  return Reference(options, resources).calculate();
}

}  // namespace margay::calc
