// SPDX-License-Identifier: Apache-2.0
// The probes' HTTP server (/liveness, /readiness) and the metrics server (/metrics), on a small
// thread of their own, so that no busy loop delays an answer. Addresses change live.
#pragma once

#include <cstdint>
#include <functional>
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
  Servers(Health& health, const metrics::Registry& registry);
  ~Servers();
  Servers(const Servers&) = delete;
  Servers& operator=(const Servers&) = delete;

  // A part of /metrics that is made when it is asked for, perhaps on another thread, which then
  // calls the function it is given, once. At most one; before configure().
  using Page = std::function<void(std::function<void(std::string)>)>;
  void add_page(Page page) { page_ = std::move(page); }
  // Nothing is served any more, and no page asked for; what is under way may still answer.
  void stop() { loop_.join(); }

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
  [[nodiscard]] Clock::time_point look();
  void answer_metrics(const http::Respond& respond);
  void listen(Endpoint& endpoint, const char* what, const http::Handler& handler);

  Health& health_;
  const metrics::Registry& registry_;
  AsioLoop loop_{"health"};
  Endpoint probes_, metrics_;
  Page page_;
};

}  // namespace margay::health
