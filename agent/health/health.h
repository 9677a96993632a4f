// SPDX-License-Identifier: Apache-2.0
// Liveness and readiness, judged by what the subsystems report: each beats, and says whether it is
// ready and why not. A late beat fails readiness first and liveness later (style.md 9). Reporters
// may report from any thread; verdicts are read from the health thread (spec observability.md 1).
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/loop/event_loop.h"

namespace margay::health {

struct Limits {
  Clock::duration ready_within{};      // a beat older than this: not ready
  Clock::duration live_within{};       // older than this: not live
  Clock::duration caught_up_within{};  // behind for longer: not ready
};
inline constexpr Limits kLoopLimits{std::chrono::seconds(15), std::chrono::seconds(90),
                                    std::chrono::seconds(15)};

struct Verdict {
  bool good = false;
  std::string body;  // first line: the reason or "ok"; then a table, a row a subsystem
};

class Health {
 public:
  // `limits` zero: never late (the subsystem only says ready or not).
  void add(std::string_view subsystem, Limits limits, Clock::time_point now);
  void beat(std::string_view subsystem, Clock::time_point now);
  // `detail` says why not, or anything worth knowing when ready. `behind_since`: since when it has
  // not been able to do what it should; that is no reason to be not ready at once.
  void report(std::string_view subsystem, bool ready, std::string detail,
              std::optional<Clock::time_point> behind_since = {});

  [[nodiscard]] Verdict liveness(Clock::time_point now) const;
  [[nodiscard]] Verdict readiness(Clock::time_point now) const;

 private:
  struct Subsystem {
    Limits limits;
    Clock::time_point last_beat;
    bool ready = false;
    std::string detail = "starting";
    std::optional<Clock::time_point> behind_since = {};
  };
  [[nodiscard]] static bool late(const Subsystem& s, Clock::duration limit, Clock::time_point now);
  [[nodiscard]] Verdict verdict(Clock::time_point now, bool want_ready) const;

  mutable std::mutex mu_;
  std::map<std::string, Subsystem, std::less<>> subsystems_;
};

}  // namespace margay::health
