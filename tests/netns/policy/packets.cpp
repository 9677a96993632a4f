// SPDX-License-Identifier: Apache-2.0
#include "tests/netns/policy/packets.h"

#include <algorithm>

namespace margay::test {

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kEthernet = 14;
constexpr std::array<std::uint8_t, 4> kMagic{'M', 'g', 'y', '!'};

void put16(Bytes& b, unsigned v) {
  b.push_back(static_cast<std::uint8_t>(v >> 8));
  b.push_back(static_cast<std::uint8_t>(v & 0xff));
}
void put32(Bytes& b, std::uint32_t v) {
  put16(b, v >> 16);
  put16(b, v & 0xffff);
}
void append(Bytes& b, std::span<const std::uint8_t> more) {
  b.insert(b.end(), more.begin(), more.end());
}

std::uint32_t sum_words(std::uint32_t sum, std::span<const std::uint8_t> b) {
  for (std::size_t i = 0; i < b.size(); i += 2) {
    sum += static_cast<std::uint32_t>(b[i] << 8 | (i + 1 < b.size() ? b[i + 1] : 0));
  }
  return sum;
}
std::uint16_t fold(std::uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}
void patch16(Bytes& b, std::size_t at, std::uint16_t v) {
  b[at] = static_cast<std::uint8_t>(v >> 8);
  b[at + 1] = static_cast<std::uint8_t>(v & 0xff);
}

Bytes transport(const Packet& p, std::uint64_t tag) {
  Bytes b;
  switch (p.protocol) {
    case kTcp: {
      put16(b, p.sport);
      put16(b, p.dport);
      put32(b, 1000);
      put32(b, p.ack ? 1001 : 0);
      const unsigned flags = p.out_of_the_blue ? 0x3f : p.ack ? 0x12 : 0x02;
      put16(b, 0x5000 | flags);
      put16(b, 65535);
      put32(b, 0);  // checksum, urgent pointer
      break;
    }
    case kUdp:
      put16(b, p.sport);
      put16(b, p.dport);
      put16(b, 8 + 12);
      put16(b, 0);
      break;
    case kSctp:  // an INIT chunk; its checksum is not looked at (see Lab)
      put16(b, p.sport);
      put16(b, p.dport);
      put32(b, 0);
      put32(b, 0);
      put32(b, 0x01000020);
      put32(b, 0x12345678);
      put32(b, 65535);
      put32(b, 0x00010001);
      put32(b, 1);
      break;
    case kIcmp:
    case kIcmpv6:
      b.push_back(p.type);
      b.push_back(p.code);
      put16(b, 0);
      put32(b, 0x00010001U + static_cast<std::uint32_t>(tag << 16));
      break;
    default:
      put32(b, 0xabcd0000);
      put32(b, 1);
  }
  append(b, kMagic);
  put32(b, static_cast<std::uint32_t>(tag >> 32));
  put32(b, static_cast<std::uint32_t>(tag));
  return b;
}

void checksum(Bytes& b, const Packet& p, const Ip& source, const Ip& destination) {
  std::size_t at = 0;
  bool pseudo = true;
  switch (p.protocol) {
    case kTcp:
      at = 16;
      break;
    case kUdp:
      at = 6;
      break;
    case kIcmp:
      at = 2;
      pseudo = false;
      break;
    case kIcmpv6:
      at = 2;
      break;
    default:
      return;
  }
  std::uint32_t sum = 0;
  if (pseudo) {
    sum = sum_words(sum, source.bytes());
    sum = sum_words(sum, destination.bytes());
    sum += p.protocol + static_cast<std::uint32_t>(b.size());
  }
  patch16(b, at, fold(sum_words(sum, b)));
}

Bytes ip_header(const Packet& p, const Ip& source, const Ip& destination, std::size_t payload) {
  Bytes b;
  if (source.is_v4()) {
    put16(b, 0x4500);
    put16(b, static_cast<unsigned>(20 + payload));
    put32(b, 0x00004000);
    b.push_back(64);
    b.push_back(p.protocol);
    put16(b, 0);
    append(b, source.bytes());
    append(b, destination.bytes());
    patch16(b, 10, fold(sum_words(0, b)));
  } else {
    put32(b, 0x60000000);
    put16(b, static_cast<unsigned>(payload));
    b.push_back(p.protocol);
    b.push_back(255);
    append(b, source.bytes());
    append(b, destination.bytes());
  }
  return b;
}

struct View {
  bool v6 = false;
  std::uint8_t protocol = 0;
  std::size_t payload = 0;
};

std::optional<View> view(const Bytes& b) {
  if (b.size() < kEthernet + 20) return std::nullopt;
  const unsigned type = static_cast<unsigned>(b[12] << 8 | b[13]);
  if (type == 0x0800) {
    return View{false, b[kEthernet + 9], kEthernet + (b[kEthernet] & 15U) * 4U};
  }
  if (type == 0x86dd && b.size() >= kEthernet + 40) {
    return View{true, b[kEthernet + 6], kEthernet + 40};
  }
  return std::nullopt;
}

}  // namespace

Bytes frame(const Packet& p, const Ip& source, const Ip& destination, const Mac& from,
            const Mac& to, std::uint64_t tag) {
  Bytes body = transport(p, tag);
  checksum(body, p, source, destination);
  Bytes out(to.bytes.begin(), to.bytes.end());
  append(out, from.bytes);
  put16(out, source.is_v4() ? 0x0800 : 0x86dd);
  append(out, ip_header(p, source, destination, body.size()));
  append(out, body);
  return out;
}

std::optional<std::uint64_t> tag_of(const Bytes& b) {
  const auto at = std::search(b.begin(), b.end(), kMagic.begin(), kMagic.end());
  if (b.end() - at < 12) return std::nullopt;
  std::uint64_t tag = 0;
  for (auto it = at + 4; it != at + 12; ++it) tag = tag << 8 | *it;
  return tag;
}

bool is_refusal(const Bytes& b) {
  const auto v = view(b);
  if (!v || b.size() < v->payload + 14) return false;
  if (!v->v6 && v->protocol == kIcmp) return b[v->payload] == 3;
  if (v->v6 && v->protocol == kIcmpv6) return b[v->payload] == 1;
  return v->protocol == kTcp && (b[v->payload + 13] & 0x04) != 0;
}

std::optional<Ip> source_of(const Bytes& b) {
  const auto v = view(b);
  if (!v) return std::nullopt;
  const std::size_t at = kEthernet + (v->v6 ? 8 : 12);
  return Ip::from_bytes(std::span(b).subspan(at, v->v6 ? 16 : 4));
}

}  // namespace margay::test
