// SPDX-License-Identifier: Apache-2.0
#include "ctl/columns.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace margay::ctl {
namespace {

using model::Kind;
using Value = std::function<std::string(const Json&, const ColumnContext&)>;

const Json* at(const Json& object, std::string_view path) {
  const Json* here = &object;
  while (!path.empty()) {
    const auto dot = path.find('.');
    const std::string key(path.substr(0, dot));
    path = dot == std::string_view::npos ? std::string_view{} : path.substr(dot + 1);
    if (!here->is_object()) return nullptr;
    const auto it = here->find(key);
    if (it == here->end() || it->is_null()) return nullptr;
    here = &*it;
  }
  return here;
}

std::string scalar(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) {
    const double d = value.get<double>();
    if (d == static_cast<double>(static_cast<long long>(d)))
      return std::to_string(static_cast<long long>(d));
  }
  return value.dump();
}

// The scalar at `path`, or `absent`.
Value text(std::string_view path, std::string_view absent = "") {
  return [path, absent](const Json& o, const ColumnContext&) {
    const Json* v = at(o, path);
    return v == nullptr ? std::string(absent) : scalar(*v);
  };
}

// The items of a list of scalars, joined by commas; over `limit` characters cut with "...".
Value list(std::string_view path, std::size_t limit = 0) {
  return [path, limit](const Json& o, const ColumnContext&) {
    std::string out;
    if (const Json* v = at(o, path); v != nullptr && v->is_array()) {
      for (const Json& item : *v) out += (out.empty() ? "" : ",") + scalar(item);
    }
    if (limit != 0 && out.size() > limit) out = out.substr(0, limit - 3) + "...";
    return out;
  };
}

Value count(std::string_view path) {
  return [path](const Json& o, const ColumnContext&) {
    const Json* v = at(o, path);
    return std::to_string(v != nullptr && v->is_array() ? v->size() : 0);
  };
}

std::string peer_node(const Json& o, const ColumnContext&) {
  if (const Json* v = at(o, "spec.node"); v != nullptr && !scalar(*v).empty()) return scalar(*v);
  if (const Json* v = at(o, "spec.nodeSelector"); v != nullptr && !scalar(*v).empty())
    return scalar(*v);
  return "(global)";
}

std::string node_asn(const Json& o, const ColumnContext& context) {
  const Json* v = at(o, "spec.bgp.asNumber");
  return v == nullptr ? "(" + context.default_as_number + ")" : scalar(*v);
}

std::string profile_labels(const Json& o, const ColumnContext&) {
  std::map<std::string, std::string> sorted;
  if (const Json* v = at(o, "spec.labelsToApply"); v != nullptr && v->is_object()) {
    for (const auto& [key, value] : v->items()) sorted[key] = scalar(value);
  }
  std::string out;
  for (const auto& [key, value] : sorted) out += (out.empty() ? "" : ",") + key + "=" + value;
  return out;
}

std::string nats(const Json& o, const ColumnContext&) {
  std::string out;
  if (const Json* v = at(o, "spec.ipNATs"); v != nullptr && v->is_array()) {
    for (const Json& nat : *v) {
      const Json* internal = at(nat, "internalIP");
      const Json* external = at(nat, "externalIP");
      if (internal == nullptr || external == nullptr) continue;
      out += (out.empty() ? "" : ",") + scalar(*internal) + "->" + scalar(*external);
    }
  }
  return out;
}

std::vector<Column> policy_columns() {
  return {{"NAME", Width::both, text("metadata.name")},
          {"TIER", Width::both, text("spec.tier", "default")},
          {"ORDER", Width::wide, text("spec.order", "<nil>")},
          {"SELECTOR", Width::wide, text("spec.selector")}};
}

using Table = std::map<Kind, std::vector<Column>>;

void add_bgp(Table& t) {
  t[Kind::bgp_configuration] = {
      {"NAME", Width::both, text("metadata.name")},
      {"LOGSEVERITY", Width::both, text("spec.logSeverityScreen")},
      {"MESHENABLED", Width::both, text("spec.nodeToNodeMeshEnabled", "-")},
      {"ASNUMBER", Width::both, text("spec.asNumber", "-")}};
  t[Kind::bgp_filter] = {{"NAME", Width::both, text("metadata.name")},
                         {"NUMEXPORTV4", Width::both, count("spec.exportV4")},
                         {"NUMIMPORTV4", Width::both, count("spec.importV4")},
                         {"NUMEXPORTV6", Width::both, count("spec.exportV6")},
                         {"NUMIMPORTV6", Width::both, count("spec.importV6")}};
  t[Kind::bgp_peer] = {{"NAME", Width::both, text("metadata.name")},
                       {"PEERIP", Width::both, text("spec.peerIP")},
                       {"NODE", Width::both, peer_node},
                       {"ASN", Width::both, text("spec.asNumber", "0")}};
  t[Kind::node] = {{"NAME", Width::both, text("metadata.name")},
                   {"ASN", Width::wide, node_asn},
                   {"IPV4", Width::wide, text("spec.bgp.ipv4Address")},
                   {"IPV6", Width::wide, text("spec.bgp.ipv6Address")}};
}

void add_policy(Table& t) {
  for (const Kind kind : {Kind::global_network_policy, Kind::network_policy,
                          Kind::staged_network_policy, Kind::staged_global_network_policy}) {
    t[kind] = policy_columns();
  }
  t[Kind::staged_kubernetes_network_policy] = {
      {"NAME", Width::both, text("metadata.name")},
      {"PODSELECTOR", Width::wide, text("spec.podSelector")}};
  for (const Kind kind : {Kind::global_network_set, Kind::network_set}) {
    t[kind] = {{"NAME", Width::both, text("metadata.name")},
               {"NETS", Width::wide, list("spec.nets", 80)}};
  }
  t[Kind::tier] = {{"NAME", Width::both, text("metadata.name")},
                   {"ORDER", Width::both, text("spec.order", "<nil>")}};
  t[Kind::profile] = {{"NAME", Width::both, text("metadata.name")},
                      {"LABELS", Width::wide, profile_labels}};
  t[Kind::host_endpoint] = {{"NAME", Width::both, text("metadata.name")},
                            {"NODE", Width::both, text("spec.node")},
                            {"INTERFACE", Width::wide, text("spec.interfaceName")},
                            {"IPS", Width::wide, list("spec.expectedIPs")},
                            {"PROFILES", Width::wide, list("spec.profiles")}};
  t[Kind::workload_endpoint] = {{"NAME", Width::wide, text("metadata.name")},
                                {"WORKLOAD", Width::both,
                                 [](const Json& o, const ColumnContext& c) {
                                   const std::string pod = text("spec.pod")(o, c);
                                   return pod.empty() ? text("spec.workload")(o, c) : pod;
                                 }},
                                {"NODE", Width::both, text("spec.node")},
                                {"NETWORKS", Width::both, list("spec.ipNetworks")},
                                {"INTERFACE", Width::both, text("spec.interfaceName")},
                                {"PROFILES", Width::wide, list("spec.profiles")},
                                {"NATS", Width::wide, nats}};
}

void add_addresses(Table& t) {
  t[Kind::ip_pool] = {{"NAME", Width::both, text("metadata.name")},
                      {"CIDR", Width::both, text("spec.cidr")},
                      {"NAT", Width::wide, text("spec.natOutgoing", "false")},
                      {"IPIPMODE", Width::wide, text("spec.ipipMode")},
                      {"VXLANMODE", Width::wide, text("spec.vxlanMode")},
                      {"DISABLED", Width::wide, text("spec.disabled", "false")},
                      {"DISABLEBGPEXPORT", Width::wide, text("spec.disableBGPExport", "false")},
                      {"SELECTOR", Width::both, text("spec.nodeSelector")},
                      {"ASSIGNMENTMODE", Width::wide, text("spec.assignmentMode")}};
  t[Kind::ip_reservation] = {{"NAME", Width::both, text("metadata.name")},
                             {"CIDRS", Width::wide, list("spec.reservedCIDRs")}};
  t[Kind::ipam_configuration] = {
      {"NAME", Width::both, text("metadata.name")},
      {"STRICTAFFINITY", Width::both, text("spec.strictAffinity", "false")},
      {"AUTOALLOCATEBLOCKS", Width::both, text("spec.autoAllocateBlocks", "true")},
      {"MAXBLOCKSPERHOST", Width::wide, text("spec.maxBlocksPerHost", "0")}};
  t[Kind::cluster_information] = {{"NAME", Width::both, text("metadata.name")},
                                  {"CLUSTERGUID", Width::both, text("spec.clusterGUID")},
                                  {"CLUSTERTYPE", Width::both, text("spec.clusterType")},
                                  {"CALICOVERSION", Width::both, text("spec.calicoVersion")},
                                  {"DATASTOREREADY", Width::both, text("spec.datastoreReady")}};
  t[Kind::calico_node_status] = {{"NAME", Width::both, text("metadata.name")},
                                 {"NODE", Width::both, text("spec.node")},
                                 {"CLASSES", Width::wide, list("spec.classes")}};
}

}  // namespace

const std::vector<Column>& columns(Kind kind) {
  static const Table table = [] {
    Table t;
    add_bgp(t);
    add_policy(t);
    add_addresses(t);
    return t;
  }();
  static const std::vector<Column> name_only{{"NAME", Width::both, text("metadata.name")}};
  const auto it = table.find(kind);
  return it == table.end() ? name_only : it->second;
}

}  // namespace margay::ctl
