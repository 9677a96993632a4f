// SPDX-License-Identifier: Apache-2.0
#include "bgp/fsm/fsm.h"

#include <algorithm>
#include <cstring>

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;
using wire::Notification;
namespace code = wire::code;
namespace subcode = wire::subcode;

// RFC 4271 8.2.2: "a large value" while waiting for the OPEN.
constexpr auto kInitialHold = 240s;
// How long a second connection may stand beside an established session.
constexpr auto kCrossingWait = 5s;
// How long the OPEN on the preferred one of two connections is waited for.
constexpr auto kRivalWait = 1s;
constexpr auto kErrorWaitMin = 5s, kErrorWaitMax = 30s, kErrorForget = 300s;

constexpr Connection other(Connection c) {
  return c == Connection::outgoing ? Connection::incoming : Connection::outgoing;
}
constexpr FsmTimer hold_of(Connection c) {
  return c == Connection::outgoing ? FsmTimer::hold_outgoing : FsmTimer::hold_incoming;
}
constexpr FsmTimer keepalive_of(Connection c) {
  return c == Connection::outgoing ? FsmTimer::keepalive_outgoing : FsmTimer::keepalive_incoming;
}

// Why a connection ended: Closed::error in words.
const char* text_of_end(int error) {
  if (error == 0) return "Connection closed";
  if (error != kTooFar) return std::strerror(error);
  return "From farther away than ttlSecurity allows (raise it, or have the peer send with TTL 255)";
}

}  // namespace

Fsm::Fsm(FsmConfig config) : config_(std::move(config)), random_(config_.seed) {
  MARGAY_ASSERT(!config_.families.empty());
}

std::span<const FsmAction> Fsm::step(FsmTime now, const FsmEvent& event) {
  now_ = now;
  actions_.clear();
  std::visit([this](const auto& e) { on(e); }, event);
  return actions_;
}

FsmState Fsm::state() const { return std::max(conns_[0].state, conns_[1].state); }

std::string_view Fsm::state_name() const {
  switch (state()) {
    case FsmState::idle:
      return "Idle";
    case FsmState::connect:
      return "Connect";
    case FsmState::active:
      return config_.passive ? "Passive" : "Active";
    case FsmState::open_sent:
      return "OpenSent";
    case FsmState::open_confirm:
      return "OpenConfirm";
    case FsmState::established:
      return "Established";
  }
  return "Idle";
}

// --- starting and stopping -------------------------------------------------------------------

void Fsm::on(const fsm_event::Start&) {
  if (running_) return;
  running_ = true;
  error_wait_ = 0s;
  if (config_.passive) {
    go_active();
  } else {
    dial();
  }
}

void Fsm::on(const fsm_event::Stop& e) {
  if (!running_) return;
  running_ = false;
  waiting_ = false;
  const bool was_up = established_.has_value();
  for (const auto c : {Connection::outgoing, Connection::incoming}) drop(c, e.notification);
  established_.reset();
  disarm(FsmTimer::retry);
  at(Connection::outgoing).state = FsmState::idle;
  if (was_up) actions_.emplace_back(fsm_action::Down{false});
}

void Fsm::dial() {
  at(Connection::outgoing) = {};
  at(Connection::outgoing).state = FsmState::connect;
  actions_.emplace_back(fsm_action::Connect{});
  arm(FsmTimer::retry, config_.timers.connect_retry);
}

void Fsm::go_active() {
  at(Connection::outgoing) = {};
  at(Connection::outgoing).state = FsmState::active;
  if (config_.passive) {
    disarm(FsmTimer::retry);
  } else {
    arm(FsmTimer::retry, jittered(config_.timers.connect_delay));
  }
}

void Fsm::wait_after_error() {
  const bool recent = last_failure_ != FsmTime{} && now_ - last_failure_ < kErrorForget;
  error_wait_ = recent && error_wait_ != 0s
                    ? std::min(error_wait_ * 2, std::chrono::seconds(kErrorWaitMax))
                    : std::chrono::seconds(kErrorWaitMin);
  last_failure_ = now_;
  stand_still();
  arm(FsmTimer::retry, jittered(error_wait_));
}

void Fsm::pause(const fsm_event::Retry& retry) {
  stand_still();
  if (retry.kind == fsm_event::Retry::Kind::never) {
    disarm(FsmTimer::retry);
  } else {
    arm(FsmTimer::retry, retry.pause);
  }
}

void Fsm::stand_still() {
  waiting_ = true;
  for (const auto c : {Connection::outgoing, Connection::incoming}) {
    drop(c, std::nullopt);
    at(c) = {};
  }
}

// --- connections -----------------------------------------------------------------------------

void Fsm::on(const fsm_event::Connected&) {
  if (!running_ || at(Connection::outgoing).state != FsmState::connect) {
    actions_.emplace_back(fsm_action::Close{Connection::outgoing});
    return;
  }
  disarm(FsmTimer::retry);
  send_open(Connection::outgoing);
}

bool Fsm::accepts_incoming() const {
  // RFC 4271 8.2.2: none in Idle. A second one is taken only from a peer that has restarted.
  if (!running_ || waiting_) return false;
  if (at(Connection::incoming).state == FsmState::idle) return true;
  return established_ == Connection::incoming && negotiated_.graceful;
}

void Fsm::on(const fsm_event::Accepted&) {
  MARGAY_ASSERT(accepts_incoming());
  const auto c = Connection::incoming;
  // RFC 4724 5: a peer that connects while we believe the session stands has restarted; at least if
  // that session is no answer to a connection of ours, as then the two may have crossed.
  if (established_ == c && negotiated_.graceful) {
    set_error(ErrorClass::socket, "Connection closed");
    disarm(hold_of(c));
    disarm(keepalive_of(c));
    established_.reset();
    actions_.emplace_back(fsm_action::Down{true});
  }
  at(c) = {};
  send_open(c);
}

void Fsm::send_open(Connection c) {
  wire::Buffer bytes;
  wire::encode_open(bytes, our_open());
  send(c, std::move(bytes));
  at(c).state = FsmState::open_sent;
  at(c).last_heard = now_;
  arm(hold_of(c), kInitialHold);
}

void Fsm::drop(Connection c, const std::optional<Notification>& n) {
  Conn& conn = at(c);
  if (conn.state == FsmState::idle || conn.state == FsmState::active) return;
  if (n && conn.state >= FsmState::open_sent) {
    wire::Buffer bytes;
    wire::encode_notification(bytes, wrapped(c, *n));
    send(c, std::move(bytes));
  }
  actions_.emplace_back(fsm_action::Close{c});
  disarm(hold_of(c));
  disarm(keepalive_of(c));
  conn = {};
}

Notification Fsm::wrapped(Connection c, const Notification& n) const {
  if (established_ != c || !negotiated_.graceful_notification || n.code != code::cease) return n;
  const bool for_good = n.subcode == subcode::max_prefixes || n.subcode == subcode::shutdown ||
                        n.subcode == subcode::deconfigured;
  return for_good ? wire::hard_reset(n) : n;
}

bool Fsm::other_busy(Connection c) const { return at(other(c)).state >= FsmState::open_sent; }

void Fsm::on(const fsm_event::Closed& e) {
  Conn& conn = at(e.connection);
  if (conn.state == FsmState::idle || conn.state == FsmState::active) return;
  const bool was_up = established_ == e.connection;
  if (e.connection == Connection::outgoing || was_up || !other_busy(e.connection)) {
    set_error(ErrorClass::socket, text_of_end(e.error));
  }
  disarm(hold_of(e.connection));
  disarm(keepalive_of(e.connection));
  conn = {};
  after_loss(e.connection, was_up, true, false);
}

void Fsm::after_loss(Connection c, bool was_established, bool graceful, bool is_error) {
  if (was_established) {
    established_.reset();
    actions_.emplace_back(fsm_action::Down{graceful && negotiated_.graceful});
  }
  if (!running_) return;
  if (other_busy(c)) {
    if (at(other(c)).state == FsmState::open_sent && at(other(c)).open) confirm(other(c));
    // The other connection may still make it; an outgoing one that failed is not dialled again
    // while it tries.
    if (c == Connection::outgoing) at(c).state = FsmState::idle;
    return;
  }
  if (is_error) {
    wait_after_error();
    return;
  }
  if (at(Connection::outgoing).state == FsmState::connect) {  // an attempt is under way
    arm(FsmTimer::retry, config_.timers.connect_retry);
    return;
  }
  go_active();
}

void Fsm::fail(Connection c, const Notification& n, const fsm_event::Retry& retry) {
  const bool was_up = established_ == c;
  const bool collision = n.code == code::cease && n.subcode == subcode::collision;
  if (!collision) set_error(ErrorClass::protocol, wire::describe(n));
  // RFC 8538 3: unless it is wrapped, the peer keeps our routes, and we keep its.
  const bool graceful =
      was_up && negotiated_.graceful_notification && !wire::is_hard_reset(wrapped(c, n));
  drop(c, n);
  after_loss(c, was_up, graceful, !collision);
  if (running_ && retry.kind != fsm_event::Retry::Kind::usual) pause(retry);
}

void Fsm::on(const fsm_event::BadStream& e) {
  if (at(e.connection).state < FsmState::open_sent) return;
  fail(e.connection, e.notification, e.retry);
}

// --- timers ----------------------------------------------------------------------------------

void Fsm::on(const fsm_event::Expired& e) {
  if (!running_) return;
  if (e.timer == FsmTimer::retry) {
    on_retry();
    return;
  }
  const Connection c = connection_of(e.timer);
  Conn& conn = at(c);
  if (conn.state < FsmState::open_sent) return;
  if (e.timer == keepalive_of(c)) {
    wire::Buffer bytes;
    wire::encode_keepalive(bytes);
    send(c, std::move(bytes));
    arm(e.timer, until_keepalive());
    return;
  }
  if (established_ && established_ != c) {  // nobody wants it
    fail(c, {code::cease, subcode::collision, {}});
    return;
  }
  if (conn.state == FsmState::open_sent && conn.open) {  // the preferred one is silent
    drop(other(c), Notification{code::cease, subcode::collision, {}});
    confirm(c);
    return;
  }
  // Messages only note the time; the timer catches up when it fires.
  const FsmDuration limit =
      conn.state == FsmState::open_sent ? FsmDuration(kInitialHold) : FsmDuration(negotiated_.hold);
  const auto end = conn.last_heard + limit;
  if (now_ < end) {
    arm(e.timer, until_tick(end));
  } else {
    fail(c, {code::hold, 0, {}});
  }
}

void Fsm::on_retry() {
  waiting_ = false;
  Conn& out = at(Connection::outgoing);
  if (out.state >= FsmState::open_sent || other_busy(Connection::outgoing)) return;
  if (out.state == FsmState::connect) {
    set_error(ErrorClass::socket, std::strerror(ETIMEDOUT));
    actions_.emplace_back(fsm_action::Close{Connection::outgoing});
  }
  if (config_.passive) {
    go_active();
  } else {
    dial();
  }
}

FsmDuration Fsm::jittered(FsmDuration d) {
  // splitmix64; RFC 4271 10: a factor of 0.75 to 1.
  std::uint64_t z = (random_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  const auto part = static_cast<FsmDuration::rep>((z ^ (z >> 31)) % 256);
  return d * 3 / 4 + d * part / 1024;
}

// Two of them lie where the jitter puts a keepalive.
FsmDuration Fsm::tick() const {
  return std::max<FsmDuration>(FsmDuration(negotiated_.keepalive) / 8, 1ms);
}

FsmDuration Fsm::until_tick(FsmTime at) const {
  return at - now_ + (tick() - at.time_since_epoch() % tick()) % tick();
}

FsmDuration Fsm::until_keepalive() {
  const FsmDuration usual = negotiated_.keepalive, wait = until_tick(now_ + jittered(usual));
  return wait > usual ? wait - tick() : wait;
}

// --- messages --------------------------------------------------------------------------------

void Fsm::on(const fsm_event::Received& e) {
  Conn& conn = at(e.connection);
  if (conn.state < FsmState::open_sent) return;
  conn.last_heard = now_;
  switch (e.type) {
    case wire::MessageType::open: {
      const auto decoded = wire::decode_open(e.body);
      if (const auto* bad = std::get_if<Notification>(&decoded)) return fail(e.connection, *bad);
      return on_open(e.connection, std::get<wire::Open>(decoded));
    }
    case wire::MessageType::notification:
      return on_notification(e.connection, wire::decode_notification(e.body));
    case wire::MessageType::keepalive:
      return on_keepalive(e.connection);
    case wire::MessageType::update:
    case wire::MessageType::route_refresh:
      break;
  }
  if (conn.state != FsmState::established) {  // RFC 6608
    const auto sub =
        conn.state == FsmState::open_sent ? subcode::in_open_sent : subcode::in_open_confirm;
    return fail(e.connection, {code::fsm, sub, {}});
  }
  if (e.type != wire::MessageType::route_refresh) return;
  const auto decoded = wire::decode_route_refresh(e.body);
  if (const auto* bad = std::get_if<Notification>(&decoded)) return fail(e.connection, *bad);
  actions_.emplace_back(fsm_action::Refresh{std::get<wire::RouteRefresh>(decoded)});
}

void Fsm::on_open(Connection c, const wire::Open& open) {
  Conn& conn = at(c);
  if (conn.state != FsmState::open_sent) {
    const auto sub =
        conn.state == FsmState::open_confirm ? subcode::in_open_confirm : subcode::in_established;
    return fail(c, {code::fsm, sub, {}});
  }
  if (const auto bad = check(open)) return fail(c, *bad);
  const Conn& rival = at(other(c));
  if (rival.state == FsmState::established) {
    if (!negotiated_.graceful) return fail(c, {code::cease, subcode::collision, {}});
    // Connections that cross, or a restart of the peer (RFC 4724 5)? What the peer does next tells:
    // it closes one of the two, or confirms this one. What was agreed on holds until then.
    conn.open = open;
    arm(hold_of(c), kCrossingWait);
    return;
  }
  const bool stays = preferred(open) == c;
  const Notification collision{code::cease, subcode::collision, {}};
  if (rival.state == FsmState::open_sent && !rival.open && !stays) {
    // The other one will be kept as soon as the peer opens it too. A KEEPALIVE on this one could
    // establish it over there in the meantime, and closing it then would cost the session.
    conn.open = open;
    arm(hold_of(c), kRivalWait);
    return;
  }
  if (rival.state >= FsmState::open_sent && rival.open) {
    if (!stays) return fail(c, collision);
    drop(other(c), collision);
  }
  conn.open = open;
  confirm(c);
}

Connection Fsm::preferred(const wire::Open& open) const {
  // RFC 4271 6.8, 6286 2.3: the one made by the side with the higher identifier; with equal ones,
  // by the side with the higher AS number.
  const bool remote_higher =
      open.id == config_.router_id ? open.asn > config_.local_as : open.id > config_.router_id;
  return remote_higher ? Connection::incoming : Connection::outgoing;
}

void Fsm::confirm(Connection c) {
  at(c).state = FsmState::open_confirm;
  wire::Buffer bytes;
  wire::encode_keepalive(bytes);
  send(c, std::move(bytes));
  negotiate(*at(c).open);
  arm_session(c);
  if (at(c).confirmed) enter_established(c);
}

void Fsm::arm_session(Connection c) {
  if (negotiated_.hold == 0s) {
    disarm(hold_of(c));
    return;
  }
  arm(hold_of(c), until_tick(now_ + negotiated_.hold));
  arm(keepalive_of(c), until_keepalive());
}

void Fsm::on_keepalive(Connection c) {
  Conn& conn = at(c);
  if (conn.state == FsmState::open_sent && conn.open && established_) {
    const Connection old = *established_;
    set_error(ErrorClass::socket, "Connection closed");
    drop(old, std::nullopt);
    established_.reset();
    actions_.emplace_back(fsm_action::Down{true});
    confirm(c);
    enter_established(c);
  } else if (conn.state == FsmState::open_confirm) {
    enter_established(c);
  } else if (conn.state == FsmState::open_sent && conn.open) {
    conn.confirmed = true;
  } else if (conn.state == FsmState::open_sent) {
    fail(c, {code::fsm, subcode::in_open_sent, {}});
  }
}

void Fsm::enter_established(Connection c) {
  if (negotiated_.graceful && at(other(c)).state == FsmState::open_sent) {
    // By its identifier the peer may prefer the other one, and close this one in a moment.
    arm(hold_of(other(c)), kCrossingWait);
  } else {
    drop(other(c), Notification{code::cease, subcode::collision, {}});
    at(other(c)) = {};
  }
  disarm(FsmTimer::retry);
  negotiate(*at(c).open);
  at(c).open.reset();
  at(c).state = FsmState::established;
  established_ = c;
  last_error_.clear();
  actions_.emplace_back(fsm_action::Up{c});
}

void Fsm::on_notification(Connection c, const Notification& n) {
  const bool was_up = established_ == c;
  const bool collision = n.code == code::cease && n.subcode == subcode::collision;
  const bool expected = collision && other_busy(c);
  if (!expected) {
    const std::string words = wire::shutdown_message(n);
    set_error(ErrorClass::received, wire::describe(n) + (words.empty() ? "" : " (" + words + ")"));
  }
  drop(c, std::nullopt);
  // A peer that says Cease is in order; it decides itself when it is back.
  const bool is_error = n.code != code::cease || n.subcode == subcode::max_prefixes;
  const bool graceful = was_up && negotiated_.graceful_notification && !wire::is_hard_reset(n);
  after_loss(c, was_up, graceful, is_error);
}

// --- what the steps share -------------------------------------------------------------------

void Fsm::send(Connection c, wire::Buffer bytes) {
  actions_.emplace_back(fsm_action::Send{c, std::move(bytes)});
}

void Fsm::set_error(ErrorClass kind, std::string text) {
  switch (kind) {
    case ErrorClass::none:
      last_error_.clear();
      return;
    case ErrorClass::socket:
      last_error_ = "Socket: " + std::move(text);
      return;
    case ErrorClass::received:
      last_error_ = "Received: " + std::move(text);
      return;
    case ErrorClass::protocol:
      last_error_ = "BGP Error: " + std::move(text);
      return;
  }
}

}  // namespace margay::bgp
