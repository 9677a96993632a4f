// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/message.h"

#include <algorithm>

namespace margay::bgp::wire {
namespace {

struct Text {
  std::uint8_t code, subcode;
  const char* text;
};
// The words BIRD prints, which operators search for.
constexpr Text kTexts[] = {
    {1, 0, "Invalid message header"},
    {1, 1, "Connection not synchronized"},
    {1, 2, "Bad message length"},
    {1, 3, "Bad message type"},
    {2, 0, "Invalid OPEN message"},
    {2, 1, "Unsupported version number"},
    {2, 2, "Bad peer AS"},
    {2, 3, "Bad BGP identifier"},
    {2, 4, "Unsupported optional parameter"},
    {2, 5, "Authentication failure"},
    {2, 6, "Unacceptable hold time"},
    {2, 7, "Required capability missing"},
    {3, 0, "Invalid UPDATE message"},
    {3, 1, "Malformed attribute list"},
    {3, 2, "Unrecognized well-known attribute"},
    {3, 3, "Missing mandatory attribute"},
    {3, 4, "Invalid attribute flags"},
    {3, 5, "Invalid attribute length"},
    {3, 6, "Invalid ORIGIN attribute"},
    {3, 7, "AS routing loop"},
    {3, 8, "Invalid NEXT_HOP attribute"},
    {3, 9, "Optional attribute error"},
    {3, 10, "Invalid network field"},
    {3, 11, "Malformed AS_PATH"},
    {4, 0, "Hold timer expired"},
    {5, 0, "Finite state machine error"},
    {5, 1, "Unexpected message in OpenSent state"},
    {5, 2, "Unexpected message in OpenConfirm state"},
    {5, 3, "Unexpected message in Established state"},
    {6, 0, "Cease"},
    {6, 1, "Maximum number of prefixes reached"},
    {6, 2, "Administrative shutdown"},
    {6, 3, "Peer de-configured"},
    {6, 4, "Administrative reset"},
    {6, 5, "Connection rejected"},
    {6, 6, "Other configuration change"},
    {6, 7, "Connection collision resolution"},
    {6, 8, "Out of Resources"},
    {6, 9, "Hard reset"},
    {7, 0, "Invalid ROUTE-REFRESH message"},
    {7, 1, "Invalid ROUTE-REFRESH message length"},
};

// What a Hard Reset wraps; no further one, whatever the peer sent.
Notification inside(const Notification& n) {
  Notification in{n.data[0], n.data[1], {n.data.begin() + 2, n.data.end()}};
  if (is_hard_reset(in)) in.data.clear();
  return in;
}

Notification bad_header(std::uint8_t sub, Bytes data) {
  return {code::header, sub, {data.begin(), data.end()}};
}

// RFC 4271 6.1: the least and most that each type may have, header included.
bool length_fits(MessageType type, std::size_t n) {
  switch (type) {
    case MessageType::open:
      return n >= 29;
    case MessageType::update:
      return n >= 23;
    case MessageType::notification:
      return n >= 21;
    case MessageType::keepalive:
      return n == kHeaderSize;
    case MessageType::route_refresh:
      return n >= 23;
  }
  return false;
}

}  // namespace

std::string describe(const Notification& n) {
  if (is_hard_reset(n) && n.data.size() >= 2) return "Hard reset: " + describe(inside(n));
  for (const auto& t : kTexts) {
    if (t.code == n.code && t.subcode == n.subcode) return t.text;
  }
  return "Unknown error " + std::to_string(n.code) + "." + std::to_string(n.subcode);
}

std::string shutdown_message(const Notification& n) {
  if (is_hard_reset(n)) return n.data.size() >= 2 ? shutdown_message(inside(n)) : "";
  const bool carries =
      n.code == code::cease && (n.subcode == subcode::shutdown || n.subcode == subcode::reset);
  if (!carries || n.data.empty() || n.data.size() < n.data[0] + std::size_t{1}) return {};
  std::string out(n.data.begin() + 1, n.data.begin() + 1 + n.data[0]);
  // It is shown to people: no control characters, whatever the peer sent.
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return c < 32 || c == 127; }, ' ');
  return out;
}

Notification shutdown_notification(std::string_view message) {
  constexpr std::size_t kMost = 255;  // RFC 9003 2
  message = message.substr(0, kMost);
  Notification n{code::cease, subcode::shutdown, {}};
  if (message.empty()) return n;
  n.data.resize(1 + message.size());
  n.data[0] = static_cast<std::uint8_t>(message.size());
  std::copy(message.begin(), message.end(), n.data.begin() + 1);
  return n;
}

Notification hard_reset(const Notification& n) {
  Notification out{code::cease, subcode::hard_reset, {}};
  out.data.resize(2 + n.data.size());
  out.data[0] = n.code;
  out.data[1] = n.subcode;
  std::copy(n.data.begin(), n.data.end(), out.data.begin() + 2);
  return out;
}

bool is_hard_reset(const Notification& n) {
  return n.code == code::cease && n.subcode == subcode::hard_reset;
}

Notification too_many_prefixes(Family family, std::uint32_t limit) {
  Notification n{code::cease, subcode::max_prefixes, {}};
  put_u16(n.data, unicast(family).afi);
  put_u8(n.data, unicast(family).safi);
  put_u32(n.data, limit);
  return n;
}

std::optional<Family> unicast_family(AfiSafi a) {
  if (a.safi != 1) return std::nullopt;
  if (a.afi == 1) return Family::v4;
  if (a.afi == 2) return Family::v6;
  return std::nullopt;
}

AfiSafi unicast(Family f) { return {static_cast<std::uint16_t>(f == Family::v4 ? 1 : 2), 1}; }

Frame next_frame(Bytes stream, std::size_t max_size) {
  Frame f;
  const auto marker = stream.first(std::min<std::size_t>(stream.size(), 16));
  if (std::any_of(marker.begin(), marker.end(), [](std::uint8_t b) { return b != 0xff; })) {
    f.status = Frame::Status::bad;
    f.notification = bad_header(subcode::not_synchronized, {});
    return f;
  }
  if (stream.size() < kHeaderSize) return f;
  const auto length = stream.subspan(16, 2);
  const std::size_t size = std::size_t{length[0]} << 8 | length[1];
  const std::uint8_t type = stream[18];
  const bool known = type >= 1 && type <= 5;
  // RFC 8654: OPEN and KEEPALIVE keep the old limit.
  const std::size_t limit = type == 1 || type == 4 ? kMaxMessage : max_size;
  if (size < kHeaderSize || size > limit ||
      (known && !length_fits(static_cast<MessageType>(type), size))) {
    f.status = Frame::Status::bad;
    f.notification = bad_header(subcode::bad_length, length);
    return f;
  }
  if (!known) {
    f.status = Frame::Status::bad;
    f.notification = bad_header(subcode::bad_type, stream.subspan(18, 1));
    return f;
  }
  if (stream.size() < size) return f;
  f.status = Frame::Status::complete;
  f.type = static_cast<MessageType>(type);
  f.body = stream.subspan(kHeaderSize, size - kHeaderSize);
  f.size = size;
  return f;
}

Decoded<RouteRefresh> decode_route_refresh(Bytes body) {
  if (body.size() != 4) return Notification{code::refresh, subcode::refresh_length, {}};
  Reader r(body);
  RouteRefresh out;
  out.family.afi = r.u16();
  out.subtype = r.u8();
  out.family.safi = r.u8();
  return out;
}

Notification decode_notification(Bytes body) {
  Reader r(body);
  Notification n;
  n.code = r.u8();
  n.subcode = r.u8();
  n.data.assign(r.rest().begin(), r.rest().end());
  return n;
}

}  // namespace margay::bgp::wire
