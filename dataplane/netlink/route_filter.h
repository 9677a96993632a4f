// SPDX-License-Identifier: Apache-2.0
// Which routes of others matter. A routing daemon may hold a million routes and change thousands a
// second: its routes matter only where they overlap prefixes that we have to do with, or took the
// place of a route with one of our metrics. The same rule stands in C++ for what is read, and as
// instructions for the kernel, which then does not even wake us. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/netlink/rtnl.h"

struct sock_filter;

namespace margay::netlink {

class RouteFilter {
 public:
  // Of each family; more are joined into fewer, larger ones.
  static constexpr std::size_t kMaxPrefixes = 24;

  RouteFilter() = default;  // everything matters
  // `own`: protocols of ours, whose routes always matter.
  RouteFilter(const std::vector<std::uint8_t>& own, std::vector<std::uint32_t> metrics,
              std::vector<Prefix> prefixes);

  [[nodiscard]] bool keeps(const Route& route) const;
  [[nodiscard]] bool sees(const Prefix& dst) const;       // any route to it matters
  [[nodiscard]] bool covers(const Prefix& prefix) const;  // all routes in it matter

  // Instructions that end with a verdict, for a route message of the main table. The kernel sees 64
  // bits of an IPv6 address, and so may keep more than keeps() does.
  void append_to(std::vector<sock_filter>& code) const;

 private:
  std::vector<std::uint8_t> daemons_;
  std::vector<std::uint32_t> metrics_;
  std::vector<Prefix> prefixes_;  // sorted, none within another
};

}  // namespace margay::netlink
