// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "bgp/wire/message.h"

namespace margay::bgp::wire {
namespace {

constexpr std::uint8_t kWellKnown = 0x40, kOptional = 0x80, kOptionalTransitive = 0xc0;
constexpr std::uint8_t kExtended = 0x10;

std::size_t begin(Buffer& out, MessageType type) {
  const std::size_t start = out.size();
  out.insert(out.end(), 16, 0xff);
  put_u16(out, 0);
  put_u8(out, static_cast<unsigned>(type));
  return start;
}
void end(Buffer& out, std::size_t start) { patch_u16(out, start + 16, out.size() - start); }

void put_attribute(Buffer& out, std::uint8_t flags, std::uint8_t type, Bytes value) {
  const bool extended = value.size() > 255;
  put_u8(out, extended ? flags | kExtended : flags);
  put_u8(out, type);
  if (extended) {
    put_u16(out, value.size());
  } else {
    put_u8(out, static_cast<unsigned>(value.size()));
  }
  put_bytes(out, value);
}

void put_attribute_u32(Buffer& out, std::uint8_t flags, std::uint8_t type, std::uint32_t value) {
  Buffer v;
  put_u32(v, value);
  put_attribute(out, flags, type, v);
}

void put_as_path(Buffer& out, const AsPath& path, bool as4) {
  Buffer v;
  bool lossy = false;
  path.for_each_segment([&](AsPath::Segment type, std::span<const std::uint32_t> numbers) {
    put_u8(v, static_cast<unsigned>(type));
    put_u8(v, static_cast<unsigned>(numbers.size()));
    for (const std::uint32_t n : numbers) {
      if (as4) {
        put_u32(v, n);
      } else {
        lossy = lossy || n > 0xffff;
        put_u16(v, n > 0xffff ? kAsTrans.value() : n);
      }
    }
  });
  put_attribute(out, kWellKnown, 2, v);
  if (!lossy) return;
  Buffer v4;
  path.for_each_segment([&](AsPath::Segment type, std::span<const std::uint32_t> numbers) {
    put_u8(v4, static_cast<unsigned>(type));
    put_u8(v4, static_cast<unsigned>(numbers.size()));
    for (const std::uint32_t n : numbers) put_u32(v4, n);
  });
  put_attribute(out, kOptionalTransitive, 17, v4);
}

void put_aggregator(Buffer& out, const Aggregator& a, bool as4) {
  Buffer v;
  if (as4) {
    put_u32(v, a.asn.value());
  } else {
    put_u16(v, a.asn.value() > 0xffff ? kAsTrans.value() : a.asn.value());
  }
  put_u32(v, a.id.value());
  put_attribute(out, kOptionalTransitive, 7, v);
  if (as4 || a.asn.value() <= 0xffff) return;
  Buffer v4;
  put_u32(v4, a.asn.value());
  put_u32(v4, a.id.value());
  put_attribute(out, kOptionalTransitive, 18, v4);
}

template <typename List, typename Put>
void put_list(Buffer& out, std::uint8_t flags, std::uint8_t type, const List& list, Put put) {
  if (list.empty()) return;
  Buffer v;
  for (const auto& item : list) put(v, item);
  put_attribute(out, flags, type, v);
}

// Everything but MP_REACH, in ascending order of type as RFC 4271 5 advises.
void put_attributes(Buffer& out, const Attributes& a, bool with_next_hop, bool as4) {
  const std::uint8_t origin = static_cast<std::uint8_t>(a.origin);
  put_attribute(out, kWellKnown, 1, Bytes(&origin, 1));
  put_as_path(out, a.as_path, as4);
  if (with_next_hop) put_attribute(out, kWellKnown, 3, a.next_hop.bytes());
  if (a.med) put_attribute_u32(out, kOptional, 4, *a.med);
  if (a.local_pref) put_attribute_u32(out, kWellKnown, 5, *a.local_pref);
  if (a.atomic_aggregate) put_attribute(out, kWellKnown, 6, {});
  if (a.aggregator) put_aggregator(out, *a.aggregator, as4);
  put_list(out, kOptionalTransitive, 8, a.communities, put_u32);
  if (a.originator_id) put_attribute_u32(out, kOptional, 9, a.originator_id->value());
  put_list(out, kOptional, 10, a.cluster_list,
           [](Buffer& v, RouterId id) { put_u32(v, id.value()); });
  put_list(out, kOptionalTransitive, 16, a.extended_communities, [](Buffer& v, std::uint64_t c) {
    put_u32(v, static_cast<std::uint32_t>(c >> 32));
    put_u32(v, static_cast<std::uint32_t>(c));
  });
  put_list(out, kOptionalTransitive, 32, a.large_communities,
           [](Buffer& v, const LargeCommunity& c) {
             put_u32(v, c.global);
             put_u32(v, c.local1);
             put_u32(v, c.local2);
           });
  a.unknown.for_each([&](std::uint8_t flags, std::uint8_t type, Bytes value) {
    put_attribute(out, flags, type, value);
  });
}

void put_mp_head(Buffer& out, std::uint8_t type, Family family) {
  put_u8(out, kOptional | kExtended);
  put_u8(out, type);
  put_u16(out, 0);  // patched when the message is closed
  const AfiSafi a = unicast(family);
  put_u16(out, a.afi);
  put_u8(out, a.safi);
}

}  // namespace

void encode_keepalive(Buffer& out) { end(out, begin(out, MessageType::keepalive)); }

void encode_notification(Buffer& out, const Notification& n) {
  const auto start = begin(out, MessageType::notification);
  put_u8(out, n.code);
  put_u8(out, n.subcode);
  put_bytes(out, n.data);
  end(out, start);
}

void encode_route_refresh(Buffer& out, const RouteRefresh& r) {
  const auto start = begin(out, MessageType::route_refresh);
  put_u16(out, r.family.afi);
  put_u8(out, r.subtype);
  put_u8(out, r.family.safi);
  end(out, start);
}

void encode_end_of_rib(Buffer& out, Family family) {
  const auto start = begin(out, MessageType::update);
  put_u16(out, 0);
  if (family == Family::v4) {
    put_u16(out, 0);
  } else {
    put_u16(out, 6);
    put_u8(out, kOptional);
    put_u8(out, 15);
    put_u8(out, 3);
    put_u16(out, 2);
    put_u8(out, 1);
  }
  end(out, start);
}

UpdateWriter::UpdateWriter(Buffer& out, Family family, const EncodeContext& context)
    : out_(out), family_(family), context_(context) {}

std::size_t UpdateWriter::prefix_size(const Prefix& prefix) const {
  return (context_.add_path ? 4U : 0U) + 1 + (prefix.length() + 7) / 8;
}

void UpdateWriter::put_prefix(const Prefix& prefix, std::uint32_t path_id) {
  if (context_.add_path) put_u32(out_, path_id);
  put_u8(out_, prefix.length());
  put_bytes(out_, prefix.addr().bytes().first((prefix.length() + 7) / 8));
}

void UpdateWriter::open_withdraw() {
  finish();
  start_ = begin(out_, MessageType::update);
  if (family_ == Family::v4) {
    length_at_ = out_.size();
    put_u16(out_, 0);
  } else {
    put_u16(out_, 0);
    put_u16(out_, 0);  // total path attribute length
    put_mp_head(out_, 15, family_);
    length_at_ = start_ + kHeaderSize + 2;
  }
  open_ = Open::withdraw;
}

void UpdateWriter::withdraw(const Prefix& prefix, std::uint32_t path_id) {
  // The attribute length that still follows takes two bytes.
  if (open_ != Open::withdraw ||
      out_.size() - start_ + prefix_size(prefix) + 2 > context_.max_size) {
    open_withdraw();
  }
  put_prefix(prefix, path_id);
}

void UpdateWriter::set_attributes(const Attributes& a) {
  finish();
  mp_ = family_ == Family::v6 || a.next_hop.is_v6();
  attributes_.clear();
  next_hop_.clear();
  put_attributes(attributes_, a, !mp_, context_.as4);
  if (!mp_) return;
  put_u8(next_hop_, a.link_local ? 32 : 16);
  put_bytes(next_hop_, a.next_hop.bytes());
  if (a.link_local) put_bytes(next_hop_, a.link_local->bytes());
  put_u8(next_hop_, 0);  // reserved
}

void UpdateWriter::open_announce() {
  finish();
  start_ = begin(out_, MessageType::update);
  put_u16(out_, 0);
  length_at_ = out_.size();
  put_u16(out_, 0);
  if (mp_) {
    put_mp_head(out_, 14, family_);
    put_bytes(out_, next_hop_);
  } else {
    put_bytes(out_, attributes_);
    patch_u16(out_, length_at_, attributes_.size());
  }
  open_ = Open::announce;
}

void UpdateWriter::announce(const Prefix& prefix, std::uint32_t path_id) {
  const std::size_t tail = mp_ ? attributes_.size() : 0;
  const auto fits = [&] {
    return out_.size() - start_ + prefix_size(prefix) + tail <= context_.max_size;
  };
  if (open_ != Open::announce || !fits()) {
    open_announce();
    if (!fits()) {
      out_.resize(start_);
      open_ = Open::none;
      ++oversized_;
      return;
    }
  }
  put_prefix(prefix, path_id);
}

void UpdateWriter::finish() {
  const bool mp = open_ == Open::announce ? mp_ : family_ == Family::v6;
  switch (open_) {
    case Open::none:
      return;
    case Open::withdraw:
      if (!mp) {
        patch_u16(out_, length_at_, out_.size() - length_at_ - 2);
        put_u16(out_, 0);
      }
      break;
    case Open::announce:
      break;
  }
  if (mp) {
    const std::size_t value_at = length_at_ + 6;  // flags, type and length of MP_(UN)REACH
    patch_u16(out_, length_at_ + 4, out_.size() - value_at);
    if (open_ == Open::announce) put_bytes(out_, attributes_);
    patch_u16(out_, length_at_, out_.size() - length_at_ - 2);
  }
  end(out_, start_);
  ++messages_;
  open_ = Open::none;
}

}  // namespace margay::bgp::wire
