// SPDX-License-Identifier: Apache-2.0
// Path attributes as a value: what a set of prefixes shares. Equality is structural, hash() fits
// it, so that the tables intern them. AS numbers are always four bytes here. Unknown optional
// transitive attributes are kept for passing on.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ip.h"
#include "base/types.h"
#include "bgp/wire/short_list.h"

namespace margay::bgp {

enum class Origin : std::uint8_t { igp, egp, incomplete };

struct LargeCommunity {
  std::uint32_t global = 0, local1 = 0, local2 = 0;
  friend auto operator<=>(const LargeCommunity&, const LargeCommunity&) = default;
};
// "aa:nn" (16 bits each, as one word) or "aa:nn:mm" (32 bits each).
using Community = std::variant<std::uint32_t, LargeCommunity>;
[[nodiscard]] Result<Community> parse_community(std::string_view text);
[[nodiscard]] std::string to_string(const Community& community);

// RFC 1997, 8326, 9494.
inline constexpr std::uint32_t kGracefulShutdown = 0xffff0000;
inline constexpr std::uint32_t kNoExport = 0xffffff01;
inline constexpr std::uint32_t kNoAdvertise = 0xffffff02;
inline constexpr std::uint32_t kNoExportSubconfed = 0xffffff03;
inline constexpr std::uint32_t kLlgrStale = 0xffff0006;

class AsPath {
 public:
  enum class Segment : std::uint8_t { set = 1, sequence = 2 };
  // One allocation: for each segment a word (type << 16 | count), then its AS numbers.
  using Words = std::vector<std::uint32_t>;
  AsPath() = default;
  explicit AsPath(const Words& words) { words_.insert(words_.end(), words.begin(), words.end()); }
  static void append_to(Words& words, Segment type, std::span<const std::uint32_t> numbers);
  [[nodiscard]] std::span<const std::uint32_t> words() const { return words_; }
  [[nodiscard]] bool empty() const { return words_.empty(); }

  void append(Segment type, std::span<const std::uint32_t> numbers);  // at most 255 numbers
  void prepend(std::span<const Asn> numbers);
  [[nodiscard]] unsigned length() const;  // RFC 4271 9.1.2.2 a: a set counts as one
  [[nodiscard]] unsigned count(Asn asn) const;
  [[nodiscard]] std::optional<Asn> neighbour() const;  // the first, if it is in a sequence
  [[nodiscard]] bool begins_with(std::span<const Asn> numbers) const;
  [[nodiscard]] std::string to_string() const;  // "64513 65000 {65001 65002}"

  template <typename F>  // f(type, span of AS numbers)
  void for_each_segment(F&& f) const {
    for (std::size_t i = 0; i < words_.size();) {
      const std::size_t n = words_[i] & 0xffff;
      f(static_cast<Segment>(words_[i] >> 16), words().subspan(i + 1, n));
      i += n + 1;
    }
  }
  friend bool operator==(const AsPath&, const AsPath&) = default;

 private:
  ShortList<std::uint32_t> words_;
};

struct Aggregator {
  Asn asn;
  RouterId id;
  friend bool operator==(const Aggregator&, const Aggregator&) = default;
};

// Attributes that are not understood: their flags and types (one byte each) and values.
class UnknownAttributes {
 public:
  void add(std::uint8_t flags, std::uint8_t type, std::span<const std::uint8_t> value);
  [[nodiscard]] std::span<const std::uint8_t> bytes() const { return bytes_; }
  template <typename F>  // f(flags, type, value)
  void for_each(F&& f) const {
    for (auto left = bytes(); !left.empty();) {
      const std::size_t n = std::size_t{left[2]} << 8 | left[3];
      f(left[0], left[1], left.subspan(kHead, n));
      left = left.subspan(kHead + n);
    }
  }
  friend bool operator==(const UnknownAttributes&, const UnknownAttributes&) = default;

 private:
  static constexpr std::size_t kHead = 4;  // flags, type, length
  ShortList<std::uint8_t> bytes_;
};

struct Attributes {
  Origin origin = Origin::igp;
  bool atomic_aggregate = false;
  Ip next_hop;                   // is_any(): none
  std::optional<Ip> link_local;  // the second address of an IPv6 next hop (RFC 2545)
  std::optional<std::uint32_t> med;
  std::optional<std::uint32_t> local_pref;
  std::optional<RouterId> originator_id;
  std::optional<Aggregator> aggregator;
  AsPath as_path;
  ShortList<std::uint32_t> communities;
  ShortList<std::uint64_t> extended_communities;
  ShortList<LargeCommunity> large_communities;
  ShortList<RouterId> cluster_list;
  UnknownAttributes unknown;
  friend bool operator==(const Attributes&, const Attributes&) = default;

  [[nodiscard]] std::size_t hash() const;
  [[nodiscard]] bool has(const Community& community) const;
  void add(const Community& community);  // once
};

}  // namespace margay::bgp
