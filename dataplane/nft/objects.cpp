// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/objects.h"

#include <algorithm>
#include <cstring>

namespace margay::nft {

namespace {

constexpr std::size_t kInterfaceNameSize = 16;  // IFNAMSIZ

template <typename T>
Packed native(T v) {
  std::array<std::uint8_t, sizeof v> raw{};
  std::memcpy(raw.data(), &v, sizeof v);
  return Packed::of(raw);
}

}  // namespace

Packed Packed::of(std::span<const std::uint8_t> bytes) {
  MARGAY_ASSERT(bytes.size() <= kCapacity);
  Packed p;
  std::copy(bytes.begin(), bytes.end(), p.b_.begin());
  p.size_ = static_cast<std::uint8_t>(bytes.size());
  return p;
}

Packed Packed::u8(std::uint8_t v) { return native(v); }

Packed Packed::be16(std::uint16_t v) {
  return of(std::array{static_cast<std::uint8_t>(v >> 8), static_cast<std::uint8_t>(v & 0xff)});
}

Packed Packed::be32(std::uint32_t v) {
  Packed p = be16(static_cast<std::uint16_t>(v >> 16));
  const Packed low = be16(static_cast<std::uint16_t>(v & 0xffff));
  std::copy(low.b_.begin(), low.b_.begin() + 2, p.b_.begin() + 2);
  p.size_ = 4;
  return p;
}

Packed Packed::host32(std::uint32_t v) { return native(v); }

Packed Packed::ip(const Ip& a) { return of(a.bytes()); }

Packed Packed::interface_name(std::string_view name) {
  Packed p = interface_prefix(name.substr(0, kInterfaceNameSize - 1));
  p.size_ = kInterfaceNameSize;
  return p;
}

Packed Packed::interface_prefix(std::string_view prefix) {
  Packed p;
  const std::size_t n = std::min(prefix.size(), kInterfaceNameSize - 1);
  std::copy_n(prefix.begin(), n, p.b_.begin());
  p.size_ = static_cast<std::uint8_t>(n);
  return p;
}

Packed& Packed::then(const Packed& field) {
  const std::size_t start = (size_ + 3U) & ~std::size_t{3};
  const std::size_t end = start + ((field.size_ + 3U) & ~std::size_t{3});
  MARGAY_ASSERT(end <= kCapacity);
  std::copy_n(field.b_.begin(), field.size_, b_.begin() + static_cast<std::ptrdiff_t>(start));
  size_ = static_cast<std::uint8_t>(end);
  return *this;
}

bool operator==(const Packed& a, const Packed& b) {
  return a.size_ == b.size_ && std::memcmp(a.b_.data(), b.b_.data(), a.size_) == 0;
}

std::strong_ordering operator<=>(const Packed& a, const Packed& b) {
  const int c = std::memcmp(a.b_.data(), b.b_.data(), std::min(a.size_, b.size_));
  if (c != 0) return c <=> 0;
  return a.size_ <=> b.size_;
}

std::size_t size_of(Datatype t) {
  switch (t) {
    case Datatype::verdict:
      return 0;
    case Datatype::inet_proto:
    case Datatype::icmp_type:
    case Datatype::icmpv6_type:
      return 1;
    case Datatype::inet_service:
      return 2;
    case Datatype::integer:
    case Datatype::ipv4_addr:
    case Datatype::mark:
      return 4;
    case Datatype::ipv6_addr:
    case Datatype::ifname:
      return 16;
  }
  return 0;
}

std::size_t SetType::key_size() const {
  if (key.size() == 1) return size_of(key[0]);
  std::size_t n = 0;
  for (const Datatype t : key) n += (size_of(t) + 3) & ~std::size_t{3};
  return n;
}

std::size_t SetType::value_size() const { return value ? size_of(*value) : 0; }

Element Element::prefix(const Prefix& p) {
  std::array<std::uint8_t, 16> last{};
  const auto first = p.addr().bytes();
  for (std::size_t i = 0; i < first.size(); ++i) {
    const std::size_t bits = std::min<std::size_t>(8, p.length() > 8 * i ? p.length() - 8 * i : 0);
    last[i] = static_cast<std::uint8_t>(first[i] | (0xffU >> bits));
  }
  return range(Packed::ip(p.addr()), Packed::of(std::span(last).first(first.size())));
}

}  // namespace margay::nft
