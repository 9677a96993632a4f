// SPDX-License-Identifier: Apache-2.0
// What this node announces, what it lets pass, and what it programs (spec bgp.md 6 and 7.2).
#include <algorithm>
#include <tuple>

#include "bgp/intent/inputs.h"

namespace margay::bgp {
namespace {

bool owned(const model::BlockAffinity& a) {
  return !a.deleted && (a.state.empty() || a.state == "confirmed");
}

class RouteMaker {
 public:
  RouteMaker(const Inputs& in, SpeakerConfig& out, Problems& problems)
      : in_(in), out_(out), problems_(problems) {}

  void run() {
    auto& policy = out_.export_policy;
    policy.normal_priority_v4 = in_.normal_priority(Family::v4);
    policy.normal_priority_v6 = in_.normal_priority(Family::v6);
    priorities();
    pools();
    blocks();
    addresses();
    services();
    communities();
    auto& routes = out_.originated;
    std::sort(routes.begin(), routes.end(),
              [](const auto& a, const auto& b) { return a.prefix < b.prefix; });
    routes.erase(std::unique(routes.begin(), routes.end()), routes.end());
  }

 private:
  void originate(const Prefix& p) {
    out_.originated.push_back({p, in_.normal_priority(p.family())});
  }

  // The dataplane's metric of a route and the LOCAL_PREF that stands for it are one number.
  void priorities() {
    if (in_.options.reflector_only) return;
    const auto& o = in_.options;
    for (const auto& [family, name, felix] :
         {std::tuple{Family::v4, "ipv4", o.felix_priority_v4},
          std::tuple{Family::v6, "ipv6", o.felix_priority_v6}}) {
      const std::uint32_t ours = in_.normal_priority(family);
      if (ours == felix) continue;
      problems_.add("BGPConfiguration(default)",
                    std::string("spec.") + name + "NormalRoutePriority: " + std::to_string(ours) +
                        ", but FelixConfiguration's is " + std::to_string(felix) +
                        ": set both to the same, or routes of moving workloads are mistaken");
    }
  }

  void pools() {
    const std::string& mode = in_.global().program_cluster_routes;
    const bool all = mode == "Enabled";
    const bool ipip = all || mode == "EnabledIPIPOnly";
    const bool plain = all || (mode != "Disabled" && mode != "EnabledIPIPOnly");
    auto& policy = out_.export_policy;
    policy.ipip_is_ours = ipip;
    for (const auto& [name, pool] : in_.pools) {
      const auto& s = pool.spec;
      (s.disable_bgp_export ? policy.disabled_pools : policy.pools).push_back(s.cidr);
      const bool vxlan = s.vxlan_mode != model::EncapMode::never;  // belongs to the dataplane
      const bool is_ipip = s.ipip_mode != model::EncapMode::never;
      out_.kernel_policy.pools.push_back({s.cidr, !vxlan && (is_ipip ? ipip : plain)});
    }
    if (in_.options.reflector_only) {
      for (const Family f : kFamilies) policy.pools.push_back(Prefix::containing(Ip::any(f), 0));
      return;
    }
    const std::string& felix = in_.options.felix_program_cluster_routes;
    const bool felix_all = felix == "Enabled";
    one_owner("pools without encapsulation", felix_all || felix == "EnabledNoEncapOnly", plain);
    one_owner("IPIP pools", felix_all || felix.empty() || felix == "EnabledIPIPOnly", ipip);
  }

  void one_owner(const char* what, bool felix, bool bgp) {
    if (felix != bgp) return;
    problems_.add("BGPConfiguration(default)",
                  std::string("spec.programClusterRoutes: together with FelixConfiguration's, "
                              "routes of ") +
                      what + " are programmed " + (bgp ? "twice" : "by nobody"));
  }

  void blocks() {
    for (const auto& [cidr, affinity] : in_.affinities) {
      if (!owned(affinity)) continue;
      out_.export_policy.own_blocks.push_back(cidr);
      // A block of one address goes out as the workload's route, when there is one.
      if (!cidr.is_host()) originate(cidr);
    }
  }

  [[nodiscard]] bool in_own_block(const Prefix& p) const {
    return std::any_of(in_.affinities.begin(), in_.affinities.end(), [&](const auto& a) {
      return owned(a.second) && !a.first.is_host() && a.first.contains(p);
    });
  }

  void address(const std::optional<Ip>& ip) {
    if (ip && !in_own_block(Prefix::host(*ip))) originate(Prefix::host(*ip));
  }

  // Borrowed addresses, and tunnel addresses outside our blocks: host routes of their own.
  void addresses() {
    for (const auto& [key, workload] : in_.local_workloads) {
      for (const auto& network : workload.spec.ip_networks) address(network.addr());
    }
    const auto& spec = in_.local()->spec;
    address(spec.ipv4_vxlan_tunnel_addr);
    address(spec.ipv6_vxlan_tunnel_addr);
    if (spec.bgp) address(spec.bgp->ipv4_ipip_tunnel_addr);
  }

  void services() {  // 6.3
    const ServiceRanges ranges = in_.service_ranges();
    auto& kernel = out_.kernel_policy.service_ranges;
    for (const auto* list : {&ranges.cluster, &ranges.external, &ranges.load_balancer}) {
      kernel.insert(kernel.end(), list->begin(), list->end());
    }
    if (!cluster_id_of(*in_.local()).empty()) {
      auto& reflected = out_.export_policy.reflected_ranges;
      for (const auto* list : {&ranges.external, &ranges.load_balancer}) {
        reflected.insert(reflected.end(), list->begin(), list->end());
      }
    }
    const auto* excluded = model::find_label(
        in_.local()->metadata.labels, "node.kubernetes.io/exclude-from-external-load-balancers");
    if (excluded != nullptr && *excluded == "true") return;
    for (const auto& p : ranges.cluster) service_route(p);
    // A range of one address is announced with the Service that has it.
    for (const auto& p : ranges.external) {
      if (!p.is_host()) service_route(p);
    }
    for (const auto& p : ranges.load_balancer) {
      if (!p.is_host() && ranges.aggregate_load_balancer) service_route(p);
    }
    for (const auto& p : in_.services.addresses(ranges)) service_route(p);
  }

  void service_route(const Prefix& p) {
    originate(p);
    out_.export_policy.service_routes.push_back(p);
  }

  void communities() {  // 6.4; a node's own list takes the place of the cluster's
    const auto* own = in_.of_node(in_.options.node);
    const bool use_own = own != nullptr && !own->prefix_advertisements.empty();
    const auto& spec = use_own ? *own : in_.global();
    const std::string object =
        use_own ? "BGPConfiguration(node." + in_.options.node + ")" : "BGPConfiguration(default)";
    for (const auto& entry : spec.prefix_advertisements) {
      PrefixCommunities out{entry.cidr, {}};
      for (const auto& text : entry.communities) {
        const auto named = std::find_if(spec.communities.begin(), spec.communities.end(),
                                        [&](const auto& c) { return c.name == text; });
        auto c = parse_community(named == spec.communities.end() ? text : named->value);
        if (c) {
          out.communities.push_back(*c);
        } else {
          problems_.add(object, "spec.prefixAdvertisements: " + c.error().message());
        }
      }
      out_.export_policy.communities.push_back(std::move(out));
    }
  }

  const Inputs& in_;
  SpeakerConfig& out_;
  Problems& problems_;
};

}  // namespace

void make_routes(const Inputs& in, SpeakerConfig& out, Problems& problems) {
  RouteMaker(in, out, problems).run();
}

}  // namespace margay::bgp
