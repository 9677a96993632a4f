// SPDX-License-Identifier: Apache-2.0
#include "ctl/client.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "agent/config/parameter.h"
#include "model/codec.h"
#include "model/document.h"

namespace margay::ctl {
namespace {

using model::Key;
using model::Kind;

constexpr int kConflictRetries = 5;
constexpr std::string_view kDefaultAllow = "projectcalico-default-allow";

Error does_not_exist(const Key& key) {
  return make_error(Code::not_found,
                    "resource does not exist: " + model::describe(key) + " with error: <nil>");
}
Error exists_already(const Key& key) {
  return make_error(Code::exists,
                    "resource already exists: " + model::describe(key) + " with error: <nil>");
}
Error update_conflict(const Key& key) {
  return make_error(Code::conflict, "update conflict: " + model::describe(key));
}

Json read_back(const datastore::Entry& entry) {
  Json object = Json::parse(entry.value, nullptr, false);
  if (!object.is_object()) return Json::object();
  object["metadata"]["resourceVersion"] = std::to_string(entry.revision.value());
  return object;
}

std::string metadata_text(const Json& object, const std::string& field) {
  const auto m = object.find("metadata");
  if (m == object.end() || !m->is_object()) return "";
  const auto v = m->find(field);
  return v != m->end() && v->is_string() ? v->get<std::string>() : "";
}

// The profile that every cluster has without its being stored.
Json default_allow_profile() {
  const Json allow = Json::array({{{"action", "Allow"}}});
  return {{"apiVersion", "projectcalico.org/v3"},
          {"kind", "Profile"},
          {"metadata", {{"name", kDefaultAllow}}},
          {"spec", {{"egress", allow}, {"ingress", allow}}}};
}

Result<void> check_writable(const Key& key, std::string_view operation) {
  if (key.kind == Kind::cluster_information) {
    return make_error(Code::refused,
                      "operation " + std::string(operation) +
                          " is not supported on ClusterInformation: resource is readonly");
  }
  if (key.kind == Kind::profile && key.name == kDefaultAllow) {
    return make_error(Code::refused,
                      "operation " + std::string(operation) + " is not supported on " + key.name);
  }
  return {};
}

// The values of FelixConfiguration, by the agent's own table of parameters.
Result<void> check_parameters(const Key& key, std::string_view json) {
  if (key.kind != Kind::felix_configuration) return {};
  MARGAY_TRY(const auto resource, model::decode<model::FelixConfiguration>(json));
  for (const auto& [field, value] : resource.parameters) {
    const config::Parameter* parameter = config::find_by_field(field);
    // Files are the nodes', not this machine's.
    if (parameter == nullptr || parameter->type == config::Type::path) continue;
    if (config::canonical(*parameter, value).ok()) continue;
    return make_error(Code::invalid, model::describe(key) + ": error with field spec." + field +
                                         " = '" + value + "' (must be " +
                                         std::string(config::legal_values(parameter->type)) + ")");
  }
  return {};
}

// Rules that only an application-layer proxy could match would match nothing here.
Result<void> check_http(const Key& key, const Json& object) {
  const Json rules = object.value("/spec/ingress"_json_pointer, Json());
  for (std::size_t i = 0; rules.is_array() && i < rules.size(); ++i) {
    if (!rules[i].is_object() || !rules[i].contains("http")) continue;
    return make_error(Code::refused, model::describe(key) + ": error with field spec.ingress[" +
                                         std::to_string(i) +
                                         "].http (application-layer matches are not supported)");
  }
  return {};
}

// A Store would refuse it too; but it cannot say what to do, and of megabytes the connection says
// even less.
Result<std::string> of_bearable_size(const Key& key, std::string json) {
  if (json.size() <= datastore::kMaxValue) return json;
  const bool set = key.kind == Kind::network_set || key.kind == Kind::global_network_set;
  return make_error(Code::refused,
                    model::describe(key) + ": its " + std::to_string(json.size()) +
                        " bytes are more than the " + std::to_string(datastore::kMaxValue) +
                        " that one resource may have" +
                        (set ? "; spread spec.nets over several sets with the same labels" : ""));
}

constexpr std::array kTieredKinds{Kind::network_policy, Kind::global_network_policy,
                                  Kind::staged_network_policy, Kind::staged_global_network_policy};
constexpr std::array<std::string_view, 3> kBuiltInTiers{"default", "kube-admin", "kube-baseline"};

bool is_built_in_tier(std::string_view name) {
  return std::find(kBuiltInTiers.begin(), kBuiltInTiers.end(), name) != kBuiltInTiers.end();
}

double order_of(const Json& tier) {
  const auto& order = tier.value("/spec/order"_json_pointer, Json());
  return order.is_number() ? order.get<double>() : std::numeric_limits<double>::infinity();
}

}  // namespace

Result<Json> Client::get(const Key& key) {
  if (key.kind == Kind::profile && key.name == kDefaultAllow) return default_allow_profile();
  auto entry = store_.get(model::path(key));
  if (!entry.ok()) {
    if (entry.error().code == Code::not_found) return does_not_exist(key);
    return std::move(entry).error();
  }
  return read_back(*entry);
}

Result<ListResult> Client::list(Kind kind, std::string_view ns) {
  MARGAY_TRY(const auto listing, store_.list(model::path_prefix(kind)));
  ListResult out;
  out.resource_version = std::to_string(listing.revision.value());
  for (const auto& entry : listing.entries) {
    const auto key = model::parse_key(entry.key);
    if (!key.ok() || key->kind != kind || (!ns.empty() && key->ns != ns)) continue;
    out.objects.push_back(read_back(entry));
  }
  if (kind == Kind::profile) out.objects.push_back(default_allow_profile());
  if (kind == Kind::tier) {
    std::stable_sort(out.objects.begin(), out.objects.end(),
                     [](const Json& a, const Json& b) { return order_of(a) < order_of(b); });
  }
  return out;
}

Result<void> Client::check_pools(const Key& key, std::string_view json) {
  if (key.kind != Kind::ip_pool) return {};
  MARGAY_TRY(const auto stored, store_.list(model::path_prefix(Kind::ip_pool)));
  MARGAY_TRY(auto candidate, model::decode<model::IpPool>(json));
  std::vector<model::IpPool> pools{std::move(candidate)};
  for (const auto& entry : stored.entries) {
    if (entry.key == model::path(key)) continue;
    if (auto pool = model::decode<model::IpPool>(entry.value); pool.ok())
      pools.push_back(std::move(pool).value());
  }
  return model::check_pool_overlap(pools);
}

// A policy's tier must be there before it; the built-in ones always are.
Result<void> Client::check_tier(const Key& key, const Json& object) {
  if (std::find(kTieredKinds.begin(), kTieredKinds.end(), key.kind) == kTieredKinds.end()) {
    return {};
  }
  const std::string tier = object.value("/spec/tier"_json_pointer, std::string("default"));
  if (tier.empty() || is_built_in_tier(tier)) return {};
  const auto found = store_.get(model::path({Kind::tier, "", tier}));
  if (found.ok()) return {};
  if (found.error().code != Code::not_found) return found.error();
  return make_error(Code::refused, model::describe(key) + ": error with field spec.tier = '" +
                                       tier + "' (there is no such tier)");
}

// Strictly valid, with the defaults materialised; without resourceVersion, which is the store's.
Result<std::string> Client::admitted(const Key& key, const Json& object) {
  Json clean = object;
  if (auto m = clean.find("metadata"); m != clean.end() && m->is_object())
    m->erase("resourceVersion");
  const std::string json = clean.dump();
  MARGAY_CHECK(model::validate_strict(key, json));
  MARGAY_CHECK(check_parameters(key, json));
  MARGAY_CHECK(check_http(key, clean));
  MARGAY_CHECK(check_tier(key, clean));
  MARGAY_CHECK(check_pools(key, json));
  MARGAY_TRY(std::string complete, model::with_defaults(key, json, model::fresh_stamp()));
  return of_bearable_size(key, std::move(complete));
}

Result<void> Client::create(const Key& key, const Json& object) {
  MARGAY_CHECK(check_writable(key, "create"));
  MARGAY_TRY(const std::string json, admitted(key, object));
  const auto r = store_.create(model::path(key), json);
  if (r.ok()) return {};
  return r.error().code == Code::exists ? exists_already(key) : r.error();
}

Result<void> Client::update(const Key& key, const Json& object) {
  const std::string wanted_revision = metadata_text(object, "resourceVersion");
  for (int attempt = 0; attempt < kConflictRetries; ++attempt) {
    auto current = store_.get(model::path(key));
    if (!current.ok()) {
      return current.error().code == Code::not_found ? does_not_exist(key)
                                                     : std::move(current).error();
    }
    if (!wanted_revision.empty() && wanted_revision != std::to_string(current->revision.value())) {
      return update_conflict(key);
    }
    MARGAY_TRY(const std::string merged, model::with_identity_of(current->value, object.dump()));
    MARGAY_TRY(const std::string json, admitted(key, Json::parse(merged)));
    const auto r = store_.update(model::path(key), json, current->revision);
    if (r.ok()) return {};
    if (r.error().code != Code::conflict) return r.error();
    if (!wanted_revision.empty()) break;
  }
  return update_conflict(key);
}

Result<void> Client::apply(const Key& key, const Json& object) {
  MARGAY_CHECK(check_writable(key, "apply"));
  for (int attempt = 0; attempt < kConflictRetries; ++attempt) {
    auto updated = update(key, object);
    if (updated.ok() || updated.error().code != Code::not_found) return updated;
    auto created = create(key, object);
    if (created.ok() || created.error().code != Code::exists) return created;
  }
  return update_conflict(key);
}

Result<void> Client::replace(const Key& key, const Json& object) {
  MARGAY_CHECK(check_writable(key, "replace"));
  return update(key, object);
}

Result<void> Client::remove(const Key& key) {
  MARGAY_CHECK(check_writable(key, "delete"));
  if (key.kind == Kind::tier) {
    if (is_built_in_tier(key.name)) {
      return make_error(Code::refused, "operation Delete is not supported on " + key.name +
                                           ": Cannot delete " + key.name + " tier");
    }
    for (const Kind kind : kTieredKinds) {
      MARGAY_TRY(const ListResult policies, list(kind, ""));
      for (const Json& policy : policies.objects) {
        if (policy.value("/spec/tier"_json_pointer, std::string("default")) != key.name) continue;
        return make_error(Code::refused, "operation Delete is not supported on " + key.name +
                                             ": the tier still holds policies, such as " +
                                             metadata_text(policy, "name"));
      }
    }
  }
  const auto r = store_.remove(model::path(key), Revision{});
  if (r.ok()) return {};
  return r.error().code == Code::not_found ? does_not_exist(key) : r.error();
}

}  // namespace margay::ctl
