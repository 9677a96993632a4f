// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/tcp_transport.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/net/tcp.h"
#include "bgp/fsm/fsm.h"
#include "bgp/speaker/md5_keys.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kReadSize = 64 * 1024;
constexpr int kAcceptsPerEvent = 64;
constexpr unsigned kPlainTtl = 64, kSecureTtl = 255;

// RFC 5082: what comes from at most `hops` away.
unsigned least_ttl(unsigned hops) { return kSecureTtl + 1 - std::clamp(hops, 1U, kSecureTtl); }

Result<void> apply_ttl(int fd, Family family, const std::optional<unsigned>& hops) {
  MARGAY_CHECK(net::set_ttl(fd, family, hops ? kSecureTtl : kPlainTtl));
  return net::set_min_ttl(fd, family, hops ? least_ttl(*hops) : 0);
}

class TcpStream : public Stream {
 public:
  TcpStream(EventLoop& loop, std::vector<std::uint8_t>& buffer, Fd fd)
      : loop_(loop), buffer_(buffer), fd_(std::move(fd)) {}
  ~TcpStream() override {
    if (fd_ && open_) net::finish_sending(fd_.get());
  }

  [[nodiscard]] Ip local() const override { return net::local_endpoint(fd_.get()).address; }
  [[nodiscard]] Ip remote() const override { return net::remote_endpoint(fd_.get()).address; }
  [[nodiscard]] int fd() const { return fd_.get(); }

  // An attempt that is under way, or has failed already with `error`.
  void start_connecting(StreamEvents events, int error) {
    events_ = std::move(events);
    if (error == EINPROGRESS) {
      write_watch_ = loop_.writable(fd_.get(), [this] { connected(net::socket_error(fd_.get())); });
      return;
    }
    later_ = loop_.after(0s, [this, error] { connected(error); });
  }

  void refuse(StreamEvents events) {
    events_ = std::move(events);
    later_ = loop_.after(0s, [this] { events_.on_closed(kTooFar); });
  }

  void start(StreamEvents events) {
    events_ = std::move(events);
    open_ = true;
    read_watch_ = loop_.readable(fd_.get(), [this] { on_readable(); });
  }

  [[nodiscard]] std::size_t write(std::span<const std::uint8_t> bytes) override {
    if (!open_) return bytes.size();  // its end is on the way
    std::size_t done = 0;
    while (done < bytes.size()) {
      const long n = net::write_some(fd_.get(), bytes.subspan(done));
      if (n < 0 && n != -EAGAIN) {
        // Reading reports the error too, with what the peer said before it.
        return bytes.size();
      }
      if (n < 0) break;
      done += static_cast<std::size_t>(n);
    }
    if (done < bytes.size() && !write_watch_) {
      write_watch_ = loop_.writable(fd_.get(), [this] {
        write_watch_.reset();
        events_.on_writable();
      });
    }
    return done;
  }

  void set_low_water(std::size_t bytes) override {
    if (!open_ || std::exchange(low_water_, bytes) == bytes) return;
    (void)net::set_low_water(fd_.get(), bytes);  // it only saves wake-ups
  }

  [[nodiscard]] Waiting take() override {
    if (!open_) return {};
    const long n = net::read_some(fd_.get(), buffer_);
    if (n > 0)
      return {std::span(buffer_).first(static_cast<std::size_t>(n)), net::silence(fd_.get())};
    if (is_end(n)) {  // the socket tells an error only once
      stop();
      later_ = loop_.after(0s, [this, n] { events_.on_closed(static_cast<int>(-n)); });
    }
    return {};
  }

 private:
  static bool is_end(long n) { return n <= 0 && n != -EAGAIN && n != -EINTR; }

  void stop() {
    open_ = false;
    read_watch_.reset();
    write_watch_.reset();
  }

  void connected(int error) {
    write_watch_.reset();
    later_.reset();
    if (error != 0) {
      events_.on_closed(error);
      return;
    }
    open_ = true;
    read_watch_ = loop_.readable(fd_.get(), [this] { on_readable(); });
    events_.on_connected();
  }

  void on_readable() {
    const long n = net::read_some(fd_.get(), buffer_);
    if (n > 0) {
      events_.on_data(std::span(buffer_).first(static_cast<std::size_t>(n)));
    } else if (is_end(n)) {
      stop();
      events_.on_closed(static_cast<int>(-n));
    }
  }

  EventLoop& loop_;
  std::vector<std::uint8_t>& buffer_;
  Fd fd_;  // before the watches: they go first
  StreamEvents events_;
  bool open_ = false;
  std::size_t low_water_ = 1;
  EventLoop::Watch read_watch_, write_watch_;
  EventLoop::Timer later_;
};

class TcpListener : public Transport::Listener {
 public:
  TcpListener(EventLoop& loop, std::vector<std::uint8_t>& buffer, std::vector<Fd> fds,
              Transport::OnAccept on_accept)
      : loop_(loop), buffer_(buffer), fds_(std::move(fds)), on_accept_(std::move(on_accept)) {
    watches_.resize(fds_.size());
    for (std::size_t i = 0; i < fds_.size(); ++i) arm(i);
  }

  std::vector<Error> set_rules(std::vector<AcceptRule> rules) override {
    std::vector<Error> errors = set_keys(md5_keys(rules));
    // The answer to a SYN bears the listener's TTL; a peer with TTL security expects 255.
    const bool secure = std::any_of(rules.begin(), rules.end(),
                                    [](const AcceptRule& r) { return r.ttl_security.has_value(); });
    for (const auto& fd : fds_) {
      if (auto r = net::set_ttl(fd.get(), family(fd), secure ? kSecureTtl : kPlainTtl); !r) {
        errors.push_back(r.error());
      }
      if (auto r = net::keep_first_segment(fd.get(), secure); !r) errors.push_back(r.error());
    }
    return errors;
  }

  [[nodiscard]] std::uint16_t port() const override {
    return net::local_endpoint(fds_.front().get()).port;
  }

 private:
  // New ones come before old ones go: no peer is without its key in between.
  std::vector<Error> set_keys(std::vector<Md5Key> want) {
    std::vector<Error> errors;
    const auto apply = [&](const Prefix& prefix, const std::string& password) {
      for (const auto& fd : fds_) {
        if (family(fd) != prefix.family()) continue;
        if (auto r = net::set_tcp_md5(fd.get(), prefix, password); !r) errors.push_back(r.error());
      }
    };
    for (const auto& key : want) {
      if (std::find(keys_.begin(), keys_.end(), key) == keys_.end()) {
        apply(key.prefix, key.password);
      }
    }
    for (const auto& old : keys_) {
      const bool kept = std::any_of(want.begin(), want.end(),
                                    [&](const Md5Key& k) { return k.prefix == old.prefix; });
      if (!kept) apply(old.prefix, "");
    }
    keys_ = std::move(want);
    return errors;
  }

  static Family family(const Fd& fd) { return net::local_endpoint(fd.get()).address.family(); }

  void arm(std::size_t i) {
    watches_[i] = loop_.readable(fds_[i].get(), [this, i] { on_readable(i); });
  }

  void on_readable(std::size_t i) {
    for (int n = 0; n < kAcceptsPerEvent; ++n) {
      auto fd = net::tcp_accept(fds_[i].get());
      if (!fd) {
        // Out of descriptors, most likely: the connection stays queued, so pause instead of
        // spinning.
        watches_[i].reset();
        pause_ = loop_.after(100ms, [this] {
          for (std::size_t k = 0; k < fds_.size(); ++k) {
            if (!watches_[k]) arm(k);
          }
        });
        return;
      }
      if (!*fd) return;
      on_accept_(std::make_unique<TcpStream>(loop_, buffer_, std::move(*fd)));
    }
  }

  EventLoop& loop_;
  std::vector<std::uint8_t>& buffer_;
  std::vector<Fd> fds_;
  Transport::OnAccept on_accept_;
  std::vector<Md5Key> keys_;
  std::vector<EventLoop::Watch> watches_;
  EventLoop::Timer pause_;
};

}  // namespace

TcpTransport::TcpTransport(EventLoop& loop) : loop_(loop), buffer_(kReadSize) {}
TcpTransport::~TcpTransport() = default;

Result<std::unique_ptr<Transport::Listener>> TcpTransport::listen(const ListenOptions& options,
                                                                  OnAccept on_accept) {
  std::vector<Ip> addresses = options.addresses;
  if (addresses.empty()) addresses = {Ip::any(Family::v4), Ip::any(Family::v6)};
  std::vector<Fd> fds;
  std::uint16_t port = options.port;
  for (const Ip& address : addresses) {
    auto fd = net::tcp_listen(address, port);
    if (!fd) {
      // A machine without IPv6 still speaks IPv4.
      const bool no_family = fd.error().sys_errno == EAFNOSUPPORT;
      if (no_family && options.addresses.empty()) continue;
      return std::move(fd).error();
    }
    if (port == 0) port = net::local_endpoint(fd->get()).port;
    fds.push_back(std::move(*fd));
  }
  if (fds.empty()) return make_error(Code::unavailable, "no address to listen on");
  return std::unique_ptr<Listener>(
      std::make_unique<TcpListener>(loop_, buffer_, std::move(fds), std::move(on_accept)));
}

std::unique_ptr<Stream> TcpTransport::connect(const ConnectOptions& options, StreamEvents events) {
  const Family family = options.address.family();
  int error = 0;
  Fd fd;
  auto made = net::tcp_socket(family, options.source);
  if (made) {
    fd = std::move(*made);
    Result<void> ready = apply_ttl(fd.get(), family, options.ttl_security);
    if (ready && !options.password.empty()) {
      ready = net::set_tcp_md5(fd.get(), Prefix::host(options.address), options.password);
    }
    error = ready ? net::tcp_connect(fd.get(), {options.address, options.port})
                  : std::max(ready.error().sys_errno, EINVAL);
  } else {
    error = made.error().sys_errno;
  }
  auto stream = std::make_unique<TcpStream>(loop_, buffer_, std::move(fd));
  stream->start_connecting(std::move(events), error);
  return stream;
}

void TcpTransport::adopt(Stream& accepted, const std::optional<unsigned>& ttl_security,
                         StreamEvents events) {
  auto& stream = static_cast<TcpStream&>(accepted);
  (void)apply_ttl(stream.fd(), net::local_endpoint(stream.fd()).address.family(), ttl_security);
  // What came before the limit was set has not been checked; how the connection began tells.
  const bool near =
      !ttl_security || net::first_ttl(stream.fd()).value_or(0) >= least_ttl(*ttl_security);
  if (near) {
    stream.start(std::move(events));
  } else {
    stream.refuse(std::move(events));
  }
}

}  // namespace margay::bgp
