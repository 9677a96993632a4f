// SPDX-License-Identifier: Apache-2.0
#include "base/loop/asio_loop.h"

#include <pthread.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <thread>
#include <unordered_map>
#include <utility>  // before Asio: Boost 1.74 needs it in C++20

namespace margay {
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

struct Descriptor;
using Descriptors = std::unordered_map<int, std::weak_ptr<Descriptor>>;

// One registration per descriptor, shared by its readers and writers (epoll refuses a second one).
// Borrowed: released, never closed.
struct Descriptor {
  Descriptor(asio::io_context& io, int number, Descriptors& all)
      : fd(number), stream(io, number), registry(all) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    stream.release();
    registry.erase(fd);
  }
  int fd;
  asio::posix::stream_descriptor stream;
  Descriptors& registry;
};

}  // namespace

struct AsioLoop::Impl {
  explicit Impl(std::string n) : name(std::move(n)) {}
  [[nodiscard]] std::shared_ptr<Descriptor> descriptor(int fd) {
    auto& slot = descriptors[fd];
    auto d = slot.lock();
    if (!d) slot = d = std::make_shared<Descriptor>(io, fd, descriptors);
    return d;
  }
  std::string name;
  Descriptors descriptors;
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  std::thread thread;
};

namespace {

struct TimerState {
  TimerState(asio::io_context& io, Clock::duration d, std::function<void()> fn)
      : timer(io, d), f(std::move(fn)) {}
  asio::steady_timer timer;
  std::function<void()> f;
  bool live = true;
};

// The state outlives the handle until Asio has returned its handler; `live` makes destruction
// final.
template <typename State>
class StateHandle : public EventLoop::Handle {
 public:
  explicit StateHandle(std::shared_ptr<State> s) : s_(std::move(s)) {}
  ~StateHandle() override {
    s_->live = false;
    cancel(*s_);
  }

 private:
  std::shared_ptr<State> s_;
};

void cancel(TimerState& s) { s.timer.cancel(); }

struct WatchState {
  std::shared_ptr<Descriptor> descriptor;
  asio::posix::descriptor_base::wait_type what;
  std::function<void()> f;
  bool live = true;
};

// The last user takes the descriptor out of Asio at once, so that its owner may close it and the
// number be reused. Asio cancels reading and writing only together: a survivor arms itself again.
void cancel(WatchState& s) {
  const auto descriptor = std::move(s.descriptor);
  if (descriptor.use_count() > 1) descriptor->stream.cancel();
}

void arm(const std::shared_ptr<WatchState>& s) {
  s->descriptor->stream.async_wait(s->what, [s](const error_code& ec) {
    if (!s->live) return;
    if (ec && ec != asio::error::operation_aborted) return;
    if (!ec) s->f();
    if (s->live) arm(s);
  });
}

struct SignalState {
  SignalState(asio::io_context& io, std::function<void(int)> fn) : set(io), f(std::move(fn)) {}
  asio::signal_set set;
  std::function<void(int)> f;
  bool live = true;
};

void cancel(SignalState& s) { s.set.cancel(); }

void arm(const std::shared_ptr<SignalState>& s) {
  s->set.async_wait([s](const error_code& ec, int number) {
    if (ec || !s->live) return;
    s->f(number);
    if (s->live) arm(s);
  });
}

EventLoop::Watch watch(std::shared_ptr<Descriptor> descriptor,
                       asio::posix::descriptor_base::wait_type what, std::function<void()> f) {
  auto s = std::make_shared<WatchState>(WatchState{std::move(descriptor), what, std::move(f)});
  arm(s);
  return std::make_unique<StateHandle<WatchState>>(std::move(s));
}

}  // namespace

AsioLoop::AsioLoop(std::string name) : impl_(std::make_unique<Impl>(std::move(name))) {}
AsioLoop::~AsioLoop() { join(); }

void AsioLoop::post(std::function<void()> task) { asio::post(impl_->io, std::move(task)); }

EventLoop::Timer AsioLoop::after(Clock::duration delay, std::function<void()> f) {
  auto s = std::make_shared<TimerState>(impl_->io, delay, std::move(f));
  s->timer.async_wait([s](const error_code& ec) {
    if (ec || !s->live) return;
    const auto call = std::move(s->f);  // the call may destroy the handle
    call();
  });
  return std::make_unique<StateHandle<TimerState>>(std::move(s));
}

EventLoop::Watch AsioLoop::readable(int fd, std::function<void()> f) {
  return watch(impl_->descriptor(fd), asio::posix::descriptor_base::wait_read, std::move(f));
}
EventLoop::Watch AsioLoop::writable(int fd, std::function<void()> f) {
  return watch(impl_->descriptor(fd), asio::posix::descriptor_base::wait_write, std::move(f));
}

std::unique_ptr<EventLoop::Handle> AsioLoop::on_signals(std::initializer_list<int> signals,
                                                        std::function<void(int)> f) {
  auto s = std::make_shared<SignalState>(impl_->io, std::move(f));
  for (const int number : signals) s->set.add(number);
  arm(s);
  return std::make_unique<StateHandle<SignalState>>(std::move(s));
}

void AsioLoop::run() {
  pthread_setname_np(pthread_self(), impl_->name.c_str());
  impl_->io.run();
}

void AsioLoop::run_in_thread() {
  impl_->thread = std::thread([this] { run(); });
}

void AsioLoop::stop() { impl_->io.stop(); }
void AsioLoop::restart() { impl_->io.restart(); }

void AsioLoop::join() {
  stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

}  // namespace margay
