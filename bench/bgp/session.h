// SPDX-License-Identifier: Apache-2.0
// One speaker of the load tool: connects, keeps its session, sends prepared bytes and counts what
// it is told. Only as much of BGP as that takes; it trusts the machine under test.
#pragma once

#include <cstdint>
#include <vector>

#include "base/fd.h"
#include "bench/bgp/routes.h"

namespace margay::bench {

// The same for all sessions.
struct World {
  Ip target;
  std::uint16_t port = 179;
  std::uint32_t target_as = 64512;
  std::uint16_t hold = 90;
  Numbering numbering;
  std::uint32_t numbers = 0;           // of prefixes that occur
  std::vector<std::uint8_t> incoming;  // for reading
  double last_update = 0;              // when the last one came, to whomever
  bool changed = false;                // some session's state or table has
};

class Session {
 public:
  enum class State { down, connecting, open_sent, open_confirm, established };

  Session(World& world, const Group& group, std::uint32_t index);
  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool up() const { return state_ == State::established; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool wants_to_write() const {
    return state_ == State::connecting || sent_ < out_.size() || queued_at_ < queued_size();
  }
  [[nodiscard]] const Group& group() const { return group_; }
  [[nodiscard]] const Routes& routes() const { return routes_; }
  [[nodiscard]] std::uint32_t have() const { return have_; }
  [[nodiscard]] std::uint32_t have_of(const Routes& others) const;  // how many of these
  // What it was told so far, repetitions included.
  [[nodiscard]] std::uint64_t announced() const { return announced_; }
  [[nodiscard]] std::uint64_t withdrawn() const { return withdrawn_; }
  [[nodiscard]] std::uint64_t updates() const { return updates_; }
  [[nodiscard]] unsigned losses() const { return losses_; }
  [[nodiscard]] double up_since() const { return up_since_; }

  bool connect();  // false: at once refused
  void close();
  void announce() { queue(routes_.announce); }
  void withdraw() { queue(routes_.withdraw); }
  void keep_alive(double time);

  bool watched_for_writing = false;  // the owner's note

  // Its descriptor is ready. False: the connection has ended.
  bool on_readable(double time);
  bool on_writable();

 private:
  [[nodiscard]] std::size_t queued_size() const { return queued_ == nullptr ? 0 : queued_->size(); }
  void queue(const bgp::wire::Buffer& bytes);
  bool flush();
  void say(const bgp::wire::Buffer& bytes);
  void send_open();
  bool consume(double time);
  bool on_message(std::uint8_t type, bgp::wire::Bytes body, double time);
  bool on_update(bgp::wire::Bytes body, double time);
  void on_prefixes(bgp::wire::Bytes bytes, bool announced, bool present);
  void set(std::uint32_t number, bool present);

  World& world_;
  const Group& group_;
  Ip address_;
  std::uint32_t as_;
  Routes routes_;
  Fd fd_;
  State state_ = State::down;
  std::vector<std::uint8_t> partial_;
  bgp::wire::Buffer out_;  // goes before what is queued
  std::size_t sent_ = 0;
  const bgp::wire::Buffer* queued_ = nullptr;
  std::size_t queued_at_ = 0;
  double next_keepalive_ = 0, up_since_ = 0;
  std::vector<std::uint64_t> present_;  // a bit for each prefix
  std::uint32_t have_ = 0;
  std::uint64_t announced_ = 0, withdrawn_ = 0, updates_ = 0;
  unsigned losses_ = 0;
};

}  // namespace margay::bench
