// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/endpoint_book.h"

#include <algorithm>
#include <array>

#include "dataplane/policy/static_table.h"

namespace margay::managers {

namespace {

using model::EndpointId;
using model::LocalHostEndpoint;
using model::LocalWorkload;
using nft::Element;
using nft::Packed;
using nft::Verdict;
using policy::Stage;
using policy::Way;

// A packet on its way while a transaction comes into force sees maps as they are now, but chains as
// they were when it set out: one that is new has no rules for it. A workload's packet comes back
// from it then, to be dropped as of an unknown interface. After a goto it would be let through,
// were it not for a transaction of its own that the table makes new chains in then.
Element to_program(std::string_view interface, const std::string& chain) {
  return Element::verdict_for(Packed::interface_name(interface),
                              Verdict{Verdict::Code::jump, chain});
}

Element to_chain(std::string_view interface, const std::string& chain) {
  return Element::verdict_for(Packed::interface_name(interface),
                              Verdict{Verdict::Code::goto_, chain});
}

Element to_verdict(std::string_view interface, Verdict::Code code) {
  return Element::verdict_for(Packed::interface_name(interface), Verdict{code, {}});
}

bool names_any(const std::vector<model::EndpointTier>& tiers,
               const std::set<model::PolicyKey>& keys) {
  const auto any = [&](const std::vector<model::PolicyKey>& list) {
    return std::ranges::any_of(list, [&](const auto& k) { return keys.contains(k); });
  };
  return std::ranges::any_of(
      tiers, [&](const model::EndpointTier& t) { return any(t.ingress) || any(t.egress); });
}

}  // namespace

EndpointBook::EndpointBook(nft::Table& table, UnitStore& units, ProgramBook& programs,
                           const policy::SetShapes& shapes, const policy::PolicyConfig& config)
    : table_(table), units_(units), programs_(programs), shapes_(shapes), config_(config) {}

void EndpointBook::set_workload(LocalWorkload workload) {
  remove_workload(workload.id);
  by_interface_[workload.interface_name].insert(workload.id);
  due_.insert(workload.interface_name);
  base_due_ = base_due_ || !workload.spoofable.empty();
  for (const Prefix& a : workload.addresses) ++addresses_[a.family() == Family::v6];
  const EndpointId id = workload.id;
  workloads_.insert_or_assign(id, std::move(workload));
}

void EndpointBook::remove_workload(const EndpointId& id) {
  const auto it = workloads_.find(id);
  if (it == workloads_.end()) return;
  const std::string& interface = it->second.interface_name;
  const auto users = by_interface_.find(interface);
  users->second.erase(id);
  due_.insert(interface);
  base_due_ = base_due_ || !it->second.spoofable.empty();
  if (users->second.empty()) by_interface_.erase(users);
  for (const Prefix& a : it->second.addresses) --addresses_[a.family() == Family::v6];
  workloads_.erase(it);
}

void EndpointBook::set_host_endpoint(LocalHostEndpoint endpoint) {
  const EndpointId id = endpoint.id;
  host_endpoints_.insert_or_assign(id, std::move(endpoint));
  host_due_ = true;
}

void EndpointBook::remove_host_endpoint(const EndpointId& id) {
  host_due_ = host_endpoints_.erase(id) > 0 || host_due_;
}

void EndpointBook::set_interfaces(InterfaceAddresses interfaces) {
  if (interfaces == interfaces_) return;
  interfaces_ = std::move(interfaces);
  host_due_ = true;
}

void EndpointBook::set_encap(bool vxlan, bool ipip) {
  base_due_ = base_due_ || base_.vxlan != vxlan || base_.ipip != ipip;
  base_.vxlan = vxlan;
  base_.ipip = ipip;
}

void EndpointBook::config_changed() { host_due_ = base_due_ = true; }
void EndpointBook::shapes_changed() { base_due_ = base_due_ || base_.host.any(); }

void EndpointBook::passing_changed(const std::set<model::PolicyKey>& keys) {
  if (keys.empty()) return;
  for (const auto& [id, w] : workloads_) {
    if (names_any(w.tiers, keys)) due_.insert(w.interface_name);
  }
  host_due_ = host_due_ || !host_endpoints_.empty();
}

void EndpointBook::refresh() {
  // The maps first: they must be wanted before they have elements.
  if (host_due_) {
    refresh_host();
    base_due_ = true;
  }
  if (base_due_) write_base();
  host_due_ = base_due_ = false;
  for (const std::string& name : std::exchange(due_, {})) refresh_interface(name);
}

EndpointBook::Programmed EndpointBook::program(const LocalWorkload& w) {
  Programmed out;
  if (!w.active) return out;
  const auto acquire = [&](Way way) {
    return programs_.acquire(
        policy::program_spec(w.tiers, w.profiles, way, Stage::filter, programs_.source()));
  };
  out.from = acquire(Way::egress);
  out.to = acquire(Way::ingress);
  for (const Prefix& p : w.addresses) {
    Packed key = Packed::interface_name(w.interface_name);
    key.then(Packed::ip(p.addr()));
    (p.family() == Family::v4 ? out.sources4 : out.sources6).push_back(key);
  }
  return out;
}

void EndpointBook::refresh_interface(const std::string& name) {
  using policy::kFromWorkload, policy::kToWorkload;
  const auto users = by_interface_.find(name);
  const LocalWorkload* winner =
      users == by_interface_.end() ? nullptr : &workloads_.at(*users->second.begin());
  const auto known = programmed_.find(name);
  const Programmed old = known == programmed_.end() ? Programmed{} : known->second;
  Programmed fresh = winner == nullptr ? Programmed{} : program(*winner);
  const Element active = Element::of(Packed::interface_name(name));
  if (fresh.from.empty()) {
    table_.remove_element(policy::kWorkloads, active);
  } else {
    table_.add_element(policy::kWorkloads, active);
  }
  if (winner == nullptr) {
    if (known != programmed_.end()) {
      table_.remove_element(kFromWorkload, to_verdict(name, Verdict::Code::drop));
      table_.remove_element(kToWorkload, to_verdict(name, Verdict::Code::drop));
    }
  } else if (fresh.from.empty()) {
    table_.add_element(kFromWorkload, to_verdict(name, Verdict::Code::drop));
    table_.add_element(kToWorkload, to_verdict(name, Verdict::Code::drop));
  } else {
    table_.add_element(kFromWorkload, to_program(name, fresh.from));
    table_.add_element(kToWorkload, to_program(name, fresh.to));
  }
  write_sources(name, old, fresh);
  // Released last, so that what stays in use is not torn down and built again.
  if (!old.from.empty()) programs_.release(old.from);
  if (!old.to.empty()) programs_.release(old.to);
  if (winner == nullptr) {
    programmed_.erase(name);
  } else {
    programmed_.insert_or_assign(name, std::move(fresh));
  }
}

void EndpointBook::write_sources(const std::string&, const Programmed& old,
                                 const Programmed& fresh) {
  const auto write = [&](Family f, const std::vector<Packed>& before,
                         const std::vector<Packed>& after) {
    const std::string set = policy::workload_source_set(f);
    for (const Packed& k : before) {
      if (std::ranges::find(after, k) == after.end()) table_.remove_element(set, Element::of(k));
    }
    for (const Packed& k : after) table_.add_element(set, Element::of(k));
  };
  write(Family::v4, old.sources4, fresh.sources4);
  write(Family::v6, old.sources6, fresh.sources6);
}

// --- host endpoints --------------------------------------------------------------------------

bool EndpointBook::is_workload_interface(std::string_view name) const {
  return std::ranges::any_of(config_.interface_prefixes,
                             [&](const std::string& p) { return name.starts_with(p); });
}

// Of those that match by name, or by address when they have no name, the one with the least id.
std::map<std::string, const LocalHostEndpoint*> EndpointBook::host_endpoints_by_interface() const {
  std::map<std::string, const LocalHostEndpoint*> out;
  for (const auto& [id, h] : host_endpoints_) {
    if (!h.interface_name.empty()) {
      if (!is_workload_interface(h.interface_name)) out.try_emplace(h.interface_name, &h);
      continue;
    }
    for (const auto& [interface, addresses] : interfaces_) {
      const bool has = std::ranges::any_of(addresses, [&](const Ip& a) {
        return std::ranges::find(h.expected_ips, a) != h.expected_ips.end();
      });
      if (has && !is_workload_interface(interface)) out.try_emplace(interface, &h);
    }
  }
  return out;
}

std::optional<std::string> EndpointBook::host_program(const std::vector<model::EndpointTier>& tiers,
                                                      const std::vector<std::string>& profiles,
                                                      Way way, Stage stage, bool normal) {
  policy::ProgramSpec spec = policy::program_spec(tiers, profiles, way, stage, programs_.source());
  if (!normal && spec.tiers.empty()) return std::nullopt;  // nothing to say: the packet goes on
  spec.end = normal ? policy::ProgramEnd::deny : policy::ProgramEnd::fall_through;
  if (!normal) spec.profiles.clear();
  spec.drop_invalid = stage != Stage::untracked;
  host_uses_.push_back(programs_.acquire(spec));
  return host_uses_.back();
}

EndpointBook::HostPrograms EndpointBook::host_programs(const LocalHostEndpoint& h) {
  HostPrograms out;
  out.input = host_program(h.tiers, h.profiles, Way::ingress, Stage::filter, true);
  out.output = host_program(h.tiers, h.profiles, Way::egress, Stage::filter, true);
  out.output_after_nat = host_program(h.tiers, h.profiles, Way::egress, Stage::post_nat, true);
  out.forward_in = host_program(h.forward_tiers, {}, Way::ingress, Stage::filter, false);
  out.forward_out = host_program(h.forward_tiers, {}, Way::egress, Stage::filter, false);
  out.before_nat = host_program(h.pre_dnat_tiers, {}, Way::ingress, Stage::pre_nat, false);
  out.untracked_in = host_program(h.untracked_tiers, {}, Way::ingress, Stage::untracked, false);
  out.untracked_out = host_program(h.untracked_tiers, {}, Way::egress, Stage::untracked, false);
  return out;
}

void EndpointBook::refresh_host() {
  const std::vector<std::string> old = std::exchange(host_uses_, {});
  std::map<std::string, HostPrograms> programs;
  for (const auto& [interface, h] : host_endpoints_by_interface()) {
    programs.emplace(interface, host_programs(*h));
  }

  policy::HostHooks hooks;
  const auto write = [&](policy::HostHook& hook, std::optional<std::string> HostPrograms::*which) {
    const auto has = [&](const auto& entry) { return (entry.second.*which).has_value(); };
    if (std::ranges::none_of(programs, has)) {
      table_.forget_set(hook.map);
      return;
    }
    const nft::SetType type{{nft::Datatype::ifname}, false, nft::Datatype::verdict};
    nft::ElementTable elements(type);
    for (const auto& [interface, p] : programs) {
      const auto& chain = p.*which;
      if (interface == "*") {
        hook.others = chain;
        continue;
      }
      hook.named = true;
      // Without policy of this class here, the packet must not fall to those of "*".
      elements.append(chain ? to_chain(interface, *chain)
                            : to_verdict(interface, Verdict::Code::accept));
    }
    if (!hook.named) return table_.forget_set(hook.map);
    const auto r = table_.want_set({hook.map, type});
    MARGAY_ASSERT(r.ok());
    table_.replace_elements(hook.map, std::move(elements));
  };
  write(hooks.input, &HostPrograms::input);
  write(hooks.output, &HostPrograms::output);
  write(hooks.output_after_nat, &HostPrograms::output_after_nat);
  write(hooks.forward_in, &HostPrograms::forward_in);
  write(hooks.forward_out, &HostPrograms::forward_out);
  write(hooks.before_nat, &HostPrograms::before_nat);
  write(hooks.untracked_in, &HostPrograms::untracked_in);
  write(hooks.untracked_out, &HostPrograms::untracked_out);
  base_.host = std::move(hooks);
  for (const std::string& entry : old) programs_.release(entry);
}

void EndpointBook::write_base() {
  if (base_.cut_flows && !config_.cut_flows) {
    for (const Family f : kFamilies) table_.forget_set(policy::cut_flow_set(f));
  }
  base_.cut_flows = config_.cut_flows;
  base_.spoofable.clear();
  for (const auto& [interface, ids] : by_interface_) {
    const LocalWorkload& w = workloads_.at(*ids.begin());
    if (!w.active) continue;
    for (const Prefix& p : w.spoofable) base_.spoofable.emplace_back(interface, p);
  }
  for (const nft::SetDef& def : policy::base_sets(base_)) {
    const auto r = table_.want_set(def);
    MARGAY_ASSERT(r.ok());
  }
  policy::ConstantSets sets;
  const auto chains = policy::base_chains(base_, shapes_, config_, sets);
  units_.put("base", chains, sets);
}

}  // namespace margay::managers
