// SPDX-License-Identifier: Apache-2.0
// UPDATE (RFC 4271 4.3, 4760, 2545, 6793) with the treatment of errors of RFC 7606: the sections
// named below are its own unless another RFC stands before them.
#include <algorithm>
#include <bitset>

#include "bgp/wire/message.h"

namespace margay::bgp::wire {
namespace {

constexpr std::uint8_t kOptional = 0x80, kTransitive = 0x40, kPartial = 0x20, kExtended = 0x10;

enum Type : std::uint8_t {
  origin = 1,
  as_path = 2,
  next_hop = 3,
  med = 4,
  local_pref = 5,
  atomic_aggregate = 6,
  aggregator = 7,
  communities = 8,
  originator_id = 9,
  cluster_list = 10,
  mp_reach = 14,
  mp_unreach = 15,
  extended_communities = 16,
  as4_path = 17,
  as4_aggregator = 18,
  large_communities = 32,
};

// Optional and transitive bits that a known type must have; nullopt: unknown type.
std::optional<std::uint8_t> wanted_flags(std::uint8_t type) {
  switch (type) {
    case origin:
    case as_path:
    case next_hop:
    case local_pref:
    case atomic_aggregate:
      return kTransitive;
    case med:
    case originator_id:
    case cluster_list:
    case mp_reach:
    case mp_unreach:
      return kOptional;
    case aggregator:
    case communities:
    case extended_communities:
    case as4_path:
    case as4_aggregator:
    case large_communities:
      return kOptional | kTransitive;
    default:
      return std::nullopt;
  }
}

bool nlri_is_sound(Family family, bool add_path, Bytes bytes) {
  Reader r(bytes);
  while (!r.empty()) {
    if (add_path) r.u32();
    const unsigned length = r.u8();
    if (length > max_prefix_length(family)) return false;
    r.take((length + 7) / 8);
    if (!r.ok()) return false;
  }
  return true;
}

// False: a segment of unknown type, of length zero, or beyond the end (7.2).
bool decode_as_path(Bytes value, bool as4, AsPath& out) {
  Reader r(value);
  std::array<std::uint32_t, 255> numbers{};
  AsPath::Words words;
  words.reserve(value.size() / 2 + 1);
  while (!r.empty()) {
    const std::uint8_t type = r.u8();
    const std::size_t n = r.u8();
    if (n == 0 || (type != 1 && type != 2)) return false;
    for (std::size_t i = 0; i < n; ++i) {
      numbers[i] = as4 ? r.u32() : r.u16();
      if (numbers[i] == 0) return false;  // RFC 7607 2
    }
    if (!r.ok()) return false;
    AsPath::append_to(words, static_cast<AsPath::Segment>(type), std::span(numbers).first(n));
  }
  if (r.ok()) out = AsPath(words);
  return r.ok();
}

// All items at once: a list grows by copying itself.
template <typename List, typename Read>
void read_list(Bytes value, List& out, Read read) {
  std::vector<typename List::value_type> items;
  items.reserve(value.size() / sizeof(typename List::value_type));
  for (Reader r(value); !r.empty();) items.push_back(read(r));
  out.clear();
  out.insert(out.end(), items.begin(), items.end());
}

class UpdateDecoder {
 public:
  explicit UpdateDecoder(const DecodeContext& context) : context_(context) {}

  Update run(Bytes body) {
    Reader r(body);
    const Bytes withdrawn = r.take(r.u16());
    const Bytes attributes = r.take(r.u16());
    if (!r.ok()) {
      reset(subcode::malformed_list);
      return std::move(u_);
    }
    u_.withdrawn = checked(Family::v4, withdrawn, subcode::invalid_network);
    u_.announced = checked(Family::v4, r.rest(), subcode::invalid_network);
    decode_attributes(attributes);
    if (u_.treatment == Treatment::session_reset) return std::move(u_);
    merge_as4();
    check_mandatory();
    check_reachability();
    if (body.size() == 4) u_.end_of_rib = Family::v4;
    return std::move(u_);
  }

 private:
  void raise(Treatment t, std::uint8_t type) {
    if (t > u_.treatment) u_.error_attribute = type;
    u_.treatment = std::max(u_.treatment, t);
  }
  void withdraw(std::uint8_t type) { raise(Treatment::treat_as_withdraw, type); }
  void discard(std::uint8_t type) { raise(Treatment::attribute_discard, type); }
  void reset(std::uint8_t sub) {
    u_.treatment = Treatment::session_reset;
    u_.notification = {code::update, sub, {}};
  }

  [[nodiscard]] bool add_path(Family f) const {
    return f == Family::v4 ? context_.add_path_v4 : context_.add_path_v6;
  }

  // 5.3: prefixes that cannot be told apart leave nothing to withdraw.
  Nlri checked(Family family, Bytes bytes, std::uint8_t sub) {
    if (nlri_is_sound(family, add_path(family), bytes)) return {family, add_path(family), bytes};
    reset(sub);
    return {};
  }

  void decode_attributes(Bytes bytes) {
    Reader r(bytes);
    while (!r.empty() && u_.treatment != Treatment::session_reset) {
      const std::uint8_t flags = r.u8();
      const std::uint8_t type = r.u8();
      const Bytes value = r.take((flags & kExtended) != 0 ? r.u16() : r.u8());
      if (!r.ok()) {  // 4: what stands before still counts
        withdraw(type);
        return;
      }
      if (seen_[type]) {
        // 3 g: once more is a slip, but the fields of reachability cannot be told apart.
        if (type == mp_reach || type == mp_unreach) {
          reset(subcode::malformed_list);
        } else {
          discard(type);
        }
        continue;
      }
      seen_.set(type);
      decode_attribute(flags, type, value);
    }
  }

  void decode_attribute(std::uint8_t flags, std::uint8_t type, Bytes value) {
    const auto want = wanted_flags(type);
    if (!want) {
      keep_unknown(flags, type, value);
      return;
    }
    if ((flags & (kOptional | kTransitive)) != *want) {
      withdraw(type);  // 3 c; what is to be withdrawn may stand in these two
      if (type != mp_reach && type != mp_unreach) return;
    }
    switch (type) {
      case origin:
      case as_path:
      case next_hop:
      case med:
      case local_pref:
        decode_basic(type, value);
        break;
      case atomic_aggregate:
      case aggregator:
      case as4_path:
      case as4_aggregator:
        decode_aggregation(type, value);
        break;
      case mp_reach:
        decode_mp_reach(value);
        break;
      case mp_unreach:
        decode_mp_unreach(value);
        break;
      default:
        decode_lists(type, value);
        break;
    }
  }

  void decode_basic(std::uint8_t type, Bytes value) {
    Reader r(value);
    Attributes& a = u_.attributes;
    switch (type) {
      case origin:  // 7.1
        if (value.size() != 1 || value[0] > 2) return withdraw(type);
        a.origin = static_cast<Origin>(value[0]);
        break;
      case as_path:  // 7.2
        if (!decode_as_path(value, context_.as4, a.as_path)) withdraw(type);
        break;
      case next_hop:  // 7.3
        if (value.size() != 4) return withdraw(type);
        a.next_hop = Ip::from_bytes(value);
        break;
      case med:  // 7.4
        if (value.size() != 4) return withdraw(type);
        a.med = r.u32();
        break;
      case local_pref:  // 7.5
        if (!context_.internal) return discard(type);
        if (value.size() != 4) return withdraw(type);
        a.local_pref = r.u32();
        break;
      default:
        break;
    }
  }

  void decode_aggregation(std::uint8_t type, Bytes value) {
    Reader r(value);
    Attributes& a = u_.attributes;
    switch (type) {
      case atomic_aggregate:  // 7.6
        if (!value.empty()) return discard(type);
        a.atomic_aggregate = true;
        break;
      case aggregator: {  // 7.7
        if (value.size() != (context_.as4 ? 8U : 6U)) return discard(type);
        const Asn asn(context_.as4 ? r.u32() : r.u16());
        if (asn.value() == 0) return discard(type);  // RFC 7607 2
        a.aggregator = Aggregator{asn, RouterId(r.u32())};
        break;
      }
      case as4_path:  // RFC 6793 6: from a speaker of four bytes, or malformed: as if not there
        if (context_.as4) break;
        as4_path_.emplace();
        if (!decode_as_path(value, true, *as4_path_)) {
          as4_path_.reset();
          discard(type);
        }
        break;
      case as4_aggregator:
        if (context_.as4) break;
        if (value.size() != 8) return discard(type);
        as4_aggregator_ = Aggregator{Asn(r.u32()), RouterId(0)};
        as4_aggregator_->id = RouterId(r.u32());
        if (as4_aggregator_->asn.value() == 0) {
          as4_aggregator_.reset();
          discard(type);
        }
        break;
      default:
        break;
    }
  }

  void decode_lists(std::uint8_t type, Bytes value) {
    Reader r(value);
    Attributes& a = u_.attributes;
    const auto whole = [&](std::size_t unit) { return !value.empty() && value.size() % unit == 0; };
    switch (type) {
      case communities:  // 7.8
        if (!whole(4)) return withdraw(type);
        read_list(value, a.communities, [](Reader& l) { return l.u32(); });
        break;
      case originator_id:  // 7.9
        if (!context_.internal) return discard(type);
        if (value.size() != 4) return withdraw(type);
        a.originator_id = RouterId(r.u32());
        break;
      case cluster_list:  // 7.10
        if (!context_.internal) return discard(type);
        if (!whole(4)) return withdraw(type);
        read_list(value, a.cluster_list, [](Reader& l) { return RouterId(l.u32()); });
        break;
      case extended_communities:  // 7.14
        if (!whole(8)) return withdraw(type);
        read_list(value, a.extended_communities, [](Reader& l) { return l.u64(); });
        break;
      case large_communities:  // RFC 8092 5
        if (!whole(12)) return withdraw(type);
        read_list(value, a.large_communities, [](Reader& l) {
          LargeCommunity c;
          c.global = l.u32();
          c.local1 = l.u32();
          c.local2 = l.u32();
          return c;
        });
        break;
      default:
        break;
    }
  }

  void keep_unknown(std::uint8_t flags, std::uint8_t type, Bytes value) {
    // RFC 4271 6.3 would end the session for a well-known type that is unknown; withdrawing the
    // routes is enough, as for any other attribute that cannot be understood.
    if ((flags & kOptional) == 0) return withdraw(type);
    if ((flags & kTransitive) == 0) return;  // RFC 4271 5: quietly ignored
    u_.attributes.unknown.add(kOptional | kTransitive | kPartial, type, value);
  }

  void decode_mp_reach(Bytes value) {
    Reader r(value);
    AfiSafi a;
    a.afi = r.u16();
    a.safi = r.u8();
    const Bytes hop = r.take(r.u8());
    r.u8();  // reserved
    if (!r.ok()) return reset(9);
    const auto family = unicast_family(a);
    if (!family) return;  // not agreed on: RFC 4760 6 lets us ignore it
    // 7.11. An IPv4 prefix may have an IPv6 next hop (RFC 8950).
    const bool fits =
        hop.size() == 16 || hop.size() == 32 || (*family == Family::v4 && hop.size() == 4);
    if (!fits) return reset(9);
    u_.has_mp_reach = true;
    u_.mp_next_hop = Ip::from_bytes(hop.first(hop.size() == 4 ? 4 : 16));
    if (hop.size() == 32) u_.mp_link_local = Ip::from_bytes(hop.subspan(16));
    u_.mp_announced = checked(*family, r.rest(), 9);
  }

  void decode_mp_unreach(Bytes value) {
    Reader r(value);
    AfiSafi a;
    a.afi = r.u16();
    a.safi = r.u8();
    if (!r.ok()) return reset(9);
    const auto family = unicast_family(a);
    if (!family) return;
    u_.mp_withdrawn = checked(*family, r.rest(), 9);
    if (r.empty() && seen_.count() == 1 && u_.announced.empty() && u_.withdrawn.empty()) {
      u_.end_of_rib = *family;  // RFC 4724 2
    }
  }

  // RFC 6793 4.2.3.
  void merge_as4() {
    Attributes& a = u_.attributes;
    if (a.aggregator && as4_aggregator_) {
      if (a.aggregator->asn != kAsTrans) return;
      a.aggregator = as4_aggregator_;
    }
    if (!as4_path_) return;
    const unsigned have = a.as_path.length();
    const unsigned want = as4_path_->length();
    if (have < want) return;
    AsPath::Words merged;
    unsigned keep = have - want;
    a.as_path.for_each_segment([&](AsPath::Segment type, std::span<const std::uint32_t> numbers) {
      if (keep == 0) return;
      if (type == AsPath::Segment::set) {
        AsPath::append_to(merged, type, numbers);
        --keep;
      } else {
        const auto n = std::min<std::size_t>(keep, numbers.size());
        AsPath::append_to(merged, type, numbers.first(n));
        keep -= static_cast<unsigned>(n);
      }
    });
    as4_path_->for_each_segment([&](AsPath::Segment type, std::span<const std::uint32_t> numbers) {
      AsPath::append_to(merged, type, numbers);
    });
    a.as_path = AsPath(merged);
  }

  void check_mandatory() {  // 3 d
    const bool announces = !u_.announced.empty() || !u_.mp_announced.empty();
    if (!announces) return;
    if (!seen_[origin]) withdraw(origin);
    if (!seen_[as_path]) withdraw(as_path);
    if (!u_.announced.empty() && !seen_[next_hop]) withdraw(next_hop);
  }

  // 5.2: with attributes but no reachable prefix nobody knows what an error would withdraw; but for
  // one of MP_UNREACH, where that is all there is.
  void check_reachability() {
    const bool reaches = !u_.announced.empty() || seen_[mp_reach];
    const bool only_unreach =
        seen_[mp_unreach] && seen_.count() == 1 && u_.error_attribute == mp_unreach;
    if (u_.treatment == Treatment::treat_as_withdraw && !reaches && !only_unreach) {
      reset(subcode::malformed_list);
    }
  }

  DecodeContext context_;
  Update u_;
  std::bitset<256> seen_;
  std::optional<AsPath> as4_path_;
  std::optional<Aggregator> as4_aggregator_;
};

}  // namespace

NlriEntry Nlri::next(Bytes& left) const {
  NlriEntry e;
  Reader r(left);
  if (add_path_) e.path_id = r.u32();
  const unsigned length = r.u8();
  const Bytes bytes = r.take((length + 7) / 8);
  std::array<std::uint8_t, 16> address{};
  std::copy(bytes.begin(), bytes.end(), address.begin());
  const auto whole = Bytes(address).first(address_size(family_));
  e.prefix = Prefix::containing(Ip::from_bytes(whole), length);
  left = r.rest();
  return e;
}

Update decode_update(Bytes body, const DecodeContext& context) {
  return UpdateDecoder(context).run(body);
}

}  // namespace margay::bgp::wire
