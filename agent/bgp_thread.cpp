// SPDX-License-Identifier: Apache-2.0
#include "agent/bgp_thread.h"

#include <future>

#include "agent/learnt_routes.h"
#include "agent/show.h"
#include "base/log.h"
#include "bgp/speaker/tcp_transport.h"

namespace margay::agent {
namespace {

// Of a storm of changes in the kernel the speaker is told a few times a second.
constexpr std::chrono::milliseconds kLearnDelay{50};
constexpr std::chrono::seconds kStart{30};  // how long all sessions are waited for

}  // namespace

// bgp::RouteSink over the route thread's mailbox.
class BgpThread::Sink : public bgp::RouteSink {
 public:
  explicit Sink(RouteThread* routes) : routes_(routes) {}

  void apply(std::vector<bgp::RouteChange> changes) override {
    if (routes_ == nullptr) return;
    std::vector<dataplane::BgpRoute> out;
    out.reserve(changes.size());
    for (const bgp::RouteChange& change : changes) {
      dataplane::BgpRoute& route = out.emplace_back();
      route.dst = change.prefix;
      route.metric = change.metric;
      if (change.next_hops) route.next_hops = translated(change.next_hops);
    }
    routes_->replace_bgp_routes(std::move(out));
  }
  void initial_sync_done() override {
    if (routes_ != nullptr) routes_->bgp_synced();
  }

 private:
  // Most routes have the very next hops of the one before.
  const dataplane::BgpNextHops& translated(const bgp::NextHops& hops) {
    if (hops == last_) return last_translated_;
    std::vector<dataplane::BgpNextHop> out;
    out.reserve(hops->size());
    for (const Ip& hop : *hops) out.push_back({hop, {}});
    last_ = hops;
    last_translated_ = std::make_shared<const std::vector<dataplane::BgpNextHop>>(std::move(out));
    return last_translated_;
  }

  RouteThread* routes_;
  bgp::NextHops last_;
  dataplane::BgpNextHops last_translated_;
};

bool bgp_ready(const bgp::SpeakerSummary& now, Clock::duration since_start) {
  if (now.peers == 0) return true;
  if (since_start < kStart) return now.established == now.peers && !now.restarting;
  return now.established > 0;
}

BgpThread::BgpThread(health::Health& health, metrics::Registry& registry, RouteThread* routes,
                     bool restarting)
    : health_(health),
      routes_(routes),
      sink_(std::make_unique<Sink>(routes)),
      transport_(std::make_unique<bgp::TcpTransport>(loop_)) {
  bgp::SpeakerOptions options;
  options.restarting = restarting;
  options.on_summary = [this] { report(); };
  speaker_ = std::make_unique<bgp::Speaker>(loop_, *transport_, *sink_, registry, options);
  loop_.post([this] {
    pulse_ = std::make_unique<Pulse>(loop_, health_, kSubsystem, [this] { report(); });
  });
  if (routes_ != nullptr) watch();
  loop_.run_in_thread();
}

void BgpThread::watch() {
  RouteThread::KernelWatch watch;
  watch.foreign = [this](std::vector<dataplane::KernelRoute> kernel) {
    loop_.post([this, kernel = std::move(kernel)]() mutable {
      kernel_routes_ = std::move(kernel);
      learning_ = true;
      if (!learn_timer_) learn_timer_ = loop_.after(kLearnDelay, [this] { learn(); });
    });
  };
  watch.own = [this](const std::vector<dataplane::OwnRouteChange>& changes) {
    loop_.post(
        [this, learnt = learnt_changes(changes)] { speaker_->change_dataplane_routes(learnt); });
  };
  routes_->watch_kernel_routes(std::move(watch));
}

BgpThread::~BgpThread() {
  if (routes_ != nullptr) routes_->unwatch_kernel_routes();
  std::promise<void> stopped;
  loop_.post([&] {
    speaker_->stop(true);
    stopped.set_value();
  });
  stopped.get_future().wait_for(std::chrono::seconds(2));
  loop_.join();
}

void BgpThread::report() {
  const bgp::SpeakerSummary now = speaker_->summary();
  std::string detail =
      std::to_string(now.established) + " of " + std::to_string(now.peers) + " peers up";
  if (!now.listen_error.empty()) detail += "; " + now.listen_error;
  if (now.restarting) detail += "; waits for their routes after a restart";
  health_.report(kSubsystem, bgp_ready(now, loop_.now() - started_), std::move(detail));
}

void BgpThread::learn() {
  learn_timer_.reset();
  if (learning_) speaker_->set_kernel_routes(learnt_routes(kernel_routes_, ignored_interfaces_));
}

void BgpThread::configure(bgp::SpeakerConfig config) {
  loop_.post([this, config = std::move(config)]() mutable {
    log::set_level_of_this_thread(config.log_level);
    const bool ignored = ignored_interfaces_ != config.ignored_interfaces;
    ignored_interfaces_ = config.ignored_interfaces;
    speaker_->set_config(std::move(config));
    if (ignored) learn();
    report();
  });
}

void BgpThread::show_peers(local_api::Answer answer) {
  loop_.post([this, answer = std::move(answer)] { answer(show_bgp(speaker_->status())); });
}

void BgpThread::show_routes(const local_api::Question& question, local_api::Answer answer) {
  loop_.post([this, question, answer = std::move(answer)] {
    const auto value = [&](std::string_view key) {
      const auto it = question.find(key);
      return it == question.end() ? std::string() : it->second;
    };
    if (const auto p = Prefix::parse_containing(value("explain")); p.ok()) {
      return answer(show_bgp_explanation(speaker_->explain(*p)));
    }
    bgp::RouteQuery query;
    query.peer = value("peer");
    if (const auto p = Prefix::parse_containing(value("prefix")); p.ok()) query.prefix = *p;
    if (value("view") == "received") query.view = bgp::RouteQuery::View::received;
    if (value("view") == "advertised") query.view = bgp::RouteQuery::View::advertised;
    answer(show_bgp_routes(speaker_->status(), speaker_->routes(query)));
  });
}

void BgpThread::show_metrics(local_api::Answer answer) {
  loop_.post([this, answer = std::move(answer)] { answer(bgp_peer_metrics(speaker_->status())); });
}

}  // namespace margay::agent
