// SPDX-License-Identifier: Apache-2.0
// What has been received and not yet been handed over: gives it to the receiver batch by batch, one
// per turn of the loop, and says when all of it is taken, which is when the source may read on.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "agent/sync/source.h"
#include "base/loop/event_loop.h"

namespace margay::sync {

class Outbox {
 public:
  // Both are called on the loop, never from inside push().
  Outbox(EventLoop& loop, std::function<void(std::vector<Update>&&)> deliver,
         std::function<void()> drained)
      : loop_(loop), deliver_(std::move(deliver)), drained_(std::move(drained)) {}
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  void push(std::vector<Update> updates) {
    if (updates.empty()) return;
    items_.push_back({std::move(updates), 0, {}});
    schedule();
  }
  // `f` runs when everything pushed before has been taken.
  void then(std::function<void()> f) {
    items_.push_back({{}, 0, std::move(f)});
    schedule();
  }
  [[nodiscard]] bool empty() const { return items_.empty(); }

 private:
  struct Item {
    std::vector<Update> updates;
    std::size_t next = 0;
    std::function<void()> then;
  };

  void schedule() {
    if (std::exchange(posted_, true)) return;
    loop_.post([this, alive = std::weak_ptr<char>(alive_)] {
      if (alive.expired()) return;
      posted_ = false;
      turn();
    });
  }

  void turn() {
    std::vector<Update> batch;
    while (!items_.empty() && batch.size() < kMaxBatch) {
      auto& item = items_.front();
      if (item.then) {
        if (!batch.empty()) break;
        const auto f = std::move(item.then);
        items_.pop_front();
        f();
        continue;
      }
      take(item, batch);
      if (item.next == item.updates.size()) items_.pop_front();
    }
    if (!batch.empty()) deliver_(std::move(batch));
    if (items_.empty()) {
      drained_();
    } else {
      schedule();
    }
  }

  static void take(Item& item, std::vector<Update>& batch) {
    if (batch.empty() && item.next == 0 && item.updates.size() <= kMaxBatch) {
      batch.swap(item.updates);  // the usual case, without moving each
      return;
    }
    while (item.next < item.updates.size() && batch.size() < kMaxBatch) {
      batch.push_back(std::move(item.updates[item.next++]));
    }
  }

  EventLoop& loop_;
  std::function<void(std::vector<Update>&&)> deliver_;
  std::function<void()> drained_;
  std::deque<Item> items_;
  bool posted_ = false;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace margay::sync
