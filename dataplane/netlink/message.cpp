// SPDX-License-Identifier: Apache-2.0
#include "dataplane/netlink/message.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netlink.h>

#include <algorithm>
#include <array>

#include "base/result.h"

namespace margay::netlink {

namespace {
constexpr std::size_t kHeader = sizeof(nlmsghdr);
constexpr std::uint16_t kTypeMask = 0x3fff;  // NLA_TYPE_MASK, which is a negative int
constexpr std::size_t aligned(std::size_t n) { return (n + 3) & ~std::size_t{3}; }
}  // namespace

void Writer::pad() { buffer_.resize(aligned(buffer_.size())); }

void Writer::put_bytes(ByteView raw) {
  buffer_.insert(buffer_.end(), raw.begin(), raw.end());
  pad();
}

void Writer::begin(std::uint16_t type, std::uint16_t flags, std::uint32_t seq) {
  message_ = buffer_.size();
  nlmsghdr h{};
  h.nlmsg_type = type;
  h.nlmsg_flags = flags;
  h.nlmsg_seq = seq;
  put(h);
}

void Writer::end() {
  const auto length = static_cast<std::uint32_t>(message_size());
  std::memcpy(buffer_.data() + message_, &length, sizeof length);
}

void Writer::attr(std::uint16_t type, ByteView value) {
  nlattr a{};
  a.nla_type = type;
  a.nla_len = static_cast<std::uint16_t>(sizeof a + value.size());
  put(a);
  put_bytes(value);
}

void Writer::attr_be16(std::uint16_t type, std::uint16_t v) { attr_value(type, htons(v)); }
void Writer::attr_be32(std::uint16_t type, std::uint32_t v) { attr_value(type, htonl(v)); }
void Writer::attr_be64(std::uint16_t type, std::uint64_t v) { attr_value(type, htobe64(v)); }

void Writer::attr_string(std::uint16_t type, std::string_view text) {
  nlattr a{};
  a.nla_type = type;
  a.nla_len = static_cast<std::uint16_t>(sizeof a + text.size() + 1);
  put(a);
  buffer_.insert(buffer_.end(), text.begin(), text.end());
  buffer_.push_back(0);
  pad();
}

std::size_t Writer::begin_nested(std::uint16_t type, bool flagged) {
  const std::size_t start = buffer_.size();
  nlattr a{};
  a.nla_type = static_cast<std::uint16_t>(flagged ? type | NLA_F_NESTED : type);
  put(a);
  return start;
}

void Writer::end_nested(std::size_t start) {
  const std::size_t length = buffer_.size() - start;
  MARGAY_ASSERT(length <= 0xffff);
  const auto length16 = static_cast<std::uint16_t>(length);
  std::memcpy(buffer_.data() + start, &length16, sizeof length16);
}

std::uint8_t* Writer::reserve(std::size_t room) {
  message_ = buffer_.size();
  buffer_.resize(buffer_.size() + room);
  return buffer_.data() + message_;
}

void Writer::commit(std::size_t room, std::size_t used) {
  MARGAY_ASSERT(used <= room);
  buffer_.resize(buffer_.size() - room + used);
  pad();
}

std::uint32_t Attr::be32() const {
  const auto v = as<std::uint32_t>();
  return v ? ntohl(*v) : 0;
}

std::uint64_t Attr::be64() const {
  const auto v = as<std::uint64_t>();
  return v ? be64toh(*v) : 0;
}

std::string_view Attr::text() const {
  const auto end = std::find(value.begin(), value.end(), std::uint8_t{0});
  const auto n = static_cast<std::size_t>(end - value.begin());
  const void* data = value.data();
  return {static_cast<const char*>(data), n};
}

void Attrs::Iterator::step() {
  valid_ = false;
  nlattr a{};
  if (rest_.size() < sizeof a) return;
  std::memcpy(&a, rest_.data(), sizeof a);
  if (a.nla_len < sizeof a || a.nla_len > rest_.size()) return;
  now_.type = a.nla_type & kTypeMask;
  now_.value = rest_.subspan(sizeof a, a.nla_len - sizeof a);
  rest_ = rest_.subspan(std::min(aligned(a.nla_len), rest_.size()));
  valid_ = true;
}

std::optional<Attr> Attrs::find(std::uint16_t type) const {
  for (const Attr& a : *this) {
    if (a.type == type) return a;
  }
  return std::nullopt;
}

std::optional<Message> next_message(ByteView& rest) {
  nlmsghdr h{};
  if (rest.size() < kHeader) return std::nullopt;
  std::memcpy(&h, rest.data(), sizeof h);
  if (h.nlmsg_len < kHeader || h.nlmsg_len > rest.size()) return std::nullopt;
  Message m{h.nlmsg_type, h.nlmsg_flags, h.nlmsg_seq, h.nlmsg_pid,
            rest.subspan(kHeader, h.nlmsg_len - kHeader)};
  rest = rest.subspan(std::min(aligned(h.nlmsg_len), rest.size()));
  return m;
}

std::optional<Ack> parse_ack(const Message& m) {
  const auto e = m.header<nlmsgerr>();
  if (m.type != NLMSG_ERROR || !e) return std::nullopt;
  Ack ack;
  ack.error = e->error > 0 ? e->error : -e->error;
  ack.seq = m.seq;
  if ((m.flags & NLM_F_ACK_TLVS) == 0) return ack;
  // Behind the error number stands the request's header, and with it its payload unless capped.
  std::size_t skip = sizeof(nlmsgerr);
  if ((m.flags & NLM_F_CAPPED) == 0 && ack.error != 0) {
    skip += aligned(e->msg.nlmsg_len) - std::min<std::size_t>(kHeader, e->msg.nlmsg_len);
  }
  if (skip > m.payload.size()) return ack;
  for (const Attr& a : Attrs(m.payload.subspan(skip))) {
    if (a.type == NLMSGERR_ATTR_MSG) ack.text = a.text();
    if (a.type == NLMSGERR_ATTR_OFFS) ack.bad_offset = a.u32();
  }
  return ack;
}

}  // namespace margay::netlink
