// SPDX-License-Identifier: Apache-2.0
// Semantic checks of Calico's policy kinds (spec policy-model.md 2 to 4).
#include "model/codec/check.h"
#include "model/names.h"

namespace margay::model::codec {
namespace {

constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpV6 = 58, kSctp = 132;

struct RuleScope {
  bool ingress = true;
  bool namespaced = false;
};

bool has_number(const std::vector<Port>& ports) {
  return std::any_of(ports.begin(), ports.end(),
                     [](const Port& p) { return std::holds_alternative<PortRange>(p); });
}
bool carries_ports(const std::optional<Protocol>& p) {
  return p && (p->number == kTcp || p->number == kUdp || p->number == kSctp);
}

void check_ports(Context& ctx, const std::string& path, const EntityRule& side,
                 const std::optional<Protocol>& protocol) {
  constexpr std::string_view kReason =
      "port numbers need protocol TCP, UDP or SCTP in the same rule";
  if (carries_ports(protocol)) return;
  if (has_number(side.ports)) ctx.fail(path + ".ports", "", kReason);
  if (has_number(side.not_ports)) ctx.fail(path + ".notPorts", "", kReason);
}

void check_services(Context& ctx, const std::string& path, const EntityRule& side, RuleScope scope,
                    bool is_source) {
  if (!side.services) return;
  const std::string at = path + ".services";
  const std::string& name = side.services->name;
  if (is_source != scope.ingress) {
    ctx.fail(at, name,
             scope.ingress ? "is not allowed in the destination of an ingress rule"
                           : "is not allowed in the source of an egress rule");
  }
  if (!scope.namespaced && side.services->ns.empty()) {
    ctx.fail(at + ".namespace", "", "is required in a global policy");
  }
  const bool combined = !side.selector.empty() || !side.not_selector.empty() ||
                        !side.namespace_selector.empty() || side.service_accounts ||
                        !side.nets.empty() || !side.not_nets.empty();
  if (combined) {
    ctx.fail(at, name, "cannot be combined with selectors, nets or serviceAccounts");
  }
  if (!is_source && (!side.ports.empty() || !side.not_ports.empty())) {
    ctx.fail(at, name, "cannot be combined with ports: the service has its own");
  }
}

void check_not_nets(Context& ctx, const std::string& path, const EntityRule& side) {
  for (std::size_t i = 0; i < side.not_nets.size(); ++i) {
    if (side.not_nets[i].length() != 0) continue;
    ctx.fail(indexed(path + ".notNets", i), side.not_nets[i].to_string(),
             "would exclude every address");
  }
}

// One family per rule: that of ipVersion, of ICMP's variant and of every net.
class FamilyCheck {
 public:
  explicit FamilyCheck(Context& ctx) : ctx_(ctx) {}
  void see(Family family, const std::string& path, const std::string& value) {
    if (family_ && *family_ != family) {
      ctx_.fail(path, value,
                std::string("is IPv") + (family == Family::v4 ? "4" : "6") +
                    ", but the rule is already about the other version by " + because_);
    } else if (!family_) {
      family_ = family;
      because_ = path;
    }
  }
  void see_all(const std::vector<Prefix>& nets, const std::string& path) {
    for (std::size_t i = 0; i < nets.size(); ++i) {
      see(nets[i].family(), indexed(path, i), nets[i].to_string());
    }
  }

 private:
  Context& ctx_;
  std::optional<Family> family_;
  std::string because_;
};

void check_family(Context& ctx, const std::string& path, const Rule& rule) {
  FamilyCheck family(ctx);
  if (rule.ip_version) {
    const std::string text = std::to_string(*rule.ip_version);
    if (*rule.ip_version != 4 && *rule.ip_version != 6) {
      ctx.fail(path + ".ipVersion", text, "must be 4 or 6");
      return;
    }
    family.see(*rule.ip_version == 4 ? Family::v4 : Family::v6, path + ".ipVersion", text);
  }
  if (rule.protocol && rule.protocol->number == kIcmp) {
    family.see(Family::v4, path + ".protocol", "ICMP");
  }
  if (rule.protocol && rule.protocol->number == kIcmpV6) {
    family.see(Family::v6, path + ".protocol", "ICMPv6");
  }
  family.see_all(rule.source.nets, path + ".source.nets");
  family.see_all(rule.source.not_nets, path + ".source.notNets");
  family.see_all(rule.destination.nets, path + ".destination.nets");
  family.see_all(rule.destination.not_nets, path + ".destination.notNets");
}

void check_icmp(Context& ctx, const std::string& path, const Rule& rule) {
  const auto one = [&](const std::optional<Icmp>& icmp, const char* name) {
    if (!icmp) return;
    const std::string at = path + "." + name;
    if (icmp->code && !icmp->type) {
      ctx.fail(at + ".code", std::to_string(*icmp->code), "needs a type");
    }
    if (!rule.protocol || (rule.protocol->number != kIcmp && rule.protocol->number != kIcmpV6)) {
      ctx.fail(at, "", "needs protocol ICMP or ICMPv6 in the same rule");
    }
  };
  one(rule.icmp, "icmp");
  one(rule.not_icmp, "notICMP");
}

void check_http(Context& ctx, const std::string& path, const Rule& rule, RuleScope scope) {
  if (!rule.http) return;
  const std::string at = path + ".http";
  if (rule.action != Action::allow) ctx.fail(at, "", "is possible with action Allow only");
  if (!scope.ingress) ctx.fail(at, "", "is possible in ingress rules only");
  if (rule.protocol && rule.protocol->number != kTcp) {
    ctx.fail(at, "", "needs protocol TCP, or none");
  }
  for (std::size_t i = 0; i < rule.http->paths.size(); ++i) {
    const HttpPath& p = rule.http->paths[i];
    if (p.exact.empty() == p.prefix.empty()) {
      ctx.fail(indexed(at + ".paths", i), p.exact, "must have one of exact and prefix");
    }
  }
}

void check_side(Context& ctx, const std::string& path, const EntityRule& side, const Rule& rule,
                RuleScope scope, bool is_source) {
  check_ports(ctx, path, side, rule.protocol);
  check_services(ctx, path, side, scope, is_source);
  check_not_nets(ctx, path, side);
}

void check_rules(Context& ctx, const std::string& path, const std::vector<Rule>& rules,
                 RuleScope scope) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const std::string at = indexed(path, i);
    check_side(ctx, at + ".source", rules[i].source, rules[i], scope, true);
    check_side(ctx, at + ".destination", rules[i].destination, rules[i], scope, false);
    check_family(ctx, at, rules[i]);
    check_icmp(ctx, at, rules[i]);
    check_http(ctx, at, rules[i], scope);
  }
}

void check_policy(Context& ctx, const PolicySpec& spec, bool namespaced) {
  check_rules(ctx, "spec.ingress", spec.ingress, {true, namespaced});
  check_rules(ctx, "spec.egress", spec.egress, {false, namespaced});
  if (!is_dns_label(spec.tier)) ctx.fail("spec.tier", spec.tier, kDnsLabelRule);
  if (spec.do_not_track && !spec.apply_on_forward) {
    ctx.fail("spec.doNotTrack", "true", "needs applyOnForward: true");
  }
  if (!spec.pre_dnat) return;
  if (spec.do_not_track) ctx.fail("spec.preDNAT", "true", "excludes doNotTrack");
  if (!spec.apply_on_forward) ctx.fail("spec.preDNAT", "true", "needs applyOnForward: true");
  const bool egress_type =
      std::find(spec.types.begin(), spec.types.end(), PolicyType::egress) != spec.types.end();
  if (egress_type || !spec.egress.empty()) {
    ctx.fail("spec.preDNAT", "true", "excludes egress rules and type Egress");
  }
}

struct BuiltInTier {
  std::string_view name;
  double order;
  bool pass;
};
constexpr BuiltInTier kBuiltInTiers[] = {
    {"kube-admin", 1000, true}, {"default", 1000000, false}, {"kube-baseline", 10000000, true}};

}  // namespace

void check(Context& ctx, const NetworkPolicy& v) { check_policy(ctx, v.spec, true); }
void check(Context& ctx, const StagedNetworkPolicy& v) { check_policy(ctx, v.spec, true); }
void check(Context& ctx, const GlobalNetworkPolicy& v) { check_policy(ctx, v.spec, false); }
void check(Context& ctx, const StagedGlobalNetworkPolicy& v) { check_policy(ctx, v.spec, false); }

void check(Context& ctx, const Tier& v) {
  for (const auto& t : kBuiltInTiers) {
    if (t.name != v.metadata.name) continue;
    const std::string order = std::to_string(static_cast<int>(t.order));
    if (v.spec.order != t.order) {
      ctx.fail("spec.order", v.spec.order ? std::to_string(*v.spec.order) : "",
               "must be " + order + " for the tier " + v.metadata.name);
    }
    if (v.spec.default_pass != t.pass) {
      ctx.fail("spec.defaultAction", v.spec.default_pass ? "Pass" : "Deny",
               std::string("must be ") + (t.pass ? "Pass" : "Deny") + " for the tier " +
                   v.metadata.name);
    }
  }
}

void check(Context& ctx, const Profile& v) {
  check_rules(ctx, "spec.ingress", v.spec.ingress, {true, false});
  check_rules(ctx, "spec.egress", v.spec.egress, {false, false});
  check_labels(ctx, v.spec.labels_to_apply, "spec.labelsToApply");
}

}  // namespace margay::model::codec
