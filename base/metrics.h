// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms in the Prometheus text format. Instruments are created once at
// start-up through the Registry and live as long as it; updating one is a relaxed atomic operation
// from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace margay::metrics {

using Labels = std::vector<std::pair<std::string, std::string>>;

class Counter {
 public:
  void add(std::uint64_t n = 1) { v_.fetch_add(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const { return v_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> v_{0};
};

class Gauge {
 public:
  void set(double v) { v_.store(v, std::memory_order_relaxed); }
  [[nodiscard]] double value() const { return v_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> v_{0};
};

class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds);  // ascending upper bounds, in the metric's unit
  void observe(double v);
  [[nodiscard]] std::span<const double> bounds() const { return bounds_; }
  [[nodiscard]] std::uint64_t count_in(std::size_t bucket) const { return counts_[bucket]; }
  [[nodiscard]] double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  std::vector<double> bounds_;
  std::deque<std::atomic<std::uint64_t>> counts_;
  std::atomic<double> sum_{0};
};

class Registry {
 public:
  // The same name and labels give the same instrument. Names follow Prometheus: margay_..._total,
  // ..._seconds.
  Counter& counter(std::string_view name, std::string_view help, Labels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                       Labels labels = {});
  [[nodiscard]] std::string text() const;  // the whole exposition, sorted by name

 private:
  template <typename T>
  struct Entry {
    std::string name;
    std::string help;
    Labels labels;
    T instrument;
    template <typename... A>
    Entry(std::string_view n, std::string_view h, Labels l, A&&... a)
        : name(n), help(h), labels(std::move(l)), instrument(std::forward<A>(a)...) {}
  };
  template <typename T, typename... A>
  static T& find_or_add(std::deque<Entry<T>>& list, std::string_view name, std::string_view help,
                        Labels labels, A&&... args);

  mutable std::mutex mu_;
  std::deque<Entry<Counter>> counters_;
  std::deque<Entry<Gauge>> gauges_;
  std::deque<Entry<Histogram>> histograms_;
};

}  // namespace margay::metrics
