// SPDX-License-Identifier: Apache-2.0
// What fills a cache: the store that this process owns, or another margay-typha.
#pragma once

#include <optional>
#include <string>

#include "base/loop/event_loop.h"

namespace margay::typha {

// The cache is no longer kept up to date, or not yet.
struct Lag {
  Clock::time_point since;
  std::string reason;
};

class Feed {
 public:
  virtual ~Feed() = default;
  [[nodiscard]] virtual std::optional<Lag> lag() const = 0;
};

}  // namespace margay::typha
