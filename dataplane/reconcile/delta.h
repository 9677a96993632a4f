// SPDX-License-Identifier: Apache-2.0
// Desired, actual, difference: the one table behind every driver. want() and forget() say what
// should be; saw() and lost() what the kernel has; a key whose two sides differ is dirty and is
// handed out by next_dirty() once; done() or gone() records what a write achieved. An audit is
// begin_audit(), saw() for everything found, end_audit(). The actual value is kept only while it
// differs from the wanted one. Pure, single-threaded.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

namespace margay::reconcile {

template <typename Key, typename Value, typename Hash = std::hash<Key>>
class Delta {
 public:
  // True when the wanted value is another than before.
  bool want(const Key& key, Value value) {
    Entry& e = table_[key];
    if (e.want && *e.want == value) return false;
    if (!e.want) ++wanted_;
    keep_actual(e);
    e.want = std::move(value);
    settle(key, e);
    return true;
  }

  // True when it was wanted.
  bool forget(const Key& key) {
    const auto it = table_.find(key);
    if (it == table_.end() || !it->second.want) return false;
    keep_actual(it->second);
    it->second.want.reset();
    --wanted_;
    settle_or_erase(it);
    return true;
  }

  // The kernel has this. True when it is news: another value than we took it to have.
  bool saw(const Key& key, Value value) {
    Entry& e = table_[key];
    e.epoch = epoch_;
    const Value* before = actual(e);
    if (before != nullptr && *before == value) return false;
    set_actual(e, std::make_unique<Value>(std::move(value)));
    settle(key, e);
    return true;
  }

  // The kernel no longer has it. True when we took it to have it.
  bool lost(const Key& key) {
    const auto it = table_.find(key);
    if (it == table_.end() || actual(it->second) == nullptr) return false;
    set_actual(it->second, nullptr);
    settle_or_erase(it);
    return true;
  }

  // A write succeeded: the actual value is the wanted one, or nothing when none is wanted.
  void done(const Key& key) {
    const auto it = table_.find(key);
    if (it == table_.end()) return;
    Entry& e = it->second;
    if (e.want) {
      if (!has_actual(e)) ++present_;
      e.have.reset();
      e.same = true;
      e.epoch = epoch_;
    } else {
      set_actual(e, nullptr);
      settle_or_erase(it);
    }
  }

  // Puts the key in the queue (again) if it still differs.
  void touch(const Key& key) {
    const auto it = table_.find(key);
    if (it != table_.end()) settle(key, it->second);
  }

  void begin_audit() { ++epoch_; }
  [[nodiscard]] bool seen_in_audit(const Key& key) const {
    const auto it = table_.find(key);
    return it != table_.end() && it->second.epoch == epoch_ && has_actual(it->second);
  }
  // Everything with an actual value that was not seen since begin_audit(), and for which `covered`
  // (called with the actual value) holds, is gone. Calls `missing(key)` for each that is wanted.
  template <typename Covered, typename Missing>
  void end_audit(Covered covered, Missing missing) {
    for (auto it = table_.begin(); it != table_.end();) {
      Entry& e = it->second;
      const Value* have = actual(e);
      if (have == nullptr || e.epoch == epoch_ || !covered(it->first, *have)) {
        ++it;
        continue;
      }
      set_actual(e, nullptr);
      if (e.want) {
        missing(it->first);
        settle(it->first, e);
        ++it;
      } else {
        it = erase(it);
      }
    }
  }

  // A key that differs, each once; nothing when all is well. Keys that came to agree are skipped.
  [[nodiscard]] std::optional<Key> next_dirty() {
    while (!queue_.empty()) {
      Key key = std::move(queue_.front());
      queue_.pop_front();
      const auto it = table_.find(key);
      if (it == table_.end()) continue;
      it->second.queued = false;
      if (differs(it->second)) return key;
    }
    return std::nullopt;
  }

  [[nodiscard]] const Value* wanted(const Key& key) const {
    const auto it = table_.find(key);
    return it == table_.end() || !it->second.want ? nullptr : &*it->second.want;
  }
  [[nodiscard]] const Value* actual(const Key& key) const {
    const auto it = table_.find(key);
    return it == table_.end() ? nullptr : actual(it->second);
  }
  [[nodiscard]] bool in_sync(const Key& key) const {
    const auto it = table_.find(key);
    return it == table_.end() || !differs(it->second);
  }
  [[nodiscard]] std::size_t queued() const { return queue_.size(); }  // an upper bound
  [[nodiscard]] std::size_t wanted_count() const { return wanted_; }
  [[nodiscard]] std::size_t present_count() const { return present_; }

  // f(key, want or nullptr, have or nullptr); the table must not be changed meanwhile.
  template <typename F>
  void for_each(F f) const {
    for (const auto& [key, e] : table_) f(key, e.want ? &*e.want : nullptr, actual(e));
  }

 private:
  struct Entry {
    std::optional<Value> want;
    std::unique_ptr<Value> have;  // only when `same` does not say it
    std::uint32_t epoch = 0;
    bool same = false;  // the actual value equals `want`
    bool queued = false;
  };
  using Table = std::unordered_map<Key, Entry, Hash>;

  static bool has_actual(const Entry& e) { return e.same || e.have != nullptr; }
  static const Value* actual(const Entry& e) { return e.same ? &*e.want : e.have.get(); }
  static bool differs(const Entry& e) { return e.want ? !e.same : e.have != nullptr; }

  // Before `want` changes: what `same` stood for must be written down.
  static void keep_actual(Entry& e) {
    if (!e.same) return;
    e.have = std::make_unique<Value>(std::move(*e.want));
    e.same = false;
  }
  void set_actual(Entry& e, std::unique_ptr<Value> value) {
    if (has_actual(e)) --present_;
    e.same = false;
    e.have = std::move(value);
    if (e.have != nullptr) ++present_;
  }
  void settle(const Key& key, Entry& e) {
    if (e.want && e.have != nullptr && *e.want == *e.have) {
      e.have.reset();
      e.same = true;
    }
    if (!differs(e) || e.queued) return;
    e.queued = true;
    queue_.push_back(key);
  }
  void settle_or_erase(typename Table::iterator it) {
    if (!it->second.want && !has_actual(it->second)) {
      erase(it);
    } else {
      settle(it->first, it->second);
    }
  }
  // A queued key may outlive its entry; next_dirty() skips it.
  typename Table::iterator erase(typename Table::iterator it) { return table_.erase(it); }

  Table table_;
  std::deque<Key> queue_;
  std::uint32_t epoch_ = 0;
  std::size_t wanted_ = 0;
  std::size_t present_ = 0;
};

}  // namespace margay::reconcile
