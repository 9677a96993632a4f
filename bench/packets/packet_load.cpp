// SPDX-License-Identifier: Apache-2.0
// margay-packet-load CLIENT_NETNS SERVER_NETNS ADDRESS PORT connect|packets SECONDS
// One thread that holds both ends of a path through a node: opens and resets TCP connections, or
// sends datagrams of one flow and reads them again. What veth, routing and filters cost happens in
// its own system calls, so that its CPU time is theirs, whatever else the machine does. Prints
// {"count": N, "cpu_s": S}; nothing arrives: count 0.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

constexpr unsigned kBurst = 32;
constexpr int kPatience = 200;  // milliseconds without an answer: the way is closed

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

double seconds(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

void enter(const char* netns) {
  const int fd = ::open(netns, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || ::setns(fd, CLONE_NEWNET) != 0) fail(netns);
  ::close(fd);
}

int open_socket(int type) {
  const int fd = ::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) fail("socket");
  return fd;
}

const sockaddr* generic(const sockaddr_in& a) {
  return static_cast<const sockaddr*>(static_cast<const void*>(&a));
}

int bound(int type, const sockaddr_in& at) {
  const int fd = open_socket(type);
  const int on = 1;
  (void)::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd, generic(at), sizeof at) != 0) fail("bind");
  return fd;
}

bool ready(int fd, short events) {
  pollfd p{fd, events, 0};
  return ::poll(&p, 1, kPatience) > 0;
}

// Closing resets the connection: nothing of it is left at either end.
void reset(int fd) {
  const linger now{1, 0};
  (void)::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(fd);
}

// One connection; 0 when it did not come about.
unsigned connection(int listener, const sockaddr_in& to) {
  const int client = open_socket(SOCK_STREAM);
  if (::connect(client, generic(to), sizeof to) != 0 && errno != EINPROGRESS) fail("connect");
  int server = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (server < 0 && ready(listener, POLLIN)) {
    server = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  }
  if (server >= 0) reset(server);
  reset(client);
  return server >= 0 ? 1 : 0;
}

// One burst of datagrams; how many arrived.
unsigned burst(int from, int to) {
  static std::array<std::array<char, 64>, kBurst> data{};
  static std::array<iovec, kBurst> parts{};
  static std::array<mmsghdr, kBurst> messages{};
  for (std::size_t i = 0; i < kBurst; ++i) {
    parts[i] = {data[i].data(), data[i].size()};
    messages[i] = {};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  if (::sendmmsg(from, messages.data(), kBurst, 0) < 0 && errno != EAGAIN) fail("send");
  int got = ::recvmmsg(to, messages.data(), kBurst, 0, nullptr);
  if (got < 0 && ready(to, POLLIN)) got = ::recvmmsg(to, messages.data(), kBurst, 0, nullptr);
  return got > 0 ? static_cast<unsigned>(got) : 0;
}

template <typename Step>
void run(double wanted, const Step& step) {
  const double end = seconds(CLOCK_MONOTONIC) + wanted, cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
  unsigned long count = 0;
  while (seconds(CLOCK_MONOTONIC) < end) {
    const unsigned got = step();
    if (got == 0) break;
    count += got;
  }
  std::printf("{\"count\": %lu, \"cpu_s\": %.6f}\n", count,
              seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fputs(
        "usage: margay-packet-load CLIENT_NETNS SERVER_NETNS ADDRESS PORT connect|packets "
        "SECONDS\n",
        stderr);
    return 2;
  }
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[4])));
  if (::inet_pton(AF_INET, argv[3], &to.sin_addr) != 1) fail(argv[3]);
  const bool connects = std::string_view(argv[5]) == "connect";
  enter(argv[2]);
  const int server = bound(connects ? SOCK_STREAM : SOCK_DGRAM, to);
  if (connects && ::listen(server, 64) != 0) fail("listen");
  enter(argv[1]);
  const double wanted = std::atof(argv[6]);
  if (connects) {
    run(wanted, [&] { return connection(server, to); });
  } else {
    const int client = open_socket(SOCK_DGRAM);
    if (::connect(client, generic(to), sizeof to) != 0) fail("connect");
    run(wanted, [&] { return burst(client, server); });
  }
  return 0;
}
