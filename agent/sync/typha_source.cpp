// SPDX-License-Identifier: Apache-2.0
// margay-typha as a Source. The Session decides what messages mean; here are connection, silence,
// back-off and pace.
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "agent/sync/backoff.h"
#include "agent/sync/outbox.h"
#include "agent/sync/servers.h"
#include "agent/sync/session.h"
#include "agent/sync/source.h"
#include "agent/sync/sync_call.h"
#include "base/log.h"
#include "proto/tls_keeper.h"

namespace margay::sync {
namespace {

using namespace std::chrono_literals;

// Between attempts while nobody answers: who does not answer is not burdened by being asked.
constexpr Clock::duration kNobody = 1s;

// What is made of a TyphaConfig before anything is attempted.
struct Way {
  Servers servers;
  std::optional<transport::TlsKeeper> tls;

  static Result<Way> to(const TyphaConfig& c) {
    MARGAY_TRY(Servers servers, Servers::parse(c.address, c.node_name));
    Way out{std::move(servers), {}};
    const transport::TlsFiles files{c.ca_file, c.cert_file, c.key_file, c.server_cn,
                                    c.server_uri_san};
    if (files.enabled()) {
      MARGAY_TRY(out.tls, transport::TlsKeeper::open(files));
    }
    for (std::size_t i = 0; i < out.servers.count(); ++i, static_cast<void>(out.servers.failed())) {
      if (!out.tls) MARGAY_CHECK(transport::check_plain(out.servers.current()));
    }
    return out;
  }
};

constexpr std::uint64_t kOldest = 86'400'000'000;  // microseconds: no change is on its way longer

class TyphaSource : public Source {
 public:
  TyphaSource(EventLoop& loop, TyphaConfig config, Callbacks callbacks, Way way)
      : loop_(loop),
        config_(std::move(config)),
        callbacks_(std::move(callbacks)),
        way_(std::move(way)),
        backoff_(config_.backoff_min, config_.backoff_max,
                 std::hash<std::string>{}(config_.node_name) ^
                     static_cast<std::uint64_t>(loop.now().time_since_epoch().count())),
        attempts_(std::hash<std::string>{}(config_.node_name)) {
    status_.since = loop_.now();
    status_.stale_since = loop_.now();
    status_.endpoint = way_.servers.current();
    status_.error = "not connected yet";
    timer_ = loop_.after(0s, [this] { connect(); });
  }
  ~TyphaSource() override {
    if (call_) call_->abandon();
  }
  [[nodiscard]] const Status& status() const override { return status_; }

  [[nodiscard]] Result<void> configure(TyphaConfig config) override {
    const auto patience = std::exchange(config_.read_timeout, config.read_timeout);
    if (config == config_) {
      if (call_ && config.read_timeout != patience) arm_silence();
      return {};
    }
    auto way = Way::to(config);
    if (!way.ok()) {
      config_.read_timeout = patience;
      return std::move(way).error();
    }
    drop_call();
    way_ = std::move(way).value();
    config_ = std::move(config);
    backoff_.reset();
    set_connected(false, "the configuration has changed");
    timer_ = loop_.after(0s, [this] { connect(); });
    return {};
  }

 private:
  void connect() {
    if (way_.tls) (void)way_.tls->refresh();
    status_.warning = way_.tls ? way_.tls->problem() : std::string();
    status_.endpoint = way_.servers.current();
    v1::SubscribeRequest request;
    request.set_node_name(config_.node_name);
    request.set_version(config_.version);
    request.set_syncer_type(config_.syncer_type);
    session_.connected(&request);
    got_message_ = false;
    call_ = SyncCall::start(loop_, {status_.endpoint, attempts_++, way_.tls ? &*way_.tls : nullptr},
                            request,
                            {[this](v1::SyncMessage* m, Clock::time_point at) { message(m, at); },
                             [this](const Error& error, bool reached) {
                               call_.reset();
                               disconnected(error, reached);
                             }});
    heard_ = loop_.now();
    arm_silence();
  }

  void message(v1::SyncMessage* m, Clock::time_point received) {
    heard_ = loop_.now();
    if (!std::exchange(got_message_, true)) set_connected(true, {});
    auto effects = session_.handle(m);
    if (!effects) return give_up(effects.error());
    if (effects->snapshot_begun) {
      ++status_.snapshots;
      if (std::exchange(status_.in_sync, false)) tell();
    }
    const auto age = std::chrono::microseconds(std::min<std::uint64_t>(m->age_us(), kOldest));
    for (Update& u : effects->updates) u.since = received - age;
    outbox_.push(std::move(effects->updates));
    if (effects->in_sync) {
      outbox_.then(
          [this, age = *effects->age, reason = effects->age_reason] { in_sync(age, reason); });
    } else if (effects->age && status_.in_sync && outbox_.empty() &&
               set_age(*effects->age, effects->age_reason)) {
      tell();
    }
    if (outbox_.empty()) progress();
    // One message is being handed over while the next is on its way; more would pile up.
    if (outbox_.empty() || !std::exchange(ahead_, true)) call_->read();
  }

  void drained() {
    progress();
    ahead_ = false;
    if (call_) call_->read();
  }

  void progress() {
    status_.revision = session_.revision();
    status_.store_id = session_.store_id();
  }

  void in_sync(std::chrono::milliseconds age, const std::string& reason) {
    backoff_.reset();
    way_.servers.succeeded();
    progress();
    bool news = !std::exchange(status_.in_sync, true);
    news |= set_age(age, reason);
    if (callbacks_.in_sync) callbacks_.in_sync();
    if (news) tell();
  }

  // What the server says of its own view, once we have all of it. True: news.
  bool set_age(std::chrono::milliseconds age, const std::string& reason) {
    if (!status_.connected) return false;
    const bool was_stale = status_.stale_since.has_value();
    const bool is_stale = age.count() != 0;
    if (!is_stale) status_.stale_since.reset();
    if (is_stale && (!was_stale || status_.behind.empty())) status_.stale_since = loop_.now() - age;
    return std::exchange(status_.behind, is_stale ? reason : std::string()) != status_.behind ||
           was_stale != is_stale;
  }

  // What it says is of no use: noise, or a view that is older than ours.
  void give_up(const Error& error) {
    const bool older = error.code == Code::conflict;
    if (!older) log::error("sync_garbage", kv("endpoint", status_.endpoint), kv("error", error));
    drop_call();
    disconnected(make_error(error.code, status_.endpoint + ": " + error.context), true);
  }

  void drop_call() {
    if (const auto call = std::exchange(call_, nullptr)) call->abandon();
  }

  // Nothing is taken back: the receiver keeps what it has until a snapshot says otherwise. The next
  // server is tried at once; when all have failed, after a pause.
  void disconnected(const Error& error, bool reached) {
    set_connected(false, error.message());
    Clock::duration pause = 0s;
    if (way_.servers.failed()) pause = backoff_.next();
    if (!reached) pause = std::min(pause, kNobody);
    timer_ = loop_.after(pause, [this] { connect(); });
  }

  void arm_silence() {
    timer_ = loop_.after(heard_ + config_.read_timeout - loop_.now(), [this] { silence(); });
  }
  void silence() {
    if (!outbox_.empty()) heard_ = loop_.now();  // it is we who did not read
    if (loop_.now() < heard_ + config_.read_timeout) return arm_silence();
    drop_call();
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(config_.read_timeout).count();
    disconnected(make_error(Code::unavailable, status_.endpoint + ": silent for " +
                                                   std::to_string(seconds) + " seconds"),
                 true);
  }

  void set_connected(bool connected, std::string error) {
    const bool flip = connected != status_.connected;
    if (flip) status_.since = loop_.now();
    if (flip && connected) ++status_.connects;
    if (!connected && !status_.stale_since) status_.stale_since = loop_.now();
    if (!connected) status_.behind.clear();
    const bool news = flip || error != status_.error;
    status_.connected = connected;
    status_.error = std::move(error);
    if (!news) return;
    if (connected) {
      log::info("sync_connected", kv("endpoint", status_.endpoint));
    } else {
      log::warn("sync_disconnected", kv("endpoint", status_.endpoint), kv("error", status_.error));
    }
    tell();
  }
  void tell() {
    if (callbacks_.status) callbacks_.status(status_);
  }

  EventLoop& loop_;
  TyphaConfig config_;
  Callbacks callbacks_;
  Way way_;
  Backoff backoff_;
  Status status_;
  Session session_;
  std::size_t attempts_;      // of a name's addresses, each takes the next; nodes begin anywhere
  Clock::time_point heard_;   // from the present server
  bool got_message_ = false;  // on the present call
  bool ahead_ = false;        // a message was asked for while the outbox was not empty
  Outbox outbox_{loop_,
                 [this](std::vector<Update>&& updates) {
                   status_.updates += updates.size();
                   callbacks_.updates(std::move(updates));
                 },
                 [this] { drained(); }};
  std::shared_ptr<SyncCall> call_;
  EventLoop::Timer timer_;  // the next attempt, or the end of patience
};

}  // namespace

Result<std::unique_ptr<Source>> make_typha_source(EventLoop& loop, TyphaConfig config,
                                                  Callbacks callbacks) {
  MARGAY_TRY(Way way, Way::to(config));
  return std::unique_ptr<Source>(
      std::make_unique<TyphaSource>(loop, std::move(config), std::move(callbacks), std::move(way)));
}

}  // namespace margay::sync
