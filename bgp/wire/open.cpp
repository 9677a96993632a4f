// SPDX-License-Identifier: Apache-2.0
// OPEN: RFC 4271 4.2, capabilities RFC 5492 and those named below, long parameters RFC 9072.
#include <algorithm>

#include "bgp/wire/message.h"

namespace margay::bgp::wire {
namespace {

constexpr std::uint8_t kCapabilityParameter = 2;
constexpr std::uint8_t kExtendedParameters = 255;  // RFC 9072

enum CapabilityCode : std::uint8_t {
  multiprotocol = 1,      // RFC 4760
  route_refresh = 2,      // RFC 2918
  extended_next_hop = 5,  // RFC 8950
  extended_messages = 6,  // RFC 8654
  graceful_restart = 64,  // RFC 4724, 8538
  as4 = 65,               // RFC 6793
  add_path = 69,          // RFC 7911
  enhanced_refresh = 70,  // RFC 7313
};

Notification bad_open(std::uint8_t sub, Bytes data = {}) {
  return {code::open, sub, {data.begin(), data.end()}};
}

void decode_graceful_restart(Bytes value, Capabilities& out) {
  Reader r(value);
  const std::uint16_t head = r.u16();
  GracefulRestart gr;
  gr.restarting = (head & 0x8000) != 0;
  gr.notification = (head & 0x4000) != 0;
  gr.time = head & 0x0fff;
  while (r.left() >= 4) {
    GracefulRestart::Entry e;
    e.family.afi = r.u16();
    e.family.safi = r.u8();
    e.forwarding = (r.u8() & 0x80) != 0;
    gr.families.push_back(e);
  }
  if (r.ok()) out.graceful_restart = std::move(gr);
}

void decode_add_path(Bytes value, Capabilities& out) {
  Reader r(value);
  while (r.left() >= 4) {
    AddPath a;
    a.family.afi = r.u16();
    a.family.safi = r.u8();
    const std::uint8_t mode = r.u8();
    // RFC 7911 4: any other value makes the tuple void.
    if (mode < 1 || mode > 3) continue;
    a.receive = (mode & 1) != 0;
    a.send = (mode & 2) != 0;
    out.add_path.push_back(a);
  }
}

void decode_extended_next_hop(Bytes value, Capabilities& out) {
  Reader r(value);
  while (r.left() >= 6) {
    ExtendedNextHop e;
    e.family.afi = r.u16();
    const std::uint16_t safi = r.u16();  // two bytes here, unlike anywhere else
    e.next_hop_afi = r.u16();
    if (safi > 0xff) continue;
    e.family.safi = static_cast<std::uint8_t>(safi);
    out.extended_next_hop.push_back(e);
  }
}

// A capability whose length is wrong is ignored, like one that we do not know (RFC 5492 3).
void decode_capability(std::uint8_t kind, Bytes value, Capabilities& out) {
  Reader r(value);
  switch (kind) {
    case multiprotocol:
      if (value.size() == 4) {
        AfiSafi a;
        a.afi = r.u16();
        r.u8();
        a.safi = r.u8();
        const auto& have = out.multiprotocol;
        if (std::find(have.begin(), have.end(), a) == have.end()) out.multiprotocol.push_back(a);
      }
      break;
    case route_refresh:
      out.route_refresh = out.route_refresh || value.empty();
      break;
    case extended_messages:
      out.extended_messages = out.extended_messages || value.empty();
      break;
    case enhanced_refresh:
      out.enhanced_refresh = out.enhanced_refresh || value.empty();
      break;
    case as4:
      if (value.size() == 4) out.as4 = Asn(r.u32());
      break;
    case graceful_restart:
      decode_graceful_restart(value, out);
      break;
    case add_path:
      decode_add_path(value, out);
      break;
    case extended_next_hop:
      decode_extended_next_hop(value, out);
      break;
    default:
      break;
  }
}

bool decode_capabilities(Bytes parameter, Capabilities& out) {
  Reader r(parameter);
  while (!r.empty()) {
    const std::uint8_t kind = r.u8();
    const Bytes value = r.take(r.u8());
    if (!r.ok()) return false;
    decode_capability(kind, value, out);
  }
  return true;
}

std::optional<Notification> decode_parameters(Reader r, bool extended, Capabilities& out) {
  while (!r.empty()) {
    const std::uint8_t type = r.u8();
    const Bytes value = r.take(extended ? r.u16() : r.u8());
    if (!r.ok()) return bad_open(0);
    if (type != kCapabilityParameter) return bad_open(subcode::bad_parameter);
    if (!decode_capabilities(value, out)) return bad_open(0);
  }
  return std::nullopt;
}

std::optional<Notification> check_open(const Open& open) {
  if (open.asn.value() == 0) return bad_open(subcode::bad_peer_as);  // RFC 7607
  if (open.hold_time == 1 || open.hold_time == 2) return bad_open(subcode::hold_time);
  if (open.id.value() == 0) return bad_open(subcode::bad_identifier);  // RFC 6286
  return std::nullopt;
}

void put_capability(Buffer& out, CapabilityCode kind, const Buffer& value) {
  put_u8(out, kind);
  put_u8(out, static_cast<unsigned>(value.size()));
  put_bytes(out, value);
}

Buffer graceful_restart_value(const GracefulRestart& gr) {
  Buffer v;
  put_u16(v, (gr.restarting ? 0x8000U : 0U) | (gr.notification ? 0x4000U : 0U) |
                 std::min<unsigned>(gr.time, 0x0fff));
  for (const auto& f : gr.families) {
    put_u16(v, f.family.afi);
    put_u8(v, f.family.safi);
    put_u8(v, f.forwarding ? 0x80 : 0);
  }
  return v;
}

Buffer capabilities_value(const Capabilities& c) {
  Buffer caps;
  for (const auto& a : c.multiprotocol) {
    Buffer v;
    put_u16(v, a.afi);
    put_u8(v, 0);
    put_u8(v, a.safi);
    put_capability(caps, multiprotocol, v);
  }
  if (c.route_refresh) put_capability(caps, route_refresh, {});
  if (!c.extended_next_hop.empty()) {
    Buffer v;
    for (const auto& e : c.extended_next_hop) {
      put_u16(v, e.family.afi);
      put_u16(v, e.family.safi);
      put_u16(v, e.next_hop_afi);
    }
    put_capability(caps, extended_next_hop, v);
  }
  if (c.extended_messages) put_capability(caps, extended_messages, {});
  if (c.graceful_restart) {
    put_capability(caps, graceful_restart, graceful_restart_value(*c.graceful_restart));
  }
  if (c.as4) {
    Buffer v;
    put_u32(v, c.as4->value());
    put_capability(caps, as4, v);
  }
  if (!c.add_path.empty()) {
    Buffer v;
    for (const auto& a : c.add_path) {
      put_u16(v, a.family.afi);
      put_u8(v, a.family.safi);
      put_u8(v, (a.receive ? 1U : 0U) | (a.send ? 2U : 0U));
    }
    put_capability(caps, add_path, v);
  }
  if (c.enhanced_refresh) put_capability(caps, enhanced_refresh, {});
  return caps;
}

}  // namespace

Decoded<Open> decode_open(Bytes body) {
  Reader r(body);
  Open open;
  open.version = r.u8();
  const std::uint16_t short_as = r.u16();
  open.hold_time = r.u16();
  open.id = RouterId(r.u32());
  std::size_t length = r.u8();
  if (!r.ok()) return bad_open(0);
  if (open.version != 4) {
    const std::uint8_t supported[] = {0, 4};
    return bad_open(subcode::version, supported);
  }
  bool extended = false;
  if (length != 0 && !r.empty() && r.rest()[0] == kExtendedParameters) {
    extended = true;
    r.u8();
    length = r.u16();
  }
  if (!r.ok() || length != r.left()) return bad_open(0);
  if (auto bad = decode_parameters(r, extended, open.capabilities)) return *bad;
  open.asn = open.capabilities.as4.value_or(Asn(short_as));
  if (auto bad = check_open(open)) return *bad;
  return open;
}

void encode_open(Buffer& out, const Open& open) {
  const std::size_t start = out.size();
  out.insert(out.end(), 16, 0xff);
  put_u16(out, 0);
  put_u8(out, static_cast<unsigned>(MessageType::open));
  put_u8(out, open.version);
  put_u16(out, open.asn.value() > 0xffff ? kAsTrans.value() : open.asn.value());
  put_u16(out, open.hold_time);
  put_u32(out, open.id.value());
  const Buffer caps = capabilities_value(open.capabilities);
  if (caps.empty()) {
    put_u8(out, 0);
  } else if (caps.size() + 2 <= 254) {
    put_u8(out, static_cast<unsigned>(caps.size() + 2));
    put_u8(out, kCapabilityParameter);
    put_u8(out, static_cast<unsigned>(caps.size()));
  } else {
    put_u8(out, kExtendedParameters);
    put_u8(out, kExtendedParameters);
    put_u16(out, caps.size() + 3);
    put_u8(out, kCapabilityParameter);
    put_u16(out, caps.size());
  }
  put_bytes(out, caps);
  patch_u16(out, start + 16, out.size() - start);
}

}  // namespace margay::bgp::wire
