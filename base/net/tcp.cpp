// SPDX-License-Identifier: Apache-2.0
#include "base/net/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#ifndef IP_MINTTL
#define IP_MINTTL 21
#endif
#ifndef IPV6_MINHOPCOUNT
#define IPV6_MINHOPCOUNT 73
#endif

namespace margay::net {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const {
    return static_cast<const sockaddr*>(static_cast<const void*>(&storage));
  }
  [[nodiscard]] sockaddr* get() { return static_cast<sockaddr*>(static_cast<void*>(&storage)); }
};

int domain(Family f) { return f == Family::v4 ? AF_INET : AF_INET6; }

Address to_address(const Endpoint& e) {
  Address out;
  if (e.address.is_v4()) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(e.port);
    std::memcpy(&a.sin_addr, e.address.bytes().data(), 4);
    std::memcpy(&out.storage, &a, sizeof a);
    out.size = sizeof a;
  } else {
    sockaddr_in6 a{};
    a.sin6_family = AF_INET6;
    a.sin6_port = htons(e.port);
    std::memcpy(&a.sin6_addr, e.address.bytes().data(), 16);
    std::memcpy(&out.storage, &a, sizeof a);
    out.size = sizeof a;
  }
  return out;
}

Endpoint from_address(const Address& from) {
  std::array<std::uint8_t, 16> bytes{};
  if (from.storage.ss_family == AF_INET) {
    sockaddr_in a{};
    std::memcpy(&a, &from.storage, sizeof a);
    std::memcpy(bytes.data(), &a.sin_addr, 4);
    return {Ip::from_bytes(std::span(bytes).first(4)), ntohs(a.sin_port)};
  }
  if (from.storage.ss_family == AF_INET6) {
    sockaddr_in6 a{};
    std::memcpy(&a, &from.storage, sizeof a);
    std::memcpy(bytes.data(), &a.sin6_addr, 16);
    return {Ip::from_bytes(bytes), ntohs(a.sin6_port)};
  }
  return {};
}

Result<void> set_int(int fd, int level, int option, int value, const char* what) {
  if (setsockopt(fd, level, option, &value, sizeof value) == 0) return {};
  return sys_error(errno, what);
}

}  // namespace

Result<Fd> tcp_socket(Family family, const std::optional<Ip>& source) {
  Fd fd(::socket(domain(family), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd) return sys_error(errno, "TCP socket");
  MARGAY_CHECK(set_int(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY"));
  if (!source) return fd;
  // The port is chosen by connect(): many peers may share it.
  (void)set_int(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1, "IP_BIND_ADDRESS_NO_PORT");
  const Address a = to_address({*source, 0});
  if (::bind(fd.get(), a.get(), a.size) != 0) {
    return sys_error(errno, "source address " + source->to_string());
  }
  return fd;
}

Result<Fd> tcp_listen(const Ip& address, std::uint16_t port) {
  const std::string what = "listen on " + address.to_string() + " port " + std::to_string(port);
  Fd fd(
      ::socket(domain(address.family()), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd) return sys_error(errno, what);
  MARGAY_CHECK(set_int(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"));
  if (address.is_v6()) {
    MARGAY_CHECK(set_int(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY"));
  }
  const Address a = to_address({address, port});
  if (::bind(fd.get(), a.get(), a.size) != 0) return sys_error(errno, what);
  if (::listen(fd.get(), kListenBacklog) != 0) return sys_error(errno, what);
  return fd;
}

int tcp_connect(int fd, const Endpoint& to) {
  const Address a = to_address(to);
  return ::connect(fd, a.get(), a.size) == 0 ? 0 : errno;
}

int socket_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

Result<Fd> tcp_accept(int listener) {
  Fd fd(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd) {
    MARGAY_CHECK(set_int(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY"));
    return fd;
  }
  // Connections that ended while they waited are no failure of the listener.
  if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR) return fd;
  return sys_error(errno, "accept");
}

Endpoint local_endpoint(int fd) {
  Address a;
  a.size = sizeof a.storage;
  if (getsockname(fd, a.get(), &a.size) != 0) return {};
  return from_address(a);
}

Endpoint remote_endpoint(int fd) {
  Address a;
  a.size = sizeof a.storage;
  if (getpeername(fd, a.get(), &a.size) != 0) return {};
  return from_address(a);
}

Result<void> set_tcp_md5(int fd, const Prefix& peers, std::string_view password) {
  tcp_md5sig sig{};
  if (password.size() > sizeof sig.tcpm_key) {
    return make_error(Code::invalid, "MD5 password for " + peers.to_string() + " has " +
                                         std::to_string(password.size()) +
                                         " bytes; at most 80 are allowed");
  }
  const Address a = to_address({peers.addr(), 0});
  sig.tcpm_flags = TCP_MD5SIG_FLAG_PREFIX;
  sig.tcpm_prefixlen = static_cast<std::uint8_t>(peers.length());
  std::memcpy(&sig.tcpm_addr, &a.storage, sizeof a.storage);
  sig.tcpm_keylen = static_cast<std::uint16_t>(password.size());
  std::copy(password.begin(), password.end(), sig.tcpm_key);
  if (setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG_EXT, &sig, sizeof sig) == 0) return {};
  if (password.empty() && errno == ENOENT) return {};
  return sys_error(errno, "MD5 password for " + peers.to_string());
}

Result<void> set_ttl(int fd, Family family, unsigned ttl) {
  const int value = static_cast<int>(ttl);
  return family == Family::v4 ? set_int(fd, IPPROTO_IP, IP_TTL, value, "IP_TTL")
                              : set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, value, "hop limit");
}

Result<void> set_min_ttl(int fd, Family family, unsigned ttl) {
  const int value = static_cast<int>(ttl);
  return family == Family::v4
             ? set_int(fd, IPPROTO_IP, IP_MINTTL, value, "IP_MINTTL")
             : set_int(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, value, "IPV6_MINHOPCOUNT");
}

Result<void> keep_first_segment(int listener, bool keep) {
  return set_int(listener, IPPROTO_TCP, TCP_SAVE_SYN, keep ? 1 : 0, "TCP_SAVE_SYN");
}

std::optional<unsigned> first_ttl(int fd) {
  std::array<std::uint8_t, 512> headers{};  // from the IP header on
  socklen_t size = headers.size();
  if (getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, headers.data(), &size) != 0 || size < 20) {
    return std::nullopt;
  }
  constexpr std::size_t kTtlAt = 8, kHopLimitAt = 7;
  return headers[0] >> 4 == 4 ? headers[kTtlAt] : headers[kHopLimitAt];
}

Result<void> set_low_water(int fd, std::size_t bytes) {
  return set_int(fd, SOL_SOCKET, SO_RCVLOWAT, static_cast<int>(bytes), "SO_RCVLOWAT");
}

std::chrono::milliseconds silence(int fd) {
  constexpr std::chrono::milliseconds kKernelTick{10};  // at most; it counts whole ones
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  const std::chrono::milliseconds since{info.tcpi_last_data_recv};
  return std::max(since, kKernelTick) - kKernelTick;
}

long read_some(int fd, std::span<std::uint8_t> into) {
  const ssize_t n = ::recv(fd, into.data(), into.size(), MSG_DONTWAIT);
  return n >= 0 ? n : -errno;
}

long write_some(int fd, std::span<const std::uint8_t> bytes) {
  const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return n >= 0 ? n : -errno;
}

void finish_sending(int fd) {
  ::shutdown(fd, SHUT_WR);
  std::array<std::uint8_t, 4096> scratch{};
  for (int i = 0; i < 64 && read_some(fd, scratch) > 0; ++i) {
  }
}

}  // namespace margay::net
