// SPDX-License-Identifier: Apache-2.0
// apply, create, replace, delete, validate, get, patch, label.
#include <cstdio>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/connection.h"
#include "ctl/files.h"
#include "ctl/print.h"
#include "model/codec.h"

namespace margay::ctl {
namespace {

using model::Key;
using model::Kind;

struct Verb {
  std::string_view name;  // "apply"
  std::string_view past;  // "applied"
  bool stops_at_error;
};
constexpr Verb kVerbs[] = {{"apply", "applied", false},
                           {"create", "created", false},
                           {"replace", "replaced", true},
                           {"delete", "deleted", false},
                           {"validate", "validated", false}};

const Verb& verb_of(const std::string& command) {
  for (const Verb& v : kVerbs) {
    if (v.name == command) return v;
  }
  MARGAY_ASSERT(!"a command without a verb");
  return kVerbs[0];
}

// "3 'IPPool' resource(s)", or "3 resource(s)" for several kinds.
std::string counted(std::size_t n, const std::set<Kind>& kinds) {
  const std::string kind =
      kinds.size() == 1 ? "'" + std::string(model::info(*kinds.begin()).name) + "' " : "";
  return std::to_string(n) + " " + kind + "resource(s)";
}

// Does `each` for all keys in order, and says what was done in calicoctl's words.
Result<void> for_all(const Verb& verb, const std::vector<Key>& keys,
                     const std::function<Result<void>(std::size_t)>& each) {
  std::string errors;
  std::size_t done = 0;
  std::set<Kind> kinds, failed_kinds;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto r = each(i);
    if (r.ok()) {
      ++done;
      kinds.insert(keys[i].kind);
      continue;
    }
    errors += (errors.empty() ? "" : " ") + r.error().message();
    failed_kinds.insert(keys[i].kind);
    if (verb.stops_at_error) break;
  }
  if (errors.empty()) {
    std::cout << "Successfully " << verb.past << " " << counted(done, kinds) << "\n";
    return {};
  }
  if (done > 0) {
    std::cout << "Partial success: " << verb.past << " " << done << " out of " << keys.size()
              << " resources\n";
  }
  const std::string kind = failed_kinds.size() == 1
                               ? "'" + std::string(model::info(*failed_kinds.begin()).name) + "' "
                               : "";
  return make_error(Code::refused, "failed to " + std::string(verb.name) +
                                       (keys.size() > 1 && done == 0 ? " any " : " ") + kind +
                                       (keys.size() > 1 ? "resources: [" : "resource: [") + errors +
                                       "]");
}

Result<Kind> kind_of(const std::string& word) {
  if (const auto kind = model::kind_by_alias(word)) return *kind;
  return make_error(Code::invalid, "resource type '" + word + "' is not supported");
}

Key key_of(Kind kind, const Invocation& call, const std::string& name) {
  return {kind, model::info(kind).namespaced ? call.value("namespace", "default") : "", name};
}

Result<std::vector<Key>> named_keys(const Invocation& call) {
  if (call.words.size() < 2) {
    return make_error(Code::invalid,
                      call.command + ": give -f FILE, or KIND and NAME (field should be assigned)");
  }
  MARGAY_TRY(const Kind kind, kind_of(call.words[0]));
  std::vector<Key> out;
  for (std::size_t i = 1; i < call.words.size(); ++i)
    out.push_back(key_of(kind, call, call.words[i]));
  return out;
}

std::vector<Key> keys_of(const std::vector<FileResource>& resources) {
  std::vector<Key> out;
  for (const FileResource& r : resources) out.push_back(r.key);
  return out;
}

Result<std::vector<Listed>> gather(const Invocation& call, Client& client) {
  std::vector<Listed> out;
  if (call.has("filename")) {
    MARGAY_TRY(const auto resources, read_resources(call));
    for (const FileResource& r : resources) {
      MARGAY_TRY(Json object, client.get(r.key));
      out.push_back({r.key.kind, {std::move(object)}, false, ""});
    }
    return out;
  }
  if (call.words.empty()) return make_error(Code::invalid, "get: give KIND [NAME...], or -f FILE");
  MARGAY_TRY(const Kind kind, kind_of(call.words[0]));
  if (call.has("all-namespaces") && !model::info(kind).namespaced) {
    return make_error(Code::invalid, std::string(model::info(kind).name) + " is not namespaced");
  }
  if (call.words.size() == 1) {
    const bool one_ns = model::info(kind).namespaced && !call.has("all-namespaces");
    MARGAY_TRY(ListResult list,
               client.list(kind, one_ns ? call.value("namespace", "default") : ""));
    out.push_back({kind, std::move(list.objects), true, std::move(list.resource_version)});
    return out;
  }
  MARGAY_TRY(const auto keys, named_keys(call));
  for (const Key& key : keys) {
    MARGAY_TRY(Json object, client.get(key));
    out.push_back({kind, {std::move(object)}, false, ""});
  }
  return out;
}

// --export: what belongs to this cluster alone goes.
void strip_cluster_fields(Json& object) {
  auto m = object.find("metadata");
  if (m == object.end() || !m->is_object()) return;
  for (const char* field : {"uid", "resourceVersion", "creationTimestamp"}) m->erase(field);
}

std::string default_as_number(Client& client) {
  const auto config = client.get({Kind::bgp_configuration, "", "default"});
  if (config.ok()) {
    const Json asn = config->value("/spec/asNumber"_json_pointer, Json());
    if (!asn.is_null()) return asn.is_string() ? asn.get<std::string>() : asn.dump();
  }
  return "64512";
}

}  // namespace

Result<void> run_apply(const Invocation& call) {
  MARGAY_TRY(const auto resources, read_resources(call));
  const Verb& verb = verb_of(call.command);
  if (call.command == "validate") {
    return for_all(verb, keys_of(resources), [&](std::size_t i) {
      return model::validate_strict(resources[i].key, resources[i].object.dump());
    });
  }
  MARGAY_TRY(const auto connection, connect(call));
  Client client(*connection->store);
  return for_all(verb, keys_of(resources), [&](std::size_t i) -> Result<void> {
    const FileResource& r = resources[i];
    if (call.command == "apply") return client.apply(r.key, r.object);
    if (call.command == "replace") return client.replace(r.key, r.object);
    auto created = client.create(r.key, r.object);
    if (!created.ok() && created.error().code == Code::exists && call.has("skip-exists")) return {};
    return created;
  });
}

Result<void> run_delete(const Invocation& call) {
  std::vector<Key> keys;
  if (call.has("filename")) {
    MARGAY_TRY(const auto resources, read_resources(call));
    keys = keys_of(resources);
  } else {
    MARGAY_TRY(keys, named_keys(call));
  }
  MARGAY_TRY(const auto connection, connect(call));
  Client client(*connection->store);
  return for_all(verb_of("delete"), keys, [&](std::size_t i) -> Result<void> {
    auto removed = client.remove(keys[i]);
    if (!removed.ok() && removed.error().code == Code::not_found && call.has("skip-not-exists"))
      return {};
    return removed;
  });
}

Result<void> run_get(const Invocation& call) {
  MARGAY_TRY(const Output output, parse_output(call.value("output")));
  MARGAY_TRY(const auto connection, connect(call));
  Client client(*connection->store);
  MARGAY_TRY(auto lists, gather(call, client));
  if (call.has("export")) {
    for (Listed& list : lists) {
      if (!list.is_list && list.objects.size() == 1) strip_cluster_fields(list.objects[0]);
    }
  }
  ColumnContext context;
  const bool wants_as = output.format == Format::wide || output.format == Format::columns;
  if (wants_as) context.default_as_number = default_as_number(client);
  const bool with_namespace = call.has("all-namespaces") || call.has("namespace");
  MARGAY_TRY(const std::string text, print_objects(lists, output, with_namespace, context));
  std::cout << text;
  return {};
}

Result<void> run_patch(const Invocation& call) {
  if (call.words.size() != 2) {
    return make_error(Code::invalid,
                      "accepts 2 arg(s), received " + std::to_string(call.words.size()));
  }
  const Json patch = Json::parse(call.value("patch"), nullptr, false);
  if (!patch.is_object()) return make_error(Code::invalid, "patch: -p must be a JSON object");
  MARGAY_TRY(const auto keys, named_keys(call));
  MARGAY_TRY(const auto connection, connect(call));
  Client client(*connection->store);
  MARGAY_TRY(Json object, client.get(keys[0]));
  object.merge_patch(patch);
  MARGAY_CHECK(client.replace(keys[0], object));
  std::cout << "Successfully patched 1 '" << model::info(keys[0].kind).name << "' resource\n";
  return {};
}

Result<void> run_label(const Invocation& call) {
  if (call.words.size() != 3) {
    return make_error(Code::invalid, "label: KIND NAME KEY=VALUE, or KIND NAME KEY --remove");
  }
  const std::string& word = call.words[2];
  const auto equals = word.find('=');
  if ((equals == std::string::npos) != call.has("remove") || equals == 0) {
    return make_error(Code::invalid, "invalid label " + word);
  }
  const std::string label = word.substr(0, equals);
  Invocation named = call;
  named.words.resize(2);
  MARGAY_TRY(const auto keys, named_keys(named));
  const Key& key = keys[0];
  const std::string what = std::string(model::info(key.kind).plural) + " " + key.name;
  MARGAY_TRY(const auto connection, connect(call));
  Client client(*connection->store);
  MARGAY_TRY(Json object, client.get(key));
  Json& labels = object["metadata"]["labels"];
  const bool present = labels.is_object() && labels.contains(label);
  if (call.has("remove")) {
    if (!present) {
      return make_error(Code::not_found,
                        "cannot remove label of " + what + ", key " + label + " does not exist");
    }
    labels.erase(label);
  } else {
    const std::string value = word.substr(equals + 1);
    if (present && labels[label] != value && !call.has("overwrite")) {
      return make_error(Code::exists,
                        "failed to update label of " + what + ", key " + label +
                            " is already present. please use '--overwrite' to set a new value");
    }
    labels[label] = value;
  }
  MARGAY_CHECK(client.replace(key, object));
  std::cout << "Successfully "
            << (call.has("remove") ? "removed label " + label + " from "
                                   : (present ? "updated label " : "set label ") + label + " on ")
            << what << "\n";
  return {};
}

}  // namespace margay::ctl
