// SPDX-License-Identifier: Apache-2.0
// Which of the numbered prefixes the kernel of another network namespace has, by its
// notifications.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "bench/bgp/routes.h"
#include "dataplane/netlink/socket.h"

namespace margay::bench {

// A route socket in the namespace at `netns`, a path under /run/netns; the calling thread is in its
// own again afterwards.
[[nodiscard]] Result<netlink::Socket> socket_in(const std::string& netns,
                                                netlink::SocketOptions options = {});

class FibWatch {
 public:
  [[nodiscard]] static Result<FibWatch> open(const std::string& netns, const Numbering& numbering,
                                             std::uint32_t numbers);
  [[nodiscard]] int fd() const { return socket_.fd(); }
  void on_readable(double time);
  [[nodiscard]] std::uint32_t have() const { return have_; }
  [[nodiscard]] double last_change() const { return last_change_; }
  [[nodiscard]] bool lost() const { return lost_; }  // notifications: the numbers are worth nothing

 private:
  FibWatch(netlink::Socket socket, const Numbering& numbering, std::uint32_t numbers)
      : socket_(std::move(socket)), numbering_(numbering), present_(numbers) {}
  void on_message(const netlink::Message& m);
  netlink::Socket socket_;
  Numbering numbering_;
  std::vector<bool> present_;
  std::uint32_t have_ = 0;
  double now_ = 0, last_change_ = 0;
  bool lost_ = false;
};

}  // namespace margay::bench
