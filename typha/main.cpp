// SPDX-License-Identifier: Apache-2.0
// margay-typha: builds the parts, runs them, ends them.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <future>
#include <optional>

#include "base/http/http.h"
#include "base/log.h"
#include "base/loop/asio_loop.h"
#include "base/metrics.h"
#include "base/service_manager.h"
#include "datastore/sqlite/sqlite_store.h"
#include "proto/transport.h"
#include "typha/cache.h"
#include "typha/fanout.h"
#include "typha/options.h"
#include "typha/relay.h"
#include "typha/server.h"
#include "typha/upstream.h"

namespace margay::typha {
namespace {

using namespace std::chrono_literals;
constexpr std::size_t kLogBytes = 8U << 20;  // of deltas for clients that are behind or come back

Environment environment() {
  Environment all;
  for (char** e = environ; *e != nullptr; ++e) {
    const std::string_view entry(*e);
    const auto eq = entry.find('=');
    if (eq == std::string_view::npos) continue;
    all.emplace_back(entry.substr(0, eq), entry.substr(eq + 1));
  }
  return all;
}

// Everything on the loop. Made before the loop runs, destroyed after it has ended.
class Typha {
 public:
  Typha(AsioLoop& loop, const Options& options)
      : loop_(loop), fanout_(loop, cache_, metrics_, options.ping_interval) {
    if (const auto interval = service_manager::watchdog_interval()) watch_over(*interval);
  }

  // The store of our own, or the margay-typha whose replica we are.
  Result<void> feed(const Options& o) {
    if (o.upstream.empty()) {
      datastore::SqliteOptions options{o.datastore, "margay-typha"};
      options.restored = o.restored;
      MARGAY_TRY(store_, datastore::SqliteStore::open(loop_, std::move(options)));
      feed_ = std::make_unique<Upstream>(loop_, *store_, cache_, metrics_, [this] { changed(); });
      return {};
    }
    sync::TyphaConfig upstream;
    upstream.address = o.upstream;
    upstream.node_name = "replica of " + o.server.listen;
    upstream.version = MARGAY_VERSION;
    upstream.ca_file = o.server.tls.ca_file;
    upstream.cert_file = o.server.tls.cert_file;
    upstream.key_file = o.server.tls.key_file;
    upstream.server_cn = o.upstream_cn;
    MARGAY_TRY(feed_,
               Relay::make(loop_, std::move(upstream), cache_, metrics_, [this] { changed(); }));
    return {};
  }

  Result<void> serve_http(const Options& o) {
    if (o.health_port != 0) {
      MARGAY_TRY(health_, http::listen_tcp(loop_, o.health_host, o.health_port,
                                           [this](const http::Request& r, http::Respond respond) {
                                             respond(health(r.path));
                                           }));
    }
    if (o.metrics_port != 0) {
      MARGAY_TRY(metrics_server_,
                 http::listen_tcp(loop_, o.metrics_host, o.metrics_port,
                                  [this](const http::Request& r, http::Respond respond) {
                                    respond(metrics(r.path));
                                  }));
    }
    return {};
  }

  datastore::Store* store() { return store_.get(); }
  Fanout& fanout() { return fanout_; }

 private:
  void changed() {
    if (feed_) fanout_.set_lag(feed_->lag());
    fanout_.changed();
    if (!cache_.ready() || std::exchange(told_ready_, true)) return;
    log::info("typha_ready", kv("revision", cache_.revision().value()));
    service_manager::notify("READY=1");
  }

  void watch_over(std::chrono::microseconds interval) {
    service_manager::notify("WATCHDOG=1");
    watchdog_ = loop_.after(interval, [this, interval] { watch_over(interval); });
  }

  http::Response health(const std::string& path) {
    if (path == "/liveness") return {200, "text/plain; charset=utf-8", "live\n"};
    // A view that is not the newest is served all the same: better than none.
    if (path == "/readiness") {
      const bool ready = cache_.ready();
      return {ready ? 200U : 503U, "text/plain; charset=utf-8",
              (ready ? "ready\n" : "not ready\n") + troubles()};
    }
    if (path == "/status") return {200, "text/plain; charset=utf-8", status()};
    return {404, "text/plain; charset=utf-8", "/liveness, /readiness, /status\n"};
  }

  // What is wrong, a line each.
  std::string troubles() {
    std::string text;
    if (const auto lag = feed_->lag()) {
      text += "view: not the newest for " + seconds_since(lag->since) + " s: " + lag->reason + "\n";
    }
    if (!store_) return text;
    if (const auto failing = store_->stats().failing) {
      text += "store: no write possible for " + seconds_since(failing->since) +
              " s: " + failing->error.message() + "; what was in force stays\n";
    }
    return text;
  }
  std::string seconds_since(Clock::time_point then) {
    return std::to_string(
        std::chrono::duration_cast<std::chrono::seconds>(loop_.now() - then).count());
  }

  std::string status() {
    std::string text = "revision " + std::to_string(cache_.revision().value()) + ", " +
                       std::to_string(cache_.bytes()) + " bytes";
    if (store_) {
      const auto s = store_->stats();
      text += ", log from revision " + std::to_string(s.oldest.value()) + ", writes " +
              std::to_string(s.writes) + " in " + std::to_string(s.commits) + " commits";
    }
    text += "\n" + troubles();
    for (const auto& c : fanout_.status()) {
      text += c.node_name + " " + c.version + " " + c.peer + " " + c.stage + " revision " +
              std::to_string(c.revision.value()) + " snapshots " + std::to_string(c.snapshots) +
              " behind " + std::to_string(c.behind) + "\n";
    }
    return text;
  }

  http::Response metrics(const std::string& path) {
    if (path != "/metrics") return {404, "text/plain; charset=utf-8", "/metrics\n"};
    const auto s = store_ ? store_->stats() : datastore::SqliteStats{};
    const auto age = [this](const auto& trouble) {
      return trouble ? std::chrono::duration<double>(loop_.now() - trouble->since).count() : 0.0;
    };
    cache_bytes_.set(static_cast<double>(cache_.bytes()));
    stale_.set(age(feed_->lag()));
    store_writes_.set(static_cast<double>(s.writes));
    store_commits_.set(static_cast<double>(s.commits));
    store_failing_.set(age(s.failing));
    return {200, "text/plain; version=0.0.4; charset=utf-8", metrics_.text()};
  }

  AsioLoop& loop_;
  metrics::Registry metrics_;
  metrics::Gauge& cache_bytes_ =
      metrics_.gauge("margay_typha_cache_bytes", "Encoded keys and values held.");
  metrics::Gauge& store_writes_ =
      metrics_.gauge("margay_store_writes", "Writes acknowledged since the start.");
  metrics::Gauge& store_commits_ =
      metrics_.gauge("margay_store_commits", "Transactions that they took.");
  metrics::Gauge& store_failing_ = metrics_.gauge(
      "margay_store_failing_seconds", "For how long no write has succeeded; 0: the last one did.");
  metrics::Gauge& stale_ = metrics_.gauge(
      "margay_typha_stale_seconds", "For how long the view has not been the newest; 0: it is.");
  std::unique_ptr<datastore::SqliteStore> store_;
  Cache cache_{kLogBytes};
  Fanout fanout_;
  std::unique_ptr<Feed> feed_;
  std::unique_ptr<http::Server> health_;
  std::unique_ptr<http::Server> metrics_server_;
  EventLoop::Timer watchdog_;
  bool told_ready_ = false;
};

// 1: could not start, or lost what it needs. Systemd tries again.
int fail(const Error& error) {
  log::error("typha_failed", kv("error", error));
  return 1;
}

int run(const Options& options) {
  transport::adopt_grpc();
  AsioLoop loop("typha");
  std::promise<int> signalled;
  const auto signals = loop.on_signals({SIGTERM, SIGINT}, [&, done = false](int number) mutable {
    if (!std::exchange(done, true)) signalled.set_value(number);
  });
  Typha typha(loop, options);
  if (auto ok = typha.feed(options); !ok) return fail(ok.error());
  if (auto ok = typha.serve_http(options); !ok) return fail(ok.error());
  auto server = Server::start(loop, typha.store(), typha.fanout(), options.server);
  if (!server) return fail(server.error());
  loop.run_in_thread();
  log::info("typha_listening", kv("address", options.server.listen),
            kv("port", std::to_string(server.value()->port())), kv("tls", !options.server.insecure),
            kv("store", options.upstream.empty() ? options.datastore : options.upstream));
  const int number = signalled.get_future().get();
  log::info("typha_ending", kv("signal", number));
  service_manager::notify("STOPPING=1");
  server.value().reset();
  loop.join();
  return 0;
}

}  // namespace
}  // namespace margay::typha

int main(int argc, char** argv) {
  using namespace margay;
  const auto options = typha::parse_options({argv + 1, argv + argc}, typha::environment());
  if (!options) {
    log::error("typha_options", kv("error", options.error()));
    return 2;
  }
  if (options->show_help) {
    std::fputs(typha::usage().c_str(), stdout);
    return 0;
  }
  if (options->show_version) {
    std::puts("margay-typha " MARGAY_VERSION);
    return 0;
  }
  log::set_level(options->log_level);
  ::signal(SIGPIPE, SIG_IGN);
  return typha::run(*options);
}
