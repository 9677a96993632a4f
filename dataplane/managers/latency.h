// SPDX-License-Identifier: Apache-2.0
// How long it takes from the datastore into the kernel, as one plane sees it. A change counts when
// the kernel has acknowledged the last write that its batch led to; what needs no write, and the
// first view after a start, does not count.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/loop/event_loop.h"
#include "base/metrics.h"

namespace margay::dataplane {

// Doubling from half a millisecond: a fast path is seen as well as one that waits for a retry.
inline const std::vector<double> kLatencyBounds{0.0005, 0.001, 0.002, 0.004, 0.008, 0.016,
                                                0.032,  0.064, 0.125, 0.25,  0.5,   1,
                                                2,      4,     8,     16,    32,    64};

class Latency {
 public:
  Latency(metrics::Registry& registry, const std::string& plane)
      : change_(registry.histogram(
            "margay_datastore_to_kernel_seconds",
            "From a change's commit in the datastore (its receipt, where that is not told) to the "
            "kernel's acknowledgement; the network's own delay is not in it.",
            kLatencyBounds, {{"plane", plane}})),
        endpoint_(registry.histogram("margay_endpoint_programming_seconds",
                                     "From the first news of a local endpoint (and of its "
                                     "interface, for routes) to its being programmed.",
                                     kLatencyBounds, {{"plane", plane}})) {}

  // A batch has come; `since` is its oldest change's, absent for what does not count.
  void arrived(std::optional<Clock::time_point> since) {
    if (since) since_ = since_ ? std::min(*since_, *since) : *since;
  }
  // Nothing of it is left to do; `written`: something had to be.
  void settled(bool written, Clock::time_point now) {
    if (since_ && written) observe(change_, *since_, now);
    since_.reset();
  }
  void endpoint(Clock::time_point since, Clock::time_point now) { observe(endpoint_, since, now); }

 private:
  static void observe(metrics::Histogram& h, Clock::time_point since, Clock::time_point now) {
    h.observe(std::chrono::duration<double>(now - since).count());
  }
  metrics::Histogram& change_;
  metrics::Histogram& endpoint_;
  std::optional<Clock::time_point> since_;
};

}  // namespace margay::dataplane
