// SPDX-License-Identifier: Apache-2.0
// One state machine driven by hand: what it is told, and what it wanted of the last step.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "bgp/fsm/fsm.h"

namespace margay::bgp {

using namespace std::chrono_literals;
using wire::Notification;
inline constexpr auto kOut = Connection::outgoing, kIn = Connection::incoming;

class Driven {
 public:
  explicit Driven(FsmConfig c = default_config()) : fsm(std::move(c)) {}

  static FsmConfig default_config() {
    FsmConfig c;
    c.local_as = Asn(64512);
    c.remote_as = Asn(65001);
    c.router_id = RouterId(10);
    c.families = {Family::v4};
    return c;
  }

  void step(const FsmEvent& e) {
    sent.clear();
    connects = closes = 0;
    up = down = graceful = false;
    for (const auto& a : fsm.step(now, e)) {
      if (const auto* s = std::get_if<fsm_action::Send>(&a)) sent.push_back(*s);
      if (std::holds_alternative<fsm_action::Connect>(a)) ++connects;
      if (std::holds_alternative<fsm_action::Close>(a)) ++closes;
      if (const auto* t = std::get_if<fsm_action::Arm>(&a)) {
        timers[static_cast<std::size_t>(t->timer)] = now + t->after;
      }
      if (const auto* t = std::get_if<fsm_action::Disarm>(&a)) {
        timers[static_cast<std::size_t>(t->timer)].reset();
      }
      if (std::holds_alternative<fsm_action::Up>(a)) up = true;
      if (const auto* d = std::get_if<fsm_action::Down>(&a)) {
        down = true;
        graceful = d->graceful;
      }
    }
  }
  [[nodiscard]] std::optional<FsmDuration> left(FsmTimer t) const {
    const auto at = timers[static_cast<std::size_t>(t)];
    return at ? std::optional(*at - now) : std::nullopt;
  }
  void expire(FsmTimer t) {
    now = *timers[static_cast<std::size_t>(t)];
    timers[static_cast<std::size_t>(t)].reset();
    step(fsm_event::Expired{t});
  }

  void receive(Connection c, const wire::Buffer& message) {
    const auto f = wire::next_frame(message);
    ASSERT_EQ(f.status, wire::Frame::Status::complete);
    step(fsm_event::Received{c, f.type, f.body});
  }
  static wire::Open peer_open() {
    wire::Open o;
    o.asn = Asn(65001);
    o.hold_time = 90;
    o.id = RouterId(20);
    o.capabilities.multiprotocol = {{1, 1}};
    o.capabilities.as4 = o.asn;
    o.capabilities.graceful_restart = wire::GracefulRestart{false, false, 60, {{{1, 1}, true}}};
    return o;
  }
  void open(Connection c, const wire::Open& o = peer_open()) {
    wire::Buffer b;
    wire::encode_open(b, o);
    receive(c, b);
  }
  void keepalive(Connection c) {
    wire::Buffer b;
    wire::encode_keepalive(b);
    receive(c, b);
  }
  void notify(Connection c, const Notification& n) {
    wire::Buffer b;
    wire::encode_notification(b, n);
    receive(c, b);
  }
  void establish() {
    step(fsm_event::Start{});
    step(fsm_event::Connected{});
    open(kOut);
    keepalive(kOut);
  }
  // What the last step told the peer: "type" or "code/subcode" of a notification, on a connection.
  [[nodiscard]] std::string said() const {
    std::string out;
    for (const auto& s : sent) {
      const auto f = wire::next_frame(s.bytes);
      out += s.connection == kOut ? "out:" : "in:";
      if (f.type == wire::MessageType::open) out += "open ";
      if (f.type == wire::MessageType::keepalive) out += "keepalive ";
      if (f.type == wire::MessageType::notification) {
        const auto n = wire::decode_notification(f.body);
        out += std::to_string(n.code) + "/" + std::to_string(n.subcode) + " ";
      }
    }
    return out;
  }

  Fsm fsm;
  FsmTime now{1h};
  std::array<std::optional<FsmTime>, kFsmTimers> timers{};
  std::vector<fsm_action::Send> sent;
  int connects = 0, closes = 0;
  bool up = false, down = false, graceful = false;
};

}  // namespace margay::bgp
