// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/calc/view.h"

#include <algorithm>

#include "agent/calc/rules.h"

namespace margay::calc {
namespace {

bool mentions(const std::vector<model::ActiveRule>& rules, const model::SetId& id) {
  bool found = false;
  for (model::ActiveRule rule : rules) {
    for_each_set(rule, [&](const std::string& set) { found |= set == id; });
  }
  return found;
}

template <typename Map>
bool anyone_mentions(const Map& map, const model::SetId& id) {
  return std::any_of(map.begin(), map.end(), [&](const auto& entry) {
    return mentions(entry.second.inbound, id) || mentions(entry.second.outbound, id);
  });
}

bool names(const std::vector<model::EndpointTier>& tiers, const model::PolicyKey& key) {
  return std::any_of(tiers.begin(), tiers.end(), [&](const model::EndpointTier& t) {
    return std::find(t.ingress.begin(), t.ingress.end(), key) != t.ingress.end() ||
           std::find(t.egress.begin(), t.egress.end(), key) != t.egress.end();
  });
}

std::string text(const std::string& s) { return s; }
std::string text(const Prefix& p) { return p.to_string(); }
std::string text(const model::PolicyKey& k) { return k.to_string(); }
std::string text(const model::EndpointId& k) { return k.to_string(); }
std::string text(const std::pair<std::string, Family>& k) {
  return k.first + (k.second == Family::v4 ? " v4" : " v6");
}

std::string detail(const View::Set& s) {
  std::string out = std::to_string(s.members.size()) + (s.more ? "+ members:" : " members:");
  for (const auto& m : s.members) {
    out += " " + m.prefix.to_string() + "," + std::to_string(m.protocol) + ":" +
           std::to_string(m.port);
  }
  return out;
}
std::string detail(const model::RouteTarget& r) {
  return "kind " + std::to_string(static_cast<int>(r.kind)) + " encap " +
         std::to_string(static_cast<int>(r.encap)) + " in_pool " + std::to_string(r.in_pool) +
         " same_subnet " + std::to_string(r.same_subnet) + " nat " +
         std::to_string(r.nat_outgoing) + " borrowed " + std::to_string(r.borrowed) + " node " +
         r.node + " ip " + (r.node_ip ? r.node_ip->to_string() : "-");
}
std::string tier_text(const std::vector<model::EndpointTier>& tiers) {
  std::string out;
  for (const auto& t : tiers) {
    out += " " + t.name + (t.default_pass ? "(pass)" : "") + " in:";
    for (const auto& k : t.ingress) out += " " + k.to_string();
    out += " out:";
    for (const auto& k : t.egress) out += " " + k.to_string();
  }
  return out;
}
std::string detail(const model::LocalWorkload& w) { return w.interface_name + tier_text(w.tiers); }
std::string detail(const model::LocalHostEndpoint& w) {
  return w.interface_name + tier_text(w.tiers) + " | " + tier_text(w.untracked_tiers) + " | " +
         tier_text(w.pre_dnat_tiers) + " | " + tier_text(w.forward_tiers);
}
std::string detail(const std::vector<model::ActiveRule>& rules) {
  std::string out;
  for (model::ActiveRule rule : rules) {
    out += " [action " + std::to_string(static_cast<int>(rule.action)) + " never " +
           std::to_string(rule.never) + " family " +
           std::to_string(rule.family ? static_cast<int>(*rule.family) : 0) + " sets";
    for_each_set(rule, [&](const std::string& set) { out += " " + set; });
    out += "]";
  }
  return out;
}
std::string detail(const model::ActivePolicy& p) {
  return p.tier + " in" + detail(p.inbound) + " out" + detail(p.outbound);
}
std::string detail(const model::ActiveProfile& p) {
  return "in" + detail(p.inbound) + " out" + detail(p.outbound);
}
std::string detail(const model::DesiredPool& p) {
  return p.cidr.to_string() + " encap " + std::to_string(static_cast<int>(p.encap));
}
std::string detail(const model::Vtep& v) { return v.tunnel_ip.to_string() + v.mac.to_string(); }
std::string detail(const model::HostAddresses& h) {
  std::string out;
  for (const Ip& ip : h.addresses) out += ip.to_string() + " ";
  return out;
}

template <typename Map>
std::string compare(const std::string& table, const Map& have, const Map& want) {
  for (const auto& [key, value] : want) {
    const auto it = have.find(key);
    if (it == have.end()) return table + ": missing " + text(key) + ": " + detail(value);
    if (!(it->second == value)) {
      return table + ": " + text(key) + "\n  have " + detail(it->second) + "\n  want " +
             detail(value);
    }
  }
  for (const auto& [key, value] : have) {
    if (!want.contains(key)) return table + ": unwanted " + text(key) + ": " + detail(value);
  }
  return "";
}

}  // namespace

void View::check(bool ok, const std::string& what) {
  if (!ok) broken.push_back(what);
}

void View::apply(const model::Batch& batch) {
  for (const auto& change : batch.changes) {
    std::visit([this](const auto& c) { put(c); }, change);
  }
}

void View::put(const model::SetUpdate& c) {
  check(c.replace || sets.contains(c.id), "delta for unknown set " + c.id);
  Set& set = sets[c.id];
  check(c.replace || set.more || !c.more, "a set that was whole has more to come: " + c.id);
  set.kind = c.kind;
  set.more = c.more;
  if (c.replace) {
    check(c.removed.empty(), "a whole set that removes: " + c.id);
    set.members.clear();
  }
  for (const auto& m : c.added) {
    check(set.members.insert(m).second, "set " + c.id + ": added twice " + m.prefix.to_string());
  }
  for (const auto& m : c.removed) {
    check(set.members.erase(m) == 1, "set " + c.id + ": removed unknown " + m.prefix.to_string());
  }
}

void View::put(const model::SetRemove& c) {
  check(sets.erase(c.id) == 1, "removed unknown set " + c.id);
  check(!anyone_mentions(policies, c.id) && !anyone_mentions(profiles, c.id),
        "removed set in use " + c.id);
}

void View::check_rules(const std::vector<model::ActiveRule>& rules, const std::string& who) {
  for (model::ActiveRule rule : rules) {
    for_each_set(rule, [&](const std::string& set) {
      check(sets.contains(set), who + " names unknown set " + set);
    });
  }
}

void View::put(const model::ActivePolicy& c) {
  check_rules(c.inbound, c.key.to_string());
  check_rules(c.outbound, c.key.to_string());
  policies[c.key] = c;
}

void View::put(const model::PolicyRemove& c) {
  check(policies.erase(c.key) == 1, "removed unknown policy " + c.key.to_string());
  for (const auto& [id, w] : workloads) {
    check(!names(w.tiers, c.key), "removed policy in use " + c.key.to_string());
  }
  for (const auto& [id, h] : host_endpoints) {
    check(!names(h.tiers, c.key) && !names(h.untracked_tiers, c.key) &&
              !names(h.pre_dnat_tiers, c.key) && !names(h.forward_tiers, c.key),
          "removed policy in use " + c.key.to_string());
  }
}

void View::put(const model::ActiveProfile& c) {
  check_rules(c.inbound, c.name);
  check_rules(c.outbound, c.name);
  profiles[c.name] = c;
}

void View::put(const model::ProfileRemove& c) {
  check(profiles.erase(c.name) == 1, "removed unknown profile " + c.name);
  const auto uses = [&](const auto& entry) {
    const auto& list = entry.second.profiles;
    return std::find(list.begin(), list.end(), c.name) != list.end();
  };
  check(std::none_of(workloads.begin(), workloads.end(), uses) &&
            std::none_of(host_endpoints.begin(), host_endpoints.end(), uses),
        "removed profile in use " + c.name);
}

void View::check_tiers(const std::vector<model::EndpointTier>& tiers, const std::string& who) {
  for (const auto& t : tiers) {
    check(!t.ingress.empty() || !t.egress.empty(), who + ": empty tier " + t.name);
    for (const auto* list : {&t.ingress, &t.egress}) {
      for (const auto& key : *list) {
        check(policies.contains(key), who + " names unknown policy " + key.to_string());
      }
    }
  }
}

void View::put(const model::LocalWorkload& c) {
  check_tiers(c.tiers, c.id.to_string());
  for (const auto& p : c.profiles) check(profiles.contains(p), "unknown profile " + p);
  workloads[c.id] = c;
}
void View::put(const model::WorkloadRemove& c) {
  check(workloads.erase(c.id) == 1, "removed unknown workload " + c.id.to_string());
}
void View::put(const model::LocalHostEndpoint& c) {
  for (const auto* tiers : {&c.tiers, &c.untracked_tiers, &c.pre_dnat_tiers, &c.forward_tiers}) {
    check_tiers(*tiers, c.id.to_string());
  }
  for (const auto& p : c.profiles) check(profiles.contains(p), "unknown profile " + p);
  host_endpoints[c.id] = c;
}
void View::put(const model::HostEndpointRemove& c) {
  check(host_endpoints.erase(c.id) == 1, "removed unknown host endpoint " + c.id.to_string());
}
void View::put(const model::PoolRemove& c) {
  check(pools.erase(c.cidr) == 1, "removed unknown pool " + c.cidr.to_string());
}
void View::put(const model::RouteRemove& c) {
  check(routes.erase(c.dst) == 1, "removed unknown route " + c.dst.to_string());
}
void View::put(const model::VtepRemove& c) {
  check(vteps.erase({c.node, c.family}) == 1, "removed unknown VTEP " + c.node);
}
void View::put(const model::HostRemove& c) {
  check(hosts.erase(c.node) == 1, "removed unknown host " + c.node);
}

std::string View::difference(const View& want) const {
  for (const auto& d :
       {compare("sets", sets, want.sets), compare("policies", policies, want.policies),
        compare("profiles", profiles, want.profiles),
        compare("workloads", workloads, want.workloads),
        compare("host endpoints", host_endpoints, want.host_endpoints),
        compare("pools", pools, want.pools), compare("routes", routes, want.routes),
        compare("vteps", vteps, want.vteps), compare("hosts", hosts, want.hosts)}) {
    if (!d.empty()) return d;
  }
  if (local != want.local) return "local node differs";
  if (ranges != want.ranges) return "service ranges differ";
  if (encap != want.encap) return "encapsulations differ";
  return "";
}

}  // namespace margay::calc
