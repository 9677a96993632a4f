// SPDX-License-Identifier: Apache-2.0
// Forgets the connections of an address that has another owner now, so that nothing established
// with the old one is let through to the new. Where there are many, the kernel finds the IPv4 ones
// (a filter on the address of either direction's tuple, Linux 5.8); a few, and IPv6 flows, are
// looked through, once for all addresses. Each is deleted by its exact tuple, flows of other
// addresses are never touched. Must not know why an address changed hands.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>

#include "base/ip.h"
#include "base/result.h"
#include "dataplane/conntrack/flow.h"
#include "dataplane/netlink/socket.h"

namespace margay::conntrack {

class Flows {
 public:
  [[nodiscard]] static Result<Flows> open();

  void cut(const Ip& address) { queue_.push_back(address); }
  // Deals with up to `max` addresses; the number of connections deleted.
  [[nodiscard]] Result<std::size_t> apply(std::size_t max);
  [[nodiscard]] bool pending() const { return !queue_.empty(); }

 private:
  explicit Flows(netlink::Socket socket) : socket_(std::move(socket)) {}
  [[nodiscard]] Result<std::uint32_t> count();
  // Deletes those of what the kernel shows that `concerned` holds for.
  [[nodiscard]] Result<std::size_t> cut_matching(const Query& query,
                                                 const std::function<bool(const Flow&)>& concerned);
  netlink::Socket socket_;
  std::deque<Ip> queue_;
};

}  // namespace margay::conntrack
