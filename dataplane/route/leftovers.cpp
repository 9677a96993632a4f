// SPDX-License-Identifier: Apache-2.0
#include "dataplane/route/leftovers.h"

#include <linux/netlink.h>

#include <cerrno>

#include "dataplane/netlink/rtnl.h"
#include "dataplane/netlink/socket.h"

namespace margay::route {

Result<bool> has_routes_of(std::span<const std::uint8_t> protocols) {
  MARGAY_TRY(auto socket, netlink::Socket::open(NETLINK_ROUTE));
  bool found = false;
  for (const std::uint8_t protocol : protocols) {
    for (const Family family : kFamilies) {
      netlink::RouteDump what;
      what.family = family;
      what.protocol = protocol;
      const auto start = [&](netlink::Writer& request, std::uint32_t seq) {
        encode_route_dump(request, seq, what);
      };
      const auto done = socket.dump_retry(start, [&](const netlink::Message& m) {
        const auto message = netlink::decode_route(m);
        found = found || (message && message->route.protocol == protocol);
      });
      // A family that the kernel does not speak, or a table without any route.
      if (!done.ok() && done.error().sys_errno != ENOENT &&
          done.error().sys_errno != EAFNOSUPPORT && done.error().sys_errno != EOPNOTSUPP) {
        return done.error();
      }
      if (found) return true;
    }
  }
  return false;
}

}  // namespace margay::route
