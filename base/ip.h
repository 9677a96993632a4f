// SPDX-License-Identifier: Apache-2.0
// IP addresses and prefixes as plain values: Ipv4 4 bytes, Ipv6 16, Ip 17, Prefix 18; network byte
// order inside. Both families everywhere: code that takes Ip or Prefix takes either. Parsing
// accepts only canonical text forms (inet_pton), lengths without leading zeros. No allocation
// except in to_string. Must not know sockets.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace margay {

enum class Family : std::uint8_t { v4 = 4, v6 = 6 };
[[nodiscard]] constexpr unsigned max_prefix_length(Family f) { return f == Family::v4 ? 32 : 128; }
[[nodiscard]] constexpr std::size_t address_size(Family f) { return f == Family::v4 ? 4 : 16; }
inline constexpr std::array<Family, 2> kFamilies{Family::v4, Family::v6};

class Ip {
 public:
  constexpr Ip() = default;  // 0.0.0.0
  [[nodiscard]] static Ip v4(std::uint32_t host_order);
  [[nodiscard]] static Ip v4(const std::array<std::uint8_t, 4>& bytes);
  [[nodiscard]] static Ip v6(const std::array<std::uint8_t, 16>& bytes);
  // `bytes` must be 4 or 16 long (asserted).
  [[nodiscard]] static Ip from_bytes(std::span<const std::uint8_t> bytes);
  [[nodiscard]] static Result<Ip> parse(std::string_view text);
  [[nodiscard]] static Ip any(Family f);

  [[nodiscard]] Family family() const { return v6_ ? Family::v6 : Family::v4; }
  [[nodiscard]] bool is_v4() const { return !v6_; }
  [[nodiscard]] bool is_v6() const { return v6_; }
  [[nodiscard]] std::span<const std::uint8_t> bytes() const { return {b_.data(), v6_ ? 16U : 4U}; }
  [[nodiscard]] std::uint32_t v4_host_order() const;  // is_v4() only
  [[nodiscard]] bool is_any() const;
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] bool is_link_local() const;
  [[nodiscard]] bool is_multicast() const;
  [[nodiscard]] bool bit(unsigned i) const { return (b_[i / 8] >> (7 - i % 8)) & 1; }
  [[nodiscard]] Ip masked(unsigned length) const;
  // The address `n` after this one (wraps within the family).
  [[nodiscard]] Ip plus(std::uint64_t n) const;
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const Ip&, const Ip&) = default;
  friend std::strong_ordering operator<=>(const Ip& a, const Ip& b);  // v4 before v6, then numeric

 private:
  std::array<std::uint8_t, 16> b_{};  // a v4 address uses the first four; the rest stay zero
  bool v6_ = false;
};

class Prefix {
 public:
  Prefix() = default;  // 0.0.0.0/0
  // Strict: refuses host bits and lengths beyond the family's.
  [[nodiscard]] static Result<Prefix> make(const Ip& addr, unsigned length);
  // Clears host bits; length is clamped to the family's.
  [[nodiscard]] static Prefix containing(const Ip& addr, unsigned length);
  [[nodiscard]] static Prefix host(const Ip& addr) {
    return containing(addr, max_prefix_length(addr.family()));
  }
  // "10.0.0.0/8". parse refuses host bits; parse_containing masks them. Both take a bare address as
  // a host prefix.
  [[nodiscard]] static Result<Prefix> parse(std::string_view text);
  [[nodiscard]] static Result<Prefix> parse_containing(std::string_view text);

  [[nodiscard]] const Ip& addr() const { return addr_; }
  [[nodiscard]] unsigned length() const { return len_; }
  [[nodiscard]] Family family() const { return addr_.family(); }
  [[nodiscard]] bool is_host() const { return len_ == max_prefix_length(family()); }
  [[nodiscard]] bool contains(const Ip& a) const;
  [[nodiscard]] bool contains(const Prefix& p) const;  // equal counts as contained
  [[nodiscard]] std::string to_string() const;         // always with the length
  friend bool operator==(const Prefix&, const Prefix&) = default;
  friend std::strong_ordering operator<=>(const Prefix& a, const Prefix& b) {
    if (auto c = a.addr_ <=> b.addr_; c != 0) return c;
    return a.len_ <=> b.len_;
  }

 private:
  Prefix(const Ip& a, unsigned l) : addr_(a), len_(static_cast<std::uint8_t>(l)) {}
  Ip addr_;
  std::uint8_t len_ = 0;
};

// An address with the length of its link's prefix, host bits kept: "10.0.0.5/24" (Node addresses).
struct InterfaceAddress {
  Ip addr;
  unsigned length = 0;
  [[nodiscard]] static Result<InterfaceAddress> parse(std::string_view text);  // bare: host length
  [[nodiscard]] Prefix subnet() const { return Prefix::containing(addr, length); }
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const InterfaceAddress&, const InterfaceAddress&) = default;
};

struct Mac {
  std::array<std::uint8_t, 6> bytes{};
  [[nodiscard]] static Result<Mac> parse(std::string_view text);  // "aa:bb:cc:dd:ee:ff"
  [[nodiscard]] std::string to_string() const;
  friend auto operator<=>(const Mac&, const Mac&) = default;
};

// A hash of raw bytes with good low bits, for the tables keyed by addresses.
[[nodiscard]] std::size_t hash_bytes(std::span<const std::uint8_t> bytes, std::size_t seed);

}  // namespace margay

// Not noexcept: libstdc++'s tables then keep each element's hash instead of working it out again
// for every element they step over.
template <>
struct std::hash<margay::Ip> {
  std::size_t operator()(const margay::Ip& a) const {
    return margay::hash_bytes(a.bytes(), a.is_v6() ? 6 : 4);
  }
};
template <>
struct std::hash<margay::Prefix> {
  std::size_t operator()(const margay::Prefix& p) const {
    return margay::hash_bytes(p.addr().bytes(), p.length() + 256);
  }
};
