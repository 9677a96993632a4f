// SPDX-License-Identifier: Apache-2.0
// Ethernet frames of test packets, with right checksums, so that connection tracking believes them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/ip.h"

namespace margay::test {

inline constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kEsp = 50, kIcmpv6 = 58, kSctp = 132;

struct Packet {
  std::uint8_t protocol = kTcp;  // TCP: a SYN, unless ack is set
  std::uint16_t sport = 0, dport = 0;
  std::uint8_t type = 8, code = 0;  // ICMP
  bool ack = false;                 // TCP: SYN and ACK, an answer
  bool out_of_the_blue = false;     // TCP: all flags at once, which is invalid
};

// From `source` to `destination` (of one family); `tag` is the payload by which it is found again.
[[nodiscard]] std::vector<std::uint8_t> frame(const Packet& p, const Ip& source,
                                              const Ip& destination, const Mac& from, const Mac& to,
                                              std::uint64_t tag);

// The tag, if the frame ends in one.
[[nodiscard]] std::optional<std::uint64_t> tag_of(const std::vector<std::uint8_t>& bytes);
// An ICMP destination unreachable (of either family), or a TCP reset.
[[nodiscard]] bool is_refusal(const std::vector<std::uint8_t>& bytes);
// Source address of an IP frame.
[[nodiscard]] std::optional<Ip> source_of(const std::vector<std::uint8_t>& bytes);

}  // namespace margay::test
