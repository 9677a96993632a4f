// SPDX-License-Identifier: Apache-2.0
// What Calico fills in when a resource is written (spec datastores.md 2).
#include <openssl/rand.h>

#include <array>

#include "base/ip.h"
#include "base/wall_clock.h"
#include "model/document.h"
#include "model/text/dom.h"

namespace margay::model {
namespace {

using text::Dom;

void fill(Dom& object, const char* name, Dom v) {
  if (!object.contains(name) || object[name].is_null()) object[name] = std::move(v);
}
// Texts also when they are empty.
void fill_text(Dom& object, const char* name, const std::string& v) {
  fill(object, name, v);
  if (object[name].is_string() && object[name].get_ref<const std::string&>().empty()) {
    object[name] = v;
  }
}

Dom& child(Dom& object, const char* name) {
  fill(object, name, Dom::object());
  return object[name];
}

std::string text_of(const Dom& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

void set_label(Dom& metadata, const char* name, const std::string& v) {
  Dom& labels = child(metadata, "labels");
  if (labels.is_object()) labels[name] = v;
}

bool has_rules(const Dom& spec, const char* direction) {
  const auto it = spec.find(direction);
  return it != spec.end() && it->is_array() && !it->empty();
}

void fill_policy(const Key& key, Dom& metadata, Dom& spec, bool staged) {
  if (staged) fill_text(spec, "stagedAction", "Set");
  fill_text(spec, "tier", "default");
  set_label(metadata, "projectcalico.org/tier", text_of(spec, "tier"));
  // The name that the policy goes by, which readers of the Kubernetes datastore look for.
  Dom& annotations = child(metadata, "annotations");
  if (annotations.is_object()) {
    annotations["projectcalico.org/metadata"] = text::compact(Dom{{"name", key.name}});
  }
  const bool given = spec.contains("types") && spec["types"].is_array() && !spec["types"].empty();
  if (given) return;
  Dom types = Dom::array();
  if (has_rules(spec, "ingress") || !has_rules(spec, "egress")) types.push_back("Ingress");
  if (has_rules(spec, "egress")) types.push_back("Egress");
  spec["types"] = std::move(types);
}

void fill_pool(Dom& spec) {
  fill_text(spec, "vxlanMode", "Never");
  fill_text(spec, "ipipMode", "Never");
  const bool v6 = text_of(spec, "cidr").find(':') != std::string::npos;
  fill(spec, "blockSize", v6 ? 122 : 26);
  if (spec["blockSize"] == 0) spec["blockSize"] = v6 ? 122 : 26;
  fill_text(spec, "nodeSelector", "all()");
  fill(spec, "allowedUses", Dom::array({"Workload", "Tunnel"}));
  if (spec["allowedUses"].empty()) spec["allowedUses"] = Dom::array({"Workload", "Tunnel"});
  fill_text(spec, "assignmentMode", "Automatic");
}

void fill_felix(Dom& spec) {
  fill_text(spec, "nftablesMode", "Auto");
  fill_text(spec, "nftablesFlowTableOffload", "Disabled");
  fill(spec, "bpfLogLevel", "");
  fill_text(spec, "bpfConnectTimeLoadBalancing", "TCP");
  fill_text(spec, "bpfHostNetworkedNATWithoutCTLB", "Enabled");
  fill_text(spec, "floatingIPs", "Disabled");
}

void fill_workload(const Key& key, Dom& metadata, Dom& spec) {
  set_label(metadata, "projectcalico.org/namespace", key.ns);
  set_label(metadata, "projectcalico.org/orchestrator", text_of(spec, "orchestrator"));
  const std::string account = text_of(spec, "serviceAccountName");
  if (!account.empty() && account.size() < 63) {
    set_label(metadata, "projectcalico.org/serviceaccount", account);
  }
}

void fill_spec(const Key& key, Dom& metadata, Dom& spec) {
  if (key.kind == Kind::network_policy || key.kind == Kind::global_network_policy) {
    fill_policy(key, metadata, spec, false);
  } else if (key.kind == Kind::staged_network_policy ||
             key.kind == Kind::staged_global_network_policy) {
    fill_policy(key, metadata, spec, true);
  } else if (key.kind == Kind::staged_kubernetes_network_policy) {
    fill_text(spec, "stagedAction", "Set");
  } else if (key.kind == Kind::ip_pool) {
    fill_pool(spec);
  } else if (key.kind == Kind::bgp_configuration) {
    fill_text(spec, "logSeverityScreen", "Info");
    fill_text(spec, "serviceLoadBalancerAggregation", "Enabled");
  } else if (key.kind == Kind::felix_configuration) {
    fill_felix(spec);
  } else if (key.kind == Kind::tier) {
    fill_text(spec, "defaultAction", "Deny");
  } else if (key.kind == Kind::workload_endpoint) {
    fill_workload(key, metadata, spec);
  }
}

// A member that is null is one that is absent; Go's encoder would not have written it.
void drop_nulls(Dom& v) {
  if (v.is_object()) {
    auto& members = v.get_ref<Dom::object_t&>();
    Dom::object_t kept;
    for (auto& [name, m] : members) {
      if (!m.is_null()) kept.emplace_back(name, std::move(m));
    }
    members = std::move(kept);
  }
  if (v.is_structured()) {
    for (Dom& m : v) drop_nulls(m);
  }
}

Result<Dom> parse_object(std::string_view json, const char* what) {
  MARGAY_TRY(Dom dom, text::parse_json(json));
  if (!dom.is_object() || (dom.contains("metadata") && !dom["metadata"].is_object())) {
    return make_error(Code::invalid, std::string(what) + " is not a resource");
  }
  return dom;
}

}  // namespace

Stamp fresh_stamp() {
  std::array<unsigned char, 16> b{};
  MARGAY_ASSERT(RAND_bytes(b.data(), static_cast<int>(b.size())) == 1);
  b[6] = static_cast<unsigned char>((b[6] & 0x0f) | 0x40);  // version 4
  b[8] = static_cast<unsigned char>((b[8] & 0x3f) | 0x80);  // RFC 4122's variant
  constexpr std::string_view kHex = "0123456789abcdef";
  Stamp stamp;
  for (std::size_t i = 0; i < b.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) stamp.uid += '-';
    stamp.uid += kHex[b[i] >> 4U];
    stamp.uid += kHex[b[i] & 15U];
  }
  stamp.now = wall_clock::utc_now();
  return stamp;
}

Result<std::string> with_defaults(const Key& key, std::string_view json, const Stamp& stamp) {
  MARGAY_TRY(Dom dom, parse_object(json, "the document"));
  if (info(key.kind).api_version.empty()) return text::compact(dom);  // IPAM data has no metadata
  drop_nulls(dom);
  const bool calico = info(key.kind).api_version == "projectcalico.org/v3";
  // Both before a reference to either: an object's members move when it grows.
  child(dom, "metadata");
  if (calico && !child(dom, "spec").is_object()) {
    return make_error(Code::invalid, describe(key) + ": error with field spec (must be an object)");
  }
  Dom& metadata = dom["metadata"];
  fill_text(metadata, "uid", stamp.uid);
  fill_text(metadata, "creationTimestamp", stamp.now);
  if (calico) fill_spec(key, metadata, dom["spec"]);
  return text::compact(dom);
}

Result<std::string> with_identity_of(std::string_view stored, std::string_view json) {
  MARGAY_TRY(const Dom old, parse_object(stored, "the stored object"));
  MARGAY_TRY(Dom dom, parse_object(json, "the document"));
  Dom& metadata = child(dom, "metadata");
  const auto from = old.find("metadata");
  for (const char* name : {"uid", "creationTimestamp"}) {
    if (from != old.end() && from->contains(name)) metadata[name] = (*from)[name];
  }
  return text::compact(dom);
}

Result<std::string> with_resource_version(std::string_view json, Revision revision) {
  MARGAY_TRY(Dom dom, parse_object(json, "the stored object"));
  child(dom, "metadata")["resourceVersion"] = std::to_string(revision.value());
  return text::compact(dom);
}

}  // namespace margay::model
