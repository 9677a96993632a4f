// SPDX-License-Identifier: Apache-2.0
// One BGP session (RFC 4271 8) without sockets and clocks: events and the time go in, actions come
// out. Covers both connections of a peer and their collision (6.8), all timers with jitter,
// back-off after errors, and what was agreed on in the OPENs. Keepalive and hold timers fire on
// ticks, an eighth of the keepalive interval apart, that all sessions of a process share: hundreds
// of them wake it as rarely as one. So a lost peer is noticed up to a tick after its hold time,
// never before. Time is data; the jitter comes from a seed, so that a run can be repeated.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/ip.h"
#include "base/types.h"
#include "bgp/wire/message.h"

namespace margay::bgp {

struct PeerTimers {
  std::chrono::seconds hold{240};
  std::chrono::seconds keepalive{0};      // 0: a third of the negotiated hold time
  std::chrono::seconds connect_retry{5};  // how long one attempt may take
  std::chrono::seconds connect_delay{2};  // between attempts
  std::chrono::seconds restart{120};  // advertised graceful restart time; 0: no graceful restart
  // RFC 8538: routes are kept as well over a NOTIFICATION and an expired hold timer.
  bool graceful_notification = false;
  friend bool operator==(const PeerTimers&, const PeerTimers&) = default;
};

using FsmTime = std::chrono::steady_clock::time_point;
using FsmDuration = std::chrono::steady_clock::duration;

struct FsmConfig {
  Asn local_as, remote_as;
  RouterId router_id;
  std::vector<Family> families;  // at least one
  bool v6_next_hops = false;     // RFC 8950: IPv4 prefixes may have IPv6 next hops
  bool passive = false;
  PeerTimers timers;
  bool restarting = false;            // sets R in our capability
  bool forwarding_preserved = false;  // sets F
  std::uint64_t seed = 1;
};

enum class Connection : std::uint8_t { outgoing, incoming };
enum class FsmState : std::uint8_t { idle, connect, active, open_sent, open_confirm, established };

enum class FsmTimer : std::uint8_t {
  retry,  // the next attempt, the end of one, or the end of a wait after an error
  hold_outgoing,
  hold_incoming,
  keepalive_outgoing,
  keepalive_incoming,
};
inline constexpr std::size_t kFsmTimers = 5;
// Of all but `retry`.
[[nodiscard]] constexpr Connection connection_of(FsmTimer t) {
  return t == FsmTimer::hold_outgoing || t == FsmTimer::keepalive_outgoing ? Connection::outgoing
                                                                           : Connection::incoming;
}

// What both sides agreed on.
struct Negotiated {
  Asn remote_as;
  RouterId remote_id;
  bool internal = false;  // iBGP
  std::chrono::seconds hold{0}, keepalive{0};
  std::vector<Family> families;
  bool as4 = false;
  bool route_refresh = false;
  bool enhanced_refresh = false;
  std::size_t max_message = wire::kMaxMessage;
  std::vector<Family> add_path_in, add_path_out;  // RFC 7911: with path identifiers
  bool v6_next_hops = false;                      // RFC 8950
  bool graceful = false;                          // both sides know RFC 4724
  bool graceful_notification = false;             // and RFC 8538
  bool peer_restarting = false;
  std::chrono::seconds restart_time{0};      // the peer's
  std::vector<Family> graceful_families;     // whose routes we keep when the session is lost
  std::vector<Family> forwarding_preserved;  // the peer says that its forwarding survived
  [[nodiscard]] wire::DecodeContext decode_context() const;
};

// --- events ----------------------------------------------------------------------------------

// No errno: the connection came from farther away than TTL security allows (RFC 5082).
inline constexpr int kTooFar = -1;

namespace fsm_event {
struct Start {};
struct Stop {  // notification: what the peer is told; absent: the connection is just closed
  std::optional<wire::Notification> notification;
};
struct Connected {};  // the outgoing connection stands
struct Accepted {};   // an incoming connection; only when accepts_incoming()
struct Closed {       // also of an attempt; `error` is an errno, 0: orderly, or kTooFar
  Connection connection;
  int error;
};
struct Received {
  Connection connection;
  wire::MessageType type;
  wire::Bytes body;
};
// How long to wait after an error: the usual, growing with each error; `pause`; or until the next
// Stop and Start.
struct Retry {
  enum class Kind : std::uint8_t { usual, pause, never } kind = Kind::usual;
  std::chrono::seconds pause{0};
};
struct BadStream {  // framing, an UPDATE, or a limit: tell the peer and end
  Connection connection;
  wire::Notification notification;
  Retry retry = {};
};
struct Expired {
  FsmTimer timer;
};
}  // namespace fsm_event
using FsmEvent =
    std::variant<fsm_event::Start, fsm_event::Stop, fsm_event::Connected, fsm_event::Accepted,
                 fsm_event::Closed, fsm_event::Received, fsm_event::BadStream, fsm_event::Expired>;

// --- actions ---------------------------------------------------------------------------------

namespace fsm_action {
struct Connect {};
struct Send {
  Connection connection;
  wire::Buffer bytes;
};
struct Close {  // after what was sent has gone out
  Connection connection;
};
struct Arm {
  FsmTimer timer;
  FsmDuration after;
};
struct Disarm {
  FsmTimer timer;
};
struct Up {
  Connection connection;
};
struct Down {
  bool graceful;  // keep the peer's routes as stale for its restart time
};
struct Refresh {
  wire::RouteRefresh request;
};
}  // namespace fsm_action
using FsmAction =
    std::variant<fsm_action::Connect, fsm_action::Send, fsm_action::Close, fsm_action::Arm,
                 fsm_action::Disarm, fsm_action::Up, fsm_action::Down, fsm_action::Refresh>;

class Fsm {
 public:
  explicit Fsm(FsmConfig config);

  // Valid until the next call. While Established, UPDATEs do not come here: the driver decodes them
  // and calls heard().
  [[nodiscard]] std::span<const FsmAction> step(FsmTime now, const FsmEvent& event);
  // Whether an incoming connection may be had now; it takes the place of one that there may be.
  [[nodiscard]] bool accepts_incoming() const;
  // A message came at that time, which Received takes to be now.
  void heard(FsmTime when, Connection c) { at(c).last_heard = when; }

  [[nodiscard]] FsmState state() const;  // of the connection that is furthest
  // BIRD's words: "Idle", "Passive", "Active", ..., "Established".
  [[nodiscard]] std::string_view state_name() const;
  [[nodiscard]] bool running() const { return running_; }
  [[nodiscard]] std::optional<Connection> established() const { return established_; }
  [[nodiscard]] const Negotiated& negotiated() const { return negotiated_; }
  // Why there is no session, cleared when one is up: "Socket: Connection refused".
  [[nodiscard]] const std::string& last_error() const { return last_error_; }
  // For OPENs from now on.
  void set_restarting(bool restarting) { config_.restarting = restarting; }
  void set_forwarding_preserved(bool preserved) { config_.forwarding_preserved = preserved; }

 private:
  struct Conn {
    FsmState state = FsmState::idle;
    FsmTime last_heard;
    std::optional<wire::Open> open;  // the peer's
    bool confirmed = false;          // its KEEPALIVE has come while ours was held back
  };
  enum class ErrorClass { none, socket, received, protocol };

  Conn& at(Connection c) { return conns_[static_cast<std::size_t>(c)]; }
  [[nodiscard]] const Conn& at(Connection c) const { return conns_[static_cast<std::size_t>(c)]; }

  void on(const fsm_event::Start&);
  void on(const fsm_event::Stop& e);
  void on(const fsm_event::Connected&);
  void on(const fsm_event::Accepted&);
  void on(const fsm_event::Closed& e);
  void on(const fsm_event::Received& e);
  void on(const fsm_event::BadStream& e);
  void on(const fsm_event::Expired& e);
  void on_retry();
  void on_open(Connection c, const wire::Open& open);
  void on_keepalive(Connection c);
  void on_notification(Connection c, const wire::Notification& n);

  [[nodiscard]] std::optional<wire::Notification> check(const wire::Open& open) const;
  // RFC 4271 6.8: which of two connections stays.
  [[nodiscard]] Connection preferred(const wire::Open& open) const;
  [[nodiscard]] wire::Open our_open() const;
  void negotiate(const wire::Open& open);
  void dial();
  void send_open(Connection c);
  void arm_session(Connection c);
  void confirm(Connection c);
  void enter_established(Connection c);
  // Tells the peer (when there is something to tell) and drops the connection.
  void drop(Connection c, const std::optional<wire::Notification>& n);
  // A connection is gone; decides how to go on.
  void after_loss(Connection c, bool was_established, bool graceful, bool is_error);
  void fail(Connection c, const wire::Notification& n, const fsm_event::Retry& retry = {});
  void wait_after_error();
  void pause(const fsm_event::Retry& retry);
  void stand_still();
  void negotiate_restart(const wire::Capabilities& theirs, Negotiated& n) const;
  // What the peer is told: when it would keep our routes in spite of it, with the Hard Reset that
  // RFC 8538 4.1 advises.
  [[nodiscard]] wire::Notification wrapped(Connection c, const wire::Notification& n) const;
  void go_active();
  [[nodiscard]] bool other_busy(Connection c) const;
  void set_error(ErrorClass kind, std::string text);
  void arm(FsmTimer t, FsmDuration d) { actions_.emplace_back(fsm_action::Arm{t, d}); }
  void disarm(FsmTimer t) { actions_.emplace_back(fsm_action::Disarm{t}); }
  void send(Connection c, wire::Buffer bytes);
  [[nodiscard]] FsmDuration jittered(FsmDuration d);
  [[nodiscard]] FsmDuration tick() const;
  [[nodiscard]] FsmDuration until_tick(FsmTime at) const;  // the first that is not before
  [[nodiscard]] FsmDuration until_keepalive();             // jittered, to a tick

  FsmConfig config_;
  std::array<Conn, 2> conns_;
  std::optional<Connection> established_;
  Negotiated negotiated_;
  std::vector<FsmAction> actions_;
  FsmTime now_;
  bool running_ = false;
  bool waiting_ = false;  // after an error: neither dials nor accepts
  std::chrono::seconds error_wait_{0};
  FsmTime last_failure_;
  std::string last_error_;
  std::uint64_t random_;
};

}  // namespace margay::bgp
