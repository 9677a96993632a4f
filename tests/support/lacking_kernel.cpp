// SPDX-License-Identifier: Apache-2.0
// Lets the kernel look like one that lacks an nftables expression: with MARGAY_TEST_LACKS=log in
// the environment every rule that is sent with that expression names one that no kernel knows, so
// that the kernel itself refuses it. Linked into a test program, or preloaded into the agent.
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

// NFTA_EXPR_NAME, as it stands in a message.
std::vector<std::uint8_t> name_attribute(std::string_view name) {
  constexpr std::uint8_t kHeader = 4, kExprName = 1;
  std::vector<std::uint8_t> out{static_cast<std::uint8_t>(kHeader + name.size() + 1), 0, kExprName,
                                0};
  out.insert(out.end(), name.begin(), name.end());
  out.push_back(0);
  return out;
}

std::vector<std::uint8_t> bend(std::string_view message, std::string_view lacked) {
  std::vector<std::uint8_t> out(message.begin(), message.end());
  const auto raw = name_attribute(lacked);
  const std::string_view attribute(static_cast<const char*>(static_cast<const void*>(raw.data())),
                                   raw.size());
  for (auto at = message.find(attribute); at != std::string_view::npos;
       at = message.find(attribute, at + 1)) {
    out[at + 4] = '!';
  }
  return out;
}

}  // namespace

extern "C" ssize_t sendto(int fd, const void* bytes, size_t size, int flags, const sockaddr* to,
                          socklen_t to_size) {
  const char* lacked = std::getenv("MARGAY_TEST_LACKS");
  if (lacked == nullptr || to == nullptr || to->sa_family != AF_NETLINK) {
    return ::syscall(SYS_sendto, fd, bytes, size, flags, to, to_size);
  }
  const auto bent = bend({static_cast<const char*>(bytes), size}, lacked);
  return ::syscall(SYS_sendto, fd, bent.data(), bent.size(), flags, to, to_size);
}
