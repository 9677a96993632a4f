// SPDX-License-Identifier: Apache-2.0
// Keeps tables of ours as they are wanted: applies what was asked for as soon as the loop comes to
// it, repairs at once what others changed (with growing pauses when somebody keeps at it, within
// 0.1 s where others are busy in tables of their own), tries again after errors, and audits slowly
// as the safety net. Everything happens on the loop's thread; the sockets are of the network
// namespace of the thread that opens the keeper.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/loop/event_loop.h"
#include "base/result.h"
#include "dataplane/nft/driver.h"
#include "dataplane/nft/kernel.h"
#include "dataplane/nft/monitor.h"

namespace margay::nft {

struct KeeperOptions {
  // Everything is read again and compared this often; refused objects are tried again, too. Zero:
  // never.
  Clock::duration audit = std::chrono::minutes(10);
  Clock::duration first_retry = std::chrono::milliseconds(100);  // after errors, doubling
  Clock::duration last_retry = std::chrono::seconds(10);
  int monitor_queue = Monitor::kReceiveBuffer;  // bytes of notifications the kernel may hold for us
};

class Keeper {
 public:
  // After every apply that was asked for, changed something or failed. May want, forget, request.
  using AppliedFn = std::function<void(Table& table, const Result<Progress>& result)>;
  // Somebody changed the ruleset outside of our tables: what changed; null when notifications were
  // lost. Called for each change, thousands at a time: must be cheap.
  using ElsewhereFn = std::function<void(const Notice*)>;

  [[nodiscard]] static Result<std::unique_ptr<Keeper>> open(EventLoop& loop,
                                                            const std::vector<std::string>& tables,
                                                            KeeperOptions options,
                                                            AppliedFn applied,
                                                            ElsewhereFn elsewhere = {});
  ~Keeper();

  // In the order of their names in open(). Say wants to it directly, then request().
  [[nodiscard]] Table& table(std::size_t i);
  // Applied before the loop waits again. Requests before that are joined; one atomic request makes
  // the joint one atomic. Large sets are filled piece by piece, one each time the loop comes round.
  void request(std::size_t table, Scope scope = Scope::members_first);
  // Nothing is repaired and nothing audited until the first request of a table.

  [[nodiscard]] std::uint64_t repairs() const;

 private:
  class Impl;
  explicit Keeper(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace margay::nft
