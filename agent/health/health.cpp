// SPDX-License-Identifier: Apache-2.0
#include "agent/health/health.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/result.h"
#include "base/wall_clock.h"

namespace margay::health {
namespace {

using Row = std::array<std::string, 4>;

std::string table(const std::vector<Row>& rows) {
  std::array<std::size_t, 4> width{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) width[i] = std::max(width[i], row[i].size());
  }
  std::string out;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i] + std::string(width[i] - row[i].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

// What takes less is the usual course of things.
constexpr std::chrono::seconds kWorthSaying{1};

// "for 20 s, since 2026-01-02T03:04:05Z"
std::string since(Clock::duration age) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(age);
  return "for " + std::to_string(seconds.count()) + " s, since " + wall_clock::utc_ago(seconds);
}

}  // namespace

void Health::add(std::string_view subsystem, Limits limits, Ask ask) {
  const std::lock_guard lock(mu_);
  subsystems_[std::string(subsystem)] = Subsystem{limits, std::move(ask)};
}

void Health::settle(Subsystem& s) {
  if (!s.asked) return;
  s.asked.reset();
  if (--owing_ == 0) all_answered_.notify_all();
}

void Health::answered(std::string_view subsystem) {
  const std::lock_guard lock(mu_);
  const auto it = subsystems_.find(subsystem);
  MARGAY_ASSERT(it != subsystems_.end());
  settle(it->second);
}

void Health::retire(std::string_view subsystem) {
  const std::lock_guard lock(mu_);
  const auto it = subsystems_.find(subsystem);
  MARGAY_ASSERT(it != subsystems_.end());
  it->second.ask = {};
  settle(it->second);
}

void Health::look(Clock::time_point now, Clock::duration patience) {
  std::unique_lock lock(mu_);
  for (auto& [name, s] : subsystems_) {
    if (!s.ask || s.asked) continue;
    s.asked = now;
    ++owing_;
    s.ask();
  }
  all_answered_.wait_for(lock, patience, [this] { return owing_ == 0; });
}

void Health::report(std::string_view subsystem, bool ready, std::string detail,
                    std::optional<Clock::time_point> behind_since) {
  const std::lock_guard lock(mu_);
  const auto it = subsystems_.find(subsystem);
  MARGAY_ASSERT(it != subsystems_.end());
  it->second.ready = ready;
  it->second.detail = std::move(detail);
  it->second.behind_since = behind_since;
}

bool Health::late(const Subsystem& s, Clock::duration limit, Clock::time_point now) {
  return limit != Clock::duration::zero() && s.asked && now - *s.asked > limit;
}

Verdict Health::verdict(Clock::time_point now, bool want_ready) const {
  const std::lock_guard lock(mu_);
  std::vector<Row> rows{{"COMPONENT", "LIVENESS", "READINESS", "DETAIL"}};
  std::string reason;
  for (const auto& [name, s] : subsystems_) {
    const bool live = !late(s, s.limits.live_within, now);
    const bool on_time = !late(s, s.limits.ready_within, now);
    const auto behind = now - s.behind_since.value_or(now);
    const bool ready = live && on_time && s.ready && behind <= s.limits.caught_up_within;
    std::string detail = s.detail;
    const auto before = [&](const std::string& text) {
      detail = text + (detail.empty() ? "" : "; " + detail);
    };
    if (behind >= kWorthSaying) before("not up to date " + since(behind));
    if (!on_time) before("no answer " + since(now - *s.asked));
    if (!(want_ready ? ready : live)) reason += (reason.empty() ? "" : "; ") + name + ": " + detail;
    rows.push_back({name, live ? "live" : "not live", ready ? "ready" : "not ready", detail});
  }
  const bool good = reason.empty();
  const std::string first = good ? "ok" : (want_ready ? "not ready: " : "not live: ") + reason;
  return {good, first + "\n" + table(rows)};
}

Verdict Health::liveness(Clock::time_point now) const { return verdict(now, false); }
Verdict Health::readiness(Clock::time_point now) const { return verdict(now, true); }

}  // namespace margay::health
