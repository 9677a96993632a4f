// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/speaker.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "base/log.h"
#include "base/random.h"
#include "bgp/rib/rib.h"
#include "bgp/speaker/peer.h"
#include "bgp/speaker/route_view.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;

// Destinations looked at before other events get their turn: a few milliseconds.
constexpr std::size_t kWorkPerStep = 4096;
constexpr auto kListenRetry = 5s;
constexpr std::string_view kStopping = "the node agent has been stopped";

// Nothing more is waited for: it has sent its routes, or cannot have a session.
bool is_done(const SpeakerPeer& p) { return p.synced() || !p.config().session.down_reason.empty(); }

wire::Notification cease(std::uint8_t subcode) { return {wire::code::cease, subcode, {}}; }

}  // namespace

class Speaker::Impl : public PeerOwner {
 public:
  Impl(EventLoop& loop, Transport& transport, RouteSink& sink, metrics::Registry& registry,
       SpeakerOptions options);
  ~Impl() override {
    peers_.clear();
    graveyard_.clear();
  }

  void set_config(SpeakerConfig config);
  void set_kernel_routes(const std::vector<LearntRoute>& routes);
  void change_dataplane_routes(const std::vector<DataplaneChange>& changes);
  void stop(bool leave_forwarding);
  [[nodiscard]] SpeakerSummary summary() const;
  [[nodiscard]] SpeakerStatus status() const;
  [[nodiscard]] RouteView view();

  void work_arrived() override;
  void output_due(SpeakerPeer& peer) override {
    due_.push_back(&peer);
    work_arrived();
  }
  void peer_synced() override { work_arrived(); }
  void bury(std::unique_ptr<Stream> stream) override;
  void count_update(bool sent) override { (sent ? updates_out_ : updates_in_).add(); }
  void session_changed(const std::string& peer, bool up, const std::string& reason) override;

 private:
  struct Counted {
    std::unique_ptr<SpeakerPeer> peer;
    bool up = false;
  };
  void work();
  [[nodiscard]] bool waits_for_peers() const;
  void start_restart();
  void finish_restart();
  void finish_initial_sync();
  void set_peers(const std::vector<PeerConfig>& wanted);
  void listen();
  void on_accept(std::unique_ptr<Stream> stream);
  void set_static_routes();
  [[nodiscard]] SpeakerIdentity identity() const { return {config_.router_id, config_.cluster_id}; }
  void count(Counted& peer, bool up);
  void flush();

  EventLoop& loop_;
  Transport& transport_;
  RouteSink& sink_;
  SpeakerOptions options_;
  std::uint64_t seed_;
  bool configured_ = false, stopped_ = false, working_ = false, initial_sync_ = false;
  bool restarting_ = false;  // RFC 4724 4.1: routes are taken in, none is selected
  bool await_absent_ = true;
  SpeakerConfig config_;
  SpeakerIdentity identity_in_use_;
  Rib rib_;
  std::map<std::string, Counted> peers_;
  std::unordered_multimap<Ip, SpeakerPeer*> by_address_;
  std::size_t established_ = 0;
  std::vector<SpeakerPeer*> due_;             // to be flushed; may name one twice
  std::vector<const SpeakerPeer*> unsynced_;  // some of them may be by now
  std::unique_ptr<Transport::Listener> listener_;
  ListenOptions listening_on_;
  std::string listen_error_;
  EventLoop::Timer listen_timer_, sync_timer_, absent_timer_;
  std::map<Prefix, NextHops> static_routes_;
  std::vector<std::unique_ptr<Stream>> graveyard_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for posted tasks
  metrics::Counter& updates_in_;
  metrics::Counter& updates_out_;
  metrics::Counter& transitions_;
  metrics::Gauge& peers_gauge_;
  metrics::Gauge& established_gauge_;
  metrics::Gauge& prefixes_gauge_;
};

Speaker::Impl::Impl(EventLoop& loop, Transport& transport, RouteSink& sink,
                    metrics::Registry& registry, SpeakerOptions options)
    : loop_(loop),
      transport_(transport),
      sink_(sink),
      options_(std::move(options)),
      seed_(options_.seed != 0 ? options_.seed : random_seed()),
      updates_in_(registry.counter("margay_bgp_updates_received_total",
                                   "UPDATE messages from all BGP peers")),
      updates_out_(registry.counter("margay_bgp_update_batches_sent_total",
                                    "Batches of UPDATE messages written to BGP peers")),
      transitions_(registry.counter("margay_bgp_session_transitions_total",
                                    "BGP sessions that came up or went down")),
      peers_gauge_(registry.gauge("margay_bgp_peers", "Configured BGP peers")),
      established_gauge_(
          registry.gauge("margay_bgp_peers_established", "BGP peers with an established session")),
      prefixes_gauge_(registry.gauge("margay_bgp_prefixes", "Destinations in the BGP tables")) {}

// --- configuration ---------------------------------------------------------------------------

void Speaker::Impl::set_config(SpeakerConfig config) {
  if (stopped_) return;
  config_ = std::move(config);
  if (!configured_) {
    sync_timer_ = loop_.after(options_.initial_sync_limit, [this] { finish_initial_sync(); });
    if (options_.restarting) start_restart();
  }
  RibConfig rib;
  rib.router_id = config_.router_id;
  rib.cluster_id = config_.cluster_id;
  rib.export_policy = config_.export_policy;
  rib.kernel_policy = config_.kernel_policy;
  rib.max_paths = config_.max_paths;
  rib_.set_config(std::move(rib));
  rib_.set_originated(config_.originated);
  set_static_routes();
  set_peers(config_.peers);
  configured_ = true;
  listen();
  work_arrived();
}

void Speaker::Impl::set_peers(const std::vector<PeerConfig>& wanted) {
  const bool all_new = configured_ && !(identity_in_use_ == identity());
  identity_in_use_ = identity();
  std::map<std::string, const PeerConfig*> by_name;
  for (const auto& p : wanted) by_name.emplace(p.name, &p);
  for (auto it = peers_.begin(); it != peers_.end();) {
    SpeakerPeer& have = *it->second.peer;
    const auto want = by_name.find(it->first);
    const bool gone = want == by_name.end();
    if (!gone && !all_new && want->second->session == have.config().session) {
      have.set_config(*want->second);
      ++it;
      continue;
    }
    have.stop(cease(gone ? wire::subcode::deconfigured : wire::subcode::config_change));
    count(it->second, false);
    std::erase(due_, &have);
    it = peers_.erase(it);
  }
  const SpeakerPeer::Context context{loop_, transport_, rib_, *this};
  for (const auto& [name, want] : by_name) {
    if (peers_.contains(name)) continue;
    SpeakerPeer::Start start;
    start.identity = identity();
    start.restarting = restarting_;
    start.seed = seed_ = seed_ * 6364136223846793005ULL + 1442695040888963407ULL;
    auto& entry = peers_[name];
    entry.peer = std::make_unique<SpeakerPeer>(context, *want, start);
    entry.peer->start();
  }
  by_address_.clear();
  unsynced_.clear();
  for (auto& [name, entry] : peers_) {
    by_address_.emplace(entry.peer->config().session.address, entry.peer.get());
    if (!initial_sync_) unsynced_.push_back(entry.peer.get());
  }
  peers_gauge_.set(static_cast<double>(peers_.size()));
}

void Speaker::Impl::listen() {
  ListenOptions want{config_.listen_addresses, config_.listen_port};
  if (!listener_ || !(want == listening_on_)) {
    listener_.reset();
    listening_on_ = want;
    auto made = transport_.listen(
        want, [this](std::unique_ptr<Stream> stream) { on_accept(std::move(stream)); });
    if (!made) {
      // Another daemon may still hold the port; our own connections work meanwhile.
      if (listen_error_ != made.error().message()) {
        log::warn("bgp_listen_failed", kv("reason", made.error()));
      }
      listen_error_ = made.error().message();
      listen_timer_ = loop_.after(kListenRetry, [this] { listen(); });
      return;
    }
    listener_ = std::move(*made);
    listen_error_.clear();
    listen_timer_.reset();
  }
  std::vector<AcceptRule> rules;
  for (const auto& p : config_.peers) {
    rules.push_back({p.session.address, p.session.password, p.session.ttl_security});
  }
  for (const auto& e : listener_->set_rules(std::move(rules))) {
    log::warn("bgp_listen_option_failed", kv("reason", e));
  }
}

void Speaker::Impl::set_kernel_routes(const std::vector<LearntRoute>& routes) {
  if (stopped_) return;
  rib_.set_kernel_routes(routes);
  work_arrived();
}

void Speaker::Impl::change_dataplane_routes(const std::vector<DataplaneChange>& changes) {
  if (stopped_) return;
  rib_.change_dataplane_routes(changes);
  work_arrived();
}

void Speaker::Impl::set_static_routes() {
  std::map<Prefix, NextHops> want;
  for (const auto& p : config_.peers) {
    if (!p.reachable_by) continue;
    want[Prefix::host(p.session.address)] =
        std::make_shared<const std::vector<Ip>>(std::vector<Ip>{*p.reachable_by});
  }
  std::vector<RouteChange> changes;
  for (const auto& [prefix, hops] : static_routes_) {
    if (!want.contains(prefix)) changes.push_back({prefix, nullptr});
  }
  for (const auto& [prefix, hops] : want) {
    const auto old = static_routes_.find(prefix);
    if (old == static_routes_.end() || *old->second != *hops) changes.push_back({prefix, hops});
  }
  static_routes_ = std::move(want);
  if (!changes.empty()) sink_.apply(std::move(changes));
}

void Speaker::Impl::stop(bool leave_forwarding) {
  if (stopped_) return;
  stopped_ = true;
  for (auto& [name, entry] : peers_) {
    const bool silent = leave_forwarding && entry.peer->graceful();
    entry.peer->stop(silent ? std::nullopt : std::optional(wire::shutdown_notification(kStopping)));
  }
  listener_.reset();
  listen_timer_.reset();
  sync_timer_.reset();
  absent_timer_.reset();
  graveyard_.clear();
}

// --- connections -----------------------------------------------------------------------------

void Speaker::Impl::on_accept(std::unique_ptr<Stream> stream) {
  if (stopped_) return;
  const Ip remote = stream->remote();
  const auto [first, last] = by_address_.equal_range(remote);
  for (auto it = first; it != last; ++it) {
    if (!it->second->accepts(remote)) continue;
    it->second->accept(std::move(stream));
    return;
  }
  log::debug("bgp_connection_refused", kv("remote", remote));
  bury(std::move(stream));
}

void Speaker::Impl::bury(std::unique_ptr<Stream> stream) {
  graveyard_.push_back(std::move(stream));
  if (graveyard_.size() > 1) return;
  loop_.post([this, alive = std::weak_ptr(alive_)] {
    if (alive.lock()) graveyard_.clear();
  });
}

void Speaker::Impl::session_changed(const std::string& peer, bool up, const std::string& reason) {
  transitions_.add();
  const auto it = peers_.find(peer);
  if (it != peers_.end()) count(it->second, up);
  if (up) {
    log::info("bgp_session_up", kv("peer", peer));
  } else {
    log::info("bgp_session_down", kv("peer", peer), kv("reason", reason));
  }
  if (options_.on_summary) options_.on_summary();
}

void Speaker::Impl::count(Counted& peer, bool up) {
  if (std::exchange(peer.up, up) != up) up ? ++established_ : --established_;
  established_gauge_.set(static_cast<double>(established_));
}

// --- work ------------------------------------------------------------------------------------

void Speaker::Impl::work_arrived() {
  if (working_ || stopped_) return;
  working_ = true;
  loop_.post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.lock()) return;
    working_ = false;
    if (!stopped_) work();
  });
}

void Speaker::Impl::flush() {
  std::vector<SpeakerPeer*> due = std::exchange(due_, {});
  if (rib_.take_news()) {
    due.clear();
    for (auto& [name, entry] : peers_) due.push_back(entry.peer.get());
  }
  for (SpeakerPeer* peer : due) {
    if (peer->established()) peer->flush();
  }
}

void Speaker::Impl::work() {
  std::vector<RouteChange> changes;
  const bool more = rib_.step(kWorkPerStep, changes);
  if (!static_routes_.empty()) {
    std::erase_if(changes, [&](const RouteChange& c) { return static_routes_.contains(c.prefix); });
  }
  if (!changes.empty()) sink_.apply(std::move(changes));
  flush();
  prefixes_gauge_.set(static_cast<double>(rib_.destinations().size()));
  if (more) {
    work_arrived();
    return;
  }
  if (restarting_) {
    if (!waits_for_peers()) finish_restart();
    return;
  }
  if (initial_sync_ || !configured_) return;
  while (!unsynced_.empty() && is_done(*unsynced_.back())) unsynced_.pop_back();
  if (unsynced_.empty()) finish_initial_sync();
}

void Speaker::Impl::start_restart() {
  restarting_ = true;
  rib_.set_deferred(true);
  absent_timer_ = loop_.after(options_.absent_limit, [this] {
    await_absent_ = false;
    work_arrived();
  });
}

bool Speaker::Impl::waits_for_peers() const {
  return std::any_of(peers_.begin(), peers_.end(), [&](const auto& entry) {
    const SpeakerPeer& p = *entry.second.peer;
    if (p.established()) return p.owes_routes();
    return await_absent_ && p.config().session.down_reason.empty();
  });
}

void Speaker::Impl::finish_restart() {
  if (!restarting_) return;
  restarting_ = false;
  absent_timer_.reset();
  for (auto& [name, entry] : peers_) entry.peer->end_restart();
  rib_.set_deferred(false);
  work_arrived();
  if (options_.on_summary) options_.on_summary();
}

void Speaker::Impl::finish_initial_sync() {
  if (initial_sync_ || stopped_) return;
  if (restarting_) {  // its time is over; what has come is to be selected first
    finish_restart();
    sync_timer_ = loop_.after(0s, [this] { finish_initial_sync(); });
    return;
  }
  initial_sync_ = true;
  sync_timer_.reset();
  sink_.initial_sync_done();
}

// --- status ----------------------------------------------------------------------------------

SpeakerSummary Speaker::Impl::summary() const {
  return {peers_.size(), established_, restarting_, listen_error_};
}

SpeakerStatus Speaker::Impl::status() const {
  SpeakerStatus s;
  s.router_id = config_.router_id;
  s.local_as = config_.local_as;
  s.listening = listener_ != nullptr;
  s.listen_error = listen_error_;
  s.initial_sync = initial_sync_;
  s.prefixes = rib_.prefixes();
  const auto wall = std::chrono::system_clock::now();
  for (const auto& p : config_.peers) {
    const auto it = peers_.find(p.name);
    if (it != peers_.end()) s.peers.push_back(it->second.peer->status(wall));
  }
  return s;
}

RouteView Speaker::Impl::view() {
  RouteView view(rib_);
  for (const auto& p : config_.peers) {
    const auto it = peers_.find(p.name);
    if (it != peers_.end()) view.add(*it->second.peer);
  }
  return view;
}

// --- the facade ------------------------------------------------------------------------------

Speaker::Speaker(EventLoop& loop, Transport& transport, RouteSink& sink,
                 metrics::Registry& registry, SpeakerOptions options)
    : impl_(std::make_unique<Impl>(loop, transport, sink, registry, std::move(options))) {}
Speaker::~Speaker() = default;
void Speaker::set_config(SpeakerConfig config) { impl_->set_config(std::move(config)); }
void Speaker::set_kernel_routes(const std::vector<LearntRoute>& routes) {
  impl_->set_kernel_routes(routes);
}
void Speaker::change_dataplane_routes(const std::vector<DataplaneChange>& changes) {
  impl_->change_dataplane_routes(changes);
}
void Speaker::stop(bool leave_forwarding) { impl_->stop(leave_forwarding); }
SpeakerSummary Speaker::summary() const { return impl_->summary(); }
SpeakerStatus Speaker::status() const { return impl_->status(); }
std::vector<RouteStatus> Speaker::routes(const RouteQuery& query) {
  return impl_->view().list(query);
}
std::optional<RouteExplanation> Speaker::explain(const Prefix& prefix) {
  return impl_->view().explain(prefix);
}

}  // namespace margay::bgp
