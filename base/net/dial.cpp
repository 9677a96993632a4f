// SPDX-License-Identifier: Apache-2.0
#include "base/net/dial.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <thread>

namespace margay::net {
namespace {

constexpr std::string_view kUnix = "unix:";

int get_addresses(const char* host, const char* port, int flags, std::vector<SocketAddress>* out) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host, port, &hints, &list);
  if (error != 0) return error;
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    SocketAddress& address = out->emplace_back();
    std::memcpy(&address.storage, a->ai_addr, a->ai_addrlen);
    address.size = a->ai_addrlen;
  }
  ::freeaddrinfo(list);
  return 0;
}

const sockaddr* raw(const SocketAddress& a) {
  return static_cast<const sockaddr*>(static_cast<const void*>(&a.storage));
}

}  // namespace

// Shared with the thread that asks, which cannot be called back and may outlive the Dial: it writes
// `addresses` and `error`, and then to `ready`.
struct Dial::Lookup {
  Fd ready{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  std::vector<SocketAddress> addresses;
  int error = 0;
};

Dial::Dial(EventLoop& loop, std::string to, std::size_t first, Clock::duration patience, Done done)
    : loop_(loop),
      to_(std::move(to)),
      first_(first),
      patience_(patience),
      done_(std::move(done)),
      timer_(loop.after(Clock::duration::zero(), [this] { begin(); })) {}

Dial::~Dial() = default;

void Dial::begin() {
  if (to_.starts_with(kUnix)) {
    const std::string path = to_.substr(kUnix.size());
    sockaddr_un a{};
    a.sun_family = AF_UNIX;
    if (path.size() >= sizeof a.sun_path) return fail("a socket's path has at most 107 characters");
    std::copy(path.begin(), path.end(), a.sun_path);
    SocketAddress& address = addresses_.emplace_back();
    std::memcpy(&address.storage, &a, sizeof a);
    address.size = sizeof a;
    return next();
  }
  const auto colon = to_.rfind(':');
  if (colon == std::string::npos) return fail("not host:port, [v6]:port or unix:/path");
  std::string host = to_.substr(0, colon);
  const std::string port = to_.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (get_addresses(host.c_str(), port.c_str(), AI_NUMERICHOST, &addresses_) == 0) return next();
  look_up(host, port);
}

void Dial::look_up(const std::string& host, const std::string& port) {
  lookup_ = std::make_shared<Lookup>();
  if (!lookup_->ready) return fail(std::string("eventfd: ") + std::strerror(errno));
  watch_ = loop_.readable(lookup_->ready.get(), [this] { found(); });
  std::thread([lookup = lookup_, host, port] {
    lookup->error = get_addresses(host.c_str(), port.c_str(), 0, &lookup->addresses);
    const std::uint64_t one = 1;
    (void)!::write(lookup->ready.get(), &one, sizeof one);
  }).detach();
}

void Dial::found() {
  std::uint64_t count = 0;
  (void)!::read(lookup_->ready.get(), &count, sizeof count);
  watch_.reset();
  if (lookup_->error != 0) return fail(::gai_strerror(lookup_->error));
  addresses_ = std::move(lookup_->addresses);
  next();
}

void Dial::next() {
  if (tried_ == addresses_.size()) return fail(why_.empty() ? "no address" : why_);
  const SocketAddress& to = addresses_[(first_ + tried_++) % addresses_.size()];
  fd_ = Fd(::socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_) return failed(errno);
  const int on = 1;  // a Unix socket has no such option, and needs none
  (void)::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd_.get(), raw(to), to.size) != 0 && errno != EINPROGRESS) return failed(errno);
  watch_ = loop_.writable(fd_.get(), [this] { connected(); });
  timer_ = loop_.after(patience_, [this] { failed(ETIMEDOUT); });
}

// The next address in a turn of its own: in here, this object's watch may be what is calling.
void Dial::failed(int error) {
  why_ = std::strerror(error);
  watch_.reset();
  fd_.reset();
  timer_ = loop_.after(Clock::duration::zero(), [this] { next(); });
}

void Dial::connected() {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) return failed(error);
  watch_.reset();
  timer_.reset();
  const auto done = done_;
  done(std::move(fd_));
}

void Dial::fail(const std::string& why) {
  timer_.reset();
  const auto done = done_;
  done(make_error(Code::unavailable, to_ + ": " + why));
}

}  // namespace margay::net
