// SPDX-License-Identifier: Apache-2.0
// Random UPDATE messages mean the same to our decoder and to ExaBGP's, told in the same words; of
// malformed ones they think the same, but where the table says why not.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>

#include "bgp/wire/message.h"
#include "tests/support/temp_dir.h"

namespace margay::bgp::wire {
namespace {

constexpr int kMessages = 2000;

std::string hex(Bytes bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t b : bytes) {
    out += kDigits[b >> 4];
    out += kDigits[b & 15];
  }
  return out;
}

// What is odd about a message.
enum class Oddity { flags, longer, shorter, twice, missing, value, prefix };

class Maker {
 public:
  explicit Maker(unsigned seed) : random_(seed) {}

  Buffer message(bool path_ids) {
    const Family f = chance() ? Family::v4 : Family::v6;
    Buffer out;
    EncodeContext context;
    context.add_path = path_ids;
    UpdateWriter writer(out, f, context);
    if (number() % 4 == 0) {
      for (unsigned i = number() % 20 + 1; i > 0; --i) writer.withdraw(prefix(f), number());
    } else {
      writer.set_attributes(attributes(f));
      for (unsigned i = number() % 20 + 1; i > 0; --i) writer.announce(prefix(f), number());
    }
    writer.finish();
    return out;
  }
  // An announcement of which one thing is wrong, or at least odd.
  struct Odd {
    Oddity oddity;
    std::uint8_t type;  // of the attribute in question
    Buffer message;
  };
  Odd odd_message();
  bool chance() { return number() % 2 == 0; }

 private:
  std::uint32_t number() { return static_cast<std::uint32_t>(random_()); }
  Prefix prefix(Family f) {
    const Ip base = f == Family::v4 ? Ip::v4(number()) : Ip::parse("2001:db8::")->plus(number());
    return Prefix::containing(base, number() % (max_prefix_length(f) + 1));
  }
  // One sequence and after it one set: ExaBGP tells all sequences before all sets.
  AsPath path() {
    AsPath out;
    for (const auto type : {AsPath::Segment::sequence, AsPath::Segment::set}) {
      std::vector<std::uint32_t> numbers;
      for (unsigned i = number() % 6; i > 0; --i) numbers.push_back(number() | 1);
      out.append(type, numbers);
    }
    return out;
  }
  Attributes attributes(Family f) {
    Attributes a;
    a.origin = static_cast<Origin>(number() % 3);
    a.next_hop = f == Family::v4 ? Ip::v4(number() | 1) : Ip::parse("fd00::")->plus(number());
    a.as_path = path();
    if (chance()) a.med = number();
    if (chance()) a.local_pref = number();
    a.atomic_aggregate = chance();
    if (chance()) a.aggregator = Aggregator{Asn(number() | 1), RouterId(number())};
    if (chance()) a.originator_id = RouterId(number());
    for (unsigned i = number() % 9; i > 0; --i) a.add(Community(number()));
    for (unsigned i = number() % 4; i > 0; --i) a.add(LargeCommunity{number(), number(), 3});
    for (unsigned i = number() % 4; i > 0; --i) {
      // Route targets of two-byte AS numbers; ExaBGP has a class for each kind.
      a.extended_communities.push_back(std::uint64_t{0x0002} << 48 | number());
    }
    for (unsigned i = number() % 4; i > 0; --i) a.cluster_list.emplace_back(number());
    return a;
  }
  std::mt19937 random_;
};

struct Attribute {
  std::uint8_t flags = 0, type = 0;
  Buffer value;
};

std::vector<Attribute> split(Bytes attributes) {
  std::vector<Attribute> out;
  for (Reader r(attributes); !r.empty();) {
    Attribute& a = out.emplace_back();
    a.flags = r.u8();
    a.type = r.u8();
    const Bytes value = r.take((a.flags & 0x10) != 0 ? r.u16() : r.u8());
    a.value.assign(value.begin(), value.end());
  }
  return out;
}

Buffer join(const std::vector<Attribute>& attributes) {
  Buffer out;
  for (const auto& a : attributes) {
    put_u8(out, a.flags | 0x10U);
    put_u8(out, a.type);
    put_u16(out, a.value.size());
    put_bytes(out, a.value);
  }
  return out;
}

Maker::Odd Maker::odd_message() {
  const Family f = chance() ? Family::v4 : Family::v6;
  Buffer sound;
  UpdateWriter writer(sound, f, {});
  writer.set_attributes(attributes(f));
  for (unsigned i = number() % 3 + 1; i > 0; --i) writer.announce(prefix(f));
  writer.finish();
  Reader r(next_frame(sound).body);
  r.take(r.u16());
  auto list = split(r.take(r.u16()));
  Buffer nlri(r.rest().begin(), r.rest().end());
  Attribute& one = list[number() % list.size()];
  const auto at = [&](Buffer& b) {
    return b.begin() + static_cast<std::ptrdiff_t>(number() % b.size());
  };
  const auto oddity = static_cast<Oddity>(number() % 7);
  const std::uint8_t type = one.type;
  switch (oddity) {
    case Oddity::flags:
      one.flags ^= static_cast<std::uint8_t>(0x20U << number() % 3);
      break;
    case Oddity::longer:
      one.value.push_back(static_cast<std::uint8_t>(number()));
      break;
    case Oddity::shorter:
      if (!one.value.empty()) one.value.pop_back();
      break;
    case Oddity::twice:
      list.push_back(Attribute(one));
      break;
    case Oddity::missing:
      list.erase(list.begin() + (&one - list.data()));
      break;
    case Oddity::value:
      if (!one.value.empty()) *at(one.value) = static_cast<std::uint8_t>(number());
      break;
    case Oddity::prefix:
      if (!nlri.empty()) *at(nlri) = static_cast<std::uint8_t>(number());
      break;
  }
  const Buffer all = join(list);
  Buffer out(16, 0xff);
  put_u16(out, kHeaderSize + 4 + all.size() + nlri.size());
  put_u8(out, static_cast<unsigned>(MessageType::update));
  put_u16(out, 0);
  put_u16(out, all.size());
  put_bytes(out, all);
  put_bytes(out, nlri);
  return {oddity, type, std::move(out)};
}

// --- our decoder's words -----------------------------------------------------------------------

std::string sorted_words(std::vector<std::string> words, const char* between) {
  std::sort(words.begin(), words.end());
  std::string out;
  for (const auto& w : words) out += (out.empty() ? "" : between) + w;
  return out;
}

template <typename List, typename Put>
std::string hexes(const List& list, Put put) {
  std::vector<std::string> words;
  for (const auto& item : list) {
    Buffer bytes;
    put(bytes, item);
    words.push_back(hex(bytes));
  }
  return sorted_words(std::move(words), " ");
}

std::string path_text(const AsPath& path) {
  std::string out = "[ ";
  path.for_each_segment([&](AsPath::Segment type, std::span<const std::uint32_t> numbers) {
    if (type == AsPath::Segment::set) out += "( ";
    for (const auto n : numbers) out += std::to_string(n) + " ";
    if (type == AsPath::Segment::set) out += ") ";
  });
  return out + "]";
}

std::string attributes_text(const Attributes& a) {
  static constexpr const char* kOrigins[] = {"igp", "egp", "incomplete"};
  std::string out = std::string("; origin ") + kOrigins[static_cast<int>(a.origin)];
  if (!a.as_path.empty()) out += "; path " + path_text(a.as_path);
  if (a.med) out += "; med " + std::to_string(*a.med);
  if (a.local_pref) out += "; pref " + std::to_string(*a.local_pref);
  if (a.atomic_aggregate) out += "; atomic ";
  if (a.aggregator) {
    out += "; aggregator " + std::to_string(a.aggregator->asn.value()) + ":" +
           Ip::v4(a.aggregator->id.value()).to_string();
  }
  if (!a.communities.empty()) out += "; communities " + hexes(a.communities, put_u32);
  if (a.originator_id) out += "; originator " + Ip::v4(a.originator_id->value()).to_string();
  if (!a.cluster_list.empty()) {
    out += "; clusters [ ";
    for (const RouterId id : a.cluster_list) out += Ip::v4(id.value()).to_string() + " ";
    out += "]";
  }
  if (!a.extended_communities.empty()) {
    out += "; extended " + hexes(a.extended_communities, [](Buffer& b, std::uint64_t c) {
             put_u32(b, static_cast<std::uint32_t>(c >> 32));
             put_u32(b, static_cast<std::uint32_t>(c));
           });
  }
  if (!a.large_communities.empty()) {
    out += "; large " + hexes(a.large_communities, [](Buffer& b, const LargeCommunity& c) {
             put_u32(b, c.global);
             put_u32(b, c.local1);
             put_u32(b, c.local2);
           });
  }
  return out;
}

Update decoded(Bytes message, bool path_ids) {
  DecodeContext context;
  context.internal = true;
  context.add_path_v4 = context.add_path_v6 = path_ids;
  return decode_update(next_frame(message).body, context);
}

std::string text_of(const Update& u, bool path_ids) {
  switch (u.treatment) {
    case Treatment::none:
    case Treatment::attribute_discard:
      break;
    case Treatment::treat_as_withdraw:
      return "withdraw";
    case Treatment::session_reset:
      return "reset";
  }
  std::vector<std::string> routes;
  const auto name = [&](const NlriEntry& e) {
    return e.prefix.to_string() + (path_ids ? " id " + std::to_string(e.path_id) : "");
  };
  for (const auto* n : {&u.withdrawn, &u.mp_withdrawn}) {
    n->for_each([&](const NlriEntry& e) { routes.push_back("-" + name(e)); });
  }
  const auto announced = [&](const Nlri& n, const Ip& hop) {
    n.for_each(
        [&](const NlriEntry& e) { routes.push_back("+" + name(e) + " via " + hop.to_string()); });
  };
  announced(u.announced, u.attributes.next_hop);
  announced(u.mp_announced, u.mp_next_hop);
  const bool reaches = !u.announced.empty() || !u.mp_announced.empty();
  return sorted_words(std::move(routes), "; ") + (reaches ? attributes_text(u.attributes) : "");
}

unsigned seed() {
  const int given = testing::UnitTest::GetInstance()->random_seed();
  return given == 0 ? 42U : static_cast<unsigned>(given);
}

// What ExaBGP says of each message.
std::vector<std::string> theirs(const std::vector<std::string>& lines) {
  const TempDir folder;
  {
    std::ofstream in(folder / "in");
    for (const auto& line : lines) in << line << '\n';
  }
  const std::string command = "/usr/bin/python3 -B " MARGAY_INTEROP_DIR "/exabgp_decode.py <" +
                              folder / "in" + " >" + folder / "out" + " 2>" + folder / "err";
  EXPECT_EQ(std::system(command.c_str()), 0) << std::ifstream(folder / "err").rdbuf();
  std::vector<std::string> out;
  std::ifstream answers(folder / "out");
  for (std::string line; std::getline(answers, line);) out.push_back(line);
  EXPECT_EQ(out.size(), lines.size());
  out.resize(lines.size());
  return out;
}

TEST(Differential, exabgp_understands_what_we_understand) {
  SCOPED_TRACE("seed " + std::to_string(seed()));
  std::vector<std::string> want, sent;
  Maker maker(seed());
  for (int i = 0; i < kMessages; ++i) {
    const bool path_ids = maker.chance();
    const Buffer message = maker.message(path_ids);
    sent.push_back((path_ids ? "+" : "") + hex(message));
    const Update u = decoded(message, path_ids);
    EXPECT_EQ(u.treatment, Treatment::none);
    want.push_back(text_of(u, path_ids));
  }
  const auto have = theirs(sent);
  for (std::size_t i = 0; i < want.size(); ++i) ASSERT_EQ(want[i], have[i]) << sent[i];
}

// Where the two differ, and why: the sections are RFC 7606's. That ExaBGP is stricter is listed
// too.
struct Difference {
  Oddity oddity;
  std::vector<int> types;  // none: any
  const char* ours;
  const char* theirs;
  const char* why;
};
const Difference kDifferences[] = {
    {Oddity::flags, {1, 2, 3, 5}, "kept", "withdraw", "3c names two bits, it looks at a third"},
    {Oddity::flags, {6}, "kept", "kept", "for the same reason it leaves ATOMIC_AGGREGATE out"},
    {Oddity::flags, {6, 7, 8, 9, 10, 14, 16}, "withdraw", "kept", "3c: to it that is not there"},
    {Oddity::longer, {1, 3, 4, 5, 9, 10}, "withdraw", "error", "7.1 to 7.10: it trips over it"},
    {Oddity::shorter, {3, 4, 5, 9, 10}, "withdraw", "error", "7.3 to 7.10: it trips over it"},
    {Oddity::longer, {8, 16}, "withdraw", "reset", "7.8, 7.14: it does as RFC 4271 said"},
    {Oddity::shorter, {8, 16}, "withdraw", "reset", "7.8, 7.14: it does as RFC 4271 said"},
    {Oddity::longer, {7}, "kept", "kept", "7.7: it keeps what it can read of AGGREGATOR"},
    {Oddity::shorter, {7}, "kept", "kept", "7.7: it keeps what it can read of AGGREGATOR"},
    {Oddity::twice, {14}, "reset", "error", "3g: it trips over its own words for that"},
    {Oddity::missing, {1, 2, 3}, "withdraw", "kept", "3d: it misses nothing"},
    {Oddity::value, {1}, "withdraw", "kept", "7.1: it takes any value"},
    {Oddity::value, {14}, "kept", "reset", "RFC 4760 3, 6: the reserved byte, another family"},
    {Oddity::value, {14}, "reset", "error", "5.3: it trips over the length of a prefix"},
    {Oddity::prefix, {}, "reset", "error", "5.3: it trips over the length of a prefix"},
};

std::string kind_of(const std::string& verdict) {
  for (const char* kind : {"withdraw", "reset", "error"}) {
    if (verdict.starts_with(kind)) return kind;
  }
  return "kept";
}

bool is_listed(const Maker::Odd& odd, const std::string& ours, const std::string& theirs) {
  return std::any_of(std::begin(kDifferences), std::end(kDifferences), [&](const Difference& d) {
    const bool of_type =
        d.types.empty() || std::find(d.types.begin(), d.types.end(), odd.type) != d.types.end();
    return d.oddity == odd.oddity && of_type && ours == d.ours && theirs == d.theirs;
  });
}

TEST(Differential, of_what_is_malformed_exabgp_thinks_as_we_do) {
  SCOPED_TRACE("seed " + std::to_string(seed()));
  std::vector<std::string> want, sent;
  std::vector<Maker::Odd> odd;
  Maker maker(seed());
  for (int i = 0; i < kMessages; ++i) {
    odd.push_back(maker.odd_message());
    sent.push_back(hex(odd.back().message));
    want.push_back(text_of(decoded(odd.back().message, false), false));
  }
  const auto have = theirs(sent);
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (want[i] == have[i] || is_listed(odd[i], kind_of(want[i]), kind_of(have[i]))) continue;
    ADD_FAILURE() << "oddity " << static_cast<int>(odd[i].oddity) << " of type "
                  << static_cast<int>(odd[i].type) << "\nours:   " << want[i]
                  << "\ntheirs: " << have[i] << "\n"
                  << sent[i];
  }
}

}  // namespace
}  // namespace margay::bgp::wire
