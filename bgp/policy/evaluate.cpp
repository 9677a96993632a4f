// SPDX-License-Identifier: Apache-2.0
#include "bgp/policy/evaluate.h"

#include <algorithm>

namespace margay::bgp {
namespace {

bool prefix_matches(const PrefixMatch& m, const Prefix& p) {
  if (m.cidr.family() != p.family()) return false;
  bool inside = false;
  const bool exact = m.op == MatchOperator::equal || m.op == MatchOperator::not_equal;
  if (m.ranged) {
    inside = m.cidr.contains(p) && p.length() >= m.min_length && p.length() <= m.max_length;
  } else {
    inside = exact ? m.cidr == p : m.cidr.contains(p);
  }
  const bool positive = m.op == MatchOperator::equal || m.op == MatchOperator::in;
  return inside == positive;
}

const std::vector<FilterRule>& rules_of(const Filter& f, Direction d, Family family) {
  if (d == Direction::import) return family == Family::v4 ? f.import_v4 : f.import_v6;
  return family == Family::v4 ? f.export_v4 : f.export_v6;
}

void apply(const FilterOperation& op, Attributes& a) {
  if (const auto* community = std::get_if<Community>(&op)) {
    a.add(*community);
  } else if (const auto* prepend = std::get_if<PrependAs>(&op)) {
    a.as_path.prepend(prepend->path);
  } else {
    a.local_pref = std::get<SetLocalPref>(op).value;
  }
}

}  // namespace

std::string_view to_string(Withheld w) {
  switch (w) {
    case Withheld::no:
      return "";
    case Withheld::session_down:
      return "its session is down";
    case Withheld::not_best:
      return "another path is better";
    case Withheld::its_own:
      return "it comes from this peer";
    case Withheld::unreachable:
      return "no route leads to the next hop";
    case Withheld::no_advertise:
      return "community NO_ADVERTISE";
    case Withheld::no_export:
      return "community NO_EXPORT";
    case Withheld::not_reflected:
      return "learnt over iBGP, and reflected between clients and others only";
    case Withheld::filter:
      return "rejected by a BGPFilter";
    case Withheld::tunnel:
      return "leads into a tunnel";
    case Withheld::disabled_pool:
      return "in a pool with disableBGPExport";
    case Withheld::inside_own_block:
      return "inside a block of this node, which is announced as a whole";
    case Withheld::outside_pools:
      return "outside of all pools and service addresses";
  }
  return "";
}

bool same(const FilterList& a, const FilterList& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return x == y || *x == *y; });
}

bool glob_matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool matches(const FilterRule& rule, const RouteFacts& facts) {
  if (rule.prefix && !prefix_matches(*rule.prefix, facts.prefix)) return false;
  if (rule.from_remote_peer && !facts.from_peer) return false;
  if (!rule.interface.empty() && !glob_matches(rule.interface, facts.interface)) return false;
  if (rule.session == SessionKind::external && !facts.session_external) return false;
  if (rule.session == SessionKind::internal && facts.session_external) return false;
  if (rule.community && !facts.attributes.has(*rule.community)) return false;
  if (!rule.as_path_prefix.empty() && !facts.attributes.as_path.begins_with(rule.as_path_prefix)) {
    return false;
  }
  return !rule.local_pref || facts.attributes.local_pref == rule.local_pref;
}

FilterResult run_filters(const FilterList& filters, Direction direction, const RouteFacts& facts) {
  for (const auto& filter : filters) {
    for (const auto& rule : rules_of(*filter, direction, facts.prefix.family())) {
      if (!matches(rule, facts)) continue;
      FilterResult out;
      out.verdict = rule.accept ? Verdict::accept : Verdict::reject;
      if (rule.accept && !rule.operations.empty()) {
        out.changed = facts.attributes;
        for (const auto& op : rule.operations) apply(op, *out.changed);
      }
      return out;
    }
  }
  return {};
}

ExportDecider::ExportDecider(const ExportPolicy& policy)
    : policy_(policy),
      disabled_(policy.disabled_pools),
      own_(policy.own_blocks),
      services_(policy.service_routes),
      reflected_(policy.reflected_ranges),
      pools_(policy.pools) {}

std::uint32_t ExportDecider::normal_local_pref(Family f) const {
  return kPreferenceBase -
         (f == Family::v4 ? policy_.normal_priority_v4 : policy_.normal_priority_v6);
}

bool ExportDecider::elevated(const Prefix& prefix, const Attributes& attributes) const {
  return attributes.local_pref && *attributes.local_pref > normal_local_pref(prefix.family());
}

Withheld ExportDecider::judge(const Prefix& prefix, bool elevated) const {
  if (disabled_.covers(prefix)) return Withheld::disabled_pool;
  if (own_.has(prefix)) return Withheld::no;
  if (own_.covers(prefix)) return elevated ? Withheld::no : Withheld::inside_own_block;
  const bool wanted = services_.has(prefix) || reflected_.covers(prefix) || pools_.covers(prefix);
  return wanted ? Withheld::no : Withheld::outside_pools;
}

bool ExportDecider::accepts_interface(std::string_view interface, bool internal) const {
  if (glob_matches("bpf*.cali", interface)) return false;
  if (!internal || (interface == "tunl0" && policy_.ipip_is_ours)) return true;
  static constexpr std::string_view kTunnels[] = {"*.cali", "*.calico", "tunl0"};
  return std::none_of(std::begin(kTunnels), std::end(kTunnels),
                      [&](std::string_view glob) { return glob_matches(glob, interface); });
}

bool ExportDecider::has_communities_for(const Prefix& prefix) const {
  return std::any_of(policy_.communities.begin(), policy_.communities.end(),
                     [&](const PrefixCommunities& c) { return c.cidr.contains(prefix); });
}

bool ExportDecider::add_communities(const Prefix& prefix, Attributes& attributes) const {
  bool added = false;
  for (const auto& entry : policy_.communities) {
    if (!entry.cidr.contains(prefix)) continue;
    for (const auto& c : entry.communities) attributes.add(c);
    added = true;
  }
  return added;
}

KernelDecider::KernelDecider(const KernelPolicy& policy)
    : services_(policy.service_ranges), pools_(policy.pools) {
  std::stable_sort(pools_.begin(), pools_.end(),
                   [](const auto& a, const auto& b) { return a.cidr.length() > b.cidr.length(); });
}

bool KernelDecider::programs(const Prefix& prefix) const {
  if (services_.covers(prefix)) return false;
  for (const auto& pool : pools_) {
    if (pool.cidr.contains(prefix)) return pool.program;
  }
  return true;
}

}  // namespace margay::bgp
