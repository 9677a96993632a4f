// SPDX-License-Identifier: Apache-2.0
// The probes' HTTP server (/liveness, /readiness) and the metrics server (/metrics), on a small
// thread of their own, so that no busy loop delays an answer. Addresses change live.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "agent/health/health.h"
#include "base/http/http.h"
#include "base/loop/asio_loop.h"
#include "base/metrics.h"

namespace margay::health {

struct Address {
  std::string host;
  std::uint16_t port = 0;
  friend bool operator==(const Address&, const Address&) = default;
};

class Servers {
 public:
  // Both outlive this object.
  Servers(const Health& health, const metrics::Registry& registry);
  ~Servers();
  Servers(const Servers&) = delete;
  Servers& operator=(const Servers&) = delete;

  // Any thread. Absent: not served. A failure to bind is logged, and tried again every few seconds.
  void configure(std::optional<Address> probes, std::optional<Address> metrics);

 private:
  struct Endpoint {
    std::optional<Address> want;
    std::unique_ptr<http::Server> server;
    EventLoop::Timer retry;
  };
  void serve(Endpoint& endpoint, std::optional<Address> want, const char* what,
             http::Handler handler);
  void listen(Endpoint& endpoint, const char* what, const http::Handler& handler);

  const Health& health_;
  const metrics::Registry& registry_;
  AsioLoop loop_{"health"};
  Endpoint probes_, metrics_;
};

}  // namespace margay::health
