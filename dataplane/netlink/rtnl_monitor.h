// SPDX-License-Identifier: Apache-2.0
// What others change in the kernel's links, addresses, routes of the main table, permanent
// neighbours, FDB entries and interface settings, as decoded values in the kernel's order. A filter
// in the socket drops other tables, our own writes of routes and neighbours, and the chatter of the
// neighbour cache, so that a busy host does not wake us; which routes matter it is told.
#pragma once

#include <functional>

#include "base/result.h"
#include "dataplane/netlink/route_filter.h"
#include "dataplane/netlink/rtnl.h"
#include "dataplane/netlink/socket.h"

namespace margay::netlink {

struct RtnlListener {
  std::function<void(const LinkMessage&)> link;
  std::function<void(const AddressMessage&)> address;
  std::function<void(const RouteMessage&)> route;
  std::function<void(const NeighbourMessage&)> neighbour;
  std::function<void(const FdbMessage&)> fdb;
  // A setting below /proc/sys/net/*/conf changed, of one interface or (0) of all.
  std::function<void(IfIndex)> settings;
};

class RtnlMonitor {
 public:
  // `own_port`: the port of the socket whose writes need no echo; `queue`: bytes the kernel may
  // hold for us.
  [[nodiscard]] static Result<RtnlMonitor> open(std::uint32_t own_port, int queue);

  // At once; what is queued already is still handed on.
  [[nodiscard]] Result<void> hear(const RouteFilter& routes);

  [[nodiscard]] int fd() const { return socket_.fd(); }
  // Hands on what is queued, a bounded number; true: there may be more. Code::overrun: some were
  // lost, read everything again.
  [[nodiscard]] Result<bool> drain(const RtnlListener& listener);

 private:
  RtnlMonitor(Socket socket, std::uint32_t own_port)
      : socket_(std::move(socket)), own_port_(own_port) {}
  Socket socket_;
  std::uint32_t own_port_;
};

}  // namespace margay::netlink
