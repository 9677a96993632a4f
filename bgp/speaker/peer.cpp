// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/peer.h"

#include <algorithm>

#include "base/log.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;

// A peer that does not mark the end of its routes is taken to be done after this.
constexpr auto kSilentSync = 5s;
// RFC 4724 4.2: an upper bound for stale routes after the session is back.
constexpr std::chrono::seconds kStaleLimit{120};
// What one flush writes before others get their turn.
constexpr std::size_t kFlushBytes = 512 * 1024;
// More than a KEEPALIVE, and no more than any other message.
constexpr std::size_t kMoreThanKeepalive = wire::kHeaderSize + 1;

std::vector<Family> families_of(const SessionConfig& s) {
  return s.families.empty() ? std::vector{s.address.family()} : s.families;
}

bool contains(const std::vector<Family>& list, Family f) {
  return std::find(list.begin(), list.end(), f) != list.end();
}

FsmConfig fsm_config(const SessionConfig& s, const SpeakerPeer::Start& start) {
  FsmConfig c;
  c.local_as = s.local_as;
  c.remote_as = s.remote_as;
  c.router_id = start.identity.router_id;
  c.families = families_of(s);
  c.v6_next_hops = s.address.is_v6();
  c.passive = s.passive;
  c.timers = s.timers;
  c.restarting = start.restarting;
  c.forwarding_preserved = start.restarting;
  c.seed = start.seed;
  return c;
}

}  // namespace

SpeakerPeer::SpeakerPeer(const Context& context, PeerConfig config, const Start& start)
    : context_(context),
      config_(std::move(config)),
      fsm_(fsm_config(config_.session, start)),
      since_(context.loop.now()) {
  for (const Family f : families_of(config_.session)) {
    auto& channel = channels_.emplace_back();
    channel.family = f;
    channel.rib = context_.rib.add_peer(rib_peer());
  }
}

SpeakerPeer::~SpeakerPeer() {
  for (auto& c : conns_) {
    if (c.stream) context_.owner.bury(std::move(c.stream));
  }
  for (const auto& channel : channels_) context_.rib.remove_peer(channel.rib);
}

RibPeer SpeakerPeer::rib_peer() const {
  RibPeer p;
  p.local_as = config_.session.local_as;
  p.address = config_.session.address;
  p.next_hop = config_.next_hop;
  p.allowed_local_as = config_.allowed_local_as;
  p.client = config_.session.route_reflector_client;
  p.filters = config_.filters;
  return p;
}

void SpeakerPeer::set_config(PeerConfig config) {
  const bool limit = !(config.prefix_limit == config_.prefix_limit);
  config_ = std::move(config);
  for (const auto& channel : channels_) context_.rib.set_peer(channel.rib, rib_peer());
  if (limit && !established()) {  // it may stand still because of the old one
    stop(std::nullopt);
    start();
  } else if (limit) {
    check_limit(*fsm_.established());
  }
  context_.owner.work_arrived();
}

void SpeakerPeer::start() {
  if (config_.session.down_reason.empty()) {
    step(fsm_event::Start{});
  } else {
    tell_error(config_.session.down_reason);
  }
}

// Once per reason: attempts go on for as long as it lasts.
void SpeakerPeer::tell_error(const std::string& reason) {
  if (reason.empty() || reason == told_error_) return;
  told_error_ = reason;
  log::warn("bgp_session_failing", kv("peer", config_.name), kv("reason", reason));
}

void SpeakerPeer::stop(const std::optional<wire::Notification>& notification) {
  step(fsm_event::Stop{notification});
}

bool SpeakerPeer::accepts(const Ip& remote) const {
  return config_.session.address == remote && fsm_.accepts_incoming();
}

void SpeakerPeer::accept(std::unique_ptr<Stream> stream) {
  const auto c = Connection::incoming;
  close(c);
  Stream& raw = *stream;
  attach(c, std::move(stream));
  context_.transport.adopt(raw, config_.session.ttl_security, events(c));
  step(fsm_event::Accepted{});
}

bool SpeakerPeer::synced() const {
  return std::all_of(channels_.begin(), channels_.end(), [](const Channel& c) { return c.synced; });
}

bool SpeakerPeer::owes_routes() const {
  return graceful() && !fsm_.negotiated().peer_restarting &&
         std::any_of(channels_.begin(), channels_.end(), [&](const Channel& c) {
           return c.open && !c.synced && contains(fsm_.negotiated().graceful_families, c.family);
         });
}

bool SpeakerPeer::is_source(PeerId id) const {
  return std::any_of(channels_.begin(), channels_.end(),
                     [&](const Channel& c) { return c.rib == id; });
}

std::optional<Family> SpeakerPeer::family_of(PeerId table) const {
  for (const auto& channel : channels_) {
    if (channel.rib == table) return channel.family;
  }
  return std::nullopt;
}

bool SpeakerPeer::carries(Family family) const {
  return std::any_of(channels_.begin(), channels_.end(),
                     [&](const Channel& c) { return c.family == family; });
}

// --- the state machine -----------------------------------------------------------------------

void SpeakerPeer::step(const FsmEvent& event) {
  for (const auto& action : fsm_.step(context_.loop.now(), event)) carry_out(action);
  if (fsm_.state() != last_state_) {
    // calicoctl's SINCE: the last change between up and not up.
    const bool was_up = last_state_ == FsmState::established;
    last_state_ = fsm_.state();
    log::debug("bgp_session_state", kv("peer", config_.name), kv("state", fsm_.state_name()));
    if (was_up || last_state_ == FsmState::established) since_ = context_.loop.now();
    if (last_state_ == FsmState::established) told_error_.clear();
    if (!was_up && last_state_ != FsmState::established) tell_error(fsm_.last_error());
  }
}

void SpeakerPeer::carry_out(const FsmAction& action) {
  if (std::holds_alternative<fsm_action::Connect>(action)) {
    dial();
  } else if (const auto* send = std::get_if<fsm_action::Send>(&action)) {
    Conn& conn = at(send->connection);
    conn.control.insert(conn.control.end(), send->bytes.begin(), send->bytes.end());
    ++counters_.messages_out;
    (void)write_pending(conn);
  } else if (const auto* gone = std::get_if<fsm_action::Close>(&action)) {
    close(gone->connection);
  } else if (const auto* arm = std::get_if<fsm_action::Arm>(&action)) {
    const FsmTimer t = arm->timer;
    timers_[static_cast<std::size_t>(t)] =
        context_.loop.after(arm->after, [this, t] { on_timer(t); });
  } else if (const auto* disarm = std::get_if<fsm_action::Disarm>(&action)) {
    timers_[static_cast<std::size_t>(disarm->timer)].reset();
  } else if (const auto* up = std::get_if<fsm_action::Up>(&action)) {
    session_up(up->connection);
  } else if (const auto* down = std::get_if<fsm_action::Down>(&action)) {
    session_down(down->graceful);
  } else if (const auto* refresh = std::get_if<fsm_action::Refresh>(&action)) {
    on_refresh(refresh->request);
  }
}

// Before the state machine is told that a time is over, it hears what was left waiting. Our own
// KEEPALIVEs bring us here as often as the peer's come: hardly ever do two of them meet in the
// socket, which would wake us.
void SpeakerPeer::on_timer(FsmTimer timer) {
  const Connection c = connection_of(timer);
  const std::uint64_t serial = at(c).serial;
  if (fsm_.established() == c) {
    read_waiting(c);
    if (fsm_.established() != c || at(c).serial != serial) return;  // and its timers with it
  }
  step(fsm_event::Expired{timer});
}

// --- the session -----------------------------------------------------------------------------

// What stands as next hop in the routes of our own; nullopt: they cannot be told to this peer.
std::optional<Ip> SpeakerPeer::next_hop_for(Family family, Connection c) {
  const Ip local = at(c).stream->local();
  if (local.family() == family) return local;
  if (config_.session.other_next_hop) return config_.session.other_next_hop;
  if (family == Family::v4 && fsm_.negotiated().v6_next_hops) return local;
  return std::nullopt;
}

void SpeakerPeer::session_up(Connection c) {
  const Negotiated& n = fsm_.negotiated();
  ++counters_.established;
  fsm_.set_forwarding_preserved(true);
  for (auto& channel : channels_) {
    channel.stale_timer.reset();
    const auto hop = next_hop_for(channel.family, c);
    channel.open = hop && contains(n.families, channel.family);
    if (channel.open) {
      channel_up(channel, *hop);
    } else {
      context_.rib.sweep(channel.rib);
      set_synced(channel);  // nothing will come
    }
  }
  if (!n.graceful) {
    sync_timer_ = context_.loop.after(kSilentSync, [this] {
      for (auto& channel : channels_) set_synced(channel);
    });
  }
  context_.owner.session_changed(config_.name, true, {});
  context_.owner.output_due(*this);
}

void SpeakerPeer::channel_up(Channel& channel, const Ip& next_hop) {
  const Negotiated& n = fsm_.negotiated();
  RibSession s;
  s.family = channel.family;
  s.internal = n.internal;
  s.v6_next_hops = n.v6_next_hops;
  s.peer_id = n.remote_id;
  s.local_address = next_hop;
  s.encode.as4 = n.as4;
  s.encode.max_size = n.max_message;
  s.encode.add_path = contains(n.add_path_out, channel.family);
  context_.rib.session_up(channel.rib, s);
  if (contains(n.forwarding_preserved, channel.family)) {
    sweep_after(channel, std::max(n.restart_time, kStaleLimit));
  } else {
    context_.rib.sweep(channel.rib);  // RFC 4724 4.2: its forwarding state is gone
  }
}

void SpeakerPeer::sweep_after(Channel& channel, std::chrono::seconds wait) {
  channel.stale_timer = context_.loop.after(wait, [this, rib = channel.rib] {
    context_.rib.sweep(rib);
    context_.owner.work_arrived();
  });
}

void SpeakerPeer::session_down(bool graceful) {
  const Negotiated& n = fsm_.negotiated();
  ++counters_.lost;
  sync_timer_.reset();
  for (auto& channel : channels_) {
    channel.stale_timer.reset();
    if (!channel.open) continue;
    channel.open = false;
    const bool keep = graceful && contains(n.graceful_families, channel.family);
    context_.rib.session_down(channel.rib, keep);
    if (keep) sweep_after(channel, n.restart_time);
  }
  told_error_ = fsm_.last_error();
  context_.owner.session_changed(config_.name, false, told_error_);
  context_.owner.work_arrived();
}

void SpeakerPeer::on_refresh(const wire::RouteRefresh& request) {
  const auto family = wire::unicast_family(request.family);
  const auto channel = std::find_if(channels_.begin(), channels_.end(),
                                    [&](const Channel& c) { return c.open && c.family == family; });
  if (channel == channels_.end()) return;
  switch (request.subtype) {
    case 0:
      context_.rib.send_all(channel->rib, fsm_.negotiated().enhanced_refresh);
      break;
    case 1:
      context_.rib.begin_refresh(channel->rib);
      break;
    case 2:
      context_.rib.sweep(channel->rib);
      break;
    default:
      return;  // RFC 7313 5: unknown subtypes are ignored
  }
  context_.owner.output_due(*this);
}

void SpeakerPeer::end_of_rib(Family family) {
  for (auto& channel : channels_) {
    if (!channel.open || channel.family != family) continue;
    channel.stale_timer.reset();
    context_.rib.sweep(channel.rib);
    set_synced(channel);
  }
}

void SpeakerPeer::set_synced(Channel& channel) {
  if (channel.synced) return;
  channel.synced = true;
  context_.owner.peer_synced();
}

// False: the session has just ended because of it.
bool SpeakerPeer::check_limit(Connection c) {
  const PrefixLimit& limit = config_.prefix_limit;
  if (limit.count == 0) return true;
  for (const auto& channel : channels_) {
    if (!channel.open || context_.rib.counters(channel.rib).prefixes_fresh <= limit.count) continue;
    fsm_event::BadStream end{c, wire::too_many_prefixes(channel.family, limit.count), {}};
    end.retry.kind = limit.restart ? fsm_event::Retry::Kind::pause : fsm_event::Retry::Kind::never;
    end.retry.pause = limit.restart.value_or(0s);
    step(end);
    return false;
  }
  return true;
}

// --- streams ---------------------------------------------------------------------------------

void SpeakerPeer::dial() {
  const SessionConfig& s = config_.session;
  const auto c = Connection::outgoing;
  close(c);
  ConnectOptions o;
  o.address = s.address;
  o.port = s.port;
  o.source = s.source;
  o.password = s.password;
  o.ttl_security = s.ttl_security;
  at(c).serial = ++serial_;
  at(c).stream = context_.transport.connect(o, events(c));
}

void SpeakerPeer::attach(Connection c, std::unique_ptr<Stream> stream) {
  at(c).serial = ++serial_;
  at(c).stream = std::move(stream);
}

// The serial keeps events of a stream that was replaced, but not yet destroyed, from its successor.
StreamEvents SpeakerPeer::events(Connection c) {
  const std::uint64_t serial = at(c).serial;
  StreamEvents e;
  e.on_connected = [this, c, serial] {
    if (at(c).serial == serial) step(fsm_event::Connected{});
  };
  e.on_data = [this, c, serial](wire::Bytes bytes) { on_data(c, serial, bytes); };
  e.on_writable = [this, c, serial] {
    if (at(c).serial != serial) return;
    at(c).blocked = false;
    flush();
  };
  e.on_closed = [this, c, serial](int error) {
    if (at(c).serial != serial) return;
    close(c);
    step(fsm_event::Closed{c, error});
  };
  return e;
}

void SpeakerPeer::close(Connection c) {
  Conn& conn = at(c);
  if (conn.stream) context_.owner.bury(std::move(conn.stream));
  conn = {};
}

void SpeakerPeer::on_data(Connection c, std::uint64_t serial, wire::Bytes bytes) {
  Conn& conn = at(c);
  if (conn.serial != serial) return;
  wire::Buffer whole = std::exchange(conn.partial, {});
  if (!whole.empty()) {
    whole.insert(whole.end(), bytes.begin(), bytes.end());
    bytes = whole;
  }
  const std::size_t used = consume(c, serial, bytes);
  if (conn.serial != serial) return;
  conn.partial.assign(bytes.begin() + static_cast<std::ptrdiff_t>(used), bytes.end());
  // A lone KEEPALIVE can wait until a timer looks for it; the rest of a message may be shorter.
  const bool at_rest = fsm_.established() == c && conn.partial.empty();
  conn.stream->set_low_water(at_rest ? kMoreThanKeepalive : 1);
}

void SpeakerPeer::read_waiting(Connection c) {
  const Stream::Waiting waiting = at(c).stream->take();
  if (waiting.bytes.empty()) return;
  const std::uint64_t before = counters_.messages_in;
  on_data(c, at(c).serial, waiting.bytes);
  if (counters_.messages_in != before) fsm_.heard(context_.loop.now() - waiting.age, c);
}

std::size_t SpeakerPeer::consume(Connection c, std::uint64_t serial, wire::Bytes bytes) {
  std::size_t used = 0;
  while (at(c).serial == serial) {
    const bool up = fsm_.established() == c;
    const auto frame = wire::next_frame(bytes.subspan(used),
                                        up ? fsm_.negotiated().max_message : wire::kMaxMessage);
    if (frame.status == wire::Frame::Status::incomplete) break;
    if (frame.status == wire::Frame::Status::bad) {
      step(fsm_event::BadStream{c, frame.notification});
      break;
    }
    ++counters_.messages_in;
    used += frame.size;
    if (up && frame.type == wire::MessageType::update) {
      fsm_.heard(context_.loop.now(), c);
      on_update(c, frame.body);
    } else {
      step(fsm_event::Received{c, frame.type, frame.body});
    }
  }
  return used;
}

void SpeakerPeer::on_update(Connection c, wire::Bytes body) {
  ++counters_.updates_in;
  context_.owner.count_update(false);
  const wire::Update u = wire::decode_update(body, fsm_.negotiated().decode_context());
  switch (u.treatment) {
    case wire::Treatment::none:
      break;
    case wire::Treatment::attribute_discard:
      ++counters_.attributes_discarded;
      break;
    case wire::Treatment::treat_as_withdraw:
      ++counters_.treated_as_withdraw;
      break;
    case wire::Treatment::session_reset:
      step(fsm_event::BadStream{c, u.notification});
      return;
  }
  if (u.end_of_rib) {
    end_of_rib(*u.end_of_rib);
  } else {
    for (const auto& channel : channels_) {
      if (channel.open) context_.rib.update(channel.rib, u);
    }
    if (!check_limit(c)) return;
  }
  context_.owner.work_arrived();
}

// True: everything that was pending is written.
bool SpeakerPeer::write_pending(Conn& conn) {
  if (!conn.stream || conn.blocked) return false;
  if (conn.chunk) {
    conn.chunk_at += conn.stream->write(wire::Bytes(*conn.chunk).subspan(conn.chunk_at));
    if (conn.chunk_at < conn.chunk->size()) {
      conn.blocked = true;
      return false;
    }
    conn.chunk = nullptr;
    conn.chunk_at = 0;
  }
  if (conn.control.empty()) return true;
  const std::size_t n = conn.stream->write(conn.control);
  conn.control.erase(conn.control.begin(), conn.control.begin() + static_cast<std::ptrdiff_t>(n));
  conn.blocked = !conn.control.empty();
  if (!conn.blocked) conn.control = {};
  return !conn.blocked;
}

void SpeakerPeer::flush() {
  for (auto& conn : conns_) (void)write_pending(conn);
  const auto c = fsm_.established();
  if (!c) return;
  Conn& conn = at(*c);
  std::size_t written = 0;
  while (conn.stream && write_pending(conn)) {
    if (written >= kFlushBytes) {
      context_.owner.output_due(*this);
      return;
    }
    for (std::size_t i = 0; i < channels_.size() && !conn.chunk; ++i) {
      conn.chunk = context_.rib.next_output(channels_[i].rib);
    }
    if (!conn.chunk) return;
    written += conn.chunk->size();
    ++counters_.updates_out;
    ++counters_.messages_out;
    context_.owner.count_update(true);
  }
}

// --- status ----------------------------------------------------------------------------------

PeerStatus SpeakerPeer::status(std::chrono::system_clock::time_point wall) const {
  PeerStatus s;
  s.name = config_.name;
  s.type = config_.type;
  s.address = config_.session.address;
  s.port = config_.session.port;
  s.remote_as = config_.session.remote_as;
  s.fsm = std::string(fsm_.state_name());
  s.since = wall - std::chrono::duration_cast<std::chrono::system_clock::duration>(
                       context_.loop.now() - since_);
  s.last_error = fsm_.last_error();
  if (!config_.session.down_reason.empty()) {
    s.state = "down";
    s.last_error = config_.session.down_reason;
  } else {
    s.state = fsm_.state() == FsmState::established ? "up" : fsm_.running() ? "start" : "down";
  }
  s.info = s.last_error.empty() ? s.fsm : s.fsm + " " + s.last_error;
  s.counters = counters_;
  if (established()) {
    const Negotiated& n = fsm_.negotiated();
    s.hold = n.hold;
    s.graceful = n.graceful;
    s.graceful_notification = n.graceful_notification;
  }
  for (const auto& channel : channels_) {
    if (channel.open) s.families.push_back(channel.family);
    const auto held = context_.rib.counters(channel.rib);
    s.counters.prefixes_in += held.prefixes_in;
    s.counters.prefixes_accepted += held.prefixes_accepted;
    s.counters.prefixes_out += held.prefixes_out;
  }
  return s;
}

}  // namespace margay::bgp
