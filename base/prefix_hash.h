// SPDX-License-Identifier: Apache-2.0
// A hash for tables of very many prefixes. They come in runs of neighbours, and up to 64 neighbours
// of one length lie side by side in a table with it, so that a run does not miss the cache with
// each of them. Pure.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/ip.h"

namespace margay {

struct PrefixHash {
  static constexpr unsigned kNearBits = 6;
  // Not noexcept: the tables then keep the hash (base/ip.h).
  std::size_t operator()(const Prefix& p) const {
    if (p.addr().is_v6() || p.length() < kNearBits) return std::hash<Prefix>{}(p);
    return of_v4(p.addr().v4_host_order(), p.length());
  }
  // Of an IPv4 prefix of at least kNearBits; the address in host order.
  [[nodiscard]] static std::size_t of_v4(std::uint32_t address, unsigned length) {
    const std::uint32_t number = address >> (32 - length);
    const std::uint32_t near = number & ((1U << kNearBits) - 1);
    std::size_t h = (std::size_t{number >> kNearBits} << 6 | length) * 0x9e3779b97f4a7c15ULL;
    h ^= h >> 32;
    return h >> kNearBits << kNearBits | near;
  }
};

}  // namespace margay
