// SPDX-License-Identifier: Apache-2.0
// BGPFilter resources to filters (spec bgp.md 3.2).
#include <algorithm>

#include "bgp/intent/inputs.h"

namespace margay::bgp {
namespace {

class FilterMaker {
 public:
  FilterMaker(std::string object, Problems& problems)
      : object_(std::move(object)), problems_(problems) {}

  std::vector<FilterRule> rules(const std::vector<model::BgpFilterRule>& in, Family family,
                                const char* list) {
    std::vector<FilterRule> out;
    for (std::size_t i = 0; i < in.size(); ++i) {
      where_ = std::string("spec.") + list + "[" + std::to_string(i) + "]";
      out.push_back(rule(in[i], family));
    }
    return out;
  }

 private:
  // A rule that cannot be understood must not let anything more through than it would.
  void bad(FilterRule& rule, const std::string& text) {
    problems_.add(object_, where_ + ": " + text);
    rule.accept = false;
    rule.operations.clear();
  }

  FilterRule rule(const model::BgpFilterRule& in, Family family) {
    FilterRule r;
    r.accept = in.action == "Accept";
    r.interface = in.interface;
    r.from_remote_peer = in.source == "RemotePeers";
    if (in.peer_type == "eBGP") r.session = SessionKind::external;
    if (in.peer_type == "iBGP") r.session = SessionKind::internal;
    r.as_path_prefix = in.as_path_prefix;
    if (in.priority) r.local_pref = kPreferenceBase - static_cast<std::uint32_t>(*in.priority);
    if (in.cidr) r.prefix = prefix(in, family);
    if (in.communities && !in.communities->values.empty()) {
      auto c = parse_community(in.communities->values.front());
      if (c) {
        r.community = *c;
      } else {
        bad(r, c.error().message());
      }
    }
    if (!r.accept) return r;
    for (const auto& op : in.operations) operation(op, r);
    return r;
  }

  PrefixMatch prefix(const model::BgpFilterRule& in, Family family) {
    PrefixMatch m;
    m.cidr = *in.cidr;
    if (in.match_operator == "Equal") m.op = MatchOperator::equal;
    if (in.match_operator == "NotEqual") m.op = MatchOperator::not_equal;
    if (in.match_operator == "In") m.op = MatchOperator::in;
    if (in.match_operator == "NotIn") m.op = MatchOperator::not_in;
    m.min_length = m.cidr.length();
    m.max_length = max_prefix_length(family);
    if (in.prefix_length) {
      m.ranged = true;
      const auto& range = *in.prefix_length;
      if (range.min) m.min_length = std::max(m.min_length, static_cast<unsigned>(*range.min));
      if (range.max) m.max_length = std::min(m.max_length, static_cast<unsigned>(*range.max));
    }
    return m;
  }

  void operation(const model::BgpFilterOperation& in, FilterRule& rule) {
    if (in.add_community) {
      auto c = parse_community(in.add_community->value);
      if (!c) return bad(rule, c.error().message());
      rule.operations.emplace_back(*c);
    }
    if (in.prepend_as_path) rule.operations.emplace_back(PrependAs{in.prepend_as_path->prefix});
    if (in.set_priority) {
      rule.operations.emplace_back(
          SetLocalPref{kPreferenceBase - static_cast<std::uint32_t>(in.set_priority->value)});
    }
  }

  std::string object_, where_;
  Problems& problems_;
};

}  // namespace

std::shared_ptr<const Filter> make_filter(const model::BgpFilter& filter, Problems& problems) {
  FilterMaker maker("BGPFilter(" + filter.metadata.name + ")", problems);
  auto out = std::make_shared<Filter>();
  out->name = filter.metadata.name;
  out->import_v4 = maker.rules(filter.spec.import_v4, Family::v4, "importV4");
  out->import_v6 = maker.rules(filter.spec.import_v6, Family::v6, "importV6");
  out->export_v4 = maker.rules(filter.spec.export_v4, Family::v4, "exportV4");
  out->export_v6 = maker.rules(filter.spec.export_v6, Family::v6, "exportV6");
  return out;
}

}  // namespace margay::bgp
