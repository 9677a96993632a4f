// SPDX-License-Identifier: Apache-2.0
// What the speakers of the load tool announce: numbered prefixes of one length, side by side, and
// the bytes that announce or withdraw a run of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/ip.h"
#include "bgp/wire/bytes.h"

namespace margay::bench {

// Prefix number n is the n-th of its length from the first address on.
struct Numbering {
  std::uint32_t first_address = 0x20000000;  // 32.0.0.0
  unsigned length = 24;
  [[nodiscard]] Prefix prefix(std::uint32_t number) const {
    return Prefix::containing(Ip::v4(first_address + (number << (32 - length))), length);
  }
  [[nodiscard]] std::optional<std::uint32_t> number(unsigned len, std::uint32_t address) const {
    if (len != length || address < first_address) return std::nullopt;
    return (address - first_address) >> (32 - length);
  }
};

// Speakers that do the same, one address and `as_step` AS numbers apart.
struct Group {
  std::string name;
  std::uint32_t speakers = 1;
  Ip address;  // of the first
  std::uint32_t as = 65001, as_step = 0;
  std::uint32_t routes = 0;  // announced by each speaker,
  std::uint32_t first = 0;   // from this number on: one speaker's after the other's,
  bool same = false;         // or all the same
  std::uint32_t per_update = 100;
  std::uint32_t attribute_sets = 1;
  std::uint32_t path_length = 1;  // AS numbers after the speaker's own
  std::uint32_t communities = 0;
  bool each_better = false;     // every speaker's paths are shorter than the one's before
  std::uint32_t expect = 0;     // prefixes that each speaker must have in the end,
  std::uint32_t expect_as = 0;  // those only that came through this AS
};

struct Routes {
  std::uint32_t first = 0, count = 0;
  bgp::wire::Buffer announce, withdraw;
};
// Those of the speaker `index` of its group towards a machine of AS `their_as`.
[[nodiscard]] Routes routes_of(const Group& group, std::uint32_t index, std::uint32_t their_as,
                               const Numbering& numbering);

}  // namespace margay::bench
