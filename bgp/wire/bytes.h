// SPDX-License-Identifier: Apache-2.0
// Reading and writing of big-endian fields. A Reader never reads past its span: a read that does
// not fit gives zero and makes ok() false for good, so that a caller may check once after several
// reads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ip.h"

namespace margay::bgp::wire {

using Bytes = std::span<const std::uint8_t>;

class Reader {
 public:
  explicit Reader(Bytes bytes) : bytes_(bytes) {}
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] std::size_t left() const { return bytes_.size(); }
  [[nodiscard]] Bytes rest() const { return bytes_; }

  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }

  Bytes take(std::size_t n) {
    if (n > bytes_.size()) {
      fail();
      return {};
    }
    const Bytes out = bytes_.first(n);
    bytes_ = bytes_.subspan(n);
    return out;
  }

 private:
  std::uint64_t number(std::size_t n) {
    std::uint64_t v = 0;
    for (const std::uint8_t b : take(n)) v = v << 8 | b;
    return v;
  }
  void fail() {
    ok_ = false;
    bytes_ = {};
  }
  Bytes bytes_;
  bool ok_ = true;
};

using Buffer = std::vector<std::uint8_t>;

inline void put_u8(Buffer& out, unsigned v) { out.push_back(static_cast<std::uint8_t>(v)); }
inline void put_u16(Buffer& out, std::size_t v) {
  out.push_back(static_cast<std::uint8_t>(v >> 8));
  out.push_back(static_cast<std::uint8_t>(v));
}
inline void put_u32(Buffer& out, std::uint32_t v) {
  put_u16(out, v >> 16);
  put_u16(out, v & 0xffff);
}
inline void put_bytes(Buffer& out, Bytes bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}
inline void patch_u16(Buffer& out, std::size_t at, std::size_t v) {
  out[at] = static_cast<std::uint8_t>(v >> 8);
  out[at + 1] = static_cast<std::uint8_t>(v);
}

}  // namespace margay::bgp::wire
