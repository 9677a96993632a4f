// SPDX-License-Identifier: Apache-2.0
// One configured peer inside the speaker: carries out what its state machine says on streams and
// timers, moves bytes between the session and the tables. Tells its owner of everything that
// concerns others. Inner header of bgp/speaker.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/loop/event_loop.h"
#include "bgp/fsm/fsm.h"
#include "bgp/rib/rib.h"
#include "bgp/speaker/config.h"
#include "bgp/speaker/status.h"
#include "bgp/speaker/transport.h"

namespace margay::bgp {

class SpeakerPeer;

class PeerOwner {
 public:
  virtual ~PeerOwner() = default;
  virtual void work_arrived() = 0;                        // the tables have something to do
  virtual void output_due(SpeakerPeer& peer) = 0;         // flush() it in a moment
  virtual void peer_synced() = 0;                         // a peer has sent all its routes
  virtual void bury(std::unique_ptr<Stream> stream) = 0;  // destroy it, but not right now
  virtual void count_update(bool sent) = 0;
  virtual void session_changed(const std::string& peer, bool up, const std::string& reason) = 0;
};

struct SpeakerIdentity {
  RouterId router_id;
  std::optional<RouterId> cluster_id;
  friend bool operator==(const SpeakerIdentity&, const SpeakerIdentity&) = default;
};

class SpeakerPeer {
 public:
  struct Context {
    EventLoop& loop;
    Transport& transport;
    Rib& rib;
    PeerOwner& owner;
  };
  struct Start {
    SpeakerIdentity identity;
    bool restarting = false;
    std::uint64_t seed = 1;
  };
  SpeakerPeer(const Context& context, PeerConfig config, const Start& start);
  ~SpeakerPeer();
  SpeakerPeer(const SpeakerPeer&) = delete;
  SpeakerPeer& operator=(const SpeakerPeer&) = delete;

  void start();
  // absent: without a word.
  void stop(const std::optional<wire::Notification>& notification);
  [[nodiscard]] const PeerConfig& config() const { return config_; }
  void set_config(PeerConfig config);  // with the same session parameters
  [[nodiscard]] bool accepts(const Ip& remote) const;
  void accept(std::unique_ptr<Stream> stream);
  // Writes what the tables have for it, as far as the connection takes it.
  void flush();
  void end_restart() { fsm_.set_restarting(false); }
  [[nodiscard]] bool synced() const;
  // Its routes are to be waited for before ours are selected (RFC 4724 4.1): it has a session,
  // knows what that is about, has not restarted itself, and is not done.
  [[nodiscard]] bool owes_routes() const;
  [[nodiscard]] bool graceful() const {
    return fsm_.established().has_value() && fsm_.negotiated().graceful;
  }
  [[nodiscard]] bool established() const { return fsm_.established().has_value(); }
  [[nodiscard]] bool is_source(PeerId id) const;
  // f(PeerId) for each peer that it is in the tables, one for each family.
  template <typename F>
  void for_each_table(F&& f) const {
    for (const auto& channel : channels_) f(channel.rib);
  }
  [[nodiscard]] std::optional<Family> family_of(PeerId table) const;
  [[nodiscard]] bool carries(Family family) const;
  [[nodiscard]] PeerStatus status(std::chrono::system_clock::time_point wall) const;

 private:
  // The routes of one family: a peer of its own in the tables.
  struct Channel {
    Family family = Family::v4;
    PeerId rib = kLocalPeer;
    bool open = false;    // on the session that stands
    bool synced = false;  // all its routes have come once
    EventLoop::Timer stale_timer;
  };
  struct Conn {
    std::unique_ptr<Stream> stream;
    std::uint64_t serial = 0;
    wire::Buffer partial;  // a message that has not come in whole
    wire::Buffer control;  // what the state machine wants to say; between whole chunks of updates
    SharedBytes chunk;     // updates, sent up to chunk_at
    std::size_t chunk_at = 0;
    bool blocked = false;  // waits for on_writable
  };
  Conn& at(Connection c) { return conns_[static_cast<std::size_t>(c)]; }

  void step(const FsmEvent& event);
  void tell_error(const std::string& reason);
  void carry_out(const FsmAction& action);
  void dial();
  [[nodiscard]] StreamEvents events(Connection c);
  void attach(Connection c, std::unique_ptr<Stream> stream);
  void close(Connection c);
  void on_timer(FsmTimer timer);
  void on_data(Connection c, std::uint64_t serial, wire::Bytes bytes);
  void read_waiting(Connection c);
  [[nodiscard]] std::size_t consume(Connection c, std::uint64_t serial, wire::Bytes bytes);
  void on_update(Connection c, wire::Bytes body);
  bool write_pending(Conn& conn);
  void session_up(Connection c);
  void channel_up(Channel& channel, const Ip& next_hop);
  void session_down(bool graceful);
  void on_refresh(const wire::RouteRefresh& request);
  void end_of_rib(Family family);
  bool check_limit(Connection c);
  void sweep_after(Channel& channel, std::chrono::seconds wait);
  void set_synced(Channel& channel);
  [[nodiscard]] std::optional<Ip> next_hop_for(Family family, Connection c);
  [[nodiscard]] RibPeer rib_peer() const;

  Context context_;
  PeerConfig config_;
  Fsm fsm_;
  std::vector<Channel> channels_;
  std::array<Conn, 2> conns_;
  std::array<EventLoop::Timer, kFsmTimers> timers_;
  EventLoop::Timer sync_timer_;
  std::uint64_t serial_ = 0;
  Clock::time_point since_;
  FsmState last_state_ = FsmState::idle;
  PeerCounters counters_;
  std::string told_error_;  // the last that was logged
};

}  // namespace margay::bgp
