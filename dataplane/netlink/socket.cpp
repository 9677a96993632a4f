// SPDX-License-Identifier: Apache-2.0
#include "dataplane/netlink/socket.h"

#include <linux/filter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace margay::netlink {

namespace {

// Dumps come in pieces of at most 32 KiB, and acknowledgements are capped: nothing is longer.
constexpr std::size_t kReceiveSize = 64 * 1024;
constexpr int kPiece = 64;                   // datagrams
constexpr int kAnswerMilliseconds = 30'000;  // the kernel answers at once, or it is stuck

template <typename T>
Result<void> set_option(int fd, int level, int name, const T& value, const char* what) {
  if (::setsockopt(fd, level, name, &value, sizeof value) == 0) return {};
  return sys_error(errno, what);
}

// The sockaddr cast is the socket API's own.
sockaddr* generic(sockaddr_nl& a) { return static_cast<sockaddr*>(static_cast<void*>(&a)); }

// FORCE needs CAP_NET_ADMIN and exceeds the system's limit; without it take what is allowed.
void set_buffer(int fd, int forced, int plain, int bytes) {
  if (::setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes) != 0) {
    (void)::setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof bytes);
  }
}

Socket::Refusal refusal(const Ack& ack) {
  return {ack.seq, ack.error, std::string(ack.text), ack.bad_offset};
}

Error to_error(const Socket::Refusal& r) {
  return sys_error(r.sys_errno, r.text.empty() ? "netlink request" : r.text);
}

}  // namespace

Result<Socket> Socket::open(int protocol, SocketOptions options) {
  const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  if (fd < 0) return sys_error(errno, "netlink socket");
  Socket s(fd, 0);
  sockaddr_nl local{};
  local.nl_family = AF_NETLINK;
  if (::bind(fd, generic(local), sizeof local) != 0) return sys_error(errno, "netlink bind");
  socklen_t length = sizeof local;
  if (::getsockname(fd, generic(local), &length) != 0) return sys_error(errno, "netlink address");
  s.port_ = local.nl_pid;
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, options.receive_buffer);
  const int on = 1;
  MARGAY_CHECK(set_option(fd, SOL_NETLINK, NETLINK_EXT_ACK, on, "netlink extended ack"));
  MARGAY_CHECK(set_option(fd, SOL_NETLINK, NETLINK_CAP_ACK, on, "netlink capped ack"));
  if (options.strict_check) {
    // Absent before Linux 4.20, and only a saving: not an error.
    (void)::setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  }
  return s;
}

Socket::Socket(int fd, std::uint32_t port) : fd_(fd), port_(port), buffer_(kReceiveSize) {}

Socket::Socket(Socket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      port_(other.port_),
      seq_(other.seq_),
      send_buffer_(other.send_buffer_),
      dump_interrupted_(other.dump_interrupted_),
      buffer_(std::move(other.buffer_)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(port_, other.port_);
  std::swap(seq_, other.seq_);
  std::swap(send_buffer_, other.send_buffer_);
  std::swap(dump_interrupted_, other.dump_interrupted_);
  std::swap(buffer_, other.buffer_);
  return *this;
}

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> Socket::join(unsigned group) {
  return set_option(fd_, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group, "netlink group");
}

Result<void> Socket::leave(unsigned group) {
  return set_option(fd_, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, group, "netlink group");
}

Result<void> Socket::filter(std::span<sock_filter> program) {
  const sock_fprog p{static_cast<unsigned short>(program.size()), program.data()};
  return set_option(fd_, SOL_SOCKET, SO_ATTACH_FILTER, p, "netlink socket filter");
}

Result<void> Socket::send(ByteView bytes) {
  // One datagram must fit the send buffer; grow it once and for all when one does not.
  const int need = static_cast<int>(bytes.size()) + 4096;
  if (need > send_buffer_) {
    send_buffer_ = std::max(need + need / 2, 256 * 1024);
    set_buffer(fd_, SO_SNDBUFFORCE, SO_SNDBUF, send_buffer_);
  }
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  for (;;) {
    const auto n = ::sendto(fd_, bytes.data(), bytes.size(), 0, generic(kernel), sizeof kernel);
    if (n >= 0) return {};
    if (errno != EINTR) return sys_error(errno, "netlink send");
  }
}

// While old data fills the queue the kernel drops the answers to new requests, without a word:
// whoever is told of an overrun starts with an empty queue.
Error Socket::overrun() {
  while (::recv(fd_, buffer_.data(), buffer_.size(), MSG_DONTWAIT) >= 0 || errno == EINTR ||
         errno == ENOBUFS) {
  }
  return Error{Code::overrun, ENOBUFS, "netlink receive"};
}

Result<ByteView> Socket::receive(Wait wait) {
  for (;;) {
    const auto n = ::recv(fd_, buffer_.data(), buffer_.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (n > static_cast<ssize_t>(buffer_.size())) {
      return make_error(Code::overrun, "netlink datagram longer than the buffer");
    }
    if (n >= 0) return ByteView(buffer_.data(), static_cast<std::size_t>(n));
    if (errno == EINTR) continue;
    if (errno == ENOBUFS) return overrun();
    if (errno != EAGAIN) return sys_error(errno, "netlink receive");
    if (wait == Wait::no) return ByteView{};
    pollfd p{fd_, POLLIN, 0};
    if (::poll(&p, 1, kAnswerMilliseconds) == 0) {
      return make_error(Code::unavailable, "netlink: no answer from the kernel");
    }
  }
}

Result<std::vector<Socket::Refusal>> Socket::exchange(ByteView requests, std::uint32_t first,
                                                      std::uint32_t last, const Handler& each) {
  MARGAY_CHECK(send(requests));
  std::vector<Refusal> refused;
  std::uint32_t waiting = last - first + 1;
  while (waiting > 0) {
    MARGAY_TRY(ByteView rest, receive(Wait::yes));
    while (const auto m = next_message(rest)) {
      const bool ours = m->seq - first <= last - first;  // wraps correctly
      const auto ack = parse_ack(*m);
      if (!ack) {
        if (ours && each) each(*m);
        continue;
      }
      if (!ours) continue;  // an answer to something given up before
      --waiting;
      if (ack->error != 0) refused.push_back(refusal(*ack));
    }
  }
  return refused;
}

Result<void> Socket::request(const Writer& request, std::uint32_t seq, const Handler& each) {
  MARGAY_TRY(const auto refused, exchange(request.bytes(), seq, seq, each));
  if (!refused.empty()) return to_error(refused.front());
  return {};
}

Result<void> Socket::start_dump(const Writer& request) {
  dump_interrupted_ = false;
  return send(request.bytes());
}

Result<bool> Socket::read_dump(std::uint32_t seq, const Handler& each, int datagrams) {
  for (int i = 0; i < datagrams; ++i) {
    MARGAY_TRY(ByteView rest, receive(Wait::yes));
    while (const auto m = next_message(rest)) {
      if (m->seq != seq) continue;
      if ((m->flags & NLM_F_DUMP_INTR) != 0) dump_interrupted_ = true;
      if (m->type == NLMSG_DONE) {
        const auto status = m->header<std::int32_t>();
        if (status && *status < 0) return sys_error(-*status, "netlink dump");
        if (dump_interrupted_) return Error{Code::conflict, EINTR, "netlink dump interrupted"};
        return true;
      }
      if (const auto ack = parse_ack(*m)) {
        if (ack->error != 0) return to_error(refusal(*ack));
        continue;
      }
      each(*m);
    }
  }
  return false;
}

Result<void> Socket::dump(const Writer& request, std::uint32_t seq, const Handler& each) {
  MARGAY_CHECK(start_dump(request));
  for (;;) {
    MARGAY_TRY(const bool complete, read_dump(seq, each, kPiece));
    if (complete) return {};
  }
}

// EINTR and EAGAIN from the kernel mean the same as the flag: a change came in between.
bool Socket::was_disturbed(const Error& e) {
  return e.code == Code::conflict || e.code == Code::overrun || e.sys_errno == EINTR ||
         e.sys_errno == EAGAIN;
}

Result<void> Socket::dump_retry(
    const std::function<void(Writer& request, std::uint32_t seq)>& start, const Handler& each,
    int tries) {
  Writer request;
  for (;;) {
    request.clear();
    const std::uint32_t seq = next_seq();
    start(request, seq);
    auto done = dump(request, seq, each);
    if (done.ok()) return done;
    if (!was_disturbed(done.error()) || --tries <= 0) return done;
  }
}

Result<std::vector<Socket::Refusal>> Socket::transact(ByteView batch, const Handler& each) {
  MARGAY_CHECK(send(batch));
  std::vector<Refusal> refused;
  for (;;) {
    MARGAY_TRY(ByteView rest, receive(Wait::no));
    if (rest.empty()) return refused;
    while (const auto m = next_message(rest)) {
      if (const auto ack = parse_ack(*m)) {
        if (ack->error != 0) refused.push_back(refusal(*ack));
      } else if (each) {
        each(*m);
      }
    }
  }
}

Result<bool> Socket::drain(const Handler& each, int datagrams) {
  for (int i = 0; i < datagrams; ++i) {
    MARGAY_TRY(ByteView rest, receive(Wait::no));
    if (rest.empty()) return false;
    while (const auto m = next_message(rest)) each(*m);
  }
  return true;
}

}  // namespace margay::netlink
