// SPDX-License-Identifier: Apache-2.0
// The floor under every routing daemon: routes written into the kernel as fast as it takes them,
// many messages in a send, none of them acknowledged; a refusal tells its number.
#pragma once

#include <string>

#include "base/result.h"
#include "bench/bgp/routes.h"
#include "dataplane/netlink/socket.h"

namespace margay::bench {

class RawRoutes {
 public:
  [[nodiscard]] static Result<RawRoutes> open(const std::string& netns, const Numbering& numbering,
                                              const Ip& gateway);
  // Adds or deletes the prefixes of `routes`; returns when the kernel has them.
  [[nodiscard]] Result<void> write(const Routes& routes, bool add);

 private:
  RawRoutes(netlink::Socket socket, const Numbering& numbering, const Ip& gateway)
      : socket_(std::move(socket)), numbering_(numbering), gateway_(gateway) {}
  netlink::Socket socket_;
  Numbering numbering_;
  Ip gateway_;
};

}  // namespace margay::bench
