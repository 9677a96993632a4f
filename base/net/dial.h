// SPDX-License-Identifier: Apache-2.0
// Makes a stream connection by name: to "host:port", "[v6]:port" or "unix:/path". All addresses
// that a name stands for are tried, one after the other. Names are looked up as the system does it,
// on a thread of their own: nothing else can be asked without blocking.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/loop/event_loop.h"
#include "base/result.h"

namespace margay::net {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

class Dial {  // destroying it ends it: no callback afterwards
 public:
  // Connected and non-blocking, or why not (Code::unavailable; the last address's reason).
  using Done = std::function<void(Result<Fd>)>;
  // `first`: with which of a name's addresses to begin, so that many callers spread over them.
  // `patience`: with one address. Done is called on the loop, once, never from in here; it may
  // destroy the Dial.
  Dial(EventLoop& loop, std::string to, std::size_t first, Clock::duration patience, Done done);
  ~Dial();
  Dial(const Dial&) = delete;
  Dial& operator=(const Dial&) = delete;

 private:
  struct Lookup;
  void begin();
  void look_up(const std::string& host, const std::string& port);
  void found();
  void next();
  void failed(int error);
  void connected();
  void fail(const std::string& why);

  EventLoop& loop_;
  const std::string to_;
  const std::size_t first_;
  const Clock::duration patience_;
  const Done done_;
  std::shared_ptr<Lookup> lookup_;
  std::vector<SocketAddress> addresses_;
  std::size_t tried_ = 0;
  std::string why_;  // of the last attempt
  Fd fd_;
  EventLoop::Watch watch_;
  EventLoop::Timer timer_;
};

}  // namespace margay::net
