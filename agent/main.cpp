// SPDX-License-Identifier: Apache-2.0
// margay-agent: the composition root. Builds every part, tells each what it needs of the others,
// and runs the core loop until a signal. Forwarding stays as it is when the process ends.
#include <csignal>
#include <cstdio>
#include <future>
#include <mutex>

#include "agent/core.h"
#include "agent/derive.h"
#include "agent/limits.h"
#include "agent/local_api/local_api.h"
#include "agent/options.h"
#include "agent/show.h"
#include "agent/subsystems.h"
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
  Watchdog(EventLoop& loop, health::Health& health) : loop_(loop), health_(health) {
    interval_ = service_manager::watchdog_interval();
    if (interval_) beat();
  }

 private:
  void beat() {
    health_.look(loop_.now(), Clock::duration::zero());
    if (health_.liveness(loop_.now()).good) service_manager::notify("WATCHDOG=1");
    timer_ = loop_.after(*interval_, [this] { beat(); });
  }
  EventLoop& loop_;
  health::Health& health_;
  std::optional<std::chrono::microseconds> interval_;
  EventLoop::Timer timer_;
};

// The datastore of a single host: its file, and its socket for margayctl.
struct SingleHost {
  std::unique_ptr<datastore::SqliteStore> store;
  std::unique_ptr<datastore::StoreServer> server;
};

// Readiness does not suffer: what was in force stays, and is still read.
void report_store(health::Health& health, metrics::Gauge& gauge, Clock::time_point now,
                  const std::optional<datastore::StoreFailing>& failing) {
  gauge.set(failing ? 1 : 0);
  health.report("datastore", true, store_detail(failing, now));
}

Result<SingleHost> open_single_host(AsioLoop& loop, const Options& options, health::Health& health,
                                    metrics::Registry& registry) {
  SingleHost out;
  if (options.datastore.empty()) return out;
  auto& gauge = registry.gauge("margay_store_failing", "1 while the store cannot be written.");
  datastore::SqliteOptions sqlite{options.datastore, "margay-agent"};
  sqlite.on_failing = [&loop, &health, &gauge](const auto& failing) {
    report_store(health, gauge, loop.now(), failing);
  };
  MARGAY_TRY(out.store, datastore::SqliteStore::open(loop, std::move(sqlite)));
  MARGAY_TRY(out.server, datastore::StoreServer::start(loop, *out.store, options.store_socket));
  health.add("datastore");
  report_store(health, gauge, loop.now(), {});
  return out;
}

int fail_with(std::string_view event, const Error& error) {
  log::error(event, kv("error", error));
  return error.code == Code::invalid ? kUsageError : 1;
}

int run(Options options) {
  const config::Config config = options.layers.resolve();
  const std::string socket_path = options.socket_path;
  const bool speaks_bgp = options.backend == Backend::bird;
  log::set_level(log_level(config));
  log::info("starting", kv("version", kVersion), kv("node", node_name(options, config)),
            kv("bgp", speaks_bgp));

  std::promise<int> ended;  // the exit status
  const auto end = [&ended, once = std::make_shared<std::once_flag>()](int status) {
    std::call_once(*once, [&] { ended.set_value(status); });
  };
  Subsystems subsystems(config, {speaks_bgp, options.dataplane}, [end] { end(1); });
  AsioLoop loop("core");
  auto single_host = open_single_host(loop, options, subsystems.health(), subsystems.registry());
  if (!single_host.ok()) return fail_with("datastore_failed", single_host.error());
  Core core(loop, std::move(options), subsystems.outputs(), subsystems.health(),
            subsystems.registry(), single_host->store.get());

  local_api::LocalApi api(loop);
  subsystems.offer(api);
  core.offer(api);
  if (auto* store = single_host->store.get(); store != nullptr) {
    api.add("datastore", [store, &loop](const local_api::Answer& a) {
      a(show_store(store->stats(), loop.now()));
    });
  }
  if (const auto r = api.listen(socket_path); !r.ok())
    return fail_with("local_api_failed", r.error());
  if (const auto r = core.start(); !r.ok()) return fail_with("start_failed", r.error());

  const auto signals = loop.on_signals({SIGTERM, SIGINT, SIGHUP}, [&](int signal) {
    if (signal == SIGHUP) return core.reload_file();
    log::info("stopping", kv("signal", signal));
    end(0);
  });
  const Watchdog watchdog(loop, subsystems.health());
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
  margay::transport::adopt_grpc();
  return margay::agent::main(argc, argv, environment);
}
