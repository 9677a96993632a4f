// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/keeper.h"

#include <linux/netlink.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "base/log.h"
#include "dataplane/netlink/socket.h"
#include "dataplane/nft/monitor.h"

namespace margay::nft {

namespace {

constexpr int kReceiveBuffer = 32 << 20;  // echoes of a first ruleset; charged only when used

// Somebody who undoes our repairs again and again is not fought at full speed: ten repairs at
// once, then at most two a second.
constexpr std::size_t kFreeRepairs = 10;
constexpr auto kRepairWindow = std::chrono::seconds(10);
constexpr auto kRepairPause = std::chrono::milliseconds(500);
// After news that are not of our tables: others may change theirs a thousand times a second.
constexpr auto kRest = std::chrono::milliseconds(100);

}  // namespace

class Keeper::Impl {
 public:
  Impl(EventLoop& loop, netlink::Socket socket, std::unique_ptr<Monitor> monitor,
       const std::vector<std::string>& names, KeeperOptions options, AppliedFn applied,
       ElsewhereFn elsewhere)
      : loop_(loop),
        socket_(std::move(socket)),
        monitor_(std::move(monitor)),
        options_(options),
        applied_(std::move(applied)),
        elsewhere_(std::move(elsewhere)) {
    for (const std::string& name : names) {
      entries_.emplace_back();
      entries_.back().table = std::make_unique<Table>(socket_, name);
      tables_.push_back(entries_.back().table.get());
    }
    listen();
    arm_audit();
  }

  struct Entry {
    std::unique_ptr<Table> table;
    std::optional<Scope> requested;
    std::optional<Scope> failed;  // what the retry has to do
    bool active = false;          // was requested once
    EventLoop::Timer retry;
    Clock::duration pause{};
  };

  void request(std::size_t i, Scope scope) {
    Entry& e = entries_[i];
    e.active = true;
    e.retry.reset();
    request_again(e, scope);
  }

  EventLoop& loop_;
  netlink::Socket socket_;
  std::unique_ptr<Monitor> monitor_;
  KeeperOptions options_;
  AppliedFn applied_;
  ElsewhereFn elsewhere_;
  std::vector<Table*> tables_;
  std::deque<Entry> entries_;
  std::uint64_t repairs_ = 0;

 private:
  // One posted run for all requests of this turn of the loop.
  void wake() {
    if (std::exchange(awake_, true)) return;
    loop_.post([this, alive = std::weak_ptr<int>(alive_)] {
      if (alive.expired()) return;
      awake_ = false;
      for (Entry& e : entries_) {
        if (e.requested) run(e, true);
      }
    });
  }

  void run(Entry& e, bool asked) {
    const auto wanted = std::exchange(e.requested, std::nullopt);
    const auto left = std::exchange(e.failed, std::nullopt);
    const bool atomic = wanted == Scope::atomic || left == Scope::atomic;
    const Scope scope = atomic ? Scope::atomic : Scope::members_first;
    const auto result = e.table->apply(scope);
    if (!result.ok()) {
      e.failed = scope;
      e.pause = std::clamp(e.pause * 2, options_.first_retry, options_.last_retry);
      e.retry = loop_.after(e.pause, [this, &e] { run(e, true); });
      log::warn("nft_apply_failed", kv("table", e.table->name()), kv("error", result.error()));
    } else {
      e.pause = {};
      e.retry.reset();
      if (result.value().repairs > 0) repaired(e, result.value());
      // Behind whatever else waits for the loop by now.
      if (result.value().more) request_again(e, scope);
    }
    if (applied_ && (asked || !result.ok() || result.value().changed())) applied_(*e.table, result);
  }

  void request_again(Entry& e, Scope scope) {
    if (!e.requested || scope == Scope::atomic) e.requested = scope;
    wake();
  }

  void repaired(const Entry& e, const Progress& p) {
    repairs_ += p.repairs;
    log::warn("nft_repaired", kv("table", e.table->name()), kv("objects", p.repairs),
              kv("program", by_program_), kv("process", by_process_));
    recent_.push_back(loop_.now());
  }

  void listen() {
    watch_ = loop_.readable(monitor_->fd(), [this] { notified(); });
  }

  void notified() {
    Monitor::Findings f = monitor_->read(tables_, [this](const Notice& n) {
      if (elsewhere_) elsewhere_(&n);
    });
    if (!f.program.empty()) {
      by_program_ = f.program;
      by_process_ = f.process;
    }
    if (f.overrun && elsewhere_) elsewhere_(nullptr);
    if (f.touched) repair_soon();
    if (!f.more) {
      if (!f.touched) rest();
      return;
    }
    loop_.post([this, alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) notified();
    });
  }

  // What comes meanwhile waits in the socket and is read in one go.
  void rest() {
    watch_.reset();
    rest_ = loop_.after(kRest, [this] { listen(); });
  }

  void repair_soon() {
    const auto now = loop_.now();
    while (!recent_.empty() && now - recent_.front() > kRepairWindow) recent_.pop_front();
    if (recent_.size() < kFreeRepairs) {
      repair();
    } else if (!repair_timer_) {
      repair_timer_ = loop_.after(kRepairPause, [this] {
        repair_timer_.reset();
        repair();
      });
    }
  }

  // Tables that wait for their retry, or were never applied, are left to that.
  void repair() {
    for (Entry& e : entries_) {
      if (e.active && !e.retry && !e.requested && e.table->pending()) run(e, false);
    }
  }

  void arm_audit() {
    if (options_.audit == Clock::duration::zero()) return;
    audit_timer_ = loop_.after(options_.audit, [this] {
      for (Entry& e : entries_) {
        e.table->suspect_all();
        e.table->retry_refused();
      }
      repair();
      arm_audit();
    });
  }

  bool awake_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
  std::deque<Clock::time_point> recent_;  // repairs
  std::string by_program_;
  std::uint32_t by_process_ = 0;
  EventLoop::Timer repair_timer_, audit_timer_, rest_;
  EventLoop::Watch watch_;
};

Keeper::Keeper(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Keeper::~Keeper() = default;

Result<std::unique_ptr<Keeper>> Keeper::open(EventLoop& loop,
                                             const std::vector<std::string>& tables,
                                             KeeperOptions options, AppliedFn applied,
                                             ElsewhereFn elsewhere) {
  MARGAY_TRY(auto socket,
             netlink::Socket::open(NETLINK_NETFILTER, {.receive_buffer = kReceiveBuffer}));
  const std::uint32_t ports[] = {socket.port()};
  MARGAY_TRY(auto monitor, Monitor::open(ports, options.monitor_queue));
  return std::unique_ptr<Keeper>(
      new Keeper(std::make_unique<Impl>(loop, std::move(socket), std::move(monitor), tables,
                                        options, std::move(applied), std::move(elsewhere))));
}

Table& Keeper::table(std::size_t i) { return *impl_->entries_[i].table; }
void Keeper::request(std::size_t table, Scope scope) { impl_->request(table, scope); }
std::uint64_t Keeper::repairs() const { return impl_->repairs_; }

}  // namespace margay::nft
