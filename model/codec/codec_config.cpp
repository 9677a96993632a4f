// SPDX-License-Identifier: Apache-2.0
// Tables of configuration and status kinds. FelixConfiguration's parameters become text, in the
// form the environment gives them, so that agent/config has one parser for every source.
#include "model/codec/codec_impl.h"

namespace margay::model::codec {

constexpr auto fields(Tag<ClusterInformationSpec>) {
  using T = ClusterInformationSpec;
  return std::tuple{
      field("clusterGUID", &T::cluster_guid),     field("clusterType", &T::cluster_type),
      field("calicoVersion", &T::calico_version), field("datastoreReady", &T::datastore_ready),
      known("variant", JsonType::string),
  };
}

// --- FelixConfiguration ----------------------------------------------------------------------

namespace {

constexpr Known kFelixFields[] = {
#include "model/codec/felix_fields.inc"
};
static_assert(std::is_sorted(std::begin(kFelixFields), std::end(kFelixFields),
                             [](const Known& a, const Known& b) { return a.name < b.name; }));

const Known* find_felix_field(std::string_view name) {
  const auto* it = std::lower_bound(std::begin(kFelixFields), std::end(kFelixFields), name,
                                    [](const Known& f, std::string_view n) { return f.name < n; });
  return it != std::end(kFelixFields) && it->name == name ? it : nullptr;
}

std::string scalar_text(Element e) {
  std::string_view text;
  if (e.get(text) == simdjson::SUCCESS) return std::string(text);
  return e.is_null() ? std::string() : simdjson::minify(e);
}

std::string member(Element object, std::string_view name) {
  Element e;
  return object[name].get(e) == simdjson::SUCCESS ? scalar_text(e) : std::string();
}

std::string lowered(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

// {protocol, port, net}: "tcp:[10.0.0.0/8]:22" ; {min, max}: "1-250"; {name, timeout}: "calc=90s".
std::string object_text(Element e) {
  std::string out;
  if (const auto port = member(e, "port"); !port.empty()) {
    const auto protocol = lowered(member(e, "protocol"));
    const auto net = member(e, "net");
    if (!protocol.empty() || !net.empty()) out = (protocol.empty() ? "tcp" : protocol) + ":";
    if (!net.empty()) out += "[" + net + "]:";
    return out + port;
  }
  if (const auto min = member(e, "min"); !min.empty()) return min + "-" + member(e, "max");
  if (const auto timeout = member(e, "timeout"); !timeout.empty()) {
    return member(e, "name") + "=" + timeout;
  }
  simdjson::dom::object object;
  if (e.get(object) != simdjson::SUCCESS) return out;
  for (const auto [key, value] : object) {
    if (!out.empty()) out += ',';
    out.append(key).append("=").append(scalar_text(value));
  }
  return out;
}

std::string parameter_text(std::string_view name, Element e) {
  if (e.is_object()) return object_text(e);
  simdjson::dom::array items;
  if (e.get(items) != simdjson::SUCCESS) return scalar_text(e);
  std::string out;
  for (const Element item : items) {
    if (!out.empty()) out += ',';
    out += item.is_object() ? object_text(item) : scalar_text(item);
  }
  // An empty list of failsafe ports means none at all, not the default ones.
  return out.empty() && name.starts_with("failsafe") ? "none" : out;
}

bool read_felix(Context& ctx, const Path& path, Element e, FelixConfiguration& out) {
  simdjson::dom::object object;
  if (e.get(object) != simdjson::SUCCESS) return ctx.fail(path, e, "must be an object");
  bool good = true;
  for (const auto [key, value] : object) {
    const Path at{&path, key};
    if (value.is_null()) continue;
    if (key == "nodeSelector") {
      good &= read(ctx, at, value, out.node_selector) &&
              (!ctx.strict() || obeys(ctx, at, value, SelectorText{}));
      if (!good && !ctx.strict()) return false;
      continue;
    }
    if (ctx.strict()) {
      const Known* field = find_felix_field(key);
      good &= field == nullptr ? ctx.unknown(at) : check_type(ctx, at, value, field->type);
    }
    out.parameters[std::string(key)] = parameter_text(key, value);
  }
  return good;
}

void write_felix(std::string& out, const FelixConfiguration& v) {
  out += '{';
  if (!v.node_selector.empty()) {
    write_name(out, "nodeSelector");
    write(out, v.node_selector);
  }
  for (const auto& [name, text] : v.parameters) {
    write_name(out, name);
    const Known* field = find_felix_field(name);
    const bool plain = field != nullptr && !text.empty() &&
                       (field->type == JsonType::boolean || field->type == JsonType::number);
    if (plain && (text == "true" || text == "false" ||
                  text.find_first_not_of("0123456789") == std::string::npos)) {
      out += text;
    } else {
      write(out, text);
    }
  }
  out += '}';
}

}  // namespace

constexpr auto fields(Tag<FelixConfiguration>) {
  return std::tuple{kKindName, kApiVersion,
                    field("metadata", &FelixConfiguration::metadata, Required{}),
                    custom("spec", &read_felix, &write_felix), kStatus};
}

// --- controllers -----------------------------------------------------------------------------

constexpr auto fields(Tag<CalicoNodeStatusSpec>) {
  using T = CalicoNodeStatusSpec;
  return std::tuple{
      field("node", &T::node, Required{}, Name{}),
      field("classes", &T::classes, one_of("Agent", "BGP", "Routes"), Unique{}),
      field("updatePeriodSeconds", &T::update_period_seconds, Range{0, 86400}),
  };
}
constexpr auto fields(Tag<HostEndpointTemplate>) {
  using T = HostEndpointTemplate;
  return std::tuple{
      field("generateName", &T::generate_name, Required{}),
      field("interfaceCIDRs", &T::interface_cidrs, CidrText{}),
      field("interfacePattern", &T::interface_pattern),
      field("labels", &T::labels),
      field("annotations", &T::annotations),
      field("nodeSelector", &T::node_selector, SelectorText{}),
  };
}
constexpr auto kOnOff = one_of("Enabled", "Disabled");
constexpr auto fields(Tag<AutoHostEndpoint>) {
  using T = AutoHostEndpoint;
  return std::tuple{field("autoCreate", &T::auto_create, kOnOff),
                    field("createDefaultHostEndpoint", &T::create_default_host_endpoint, kOnOff),
                    field("templates", &T::templates)};
}
constexpr auto fields(Tag<NodeController>) {
  using T = NodeController;
  return std::tuple{
      field("reconcilerPeriod", &T::reconciler_period, DurationText{}),
      field("syncLabels", &T::sync_labels, kOnOff),
      field("hostEndpoint", &T::host_endpoint),
      field("leakGracePeriod", &T::leak_grace_period, DurationText{}),
  };
}
constexpr auto fields(Tag<ReconcilingController>) {
  return std::tuple{
      field("reconcilerPeriod", &ReconcilingController::reconciler_period, DurationText{})};
}
constexpr auto fields(Tag<LoadBalancerController>) {
  return std::tuple{field("assignIPs", &LoadBalancerController::assign_ips,
                          one_of("AllServices", "RequestedServicesOnly"))};
}
constexpr auto fields(Tag<MigrationController>) {
  return std::tuple{
      field("policyNameMigrator", &MigrationController::policy_name_migrator, kOnOff)};
}
constexpr auto fields(Tag<Controllers>) {
  using T = Controllers;
  return std::tuple{
      field("node", &T::node),
      field("policy", &T::policy),
      field("workloadEndpoint", &T::workload_endpoint),
      field("serviceAccount", &T::service_account),
      field("namespace", &T::name_space),
      field("loadBalancer", &T::load_balancer),
      field("migration", &T::migration),
  };
}
constexpr auto fields(Tag<KubeControllersSpec>) {
  using T = KubeControllersSpec;
  return std::tuple{
      field("logSeverityScreen", &T::log_severity_screen),
      field("healthChecks", &T::health_checks, kOnOff),
      field("etcdV3CompactionPeriod", &T::etcd_v3_compaction_period, DurationText{}),
      field("prometheusMetricsPort", &T::prometheus_metrics_port, Range{0, 65535}),
      field("controllers", &T::controllers, Always{}),
      field("debugProfilePort", &T::debug_profile_port, Range{0, 65535}),
  };
}

template struct KindCodec<ClusterInformation>;
template struct KindCodec<FelixConfiguration>;
template struct KindCodec<CalicoNodeStatus>;
template struct KindCodec<KubeControllersConfiguration>;

}  // namespace margay::model::codec
