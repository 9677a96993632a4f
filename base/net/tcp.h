// SPDX-License-Identifier: Apache-2.0
// TCP sockets as non-blocking descriptors with the options that BGP needs: MD5 signatures (RFC
// 2385), TTL security (RFC 5082), a bound source. IPv4 and IPv6 alike. Knows no event loop: callers
// watch the descriptors themselves.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/ip.h"
#include "base/result.h"

namespace margay::net {

struct Endpoint {
  Ip address;
  std::uint16_t port = 0;
};

// A large queue: peers that all connect at once must not wait for a retransmission.
inline constexpr int kListenBacklog = 4096;

// `address` any(): all addresses of that family (an IPv6 socket takes IPv6 only).
[[nodiscard]] Result<Fd> tcp_listen(const Ip& address, std::uint16_t port);
// A new socket, bound to `source` when given; connect with tcp_connect.
[[nodiscard]] Result<Fd> tcp_socket(Family family, const std::optional<Ip>& source);
// Returns 0 when connected at once, EINPROGRESS, or the errno of a failure.
[[nodiscard]] int tcp_connect(int fd, const Endpoint& to);
[[nodiscard]] int socket_error(int fd);  // SO_ERROR
// An invalid Fd when nothing waits.
[[nodiscard]] Result<Fd> tcp_accept(int listener);

[[nodiscard]] Endpoint local_endpoint(int fd);
[[nodiscard]] Endpoint remote_endpoint(int fd);

// The key for segments to and from all of `peers`, unless a longer prefix has its own; an empty
// password removes it. At most 80 bytes.
[[nodiscard]] Result<void> set_tcp_md5(int fd, const Prefix& peers, std::string_view password);
// TTL (hop limit) of what is sent.
[[nodiscard]] Result<void> set_ttl(int fd, Family family, unsigned ttl);
// Discards what arrives with less; 0: takes everything.
[[nodiscard]] Result<void> set_min_ttl(int fd, Family family, unsigned ttl);

// Keeps the first segment of each connection that a listener takes from now on.
[[nodiscard]] Result<void> keep_first_segment(int listener, bool keep);
// TTL of the segment with which an accepted connection began; nullopt: it was not kept.
[[nodiscard]] std::optional<unsigned> first_ttl(int fd);

// poll(2) finds the socket readable when so many bytes wait, or its end has come.
[[nodiscard]] Result<void> set_low_water(int fd, std::size_t bytes);
// How long ago bytes came in last, or a few milliseconds less.
[[nodiscard]] std::chrono::milliseconds silence(int fd);

// As read(2) and send(2) without blocking and signals: bytes, 0 at the end, or -errno.
[[nodiscard]] long read_some(int fd, std::span<std::uint8_t> into);
[[nodiscard]] long write_some(int fd, std::span<const std::uint8_t> bytes);
// Says that nothing more will be sent, and throws away what was received: otherwise close() would
// reset the connection and the peer could lose our last words.
void finish_sending(int fd);

}  // namespace margay::net
