// SPDX-License-Identifier: Apache-2.0
// A connection that was cut must not begin anew from its other end: the entry is gone, the next
// packet of the answering side would count as the first of a new one, and be allowed. Its tuple
// stands for a while in a set of table `margay` that new connections are looked up in
// (dataplane/policy/base_chains). No I/O: wants change, the table's apply() acts.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <utility>

#include "base/loop/event_loop.h"
#include "dataplane/conntrack/flow.h"
#include "dataplane/nft/driver.h"

namespace margay::managers {

class FlowBlocks {
 public:
  // As long as TCP goes on sending what nobody answers (tcp_retries2 of 15: 924 seconds).
  static constexpr auto kKeep = std::chrono::seconds(1000);
  static constexpr std::size_t kMost = 65'536;  // beyond, the oldest go

  explicit FlowBlocks(nft::Table& table) : table_(table) {}

  // False: the protocol has no ports, so that its flows cannot be told apart; nothing is done.
  bool add(const conntrack::Tuple& reply, Clock::time_point now);
  // Removes those that are old. True: there were some.
  bool expire(Clock::time_point now);
  // All are forgotten; the sets themselves are the caller's.
  void clear();
  [[nodiscard]] bool empty() const { return order_.empty(); }

 private:
  using Key = std::pair<Family, nft::Packed>;
  void drop_oldest();
  nft::Table& table_;
  std::map<Key, Clock::time_point> since_;
  std::deque<std::pair<Clock::time_point, Key>> order_;
};

}  // namespace margay::managers
