// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/attributes.h"

#include <algorithm>
#include <charconv>

namespace margay::bgp {
namespace {

constexpr std::size_t kMaxSegment = 255;

std::optional<std::uint32_t> parse_number(std::string_view text, std::uint32_t max) {
  std::uint32_t v = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (ec != std::errc{} || end != text.data() + text.size() || v > max) return std::nullopt;
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  return v;
}

class Hasher {
 public:
  void add(std::uint64_t v) {
    h_ = (h_ ^ v) * 0x9e3779b97f4a7c15ULL;
    h_ ^= h_ >> 29;
  }
  void add(std::span<const std::uint8_t> bytes) { add(hash_bytes(bytes, bytes.size())); }
  void add(const Ip& ip) { add(std::hash<Ip>{}(ip)); }
  [[nodiscard]] std::size_t value() const { return h_; }

 private:
  std::uint64_t h_ = 0x8445d61a4e774912ULL;
};

}  // namespace

Result<Community> parse_community(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const auto colon = std::min(text.find(':', at), text.size());
    parts.push_back(text.substr(at, colon - at));
    at = colon + 1;
  }
  const std::uint32_t max = parts.size() == 2 ? 0xffff : 0xffffffff;
  std::vector<std::uint32_t> n;
  for (const auto part : parts) {
    const auto v = parse_number(part, max);
    if (v) n.push_back(*v);
  }
  if (n.size() == parts.size() && n.size() == 2) return Community(n[0] << 16 | n[1]);
  if (n.size() == parts.size() && n.size() == 3) return Community(LargeCommunity{n[0], n[1], n[2]});
  return make_error(Code::invalid, "'" + std::string(text) +
                                       "' is not a community (aa:nn of 16 bits each, or aa:nn:mm "
                                       "of 32 bits each)");
}

std::string to_string(const Community& community) {
  if (const auto* c = std::get_if<std::uint32_t>(&community)) {
    return std::to_string(*c >> 16) + ":" + std::to_string(*c & 0xffff);
  }
  const auto& l = std::get<LargeCommunity>(community);
  return std::to_string(l.global) + ":" + std::to_string(l.local1) + ":" + std::to_string(l.local2);
}

void AsPath::append_to(Words& words, Segment type, std::span<const std::uint32_t> numbers) {
  MARGAY_ASSERT(numbers.size() <= kMaxSegment);
  if (numbers.empty()) return;
  words.push_back(static_cast<std::uint32_t>(type) << 16 |
                  static_cast<std::uint32_t>(numbers.size()));
  words.insert(words.end(), numbers.begin(), numbers.end());
}

void AsPath::append(Segment type, std::span<const std::uint32_t> numbers) {
  Words words(words_.begin(), words_.end());
  append_to(words, type, numbers);
  *this = AsPath(words);
}

void AsPath::prepend(std::span<const Asn> numbers) {
  if (numbers.empty()) return;
  std::vector<std::uint32_t> head;
  for (const Asn asn : numbers) head.push_back(asn.value());
  if (!words_.empty() && static_cast<Segment>(words_[0] >> 16) == Segment::sequence &&
      (words_[0] & 0xffff) + head.size() <= kMaxSegment) {
    words_[0] += static_cast<std::uint32_t>(head.size());
    words_.insert(words_.begin() + 1, head.begin(), head.end());
    return;
  }
  AsPath out;
  out.append(Segment::sequence, head);
  words_.insert(words_.begin(), out.words_.begin(), out.words_.end());
}

unsigned AsPath::length() const {
  unsigned n = 0;
  for_each_segment([&](Segment type, std::span<const std::uint32_t> numbers) {
    n += type == Segment::set ? 1 : static_cast<unsigned>(numbers.size());
  });
  return n;
}

unsigned AsPath::count(Asn asn) const {
  unsigned n = 0;
  for_each_segment([&](Segment, std::span<const std::uint32_t> numbers) {
    n += static_cast<unsigned>(std::count(numbers.begin(), numbers.end(), asn.value()));
  });
  return n;
}

std::optional<Asn> AsPath::neighbour() const {
  if (words_.empty() || static_cast<Segment>(words_[0] >> 16) != Segment::sequence) return {};
  return Asn(words_[1]);
}

bool AsPath::begins_with(std::span<const Asn> numbers) const {
  std::size_t matched = 0;
  bool same = true;
  for_each_segment([&](Segment type, std::span<const std::uint32_t> segment) {
    for (const std::uint32_t n : segment) {
      if (!same || matched == numbers.size()) return;
      same = type == Segment::sequence && n == numbers[matched].value();
      if (same) ++matched;
    }
  });
  return matched == numbers.size();
}

std::string AsPath::to_string() const {
  std::string out;
  for_each_segment([&](Segment type, std::span<const std::uint32_t> numbers) {
    if (!out.empty()) out += ' ';
    if (type == Segment::set) out += '{';
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      if (i != 0) out += ' ';
      out += std::to_string(numbers[i]);
    }
    if (type == Segment::set) out += '}';
  });
  return out;
}

void UnknownAttributes::add(std::uint8_t flags, std::uint8_t type,
                            std::span<const std::uint8_t> value) {
  MARGAY_ASSERT(value.size() <= 0xffff);
  std::vector<std::uint8_t> one = {flags, type, static_cast<std::uint8_t>(value.size() >> 8),
                                   static_cast<std::uint8_t>(value.size())};
  one.insert(one.end(), value.begin(), value.end());
  bytes_.insert(bytes_.end(), one.begin(), one.end());
}

std::size_t Attributes::hash() const {
  Hasher h;
  h.add(static_cast<std::uint64_t>(origin) | std::uint64_t{atomic_aggregate} << 8 |
        std::uint64_t{med.has_value()} << 9 | std::uint64_t{local_pref.has_value()} << 10);
  h.add(next_hop);
  if (link_local) h.add(*link_local);
  h.add(std::uint64_t{med.value_or(0)} << 32 | local_pref.value_or(0));
  if (originator_id) h.add(originator_id->value());
  if (aggregator) h.add(std::uint64_t{aggregator->asn.value()} << 32 | aggregator->id.value());
  for (const auto w : as_path.words()) h.add(w);
  for (const auto c : communities) h.add(c);
  for (const auto c : extended_communities) h.add(c);
  for (const auto& c : large_communities) {
    h.add(std::uint64_t{c.global} << 32 | c.local1);
    h.add(c.local2);
  }
  for (const auto c : cluster_list) h.add(c.value());
  h.add(unknown.bytes());
  return h.value();
}

bool Attributes::has(const Community& community) const {
  if (const auto* c = std::get_if<std::uint32_t>(&community)) {
    return std::find(communities.begin(), communities.end(), *c) != communities.end();
  }
  const auto& l = std::get<LargeCommunity>(community);
  return std::find(large_communities.begin(), large_communities.end(), l) !=
         large_communities.end();
}

void Attributes::add(const Community& community) {
  if (has(community)) return;
  if (const auto* c = std::get_if<std::uint32_t>(&community)) {
    communities.push_back(*c);
  } else {
    large_communities.push_back(std::get<LargeCommunity>(community));
  }
}

}  // namespace margay::bgp
