// SPDX-License-Identifier: Apache-2.0
// Netlink messages as bytes: Writer appends messages and attributes to one buffer that is reused,
// next_message and Attrs walk received bytes without ever reading past them (a malformed rest ends
// the walk). Pure. Integers are in host byte order, as netlink has it,
// unless the name says be.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace margay::netlink {

using ByteView = std::span<const std::uint8_t>;

class Writer {
 public:
  void clear() { buffer_.clear(); }
  [[nodiscard]] std::size_t size() const { return buffer_.size(); }
  [[nodiscard]] bool empty() const { return buffer_.empty(); }
  [[nodiscard]] ByteView bytes() const { return buffer_; }

  // A message: begin, then the family's fixed header by put(), attributes, end.
  void begin(std::uint16_t type, std::uint16_t flags, std::uint32_t seq);
  void end();
  [[nodiscard]] std::size_t message_size() const { return buffer_.size() - message_; }
  void put_bytes(ByteView raw);  // padded to four bytes
  template <typename T>
  void put(const T& fixed) {
    static_assert(std::is_trivially_copyable_v<T>);
    std::uint8_t raw[sizeof(T)];
    std::memcpy(raw, &fixed, sizeof(T));
    put_bytes(ByteView(raw, sizeof raw));
  }

  void attr(std::uint16_t type, ByteView value);
  void attr_flag(std::uint16_t type) { attr(type, {}); }
  void attr_u8(std::uint16_t type, std::uint8_t v) { attr(type, ByteView(&v, 1)); }
  template <typename T>
  void attr_value(std::uint16_t type, const T& v) {
    static_assert(std::is_trivially_copyable_v<T>);
    std::uint8_t raw[sizeof(T)];
    std::memcpy(raw, &v, sizeof(T));
    attr(type, ByteView(raw, sizeof raw));
  }
  void attr_u16(std::uint16_t type, std::uint16_t v) { attr_value(type, v); }
  void attr_u32(std::uint16_t type, std::uint32_t v) { attr_value(type, v); }
  void attr_u64(std::uint16_t type, std::uint64_t v) { attr_value(type, v); }
  void attr_be16(std::uint16_t type, std::uint16_t v);
  void attr_be32(std::uint16_t type, std::uint32_t v);
  void attr_be64(std::uint16_t type, std::uint64_t v);
  void attr_string(std::uint16_t type, std::string_view text);  // with the final zero

  // Attributes within an attribute; `flagged` sets NLA_F_NESTED. A nested attribute cannot be
  // longer than 65535 bytes: the caller watches nested_size().
  [[nodiscard]] std::size_t begin_nested(std::uint16_t type, bool flagged = true);
  void end_nested(std::size_t start);
  [[nodiscard]] std::size_t nested_size(std::size_t start) const { return buffer_.size() - start; }

  // Room for a message that another library builds in place: `room` zeroed bytes at the end, and
  // how many of them stay.
  [[nodiscard]] std::uint8_t* reserve(std::size_t room);
  void commit(std::size_t room, std::size_t used);

 private:
  void pad();
  std::vector<std::uint8_t> buffer_;
  std::size_t message_ = 0;
};

struct Attr {
  std::uint16_t type = 0;  // without the NESTED and BYTEORDER flags
  ByteView value;

  template <typename T>
  [[nodiscard]] std::optional<T> as() const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (value.size() < sizeof(T)) return std::nullopt;
    T out;
    std::memcpy(&out, value.data(), sizeof(T));
    return out;
  }
  [[nodiscard]] std::uint8_t u8() const { return as<std::uint8_t>().value_or(0); }
  [[nodiscard]] std::uint16_t u16() const { return as<std::uint16_t>().value_or(0); }
  [[nodiscard]] std::uint32_t u32() const { return as<std::uint32_t>().value_or(0); }
  [[nodiscard]] std::uint64_t u64() const { return as<std::uint64_t>().value_or(0); }
  [[nodiscard]] std::uint32_t be32() const;  // 0 when too short
  [[nodiscard]] std::uint64_t be64() const;
  [[nodiscard]] std::string_view text() const;  // up to the first zero
};

// for (const Attr& a : Attrs(payload)) ...
class Attrs {
 public:
  explicit Attrs(ByteView payload) : rest_(payload) {}
  class Iterator {
   public:
    using value_type = Attr;
    using difference_type = std::ptrdiff_t;
    explicit Iterator(ByteView rest) : rest_(rest) { step(); }
    Iterator() = default;
    const Attr& operator*() const { return now_; }
    const Attr* operator->() const { return &now_; }
    Iterator& operator++() {
      step();
      return *this;
    }
    void operator++(int) { step(); }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.valid_ == b.valid_; }

   private:
    void step();
    ByteView rest_;
    Attr now_;
    bool valid_ = false;
  };
  [[nodiscard]] Iterator begin() const { return Iterator(rest_); }
  [[nodiscard]] Iterator end() const { return {}; }
  [[nodiscard]] std::optional<Attr> find(std::uint16_t type) const;

 private:
  ByteView rest_;
};

struct Message {
  std::uint16_t type = 0;
  std::uint16_t flags = 0;
  std::uint32_t seq = 0;
  std::uint32_t port = 0;
  ByteView payload;  // the family's fixed header and the attributes

  // The family's fixed header, and the attributes behind it.
  template <typename T>
  [[nodiscard]] std::optional<T> header() const {
    return Attr{0, payload}.as<T>();
  }
  template <typename T>
  [[nodiscard]] Attrs attrs() const {
    constexpr std::size_t n = (sizeof(T) + 3) & ~std::size_t{3};
    return Attrs(payload.size() < n ? ByteView{} : payload.subspan(n));
  }
};

// The next message of a received buffer, which it advances; nullopt at the end or at garbage.
[[nodiscard]] std::optional<Message> next_message(ByteView& rest);

// What an NLMSG_ERROR says. error 0 is an acknowledgement.
struct Ack {
  int error = 0;                 // positive errno value
  std::uint32_t seq = 0;         // of the request
  std::string_view text;         // the kernel's words (extended ack), may be empty
  std::uint32_t bad_offset = 0;  // where in the request, from its header on; 0: not said
};
[[nodiscard]] std::optional<Ack> parse_ack(const Message& m);

}  // namespace margay::netlink
