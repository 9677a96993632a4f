// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/swarm.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace margay::bench {
namespace {

constexpr double kRound = 0.005;   // between looks at who should connect or say something
constexpr double kWindow = 0.3;    // without work: idle
constexpr double kTicking = 0.02;  // CPU seconds in a window that are no work

}  // namespace

Swarm::Swarm(World& world, Options options)
    : world_(world), options_(std::move(options)), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  for (const Group& g : options_.groups) {
    const std::uint32_t all = g.same ? g.routes : g.routes * g.speakers;
    world_.numbers = std::max({world_.numbers, g.first + all, g.expect});
  }
  for (const Group& g : options_.groups) {
    for (std::uint32_t i = 0; i < g.speakers; ++i) {
      sessions_.push_back(std::make_unique<Session>(world_, g, i));
    }
  }
  if (options_.fib_netns.empty()) return;
  auto made = FibWatch::open(options_.fib_netns, world_.numbering, world_.numbers);
  if (!made) {
    std::fprintf(stderr, "%s\n", made.error().message().c_str());
    std::exit(2);
  }
  fib_ = std::move(*made);
  epoll_event e{};
  e.events = EPOLLIN;
  e.data.ptr = nullptr;
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fib_->fd(), &e);
}

std::size_t Swarm::up() const {
  return static_cast<std::size_t>(
      std::count_if(sessions_.begin(), sessions_.end(), [](const auto& s) { return s->up(); }));
}

double Swarm::last_event() const {
  return std::max(world_.last_update, fib_ ? fib_->last_change() : 0);
}

void Swarm::watch(Session& session, bool added) {
  if (!added && session.watched_for_writing == session.wants_to_write()) return;
  session.watched_for_writing = session.wants_to_write();
  epoll_event e{};
  e.events = EPOLLIN | (session.wants_to_write() ? unsigned{EPOLLOUT} : 0U);
  e.data.ptr = &session;
  (void)::epoll_ctl(epoll_.get(), added ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, session.fd(), &e);
}

void Swarm::announce(Session& session) {
  session.announce();
  watch(session, false);
}

void Swarm::withdraw(Session& session) {
  session.withdraw();
  watch(session, false);
}

void Swarm::handle(Session& session, unsigned events, double time) {
  if (session.state() == Session::State::down) return;
  bool alive = true;
  if ((events & (EPOLLOUT | EPOLLERR)) != 0) alive = session.on_writable();
  if (alive && (events & (EPOLLIN | EPOLLHUP)) != 0) alive = session.on_readable(time);
  if (alive) {
    watch(session, false);
  } else {
    session.close();
  }
}

void Swarm::keep_up(double time) {
  next_round_ = time + kRound;
  auto trying =
      static_cast<unsigned>(std::count_if(sessions_.begin(), sessions_.end(), [](const auto& s) {
        return !s->up() && s->state() != Session::State::down;
      }));
  for (const auto& s : sessions_) {
    s->keep_alive(time);
    if (!connecting_ || s->state() != Session::State::down || trying >= options_.at_once) continue;
    if (s->connect()) watch(*s, true);
    ++trying;
  }
}

void Swarm::step(int milliseconds) {
  std::array<epoll_event, 256> events{};
  const int n = ::epoll_wait(epoll_.get(), events.data(), events.size(), milliseconds);
  const double time = now();
  for (int i = 0; i < n; ++i) {
    auto& e = events[static_cast<std::size_t>(i)];
    if (e.data.ptr == nullptr) {
      fib_->on_readable(time);
      world_.changed = true;
    } else {
      handle(*static_cast<Session*>(e.data.ptr), e.events, time);
    }
  }
  if (time >= next_round_) keep_up(time);
}

bool Swarm::until(const std::function<bool()>& done, double limit) {
  const double end = now() + limit;
  for (world_.changed = true;;) {
    if (std::exchange(world_.changed, false) && done()) return true;
    if (now() > end) return false;
    step(5);
  }
}

void Swarm::idle(double seconds) {
  for (const double end = now() + seconds; now() < end;) step(5);
}

bool Swarm::until_idle(double limit) {
  const double end = now() + limit;
  double start = now(), cpu = usage().cpu;
  while (now() < end) {
    step(5);
    if (now() < start + kWindow) continue;
    const double used = usage().cpu - cpu;
    if (used <= kTicking && last_event() < start) return true;
    start = now();
    cpu += used;
  }
  return false;
}

}  // namespace margay::bench
