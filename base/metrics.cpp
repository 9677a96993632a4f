// SPDX-License-Identifier: Apache-2.0
#include "base/metrics.h"

#include <algorithm>
#include <cstdio>
#include <map>

namespace margay::metrics {
namespace {

std::string number(double v) {
  char buf[32];
  std::snprintf(buf, sizeof buf, "%.15g", v);
  return buf;
}

std::string label_text(const Labels& labels, std::string_view extra = {}) {
  std::string out;
  for (const auto& [key, value] : labels) {
    out += (out.empty() ? "" : ",") + key + "=\"";
    for (const char c : value) {
      if (c == '"' || c == '\\') out += '\\';
      out += c == '\n' ? ' ' : c;
    }
    out += '"';
  }
  if (!extra.empty()) {
    if (!out.empty()) out += ',';
    out += extra;
  }
  return out.empty() ? out : "{" + out + "}";
}

struct Family {
  std::string head;
  std::string lines;
};

Family& family(std::map<std::string, Family>& all, const std::string& name, const std::string& help,
               const char* type) {
  Family& f = all[name];
  if (f.head.empty())
    f.head = "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
  return f;
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

void Histogram::observe(double v) {
  const auto it = std::lower_bound(bounds_.begin(), bounds_.end(), v);
  counts_[static_cast<std::size_t>(it - bounds_.begin())].fetch_add(1, std::memory_order_relaxed);
  double sum = sum_.load(std::memory_order_relaxed);
  while (!sum_.compare_exchange_weak(sum, sum + v, std::memory_order_relaxed)) {
  }
}

template <typename T, typename... A>
T& Registry::find_or_add(std::deque<Entry<T>>& list, std::string_view name, std::string_view help,
                         Labels labels, A&&... args) {
  for (auto& e : list) {
    if (e.name == name && e.labels == labels) return e.instrument;
  }
  return list.emplace_back(name, help, std::move(labels), std::forward<A>(args)...).instrument;
}

Counter& Registry::counter(std::string_view name, std::string_view help, Labels labels) {
  const std::lock_guard lock(mu_);
  return find_or_add(counters_, name, help, std::move(labels));
}
Gauge& Registry::gauge(std::string_view name, std::string_view help, Labels labels) {
  const std::lock_guard lock(mu_);
  return find_or_add(gauges_, name, help, std::move(labels));
}
Histogram& Registry::histogram(std::string_view name, std::string_view help,
                               std::vector<double> bounds, Labels labels) {
  const std::lock_guard lock(mu_);
  return find_or_add(histograms_, name, help, std::move(labels), std::move(bounds));
}

std::string Registry::text() const {
  const std::lock_guard lock(mu_);
  std::map<std::string, Family> all;
  for (const auto& e : counters_) {
    family(all, e.name, e.help, "counter").lines +=
        e.name + label_text(e.labels) + " " + std::to_string(e.instrument.value()) + "\n";
  }
  for (const auto& e : gauges_) {
    family(all, e.name, e.help, "gauge").lines +=
        e.name + label_text(e.labels) + " " + number(e.instrument.value()) + "\n";
  }
  for (const auto& e : histograms_) {
    Family& f = family(all, e.name, e.help, "histogram");
    std::uint64_t total = 0;
    const auto bounds = e.instrument.bounds();
    for (std::size_t i = 0; i <= bounds.size(); ++i) {
      total += e.instrument.count_in(i);
      const std::string le = i < bounds.size() ? number(bounds[i]) : "+Inf";
      f.lines += e.name + "_bucket" + label_text(e.labels, "le=\"" + le + "\"") + " " +
                 std::to_string(total) + "\n";
    }
    f.lines += e.name + "_sum" + label_text(e.labels) + " " + number(e.instrument.sum()) + "\n";
    f.lines += e.name + "_count" + label_text(e.labels) + " " + std::to_string(total) + "\n";
  }
  std::string out;
  for (const auto& [name, f] : all) out += f.head + f.lines;
  return out;
}

}  // namespace margay::metrics
