// SPDX-License-Identifier: Apache-2.0
// What the rtnetlink codecs of this folder share: families, flags, addresses out of attributes. Not
// for others.
#pragma once

#include <linux/netlink.h>
#include <sys/socket.h>

#include <optional>

#include "dataplane/netlink/rtnl.h"

namespace margay::netlink {

[[nodiscard]] inline std::uint8_t address_family(Family f) {
  return f == Family::v4 ? AF_INET : AF_INET6;
}

[[nodiscard]] inline std::optional<Family> family_of(unsigned af) {
  if (af == AF_INET) return Family::v4;
  if (af == AF_INET6) return Family::v6;
  return std::nullopt;
}

[[nodiscard]] inline std::optional<Ip> as_ip(ByteView bytes) {
  if (bytes.size() != 4 && bytes.size() != 16) return std::nullopt;
  return Ip::from_bytes(bytes);
}

[[nodiscard]] inline std::optional<Mac> as_mac(ByteView bytes) {
  Mac mac;
  if (bytes.size() != mac.bytes.size()) return std::nullopt;
  std::memcpy(mac.bytes.data(), bytes.data(), bytes.size());
  return mac;
}

[[nodiscard]] inline std::uint16_t request_flags(Verb verb) {
  switch (verb) {
    case Verb::create:
      return NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL;
    case Verb::replace:
      return NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
    case Verb::append:
      return NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND;
    case Verb::change:
    case Verb::remove:
      return NLM_F_REQUEST;
  }
  return NLM_F_REQUEST;
}

}  // namespace margay::netlink
