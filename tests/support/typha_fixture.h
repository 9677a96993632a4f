// SPDX-License-Identifier: Apache-2.0
// A whole typha inside the test's process: SQLite, cache, fan-out and gRPC server on a loop with a
// thread of its own, on a loopback port that the kernel chose. Can be stopped and started again on
// the same file and port.
#pragma once

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/loop/asio_loop.h"
#include "base/metrics.h"
#include "datastore/sqlite/sqlite_store.h"
#include "typha/cache.h"
#include "typha/fanout.h"
#include "typha/server.h"
#include "typha/upstream.h"

namespace margay {

class TyphaFixture {
 public:
  struct Config {
    std::string store_path{};
    std::uint64_t keep_changes = 10'000;
    std::size_t log_bytes = 8U << 20;
    Clock::duration heartbeat = std::chrono::seconds(5);
    transport::TlsFiles tls{};
    std::string store_socket{};
    std::string listen = "127.0.0.1:0";
    std::vector<std::string> writers{};
  };
  explicit TyphaFixture(Config config) : config_(std::move(config)) { start(); }
  ~TyphaFixture() { stop(); }
  TyphaFixture(const TyphaFixture&) = delete;
  TyphaFixture& operator=(const TyphaFixture&) = delete;

  void start() {
    parts_ = std::make_unique<Parts>(config_);
    parts_->loop.run_in_thread();
    typha::ServerOptions options;
    options.listen = config_.listen;
    options.tls = config_.tls;
    options.insecure = !config_.tls.enabled();
    options.store_socket = config_.store_socket;
    options.writers = config_.writers;
    auto server = typha::Server::start(parts_->loop, parts_->store.get(), *parts_->fanout, options);
    MARGAY_ASSERT(server.ok());
    server_ = std::move(*server);
    if (config_.listen.ends_with(":0")) {
      config_.listen = "127.0.0.1:" + std::to_string(server_->port());
    }
  }
  void stop() {
    server_.reset();
    if (parts_) parts_->loop.join();
    parts_.reset();
  }
  [[nodiscard]] const std::string& address() const { return config_.listen; }
  Config& config() { return config_; }

  // Runs f(store) on typha's loop and gives its result.
  template <typename F>
  auto with_store(F f) {
    return on_loop([this, &f] { return f(*parts_->store); });
  }
  template <typename F>
  auto on_loop(F f) {
    std::promise<decltype(f())> result;
    parts_->loop.post([&] { result.set_value(f()); });
    return result.get_future().get();
  }
  Revision put(const std::string& key, const std::string& value) {
    return with_store([&](datastore::Store& s) { return *s.put(key, value); });
  }
  Revision remove(const std::string& key) {
    return with_store([&](datastore::Store& s) { return *s.remove(key, Revision(0)); });
  }
  // Many keys at once: key(i) = value for 0 <= i < n.
  void fill(const std::string& prefix, int n, const std::string& value) {
    std::promise<void> done;
    std::vector<datastore::Write> writes;
    for (int i = 0; i < n; ++i) {
      writes.push_back({datastore::Write::Kind::put, prefix + std::to_string(i), value, {}});
    }
    parts_->loop.post(
        [&] { parts_->store->submit(std::move(writes), [&](const auto&) { done.set_value(); }); });
    done.get_future().wait();
  }
  [[nodiscard]] double gauge(const char* name) { return parts_->metrics.gauge(name, "").value(); }
  [[nodiscard]] std::uint64_t counter(const char* name) {
    return parts_->metrics.counter(name, "").value();
  }

 private:
  struct Parts {
    explicit Parts(const Config& c)
        : store(std::move(datastore::SqliteStore::open(
                              loop, {c.store_path, "typha-test", c.keep_changes, 64ULL << 20}))
                    .value()),
          cache(c.log_bytes),
          fanout(std::make_unique<typha::Fanout>(loop, cache, metrics, c.heartbeat)),
          upstream(loop, *store, cache, metrics, [this] { fanout->changed(); }) {}
    AsioLoop loop{"typha-test"};
    metrics::Registry metrics;
    std::unique_ptr<datastore::SqliteStore> store;
    typha::Cache cache;
    std::unique_ptr<typha::Fanout> fanout;
    typha::Upstream upstream;
  };
  Config config_;
  std::unique_ptr<Parts> parts_;
  std::unique_ptr<typha::Server> server_;
};

}  // namespace margay
