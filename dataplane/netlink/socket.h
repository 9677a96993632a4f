// SPDX-License-Identifier: Apache-2.0
// One netlink socket of any protocol (NETLINK_ROUTE, NETLINK_NETFILTER, ...): requests with their
// acknowledgements matched by sequence number, dumps, multicast groups. Requests block (the kernel
// answers at once); notifications are read when fd() is readable. Not thread-safe: one owner. Must
// not know what the messages mean.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "dataplane/netlink/message.h"

struct sock_filter;

namespace margay::netlink {

struct SocketOptions {
  // Bytes the kernel may queue for us: dumps need little, notifications and echoes much.
  int receive_buffer = 1 << 20;
  bool strict_check = true;  // NETLINK_GET_STRICT_CHK: the kernel filters dumps for us
};

class Socket {
 public:
  using Handler = std::function<void(const Message&)>;

  [[nodiscard]] static Result<Socket> open(int protocol, SocketOptions options = {});
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();

  [[nodiscard]] int fd() const { return fd_; }  // non-blocking
  [[nodiscard]] std::uint32_t port() const { return port_; }
  [[nodiscard]] std::uint32_t next_seq() { return ++seq_; }

  [[nodiscard]] Result<void> join(unsigned group);
  [[nodiscard]] Result<void> leave(unsigned group);
  // A classic BPF program, which sees each datagram from its first header on.
  [[nodiscard]] Result<void> filter(std::span<sock_filter> program);

  // Sends one request or several with NLM_F_ACK each (their numbers from next_seq()); the result
  // has one entry for each request that the kernel refused.
  struct Refusal {
    std::uint32_t seq = 0;
    int sys_errno = 0;
    std::string text;  // the kernel's words, if any
    std::uint32_t bad_offset = 0;
  };
  // Everything in `requests` was sent with the numbers first..last, each asking for an ack.
  // Other answers (echoes, objects asked for) go to `each`.
  [[nodiscard]] Result<std::vector<Refusal>> exchange(ByteView requests, std::uint32_t first,
                                                      std::uint32_t last, const Handler& each = {});
  // One request with NLM_F_ACK; the refusal becomes an Error{system, errno, kernel's words}.
  [[nodiscard]] Result<void> request(const Writer& request, std::uint32_t seq,
                                     const Handler& each = {});
  // One request with NLM_F_DUMP. Code::conflict: the dump was interrupted by a change
  // (NLM_F_DUMP_INTR), what was seen may be inconsistent; dump_retry repeats it.
  [[nodiscard]] Result<void> dump(const Writer& request, std::uint32_t seq, const Handler& each);
  // The error of a dump says that the same dump may succeed when it is made again.
  [[nodiscard]] static bool was_disturbed(const Error& e);
  // The same in pieces: after start_dump read_dump until it returns true, at most `datagrams` of
  // answers each time. Nothing else may be asked on this socket in between.
  [[nodiscard]] Result<void> start_dump(const Writer& request);
  [[nodiscard]] Result<bool> read_dump(std::uint32_t seq, const Handler& each, int datagrams);
  // Calls `start` (forget what was gathered, and build the request anew with the given number) and
  // dumps until a pass is consistent, at most `tries` times.
  [[nodiscard]] Result<void> dump_retry(
      const std::function<void(Writer& request, std::uint32_t seq)>& start, const Handler& each,
      int tries = 10);

  // A transaction (nfnetlink batch): no acknowledgement is asked for, the kernel has answered
  // everything by the time the send returns. Refusals as in exchange(), in the kernel's order.
  [[nodiscard]] Result<std::vector<Refusal>> transact(ByteView batch, const Handler& each = {});

  // Reads what is queued without waiting, at most `datagrams` of them; true: there may be more.
  // Code::overrun: notifications were lost.
  [[nodiscard]] Result<bool> drain(const Handler& each, int datagrams = 64);

 private:
  Socket(int fd, std::uint32_t port);
  [[nodiscard]] Result<void> send(ByteView bytes);
  // A datagram; empty: nothing there (within the wait).
  enum class Wait { no, yes };
  [[nodiscard]] Result<ByteView> receive(Wait wait);
  Error overrun();

  int fd_ = -1;
  std::uint32_t port_ = 0;
  std::uint32_t seq_ = 0;
  int send_buffer_ = 0;
  bool dump_interrupted_ = false;
  std::vector<std::uint8_t> buffer_;
};

}  // namespace margay::netlink
