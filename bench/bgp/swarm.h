// SPDX-License-Identifier: Apache-2.0
// All speakers of the load tool on one epoll, and waiting for what they should come to.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/bgp/fib_watch.h"
#include "bench/bgp/session.h"
#include "bench/bgp/usage.h"

namespace margay::bench {

class Swarm {
 public:
  struct Options {
    std::vector<Group> groups;
    std::vector<int> pids;  // the machine under test
    unsigned at_once = 64;  // attempts to connect under way
    std::string fib_netns;  // empty: the kernel's routes do not matter
  };
  Swarm(World& world, Options options);

  [[nodiscard]] std::vector<std::unique_ptr<Session>>& sessions() { return sessions_; }
  [[nodiscard]] std::size_t up() const;
  [[nodiscard]] const std::optional<FibWatch>& fib() const { return fib_; }
  [[nodiscard]] Usage usage() const { return usage_of(options_.pids); }
  // When the last thing came that a measurement waits for.
  [[nodiscard]] double last_event() const;

  void announce(Session& session);
  void withdraw(Session& session);
  // Sessions that are down connect, as long as this is set.
  void set_connecting(bool on) { connecting_ = on; }
  // Lets the world go on until `done`, looking when something has changed. False: time is up.
  bool until(const std::function<bool()>& done, double limit);
  void idle(double seconds);
  // Until neither an update comes nor the machine under test works; it may tick.
  bool until_idle(double limit);

 private:
  void step(int milliseconds);
  void watch(Session& session, bool added);
  void handle(Session& session, unsigned events, double time);
  void keep_up(double time);

  World& world_;
  Options options_;
  Fd epoll_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::optional<FibWatch> fib_;
  bool connecting_ = false;
  double next_round_ = 0;
};

}  // namespace margay::bench
