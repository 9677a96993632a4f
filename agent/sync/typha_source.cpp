// SPDX-License-Identifier: Apache-2.0
// margay-typha as a Source. The Session decides what messages mean; here are connection, silence,
// back-off and pace.
#include <grpcpp/channel.h>

#include <functional>
#include <string>
#include <utility>

#include "agent/sync/backoff.h"
#include "agent/sync/outbox.h"
#include "agent/sync/session.h"
#include "agent/sync/source.h"
#include "agent/sync/sync_call.h"
#include "base/log.h"
#include "proto/transport.h"

namespace margay::sync {
namespace {

using namespace std::chrono_literals;

Result<std::shared_ptr<grpc::Channel>> channel_to(const TyphaConfig& config) {
  return transport::make_channel(config.address, {config.ca_file, config.cert_file, config.key_file,
                                                  config.server_cn, config.server_uri_san});
}

class TyphaSource : public Source {
 public:
  TyphaSource(EventLoop& loop, TyphaConfig config, Callbacks callbacks,
              std::shared_ptr<grpc::Channel> channel)
      : loop_(loop),
        config_(std::move(config)),
        callbacks_(std::move(callbacks)),
        channel_(std::move(channel)),
        backoff_(config_.backoff_min, config_.backoff_max,
                 std::hash<std::string>{}(config_.node_name) ^
                     static_cast<std::uint64_t>(loop.now().time_since_epoch().count())) {
    status_.since = loop_.now();
    status_.endpoint = config_.address;
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
    auto channel = channel_to(config);
    if (!channel.ok()) {
      config_.read_timeout = patience;
      return std::move(channel).error();
    }
    channel_ = std::move(channel).value();
    config_ = std::move(config);
    status_.endpoint = config_.address;
    backoff_.reset();
    waiting_ = false;
    drop_call();
    set_connected(false, "the configuration has changed");
    timer_ = loop_.after(0s, [this] { connect(); });
    return {};
  }

 private:
  // The first attempt, and each one after a call that failed while connected, fails fast: its error
  // says what is wrong. Where nobody answers, the next call waits until gRPC has got through, but
  // not for ever, so that the error stays up to date.
  void connect() {
    v1::SubscribeRequest request;
    request.set_node_name(config_.node_name);
    request.set_version(config_.version);
    request.set_syncer_type(config_.syncer_type);
    session_.connected(&request);
    got_message_ = false;
    call_ = SyncCall::start(loop_, channel_, request, waiting_,
                            {[this](v1::SyncMessage* m) { message(m); },
                             [this](const grpc::Status& s) {
                               call_.reset();
                               disconnected(transport::error_from(s, config_.address));
                             }});
    arm_silence();
  }

  void message(v1::SyncMessage* m) {
    arm_silence();
    if (!std::exchange(got_message_, true)) {
      waiting_ = false;
      set_connected(true, {});
    }
    auto effects = session_.handle(m);
    if (!effects) return garbage(effects.error());
    if (effects->snapshot_begun) {
      ++status_.snapshots;
      if (std::exchange(status_.in_sync, false)) tell();
    }
    outbox_.push(std::move(effects->updates));
    if (effects->in_sync) {
      outbox_.then([this] { in_sync(); });
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

  void in_sync() {
    backoff_.reset();
    progress();
    const bool news = !std::exchange(status_.in_sync, true);
    if (callbacks_.in_sync) callbacks_.in_sync();
    if (news) tell();
  }

  void garbage(const Error& error) {
    log::error("sync_garbage", kv("endpoint", config_.address), kv("error", error));
    drop_call();
    disconnected(error);
  }

  void drop_call() {
    if (const auto call = std::exchange(call_, nullptr)) call->abandon();
  }

  // Nothing is taken back: the receiver keeps what it has until a snapshot says otherwise.
  void disconnected(const Error& error) {
    const bool nobody = !got_message_;
    waiting_ = nobody && !waiting_;
    set_connected(false, error.message());
    timer_ = loop_.after(backoff_.next(), [this] { connect(); });
  }

  void arm_silence() {
    timer_ = loop_.after(config_.read_timeout, [this] { silence(); });
  }
  void silence() {
    if (!outbox_.empty()) return arm_silence();  // it is we who did not read
    drop_call();
    // The attempt before this one has told why nobody answers.
    if (waiting_) return disconnected(make_error(Code::unavailable, status_.error));
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(config_.read_timeout).count();
    disconnected(make_error(Code::unavailable, config_.address + ": silent for " +
                                                   std::to_string(seconds) + " seconds"));
  }

  void set_connected(bool connected, std::string error) {
    const bool flip = connected != status_.connected;
    if (flip) status_.since = loop_.now();
    if (flip && connected) ++status_.connects;
    const bool news = flip || error != status_.error;
    status_.connected = connected;
    status_.error = std::move(error);
    if (!news) return;
    if (connected) {
      log::info("sync_connected", kv("endpoint", config_.address));
    } else {
      log::warn("sync_disconnected", kv("endpoint", config_.address), kv("error", status_.error));
    }
    tell();
  }
  void tell() {
    if (callbacks_.status) callbacks_.status(status_);
  }

  EventLoop& loop_;
  TyphaConfig config_;
  Callbacks callbacks_;
  std::shared_ptr<grpc::Channel> channel_;
  Backoff backoff_;
  Status status_;
  Session session_;
  bool got_message_ = false;  // on the present call
  bool waiting_ = false;      // the next call waits for the connection
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
  MARGAY_TRY(auto channel, channel_to(config));
  return std::unique_ptr<Source>(std::make_unique<TyphaSource>(
      loop, std::move(config), std::move(callbacks), std::move(channel)));
}

}  // namespace margay::sync
