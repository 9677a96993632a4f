// SPDX-License-Identifier: Apache-2.0
#include "base/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/fd.h"

namespace margay::service_manager {
namespace {

std::optional<long long> number(const char* text) {
  if (text == nullptr) return std::nullopt;
  long long n = 0;
  const auto [end, ec] = std::from_chars(text, text + std::strlen(text), n);
  if (ec != std::errc{} || *end != '\0') return std::nullopt;
  return n;
}

}  // namespace

void notify(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un addr{};
  addr.sun_family = AF_UNIX;
  if (path == nullptr || std::strlen(path) < 2 || std::strlen(path) >= sizeof addr.sun_path) return;
  const std::size_t length = std::strlen(path);
  std::memcpy(addr.sun_path, path, length);
  if (path[0] == '@') addr.sun_path[0] = '\0';  // abstract socket
  const Fd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return;
  sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
         reinterpret_cast<const sockaddr*>(&addr),
         static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
}

std::optional<std::chrono::microseconds> watchdog_interval() {
  const auto usec = number(std::getenv("WATCHDOG_USEC"));
  if (!usec || *usec <= 0) return std::nullopt;
  const auto pid = number(std::getenv("WATCHDOG_PID"));
  if (pid && *pid != getpid()) return std::nullopt;
  return std::chrono::microseconds(*usec / 2);
}

}  // namespace margay::service_manager
