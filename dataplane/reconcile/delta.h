// SPDX-License-Identifier: Apache-2.0
// Desired, actual, difference: the one table behind every driver. want() and forget() say what
// should be; saw() and lost() what the kernel has; an item whose two sides differ is dirty and is
// handed out by next_dirty() once; done() records that a write succeeded. An audit is
// begin_audit(), saw() for everything found, end_audit(). The actual value is kept only while it
// differs from the wanted one. One look-up for each input, none for what is handed out. Pure,
// single-threaded.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <type_traits>
#include <unordered_map>
#include <utility>

namespace margay::reconcile {

// The order in which dirty items are handed out: all of one lane, then the next lane's. of() tells
// an item's lane by what is wanted (null: nothing).
struct OneLane {
  static constexpr std::size_t kLanes = 1;
  template <typename Value>
  static std::size_t of(const Value*) {
    return 0;
  }
};

template <typename Key, typename Value, typename Hash = std::hash<Key>, typename Order = OneLane>
class Delta {
 public:
  class Entry {
   public:
    [[nodiscard]] const Value* wanted() const { return want_ ? &*want_ : nullptr; }
    [[nodiscard]] const Value* actual() const { return same_ ? &*want_ : have_.get(); }
    [[nodiscard]] bool differs() const { return want_ ? !same_ : have_ != nullptr; }

   private:
    friend class Delta;
    [[nodiscard]] bool has_actual() const { return same_ || have_ != nullptr; }
    [[nodiscard]] bool unused() const { return !want_ && !has_actual() && queued_ == 0; }
    std::optional<Value> want_;
    std::unique_ptr<Value> have_;  // only when `same_` does not say it
    std::uint32_t epoch_ = 0;
    bool same_ = false;        // the actual value equals `want_`
    std::uint8_t queued_ = 0;  // lanes that name it, a bit each: it must stay in the table
  };
  // A key and its entry. One that differs stays where it is until its next input.
  using Item = std::pair<const Key, Entry>;

  // True when the wanted value is another than before.
  bool want(const Key& key, Value value) {
    Item& item = *table_.try_emplace(key).first;
    Entry& e = item.second;
    if (e.want_ && *e.want_ == value) return false;
    if (!e.want_) ++wanted_;
    keep_actual(e);
    e.want_ = std::move(value);
    settle(item);
    return true;
  }

  // True when it was wanted.
  bool forget(const Key& key) {
    const auto it = table_.find(key);
    if (it == table_.end() || !it->second.want_) return false;
    keep_actual(it->second);
    it->second.want_.reset();
    --wanted_;
    settle_or_erase(it);
    return true;
  }

  // The kernel has this. True when it is news: another value than we took it to have.
  bool saw(const Key& key, Value value) {
    Item& item = *table_.try_emplace(key).first;
    item.second.epoch_ = epoch_;
    const Value* before = item.second.actual();
    if (before != nullptr && *before == value) return false;
    set_actual(item.second, std::make_unique<Value>(std::move(value)));
    settle(item);
    return true;
  }

  // The kernel no longer has it. True when we took it to have it.
  bool lost(const Key& key) {
    const auto it = table_.find(key);
    if (it == table_.end() || !it->second.has_actual()) return false;
    set_actual(it->second, nullptr);
    settle_or_erase(it);
    return true;
  }

  // A write succeeded: the actual value is the wanted one, or nothing when none is wanted; the item
  // must not be used any more.
  void done(Item& item) {
    Entry& e = item.second;
    if (e.want_) {
      if (!e.has_actual()) ++present_;
      e.have_.reset();
      e.same_ = true;
      e.epoch_ = epoch_;
    } else {
      set_actual(e, nullptr);
      if (e.unused()) table_.erase(table_.find(item.first));
    }
  }

  // Puts it in its queue (again) if it still differs.
  void touch(const Key& key) {
    const auto it = table_.find(key);
    if (it != table_.end()) settle(*it);
  }

  void begin_audit() { ++epoch_; }
  [[nodiscard]] bool seen_in_audit(const Key& key) const {
    const auto it = table_.find(key);
    return it != table_.end() && it->second.epoch_ == epoch_ && it->second.has_actual();
  }
  // Everything with an actual value that was not seen since begin_audit(), and for which `covered`
  // (called with the actual value) holds, is gone. Calls `missing(key)` for each that is wanted.
  template <typename Covered, typename Missing>
  void end_audit(Covered covered, Missing missing) {
    for (auto it = table_.begin(); it != table_.end();) {
      const auto at = it++;
      Entry& e = at->second;
      const Value* have = e.actual();
      if (have == nullptr || e.epoch_ == epoch_ || !covered(at->first, *have)) continue;
      set_actual(e, nullptr);
      if (e.want_) missing(at->first);
      settle_or_erase(at);
    }
  }

  // An item that differs, each once; null when all is well.
  [[nodiscard]] Item* next_dirty() {
    for (std::size_t lane = 0; lane < Order::kLanes; ++lane) {
      for (auto& queue = queues_[lane]; !queue.empty();) {
        Item& item = *queue.front();
        queue.pop_front();
        Entry& e = item.second;
        e.queued_ = static_cast<std::uint8_t>(e.queued_ & ~(1U << lane));
        // One that has come to agree, or has moved to another lane since.
        if (e.differs() && Order::of(e.wanted()) == lane) return &item;
        if (e.unused()) table_.erase(table_.find(item.first));
      }
    }
    return nullptr;
  }

  [[nodiscard]] const Value* wanted(const Key& key) const {
    const auto it = table_.find(key);
    return it == table_.end() ? nullptr : it->second.wanted();
  }
  [[nodiscard]] const Value* actual(const Key& key) const {
    const auto it = table_.find(key);
    return it == table_.end() ? nullptr : it->second.actual();
  }
  [[nodiscard]] bool in_sync(const Key& key) const {
    const auto it = table_.find(key);
    return it == table_.end() || !it->second.differs();
  }
  [[nodiscard]] std::size_t queued() const {  // an upper bound
    std::size_t n = 0;
    for (const auto& queue : queues_) n += queue.size();
    return n;
  }
  [[nodiscard]] std::size_t wanted_count() const { return wanted_; }
  [[nodiscard]] std::size_t present_count() const { return present_; }

 private:
  static_assert(Order::kLanes <= 8);
  using Table = std::unordered_map<Key, Entry, Hash>;
  static_assert(std::is_same_v<Item, typename Table::value_type>);

  // Before `want_` changes: what `same_` stood for must be written down.
  static void keep_actual(Entry& e) {
    if (!e.same_) return;
    e.have_ = std::make_unique<Value>(std::move(*e.want_));
    e.same_ = false;
  }
  void set_actual(Entry& e, std::unique_ptr<Value> value) {
    if (e.has_actual()) --present_;
    e.same_ = false;
    e.have_ = std::move(value);
    if (e.have_ != nullptr) ++present_;
  }
  void settle(Item& item) {
    Entry& e = item.second;
    if (e.want_ && e.have_ != nullptr && *e.want_ == *e.have_) {
      e.have_.reset();
      e.same_ = true;
    }
    if (!e.differs()) return;
    const std::size_t lane = Order::of(e.wanted());
    if ((unsigned{e.queued_} >> lane & 1U) != 0) return;
    e.queued_ = static_cast<std::uint8_t>(e.queued_ | 1U << lane);
    queues_[lane].push_back(&item);
  }
  void settle_or_erase(typename Table::iterator it) {
    if (it->second.unused()) {
      table_.erase(it);
    } else {
      settle(*it);
    }
  }

  Table table_;
  std::array<std::deque<Item*>, Order::kLanes> queues_;
  std::uint32_t epoch_ = 0;
  std::size_t wanted_ = 0;
  std::size_t present_ = 0;
};

}  // namespace margay::reconcile
