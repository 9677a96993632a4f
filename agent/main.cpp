// SPDX-License-Identifier: Apache-2.0
// margay-agent: the composition root. Builds every part, tells each what it needs of the others,
// and runs the core loop until a signal. Forwarding stays as it is when the process ends.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <future>
#include <map>
#include <mutex>

#include "agent/bgp_thread.h"
#include "agent/core.h"
#include "agent/derive.h"
#include "agent/limits.h"
#include "agent/local_api/local_api.h"
#include "agent/options.h"
#include "agent/policy_thread.h"
#include "agent/route_thread.h"
#include "agent/show.h"
#include "agent/split.h"
#include "agent/version.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/service_manager.h"
#include "datastore/service/store_server.h"
#include "datastore/sqlite/sqlite_store.h"
#include "proto/transport.h"

namespace margay::agent {
namespace {

constexpr int kUsageError = 2;

void set_log_level(const config::Config& config) {
  log::Level level = log::Level::info;
  if (log::parse_level(config.text("LogSeverityScreen"), level)) log::set_level(level);
}

int check_config(const Options& options) {
  const config::Config config = options.layers.resolve();
  for (const config::Parameter& p : config::parameters()) {
    if (p.effect == config::Effect::refused) continue;
    const std::string line = std::string(p.name) + " = " + config.text(p.name) + "  # " +
                             std::string(config::to_string(config.source(p.name)));
    std::puts(line.c_str());
  }
  bool bad = false;
  for (const config::Problem& p : config.problems()) {
    std::fprintf(stderr, "%s: %s\n", p.refused ? "warning" : "error", p.message.c_str());
    bad |= !p.refused;
  }
  return bad ? kUsageError : 0;
}

// Tells the service manager that the process lives, as long as it does.
class Watchdog {
 public:
  Watchdog(EventLoop& loop, const health::Health& health) : loop_(loop), health_(health) {
    interval_ = service_manager::watchdog_interval();
    if (interval_) beat();
  }

 private:
  void beat() {
    if (health_.liveness(loop_.now()).good) service_manager::notify("WATCHDOG=1");
    timer_ = loop_.after(*interval_, [this] { beat(); });
  }
  EventLoop& loop_;
  const health::Health& health_;
  std::optional<std::chrono::microseconds> interval_;
  EventLoop::Timer timer_;
};

// The datastore of a single host: its file, and its socket for margayctl.
struct SingleHost {
  std::unique_ptr<datastore::SqliteStore> store;
  std::unique_ptr<datastore::StoreServer> server;
};

Result<SingleHost> open_single_host(AsioLoop& loop, const Options& options) {
  SingleHost out;
  if (options.datastore.empty()) return out;
  MARGAY_TRY(out.store, datastore::SqliteStore::open(loop, {options.datastore, "margay-agent"}));
  MARGAY_TRY(out.server, datastore::StoreServer::start(loop, *out.store, options.store_socket));
  return out;
}

int fail_with(std::string_view event, const Error& error) {
  log::error(event, kv("error", error));
  return error.code == Code::invalid ? kUsageError : 1;
}

// Tells the policy thread of every link that is no workload's; called on the route thread.
auto interfaces_to(PolicyThread& policy, std::vector<std::string> workload_prefixes) {
  return [&policy, prefixes = std::move(workload_prefixes),
          known = std::map<std::string, std::vector<Ip>>()](
             const dataplane::InterfaceState& link) mutable {
    const bool workload = std::any_of(prefixes.begin(), prefixes.end(), [&](const std::string& p) {
      return link.name.starts_with(p);
    });
    if (workload) return;
    std::vector<Ip> addresses;
    for (const InterfaceAddress& a : link.addresses) addresses.push_back(a.addr);
    if (!link.present) {
      known.erase(link.name);
    } else if (const auto it = known.find(link.name);
               it != known.end() && it->second == addresses) {
      return;
    } else {
      known[link.name] = std::move(addresses);
    }
    policy.set_interfaces(known);
  };
}

int run(Options options) {
  const config::Config config = options.layers.resolve();
  set_log_level(config);
  const std::string node = node_name(options, config);
  const std::string socket_path = options.socket_path;
  const bool speaks_bgp = options.backend == Backend::bird;
  log::info("starting", kv("version", kVersion), kv("node", node), kv("bgp", speaks_bgp));

  metrics::Registry registry;
  health::Health health;
  AsioLoop loop("core");

  PolicyThread policy(health, registry, policy_config(config));
  std::unique_ptr<BgpThread> bgp;  // made after `routes`, which it feeds
  std::promise<int> ended;         // the exit status
  const auto end = [&ended, once = std::make_shared<std::once_flag>()](int status) {
    std::call_once(*once, [&] { ended.set_value(status); });
  };
  dataplane::RoutePlaneEvents events;
  events.on_fatal = [end](const std::string& reason) {
    log::error("routes_fatal", kv("reason", reason));
    end(1);
  };
  events.on_interface = interfaces_to(policy, policy_config(config).interface_prefixes);
  RouteThread routes(health, registry, route_config(config, speaks_bgp), std::move(events));
  if (speaks_bgp) bgp = std::make_unique<BgpThread>(health, registry, routes);

  Core::Outputs outputs;
  outputs.batch = [&](model::Batch batch) {
    SplitBatch parts = split(std::move(batch));
    routes.apply(std::move(parts.routes));
    policy.apply(std::move(parts.policy));
  };
  health::Servers servers(health, registry);
  const auto serve = [&](const config::Config& c) {
    const Served s = served(c);
    servers.configure(s.probes, s.metrics);
  };
  serve(config);
  outputs.config = [&](const config::Config& c) {
    set_log_level(c);
    policy.configure(policy_config(c));
    routes.configure(route_config(c, speaks_bgp));
    serve(c);
  };
  outputs.speaker = [&](const bgp::SpeakerConfig& c) {
    if (bgp) bgp->configure(c);
  };
  auto single_host = open_single_host(loop, options);
  if (!single_host.ok()) return fail_with("datastore_failed", single_host.error());
  Core core(loop, std::move(options), std::move(outputs), health, registry,
            single_host->store.get());

  local_api::LocalApi api(loop);
  api.add("policy", [&](local_api::Answer a) { policy.show(std::move(a)); });
  api.add("foreign", [&](local_api::Answer a) { policy.show_foreign(std::move(a)); });
  api.add("routes", [&](local_api::Answer a) { routes.show(std::move(a)); });
  if (bgp) {
    api.add("bgp", [&](local_api::Answer a) { bgp->show_peers(std::move(a)); });
    api.add("bgp-routes", [&](local_api::Answer a) { bgp->show_routes(std::move(a)); });
  }
  api.add("config", [&](const local_api::Answer& a) { a(show_config(core.config())); });
  api.add("calc", [&](const local_api::Answer& a) {
    a(show_calc(core.graph().counts(), core.border(), core.intent().problems()));
  });
  api.add("sync",
          [&](const local_api::Answer& a) { a(show_sync(core.source()->status(), loop.now())); });
  if (const auto r = api.listen(socket_path); !r.ok())
    return fail_with("local_api_failed", r.error());
  if (const auto r = core.start(); !r.ok()) return fail_with("start_failed", r.error());

  const auto signals = loop.on_signals({SIGTERM, SIGINT, SIGHUP}, [&](int signal) {
    if (signal == SIGHUP) return core.reload_file();
    log::info("stopping", kv("signal", signal));
    end(0);
  });
  const Watchdog watchdog(loop, health);
  loop.run_in_thread();
  service_manager::notify("READY=1");
  const int status = ended.get_future().get();
  service_manager::notify("STOPPING=1");
  single_host->server.reset();  // its calls end on the loop, which must still run
  loop.join();
  return status;
}

int main(int argc, const char* const* argv, const char* const* environment) {
  auto options = parse_options(argc, argv, environment);
  if (!options.ok()) {
    std::fprintf(stderr, "margay-agent: %s\n", options.error().message().c_str());
    return kUsageError;
  }
  switch (options->mode) {
    case Mode::run:
      return run(std::move(options).value());
    case Mode::check_config:
      return check_config(*options);
    case Mode::config_reference:
      return std::fputs(config::reference_markdown().c_str(), stdout) < 0;
    case Mode::limits:
      return std::fputs(kLimits, stdout) < 0;
    case Mode::version:
      return std::printf("margay-agent %s\n", kVersion) < 0;
    case Mode::help:
      return std::fputs(usage().c_str(), stdout) < 0;
  }
  return 0;
}

}  // namespace
}  // namespace margay::agent

int main(int argc, char** argv, char** environment) {
  std::signal(SIGPIPE, SIG_IGN);
  margay::memory::share_one_heap();
  margay::transport::adopt_grpc_log();
  return margay::agent::main(argc, argv, environment);
}
