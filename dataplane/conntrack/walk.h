// SPDX-License-Identifier: Apache-2.0
// Looks through the connection tracking table in pieces. Blocking calls on a socket of its own, in
// the network namespace of the thread that opens it: one thread.
#pragma once

#include <cstddef>
#include <functional>

#include "base/result.h"
#include "dataplane/conntrack/flow.h"
#include "dataplane/netlink/socket.h"

namespace margay::conntrack {

class Walk {
 public:
  [[nodiscard]] static Result<Walk> open();

  // Asks for the flows of `query`; the walk before it must have come to its end. After an error of
  // begin or step only a new Walk can go on.
  [[nodiscard]] Result<void> begin(const Query& query);
  // Reads up to `datagrams` of answers, about a hundred flows each; true: that was all.
  [[nodiscard]] Result<bool> step(int datagrams, const std::function<void(const Flow&)>& each);

 private:
  explicit Walk(netlink::Socket reader) : reader_(std::move(reader)) {}
  netlink::Socket reader_;
  std::uint32_t seq_ = 0;
};

}  // namespace margay::conntrack
