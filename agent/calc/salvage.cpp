// SPDX-License-Identifier: Apache-2.0
#include <simdjson.h>

#include <string>

#include "agent/calc/conversion.h"
#include "model/codec.h"

namespace margay::calc {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

// False when the field is there but not a string.
bool take(const object& spec, const char* name, std::string& out) {
  element field;
  if (spec[name].get(field) != simdjson::SUCCESS || field.is_null()) return true;
  std::string_view text;
  if (field.get(text) != simdjson::SUCCESS) return false;
  out = text;
  return true;
}

void take(const object& spec, const char* name, bool& out) {
  bool value = false;
  if (spec[name].get(value) == simdjson::SUCCESS) out = value;
}

// Types that cannot be read: both directions.
void take_types(const object& spec, const char* field, model::PolicySpec& out) {
  simdjson::dom::array types;
  if (spec[field].get(types) == simdjson::SUCCESS) {
    for (const element type : types) {
      std::string_view name;
      if (type.get(name) != simdjson::SUCCESS) name = "";
      if (name == "Ingress") out.types.push_back(model::PolicyType::ingress);
      if (name == "Egress") out.types.push_back(model::PolicyType::egress);
      if (name != "Ingress" && name != "Egress") out.types.clear();
      if (name != "Ingress" && name != "Egress") break;
    }
  }
  if (out.types.empty()) out.types = {model::PolicyType::ingress, model::PolicyType::egress};
}

bool parse_spec(simdjson::dom::parser& parser, std::string_view json, object& spec) {
  element document;
  return parser.parse(json.data(), json.size()).get(document) == simdjson::SUCCESS &&
         document["spec"].get(spec) == simdjson::SUCCESS;
}

}  // namespace

std::optional<model::PolicySpec> salvage_policy(std::string_view json) {
  simdjson::dom::parser parser;
  object spec;
  if (!parse_spec(parser, json, spec)) return {};
  model::PolicySpec out;
  if (!take(spec, "selector", out.selector)) return {};
  if (!take(spec, "namespaceSelector", out.namespace_selector)) return {};
  if (!take(spec, "serviceAccountSelector", out.service_account_selector)) return {};
  if (!take(spec, "tier", out.tier) || out.tier.empty()) out.tier = "default";
  double order = 0;
  if (spec["order"].get(order) == simdjson::SUCCESS) out.order = order;
  take(spec, "doNotTrack", out.do_not_track);
  take(spec, "preDNAT", out.pre_dnat);
  take(spec, "applyOnForward", out.apply_on_forward);
  take_types(spec, "types", out);
  return out;
}

std::optional<model::PolicySpec> salvage_kubernetes_policy(std::string_view json) {
  simdjson::dom::parser parser;
  object spec;
  element pods;
  if (!parse_spec(parser, json, spec)) return {};
  std::string reduced = R"({"metadata":{"name":"x"},"spec":{"podSelector":)";
  if (spec["podSelector"].get(pods) != simdjson::SUCCESS) return {};
  reduced += simdjson::minify(pods) + "}}";
  const auto policy = model::decode<model::KubernetesNetworkPolicy>(reduced);
  if (!policy.ok()) return {};
  Converted converted = convert(*policy);
  if (!converted.problems.empty()) return {};
  converted.spec.types.clear();
  take_types(spec, "policyTypes", converted.spec);
  return converted.spec;
}

}  // namespace margay::calc
