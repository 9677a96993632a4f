// SPDX-License-Identifier: Apache-2.0
#include "model/selector_merge.h"

namespace margay::model {
namespace {

Result<Selector> parse_field(std::string_view text, std::string_view field) {
  auto parsed = Selector::parse(text);
  if (parsed.ok()) return parsed;
  return make_error(Code::invalid, std::string(field) + ": " + parsed.error().context);
}

void merge(std::optional<Selector>& into, const Selector& more) {
  into = into ? Selector::both(*into, more) : more;
}

Result<std::optional<Selector>> own_part(const EntityRule& rule) {
  std::optional<Selector> out;
  if (rule.service_accounts) {
    const ServiceAccountMatch& match = *rule.service_accounts;
    if (!match.names.empty()) merge(out, Selector::one_of(kServiceAccountLabel, match.names));
    if (!match.selector.empty()) {
      MARGAY_TRY(const Selector s, parse_field(match.selector, "serviceAccounts.selector"));
      merge(out, s.prefixed(kServiceAccountPrefix));
    }
  }
  if (!rule.selector.empty()) {
    MARGAY_TRY(const Selector s, parse_field(rule.selector, "selector"));
    out = out ? Selector::both(s, *out) : s;
  }
  return out;
}

}  // namespace

Result<Selector> policy_selector(const PolicySpec& spec, std::string_view ns) {
  std::optional<Selector> out;
  if (!spec.selector.empty()) {
    MARGAY_TRY(out, parse_field(spec.selector, "selector"));
  }
  if (!ns.empty()) merge(out, Selector::equals(kNamespaceLabel, ns));
  if (!spec.namespace_selector.empty()) {
    MARGAY_TRY(const Selector s, parse_field(spec.namespace_selector, "namespaceSelector"));
    merge(out, s.for_namespaces());
  }
  if (!spec.service_account_selector.empty()) {
    MARGAY_TRY(const Selector s,
               parse_field(spec.service_account_selector, "serviceAccountSelector"));
    merge(out, s.prefixed(kServiceAccountPrefix));
  }
  return out.value_or(Selector());
}

Result<EntitySelectors> entity_selectors(const EntityRule& rule, std::string_view ns) {
  MARGAY_TRY(std::optional<Selector> own, own_part(rule));
  EntitySelectors out;
  std::optional<Selector> not_selector;
  if (!rule.not_selector.empty()) {
    MARGAY_TRY(not_selector, parse_field(rule.not_selector, "notSelector"));
  }
  if (!rule.namespace_selector.empty()) {
    MARGAY_TRY(const Selector s, parse_field(rule.namespace_selector, "namespaceSelector"));
    out.positive = s.for_namespaces();
  } else if (!ns.empty() && (own || not_selector)) {
    out.positive = Selector::equals(kNamespaceLabel, ns);
  }
  if (own) merge(out.positive, *own);
  if (not_selector && out.positive) {
    merge(out.positive, Selector::negated(*not_selector));
  } else {
    out.negative = std::move(not_selector);
  }
  return out;
}

}  // namespace margay::model
