// SPDX-License-Identifier: Apache-2.0
#include "agent/core.h"

#include "agent/passwords.h"
#include "agent/show.h"
#include "agent/version.h"
#include "base/log.h"
#include "base/memory.h"

namespace margay::agent {
namespace {

constexpr std::chrono::seconds kTrimDelay{2};
constexpr std::chrono::seconds kPasswordInterval{10};
// Of large new sets, per flush: a few milliseconds, here and in the policy plane.
constexpr std::size_t kNewMembers = 5'000;
constexpr std::string_view kInvalidHelp =
    "Objects that are not in effect as they are stored, by what is instead: their last valid "
    "version, none, or the rest of them.";

calc::Options calc_options(const config::Config& config, const std::string& node) {
  calc::Options out;
  out.node = node;
  out.allow_source_spoofing = config.text("WorkloadSourceSpoofing") == "Any";
  out.floating_ips = config.boolean("FloatingIPs");
  out.route_source = config.text("RouteSource") == "WorkloadIPs" ? calc::RouteSource::workload_ips
                                                                 : calc::RouteSource::calico_ipam;
  if (!config.text("IpInIpEnabled").empty()) out.ipip_enabled = config.boolean("IpInIpEnabled");
  return out;
}

sync::TyphaConfig typha_config(const config::Config& config, const std::string& node) {
  sync::TyphaConfig out;
  out.address = config.text("TyphaAddr");
  out.node_name = node;
  out.version = kVersion;
  out.ca_file = config.text("TyphaCAFile");
  out.cert_file = config.text("TyphaCertFile");
  out.key_file = config.text("TyphaKeyFile");
  out.server_cn = config.text("TyphaCN");
  out.server_uri_san = config.text("TyphaURISAN");
  out.read_timeout =
      std::chrono::duration_cast<Clock::duration>(config.seconds("TyphaReadTimeout"));
  return out;
}

bgp::IntentOptions intent_options(const config::Config& config, const Options& options,
                                  const std::string& node) {
  bgp::IntentOptions out;
  out.node = node;
  out.router_id = options.router_id;
  out.secrets_namespace = options.secrets_namespace;
  out.felix_program_cluster_routes = config.text("ProgramClusterRoutes");
  out.endpoint_node = options.k8s_node_ref;
  out.cluster_ips = options.cluster_ips;
  out.log_level = options.bgp_log_level;
  out.felix_priority_v4 = config.number("IPv4NormalRoutePriority");
  out.felix_priority_v6 = config.number("IPv6NormalRoutePriority");
  out.password_directory = options.password_directory;
  out.reflector_only = !options.dataplane;
  return out;
}

void log_problems(const config::Config& config) {
  for (const config::Problem& p : config.problems()) {
    log::warn(p.refused ? "config_parameter_refused" : "config_parameter_invalid",
              kv("problem", p.message));
  }
}

void log_waiting(const config::Config& config) {
  for (const config::Waiting& w : config.waiting()) {
    log::warn("config_restart_needed", kv("parameter", w.name), kv("in_force", config.text(w.name)),
              kv("configured", w.configured));
  }
}

}  // namespace

Core::Core(EventLoop& loop, Options options, Outputs outputs, health::Health& health,
           metrics::Registry& registry, datastore::Store* store)
    : loop_(loop),
      options_(std::move(options)),
      outputs_(std::move(outputs)),
      health_(health),
      store_(store),
      config_(options_.layers.resolve()),
      node_(node_name(options_, config_)),
      resources_(node_),
      graph_(calc_options(config_, node_)),
      intent_(intent_options(config_, options_, node_)),
      border_({graph_, intent_, resources_}, node_),
      updates_(registry.counter("margay_sync_updates_total", "Updates received from the source.")),
      unknown_keys_(registry.counter("margay_sync_unknown_keys_total",
                                     "Updates whose key is of no known kind.")),
      flush_seconds_(registry.histogram("margay_calc_flush_seconds",
                                        "Time from a burst of updates to its changes.",
                                        {0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1})),
      connected_(registry.gauge("margay_sync_connected", "1 while connected to the source.")),
      kept_(registry.gauge("margay_resources_invalid", kInvalidHelp, {{"in_force", "last_valid"}})),
      never_valid_(
          registry.gauge("margay_resources_invalid", kInvalidHelp, {{"in_force", "none"}})),
      partly_(registry.gauge("margay_resources_invalid", kInvalidHelp, {{"in_force", "rest"}})),
      waiting_(registry.gauge("margay_config_waiting_for_restart",
                              "Parameters that were changed and need a restart.")),
      stale_(registry.gauge("margay_sync_stale_seconds",
                            "How long ago the view was last known to be the newest; 0: it is.")),
      pulse_(loop, health, kCalc, [this] { report_age(); }) {
  health_.add(kSync);
  health_.add(kConfig);
  log_problems(config_);
  report_config();
  if (outputs_.speaker) read_passwords();
}

Result<void> Core::start() {
  sync::Callbacks callbacks{[this](std::vector<sync::Update>&& u) { on_updates(std::move(u)); },
                            [this] { on_in_sync(); },
                            [this](const sync::Status& s) { on_status(s); }};
  if (!options_.resources_file.empty()) {
    MARGAY_TRY(source_,
               sync::make_file_source(loop_, options_.resources_file, std::move(callbacks)));
    health_.report(kSync, false, "reading " + options_.resources_file);
    return {};
  }
  if (store_ != nullptr) {
    source_ = sync::make_store_source(loop_, *store_, std::string(model::kRootPrefix),
                                      std::move(callbacks));
    health_.report(kSync, false, "reading the datastore");
    return {};
  }
  if (config_.text("TyphaAddr").empty()) {
    return make_error(Code::invalid,
                      "no source of resources: set FELIX_TYPHAADDR to Typha's host:port, or give "
                      "--datastore sqlite:///PATH on a single host, or --resources FILE");
  }
  MARGAY_TRY(source_,
             sync::make_typha_source(loop_, typha_config(config_, node_), std::move(callbacks)));
  health_.report(kSync, false, "connecting to " + config_.text("TyphaAddr"));
  return {};
}

void Core::on_updates(std::vector<sync::Update>&& updates) {
  updates_.add(updates.size());
  for (sync::Update& u : updates) {
    if (in_sync_) oldest_ = std::min(oldest_.value_or(u.since), u.since);
    on_update(std::move(u));
  }
  if (in_sync_) schedule_flush();
}

void Core::on_update(sync::Update&& update) {
  const auto key = model::parse_key(update.key);
  if (!key.ok()) return unknown_keys_.add();
  if (const auto invalid = border_.take(*key, update)) {
    log::warn("resource_invalid", kv("object", model::describe(*key)),
              kv("effect", to_string(invalid->effect)), kv("error", invalid->reason));
  }
  resources_changed_ |= border_.take_configuration_changed();
}

void Core::on_in_sync() {
  const bool first = !in_sync_;
  in_sync_ = true;
  if (first) {
    log::info("in_sync", kv("node", node_), kv("updates", updates_.value()));
    memory::give_back_code();  // what connecting took, before the first calculation takes its own
  }
  border_.set_in_sync();
  graph_.set_in_sync();
  intent_.set_in_sync();
  schedule_flush();
  on_status(source_->status());
}

void Core::on_status(const sync::Status& status) {
  connected_.set(status.connected ? 1 : 0);
  health_.report(kSync, in_sync_, sync_detail(status, in_sync_, loop_.now()));
  report_age();
}

void Core::report_age() {
  const auto& since = source_ ? source_->status().stale_since : std::nullopt;
  stale_.set(since ? std::chrono::duration<double>(loop_.now() - *since).count() : 0);
}

// Posted, not called: updates that wait in the loop already are taken into the same flush.
void Core::schedule_flush() {
  if (std::exchange(flush_scheduled_, true)) return;
  loop_.post([this] { flush(); });
}

void Core::flush() {
  flush_scheduled_ = false;
  const auto begin = loop_.now();
  if (std::exchange(resources_changed_, false)) resolve_config();
  const auto oldest = std::exchange(oldest_, std::nullopt);
  if (graph_.pending()) {
    model::Batch batch = graph_.flush(kNewMembers);
    batch.since = oldest;
    outputs_.batch(std::move(batch));
    if (graph_.pending()) schedule_flush();  // behind what else waits in the loop
  }
  if (outputs_.speaker) {
    if (auto speaker = intent_.compute()) outputs_.speaker(*speaker);
  }
  report_calc();
  // The first view's transient memory goes back once the dataplanes have it.
  if (std::exchange(trim_pending_, false)) {
    trim_ = loop_.after(kTrimDelay, [] {
      memory::give_back_heap();
      memory::give_back_code();
    });
  }
  flush_seconds_.observe(std::chrono::duration<double>(loop_.now() - begin).count());
}

void Core::resolve_config() {
  resources_.apply_to(options_.layers);
  config::Config resolved = options_.layers.resolve();
  resolved.hold(config_);
  if (resolved == config_) return;
  if (resolved.problems() != config_.problems()) log_problems(resolved);
  if (resolved.waiting() != config_.waiting()) log_waiting(resolved);
  config_ = std::move(resolved);
  graph_.configure(calc_options(config_, node_));
  intent_.configure(intent_options(config_, options_, node_));
  configure_source();
  outputs_.config(config_);
  log::info("config_changed");
  report_config();
}

// Another Typha, or another way to it: what was received stays, what was missed is asked for.
void Core::configure_source() {
  const auto r = source_->configure(typha_config(config_, node_));
  if (!r.ok()) log::warn("sync_config_invalid", kv("error", r.error()));
}

void Core::report_config() {
  waiting_.set(static_cast<double>(config_.waiting().size()));
  std::string detail;
  for (const config::Waiting& w : config_.waiting()) {
    detail += (detail.empty() ? "restart needed: " : ", ") + w.name + " '" + config_.text(w.name) +
              "' becomes '" + w.configured + "'";
  }
  health_.report(kConfig, true, std::move(detail));
}

void Core::reload_file() {
  read_passwords();
  if (const auto r = source_->reload(); !r.ok()) {
    log::warn("resources_file_invalid", kv("error", r.error()));
  }
  if (const auto r = agent::reload_file(options_); !r.ok()) {
    log::warn("config_file_invalid", kv("error", r.error()));
    return;
  }
  resources_changed_ = true;
  schedule_flush();
}

// Nothing tells of their changes on every file system, so they are looked at now and then.
void Core::read_passwords() {
  intent_.set_passwords(agent::read_passwords(options_.password_directory));
  if (in_sync_) schedule_flush();
  passwords_ = loop_.after(kPasswordInterval, [this] { read_passwords(); });
}

void Core::offer(local_api::LocalApi& api) {
  api.add(kConfig, [this](const local_api::Answer& a) { a(show_config(config_)); });
  api.add(kCalc, [this](const local_api::Answer& a) {
    a(show_calc(graph_.counts(), border_, intent_.problems(), graph_.pending()));
  });
  api.add(kSync,
          [this](const local_api::Answer& a) { a(show_sync(source_->status(), loop_.now())); });
}

void Core::report_calc() {
  kept_.set(static_cast<double>(border_.kept()));
  never_valid_.set(static_cast<double>(border_.never_valid()));
  partly_.set(static_cast<double>(border_.partly()));
  std::string detail = border_.summary();
  if (const auto& problems = intent_.problems(); !problems.empty()) {
    detail += (detail.empty() ? "" : "; ") + std::to_string(problems.size()) +
              " problems of BGP resources, first " + problems.front().object + ": " +
              problems.front().text;
  }
  health_.report(kCalc, in_sync_, std::move(detail));
}

}  // namespace margay::agent
