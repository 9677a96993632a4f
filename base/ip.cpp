// SPDX-License-Identifier: Apache-2.0
#include "base/ip.h"

#include <arpa/inet.h>
#include <endian.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace margay {
namespace {

struct AddressAndLength {
  Ip addr;
  unsigned length;
};

Result<AddressAndLength> parse_with_length(std::string_view text) {
  const auto slash = text.find('/');
  MARGAY_TRY(const Ip addr, Ip::parse(text.substr(0, slash)));
  const unsigned max = max_prefix_length(addr.family());
  if (slash == std::string_view::npos) return AddressAndLength{addr, max};
  const std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  const bool leading_zero = digits.size() > 1 && digits.front() == '0';
  if (ec != std::errc{} || end != digits.data() + digits.size() || leading_zero || length > max) {
    return make_error(Code::invalid, "'" + std::string(text) + "': prefix length must be 0 to " +
                                         std::to_string(max));
  }
  return AddressAndLength{addr, length};
}

}  // namespace

Ip Ip::v4(std::uint32_t host_order) {
  Ip ip;
  for (unsigned i = 0; i < 4; ++i) ip.b_[i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return ip;
}
Ip Ip::v4(const std::array<std::uint8_t, 4>& bytes) { return from_bytes(bytes); }
Ip Ip::v6(const std::array<std::uint8_t, 16>& bytes) { return from_bytes(bytes); }

Ip Ip::from_bytes(std::span<const std::uint8_t> bytes) {
  MARGAY_ASSERT(bytes.size() == 4 || bytes.size() == 16);
  Ip ip;
  ip.v6_ = bytes.size() == 16;
  std::copy(bytes.begin(), bytes.end(), ip.b_.begin());
  return ip;
}

Ip Ip::any(Family f) {
  Ip ip;
  ip.v6_ = f == Family::v6;
  return ip;
}

Result<Ip> Ip::parse(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> buf{};
  if (text.size() < buf.size()) {
    std::copy(text.begin(), text.end(), buf.begin());
    Ip ip;
    ip.v6_ = text.find(':') != std::string_view::npos;
    if (inet_pton(ip.v6_ ? AF_INET6 : AF_INET, buf.data(), ip.b_.data()) == 1) return ip;
  }
  return make_error(Code::invalid, "'" + std::string(text) + "' is not an IP address");
}

std::uint32_t Ip::v4_host_order() const {
  return (std::uint32_t{b_[0]} << 24) | (std::uint32_t{b_[1]} << 16) | (std::uint32_t{b_[2]} << 8) |
         b_[3];
}

bool Ip::is_any() const {
  return std::all_of(b_.begin(), b_.end(), [](std::uint8_t b) { return b == 0; });
}
bool Ip::is_loopback() const {
  if (!v6_) return b_[0] == 127;
  return b_[15] == 1 &&
         std::all_of(b_.begin(), b_.end() - 1, [](std::uint8_t b) { return b == 0; });
}
bool Ip::is_link_local() const {
  return v6_ ? b_[0] == 0xfe && (b_[1] & 0xc0) == 0x80 : b_[0] == 169 && b_[1] == 254;
}
bool Ip::is_multicast() const { return v6_ ? b_[0] == 0xff : (b_[0] & 0xf0) == 0xe0; }

Ip Ip::masked(unsigned length) const {
  Ip out = *this;
  for (unsigned i = 0; i < out.b_.size(); i += sizeof(std::uint64_t)) {
    const unsigned keep = length <= 8 * i ? 0 : std::min(64U, length - 8 * i);
    std::uint64_t word = 0;
    std::memcpy(&word, &out.b_[i], sizeof word);
    word &= htobe64(keep == 0 ? 0 : ~std::uint64_t{0} << (64 - keep));
    std::memcpy(&out.b_[i], &word, sizeof word);
  }
  return out;
}

Ip Ip::plus(std::uint64_t n) const {
  Ip out = *this;
  for (std::size_t i = bytes().size(); i-- > 0 && n != 0;) {
    n += out.b_[i];
    out.b_[i] = static_cast<std::uint8_t>(n);
    n >>= 8;
  }
  return out;
}

std::string Ip::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> buf{};
  inet_ntop(v6_ ? AF_INET6 : AF_INET, b_.data(), buf.data(), buf.size());
  return buf.data();
}

std::strong_ordering operator<=>(const Ip& a, const Ip& b) {
  if (a.v6_ != b.v6_) return a.v6_ <=> b.v6_;
  return std::memcmp(a.b_.data(), b.b_.data(), a.b_.size()) <=> 0;
}

Result<Prefix> Prefix::make(const Ip& addr, unsigned length) {
  if (length > max_prefix_length(addr.family())) {
    return make_error(Code::invalid, "prefix length " + std::to_string(length) + " is too long");
  }
  if (addr.masked(length) != addr) {
    return make_error(Code::invalid, "'" + addr.to_string() + "/" + std::to_string(length) +
                                         "' has host bits set; the prefix is " +
                                         containing(addr, length).to_string());
  }
  return Prefix(addr, length);
}

Prefix Prefix::containing(const Ip& addr, unsigned length) {
  length = std::min(length, max_prefix_length(addr.family()));
  return Prefix(addr.masked(length), length);
}

Result<Prefix> Prefix::parse(std::string_view text) {
  MARGAY_TRY(const auto p, parse_with_length(text));
  return make(p.addr, p.length);
}

Result<Prefix> Prefix::parse_containing(std::string_view text) {
  MARGAY_TRY(const auto p, parse_with_length(text));
  return containing(p.addr, p.length);
}

bool Prefix::contains(const Ip& a) const {
  return a.family() == family() && a.masked(len_) == addr_;
}
bool Prefix::contains(const Prefix& p) const { return p.len_ >= len_ && contains(p.addr_); }
std::string Prefix::to_string() const { return addr_.to_string() + "/" + std::to_string(len_); }

Result<InterfaceAddress> InterfaceAddress::parse(std::string_view text) {
  MARGAY_TRY(const auto p, parse_with_length(text));
  return InterfaceAddress{p.addr, p.length};
}
std::string InterfaceAddress::to_string() const {
  return addr.to_string() + "/" + std::to_string(length);
}

Result<Mac> Mac::parse(std::string_view text) {
  const auto bad = [&] {
    return make_error(Code::invalid, "'" + std::string(text) + "' is not a MAC address");
  };
  if (text.size() != 17) return bad();
  Mac mac;
  for (std::size_t i = 0; i < 6; ++i) {
    const char* p = text.data() + 3 * i;
    if (i < 5 && p[2] != ':') return bad();
    const auto [end, ec] = std::from_chars(p, p + 2, mac.bytes[i], 16);
    if (ec != std::errc{} || end != p + 2) return bad();
  }
  return mac;
}

std::string Mac::to_string() const {
  std::array<char, 18> buf{};
  std::snprintf(buf.data(), buf.size(), "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1],
                bytes[2], bytes[3], bytes[4], bytes[5]);
  return buf.data();
}

std::size_t hash_bytes(std::span<const std::uint8_t> bytes, std::size_t seed) {
  std::uint64_t h = seed * 0x9e3779b97f4a7c15ULL;
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    word = 0;
    std::memcpy(&word, bytes.data() + i, std::min<std::size_t>(8, bytes.size() - i));
    h = (h ^ word) * 0xff51afd7ed558ccdULL;
    h ^= h >> 32;
  }
  return h;
}

}  // namespace margay
