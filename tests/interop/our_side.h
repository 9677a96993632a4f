// SPDX-License-Identifier: Apache-2.0
// Speakers of ours on real sockets in the test's namespace, each with a table of what it would
// program, and waiting on their loop.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/loop/asio_loop.h"
#include "bgp/speaker/speaker.h"
#include "bgp/speaker/tcp_transport.h"
#include "tests/interop/neighbour.h"

namespace margay::bgp {

class MapSink : public RouteSink {
 public:
  void apply(std::vector<RouteChange> changes) override {
    for (auto& c : changes) {
      if (c.next_hops) {
        routes[c.prefix] = *c.next_hops;
      } else {
        routes.erase(c.prefix);
      }
    }
  }
  void initial_sync_done() override { synced = true; }
  std::map<Prefix, std::vector<Ip>> routes;
  bool synced = false;
};

inline Prefix prefix(const std::string& text) { return *Prefix::parse(text); }
inline Ip ip(const std::string& text) { return *Ip::parse(text); }

// Runs the loop until `done`; false: the time is up.
template <typename F>
[[nodiscard]] bool run_until(AsioLoop& loop, F done,
                             Clock::duration limit = std::chrono::seconds(20)) {
  bool late = false;
  const auto deadline = loop.after(limit, [&] {
    late = true;
    loop.stop();
  });
  std::function<void()> look;
  EventLoop::Timer timer;
  look = [&] {
    if (done()) {
      loop.stop();
    } else {
      timer = loop.after(std::chrono::milliseconds(20), look);
    }
  };
  loop.post(look);
  loop.run();
  loop.restart();
  return !late;
}

struct OurSide {
  explicit OurSide(AsioLoop& l, SpeakerOptions options = {})
      : loop(l), speaker(l, transport, sink, registry, options) {}

  [[nodiscard]] std::string states() const {
    std::string out;
    for (const auto& p : speaker.status().peers) out += p.name + ": " + p.info + "\n";
    return out;
  }
  [[nodiscard]] bool all_up() const {
    const auto s = speaker.status();
    return std::all_of(s.peers.begin(), s.peers.end(),
                       [](const PeerStatus& p) { return p.state == "up"; });
  }
  [[nodiscard]] std::vector<Ip> hops(const std::string& p) const {
    const auto it = sink.routes.find(prefix(p));
    return it == sink.routes.end() ? std::vector<Ip>{} : it->second;
  }

  AsioLoop& loop;
  TcpTransport transport{loop};
  MapSink sink;
  metrics::Registry registry;
  Speaker speaker;
};

}  // namespace margay::bgp
