// SPDX-License-Identifier: Apache-2.0
// Liveness and readiness, judged by what the subsystems report: each says whether it is ready and
// why not, and answers when it is asked whether it still runs, which it is whenever somebody looks:
// an agent that nobody probes does nothing. A late answer fails readiness first and liveness later
// (style.md 9). Reporters may report from any thread; verdicts are read from the health thread
// (spec observability.md 1).
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/loop/event_loop.h"

namespace margay::health {

struct Limits {
  Clock::duration ready_within{};      // an answer later than this: not ready
  Clock::duration live_within{};       // later than this: not live
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
  // Has the subsystem call answered() from the loop it lives on; called from any thread, must not
  // wait nor call anything of Health itself.
  using Ask = std::function<void()>;
  // Without `ask` (and limits) a subsystem only says ready or not.
  void add(std::string_view subsystem, Limits limits = {}, Ask ask = {});
  void answered(std::string_view subsystem);
  void retire(std::string_view subsystem);  // it is not asked any more, nor being asked now

  // Asks all that owe no answer already, and waits for at most `patience` until none does.
  void look(Clock::time_point now, Clock::duration patience);
  // `detail` says why not, or anything worth knowing when ready. `behind_since`: since when it has
  // not been able to do what it should; that is no reason to be not ready at once.
  void report(std::string_view subsystem, bool ready, std::string detail,
              std::optional<Clock::time_point> behind_since = {});

  [[nodiscard]] Verdict liveness(Clock::time_point now) const;
  [[nodiscard]] Verdict readiness(Clock::time_point now) const;

 private:
  struct Subsystem {
    Limits limits;
    Ask ask;
    std::optional<Clock::time_point> asked = {};  // and it has not answered since
    bool ready = false;
    std::string detail = "starting";
    std::optional<Clock::time_point> behind_since = {};
  };
  void settle(Subsystem& s);
  [[nodiscard]] static bool late(const Subsystem& s, Clock::duration limit, Clock::time_point now);
  [[nodiscard]] Verdict verdict(Clock::time_point now, bool want_ready) const;

  mutable std::mutex mu_;
  std::condition_variable all_answered_;
  std::size_t owing_ = 0;  // subsystems that have not answered
  std::map<std::string, Subsystem, std::less<>> subsystems_;
};

}  // namespace margay::health
