// SPDX-License-Identifier: Apache-2.0
// A network of BGP transports in memory and virtual time: connections with latency and a bounded
// window, refusals, resets, and pairs of addresses between which nothing passes for a while. As
// with TCP what is sent on a connection arrives in order, whatever the latency does meanwhile, and
// what did not get through arrives when it does again.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bgp/speaker/transport.h"
#include "tests/support/sim_loop.h"

namespace margay::bgp {

class SimNetwork {
 public:
  explicit SimNetwork(SimLoop& loop) : loop_(loop) {}

  Clock::duration latency = std::chrono::milliseconds(1);
  Clock::duration jitter{0};       // up to so much more, drawn for every arrival
  std::size_t window = 64 * 1024;  // bytes under way in one direction
  std::uint64_t connections = 0;   // made so far
  std::uint64_t bytes = 0;         // delivered so far
  // How often whoever has an address was told of data so far.
  std::unordered_map<Ip, std::uint64_t> wakeups;

  // From now on nothing passes between the two, without a word to either, until mend().
  void cut(const Ip& a, const Ip& b) {
    cut_.insert({a, b});
    cut_.insert({b, a});
  }
  void mend(const Ip& a, const Ip& b) {
    cut_.erase({a, b});
    cut_.erase({b, a});
    for_each_between(a, b, [&](const ConnPtr& c) {
      for (int side : {0, 1}) loop_.later(latency, [this, c, side] { pass_held(c, side); });
    });
  }
  // Ends every connection between the two with ECONNRESET at both ends.
  void reset(const Ip& a, const Ip& b) {
    for_each_between(a, b, [&](const ConnPtr& c) {
      for (int side : {0, 1}) close_end(c, side, ECONNRESET);
    });
  }

 private:
  friend class SimTransport;
  struct Arrival {
    std::vector<std::uint8_t> data;
    std::optional<int> close;  // errno, 0: orderly
  };
  struct End {
    Ip address;
    Stream* stream = nullptr;  // null: destroyed
    StreamEvents events;
    bool adopted = false, closed = false, blocked = false;
    std::size_t in_flight = 0;        // towards this end
    Clock::time_point last_arrival;   // of what is on the way to this end
    std::vector<std::uint8_t> early;  // before it was adopted
    std::optional<int> early_close;
    std::size_t low_water = 1;
    std::vector<std::uint8_t> waiting;  // below it
    Clock::time_point last_data;
    std::deque<Arrival> held;  // what would have arrived while it was cut off
  };
  struct Conn {
    std::array<End, 2> ends;
  };
  using ConnPtr = std::shared_ptr<Conn>;

  class SimStream : public Stream {
   public:
    SimStream(SimNetwork& net, ConnPtr conn, int side)
        : net_(net), conn_(std::move(conn)), side_(side) {
      end().stream = this;
    }
    ~SimStream() override {
      end().stream = nullptr;
      end().closed = true;
      end().events = {};
      net_.close_end(conn_, 1 - side_, 0);
    }
    [[nodiscard]] Ip local() const override {
      return conn_->ends[static_cast<std::size_t>(side_)].address;
    }
    [[nodiscard]] Ip remote() const override {
      return conn_->ends[static_cast<std::size_t>(1 - side_)].address;
    }
    [[nodiscard]] std::size_t write(std::span<const std::uint8_t> bytes) override {
      return net_.send(conn_, side_, bytes);
    }
    void set_low_water(std::size_t bytes) override {
      end().low_water = bytes;
      if (end().waiting.size() < bytes) return;
      net_.loop_.later(Clock::duration::zero(),
                       [net = &net_, c = conn_, side = side_] { net->wake(c, side); });
    }
    [[nodiscard]] Waiting take() override {
      net_.taken_ = std::exchange(end().waiting, {});
      return {net_.taken_, net_.loop_.now() - end().last_data};
    }
    [[nodiscard]] const ConnPtr& conn() const { return conn_; }
    [[nodiscard]] int side() const { return side_; }

   private:
    End& end() { return conn_->ends[static_cast<std::size_t>(side_)]; }
    SimNetwork& net_;
    ConnPtr conn_;
    int side_;
  };

  struct Binding {
    Transport::OnAccept on_accept;
    std::map<Ip, std::string> passwords;
  };

  // Something that arrives at one end of a connection, after all that is on the way to it.
  template <typename F>
  void arrive(End& end, F&& f) {
    const auto now = loop_.now();
    end.last_arrival = std::max(end.last_arrival, now + latency + drawn());
    loop_.later(end.last_arrival - now, std::forward<F>(f));
  }
  [[nodiscard]] Clock::duration drawn() {
    return jitter.count() == 0
               ? jitter
               : Clock::duration(static_cast<Clock::rep>(random_()) % jitter.count());
  }
  [[nodiscard]] bool is_cut(const Conn& c) const {
    return cut_.contains({c.ends[0].address, c.ends[1].address});
  }

  template <typename F>
  void for_each_between(const Ip& a, const Ip& b, F&& f) {
    for (const auto& weak : conns_) {
      const auto c = weak.lock();
      if (!c) continue;
      const bool between = (c->ends[0].address == a && c->ends[1].address == b) ||
                           (c->ends[0].address == b && c->ends[1].address == a);
      if (between) f(c);
    }
  }

  void remember(const ConnPtr& c) {
    conns_.push_back(c);
    if (conns_.size() < tidy_at_) return;
    std::erase_if(conns_, [](const auto& w) { return w.expired(); });
    tidy_at_ = 2 * conns_.size() + 64;
  }

  std::size_t send(const ConnPtr& c, int side, std::span<const std::uint8_t> data) {
    End& to = c->ends[static_cast<std::size_t>(1 - side)];
    if (to.closed) return data.size();
    const std::size_t room = to.in_flight < window ? window - to.in_flight : 0;
    const std::size_t n = std::min(room, data.size());
    if (n < data.size()) c->ends[static_cast<std::size_t>(side)].blocked = true;
    if (n == 0) return 0;
    to.in_flight += n;
    reach(c, 1 - side, {{data.begin(), data.begin() + static_cast<std::ptrdiff_t>(n)}, {}});
    return n;
  }

  // After all that is on the way to that end, and not before it can be reached.
  void reach(const ConnPtr& c, int side, Arrival a) {
    End& to = c->ends[static_cast<std::size_t>(side)];
    arrive(to, [this, c, side, &to, a = std::move(a)] {
      const bool reset = a.close.value_or(0) != 0;
      if (!reset && (is_cut(*c) || !to.held.empty())) {
        to.held.push_back(a);
      } else {
        take(c, side, a);
      }
    });
  }

  void pass_held(const ConnPtr& c, int side) {
    auto& held = c->ends[static_cast<std::size_t>(side)].held;
    while (!held.empty() && !is_cut(*c)) {
      const Arrival a = std::move(held.front());
      held.pop_front();
      take(c, side, a);
    }
  }

  void take(const ConnPtr& c, int side, const Arrival& a) {
    if (a.close) {
      end(c, side, *a.close);
    } else {
      deliver(c, side, a.data);
    }
  }

  void deliver(const ConnPtr& c, int side, const std::vector<std::uint8_t>& data) {
    End& to = c->ends[static_cast<std::size_t>(side)];
    End& from = c->ends[static_cast<std::size_t>(1 - side)];
    to.in_flight -= data.size();
    bytes += data.size();
    if (!to.closed && to.stream != nullptr) {
      to.last_data = loop_.now();
      if (to.adopted) {
        to.waiting.insert(to.waiting.end(), data.begin(), data.end());
        wake(c, side);
      } else {
        to.early.insert(to.early.end(), data.begin(), data.end());
      }
    }
    if (from.blocked && !from.closed && from.events.on_writable) {
      from.blocked = false;
      from.events.on_writable();
    }
  }

  void wake(const ConnPtr& c, int side) {
    End& e = c->ends[static_cast<std::size_t>(side)];
    if (e.closed || e.waiting.size() < e.low_water) return;
    ++wakeups[e.address];
    const auto data = std::exchange(e.waiting, {});
    e.events.on_data(data);
  }

  void close_end(const ConnPtr& c, int side, int error) { reach(c, side, {{}, error}); }

  void end(const ConnPtr& c, int side, int error) {
    End& e = c->ends[static_cast<std::size_t>(side)];
    if (e.closed) return;
    if (!e.adopted) {
      e.early_close = error;
      return;
    }
    e.low_water = 1;  // the end wakes whoever waits for more
    wake(c, side);
    if (e.closed) return;
    e.closed = true;
    const auto f = e.events.on_closed;
    if (f) f(error);
  }

  SimLoop& loop_;
  std::map<std::pair<Ip, std::uint16_t>, Binding*> listeners_;
  std::set<std::pair<Ip, Ip>> cut_;
  std::vector<std::weak_ptr<Conn>> conns_;
  std::size_t tidy_at_ = 64;
  std::vector<std::uint8_t> taken_;  // by Stream::take()
  std::minstd_rand random_{1};
};

// The transport of one machine with the given addresses.
class SimTransport : public Transport {
 public:
  SimTransport(SimNetwork& net, std::vector<Ip> addresses)
      : net_(net), addresses_(std::move(addresses)) {}

  [[nodiscard]] Result<std::unique_ptr<Listener>> listen(const ListenOptions& options,
                                                         OnAccept on_accept) override {
    return std::unique_ptr<Listener>(
        std::make_unique<SimListener>(net_, addresses_, options.port, std::move(on_accept)));
  }

  [[nodiscard]] std::unique_ptr<Stream> connect(const ConnectOptions& o,
                                                StreamEvents events) override {
    auto c = std::make_shared<SimNetwork::Conn>();
    c->ends[0].address = o.source.value_or(first(o.address.family()));
    c->ends[1].address = o.address;
    c->ends[0].events = std::move(events);
    c->ends[0].adopted = true;
    auto stream = std::make_unique<SimNetwork::SimStream>(net_, c, 0);
    net_.arrive(c->ends[1], [net = &net_, c, port = o.port, password = o.password] {
      answer(*net, c, port, password);
    });
    return stream;
  }

  void adopt(Stream& accepted, const std::optional<unsigned>&, StreamEvents events) override {
    auto& s = static_cast<SimNetwork::SimStream&>(accepted);
    auto& end = s.conn()->ends[static_cast<std::size_t>(s.side())];
    end.events = std::move(events);
    if (end.early.empty() && !end.early_close) {
      end.adopted = true;
      return;
    }
    // What comes until then joins what was early.
    net_.loop_.later(Clock::duration::zero(), [net = &net_, c = s.conn(), side = s.side()] {
      auto& e = c->ends[static_cast<std::size_t>(side)];
      if (e.closed) return;
      e.adopted = true;
      const auto early = std::exchange(e.early, {});
      const auto f = e.events.on_data;
      if (!early.empty()) f(early);
      if (e.early_close) net->close_end(c, side, *e.early_close);
    });
  }

 private:
  class SimListener : public Listener {
   public:
    SimListener(SimNetwork& net, const std::vector<Ip>& addresses, std::uint16_t port,
                OnAccept on_accept)
        : net_(net), port_(port) {
      binding_.on_accept = std::move(on_accept);
      for (const auto& a : addresses) {
        net_.listeners_[{a, port}] = &binding_;
        keys_.push_back({a, port});
      }
    }
    ~SimListener() override {
      for (const auto& k : keys_) net_.listeners_.erase(k);
    }
    std::vector<Error> set_rules(std::vector<AcceptRule> rules) override {
      binding_.passwords.clear();
      for (const auto& r : rules) binding_.passwords[r.address] = r.password;
      return {};
    }
    [[nodiscard]] std::uint16_t port() const override { return port_; }

   private:
    SimNetwork& net_;
    std::uint16_t port_;
    SimNetwork::Binding binding_;
    std::vector<std::pair<Ip, std::uint16_t>> keys_;
  };

  [[nodiscard]] Ip first(Family f) const {
    const auto it = std::find_if(addresses_.begin(), addresses_.end(),
                                 [&](const Ip& a) { return a.family() == f; });
    return it == addresses_.end() ? Ip::any(f) : *it;
  }

  static void answer(SimNetwork& net, const SimNetwork::ConnPtr& c, std::uint16_t port,
                     const std::string& password) {
    auto& dialler = c->ends[0];
    if (net.is_cut(*c) || dialler.closed) return;
    const auto it = net.listeners_.find({c->ends[1].address, port});
    if (it == net.listeners_.end()) {
      dialler.closed = true;
      const auto f = dialler.events.on_closed;
      f(ECONNREFUSED);
      return;
    }
    const auto& wanted = it->second->passwords;
    const auto rule = wanted.find(dialler.address);
    // A segment with the wrong signature is dropped: the dialler hears nothing.
    if ((rule == wanted.end() ? std::string() : rule->second) != password) return;
    ++net.connections;
    net.remember(c);
    auto accepted = std::make_unique<SimNetwork::SimStream>(net, c, 1);
    const auto connected = dialler.events.on_connected;
    const auto on_accept = it->second->on_accept;
    on_accept(std::move(accepted));
    connected();
  }

  SimNetwork& net_;
  std::vector<Ip> addresses_;
};

}  // namespace margay::bgp
