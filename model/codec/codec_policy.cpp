// SPDX-License-Identifier: Apache-2.0
// Tables of the policy kinds: policies, tiers, profiles, network sets.
#include "model/codec/codec_impl.h"

namespace margay::model::codec {

constexpr auto kGlobalPolicies =
    OnlyFor{Kind::global_network_policy, Kind::staged_global_network_policy};
constexpr auto kStagedPolicies =
    OnlyFor{Kind::staged_global_network_policy, Kind::staged_network_policy};

constexpr auto fields(Tag<PolicySpec>) {
  using T = PolicySpec;
  return std::tuple{
      field("stagedAction", &T::staged_action, kStagedPolicies,
            one_of("Set", "Delete", "Learn", "Ignore")),
      field("tier", &T::tier, Name{}),
      field("order", &T::order),
      field("ingress", &T::ingress, MaxItems{1024}),
      field("egress", &T::egress, MaxItems{1024}),
      field("selector", &T::selector, SelectorText{}),
      field("namespaceSelector", &T::namespace_selector, kGlobalPolicies, SelectorText{}),
      field("serviceAccountSelector", &T::service_account_selector, SelectorText{}),
      field("types", &T::types, Unique{}),
      field("doNotTrack", &T::do_not_track, kGlobalPolicies),
      field("preDNAT", &T::pre_dnat, kGlobalPolicies),
      field("applyOnForward", &T::apply_on_forward, kGlobalPolicies),
      field("performanceHints", &T::performance_hints, one_of("AssumeNeededOnEveryNode"), Unique{}),
  };
}

struct DefaultAction {  // Deny or Pass, kept as "passes?"
  static bool read(Context& ctx, const Path& path, Element e, bool& out) {
    std::string_view text;
    if (e.get(text) == simdjson::SUCCESS && (text == "Deny" || text == "Pass" || text.empty())) {
      out = text == "Pass";
      return true;
    }
    return ctx.fail(path, e, "must be Deny or Pass");
  }
  static void write(std::string& out, bool v) {
    codec::write(out, std::string_view(v ? "Pass" : "Deny"));
  }
};
constexpr auto fields(Tag<TierSpec>) {
  using T = TierSpec;
  return std::tuple{field("order", &T::order),
                    field("defaultAction", &T::default_pass, Via<DefaultAction>{}, Always{})};
}

constexpr auto fields(Tag<ProfileSpec>) {
  using T = ProfileSpec;
  return std::tuple{field("ingress", &T::ingress, MaxItems{1024}),
                    field("egress", &T::egress, MaxItems{1024}),
                    field("labelsToApply", &T::labels_to_apply)};
}
constexpr auto fields(Tag<NetworkSetSpec>) {
  return std::tuple{field("nets", &NetworkSetSpec::nets)};
}

template struct KindCodec<NetworkPolicy>;
template struct KindCodec<GlobalNetworkPolicy>;
template struct KindCodec<StagedNetworkPolicy>;
template struct KindCodec<StagedGlobalNetworkPolicy>;
template struct KindCodec<Tier>;
template struct KindCodec<Profile>;
template struct KindCodec<NetworkSet>;
template struct KindCodec<GlobalNetworkSet>;

}  // namespace margay::model::codec
