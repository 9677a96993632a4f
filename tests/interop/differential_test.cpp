// SPDX-License-Identifier: Apache-2.0
// Random UPDATE messages mean the same to our decoder and to ExaBGP's, told in the same words.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>

#include "bgp/wire/message.h"
#include "tests/support/temp_dir.h"

namespace margay::bgp::wire {
namespace {

constexpr int kMessages = 3000;

std::string hex(Bytes bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t b : bytes) {
    out += kDigits[b >> 4];
    out += kDigits[b & 15];
  }
  return out;
}

class Maker {
 public:
  explicit Maker(unsigned seed) : random_(seed) {}

  Buffer message() {
    const Family f = chance() ? Family::v4 : Family::v6;
    Buffer out;
    UpdateWriter writer(out, f, {});
    if (number() % 4 == 0) {
      for (unsigned i = number() % 20 + 1; i > 0; --i) writer.withdraw(prefix(f));
    } else {
      writer.set_attributes(attributes(f));
      for (unsigned i = number() % 20 + 1; i > 0; --i) writer.announce(prefix(f));
    }
    writer.finish();
    return out;
  }

 private:
  std::uint32_t number() { return static_cast<std::uint32_t>(random_()); }
  bool chance() { return number() % 2 == 0; }
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

std::string ours(Bytes message) {
  DecodeContext context;
  context.internal = true;
  const Update u = decode_update(next_frame(message).body, context);
  EXPECT_EQ(u.treatment, Treatment::none);
  std::vector<std::string> routes;
  for (const auto* n : {&u.withdrawn, &u.mp_withdrawn}) {
    n->for_each([&](const NlriEntry& e) { routes.push_back("-" + e.prefix.to_string()); });
  }
  const auto announced = [&](const Nlri& n, const Ip& hop) {
    n.for_each([&](const NlriEntry& e) {
      routes.push_back("+" + e.prefix.to_string() + " via " + hop.to_string());
    });
  };
  announced(u.announced, u.attributes.next_hop);
  announced(u.mp_announced, u.mp_next_hop);
  const bool reaches = !u.announced.empty() || !u.mp_announced.empty();
  return sorted_words(std::move(routes), "; ") + (reaches ? attributes_text(u.attributes) : "");
}

TEST(Differential, exabgp_understands_what_we_understand) {
  const int given = testing::UnitTest::GetInstance()->random_seed();
  const unsigned seed = given == 0 ? 42U : static_cast<unsigned>(given);
  SCOPED_TRACE("seed " + std::to_string(seed));
  const TempDir folder;
  std::vector<std::string> want, sent;
  {
    std::ofstream in(folder / "in");
    Maker maker(seed);
    for (int i = 0; i < kMessages; ++i) {
      const Buffer message = maker.message();
      sent.push_back(hex(message));
      in << sent.back() << '\n';
      want.push_back(ours(message));
    }
  }
  const std::string command = "/usr/bin/python3 -B " MARGAY_INTEROP_DIR "/exabgp_decode.py <" +
                              folder / "in" + " >" + folder / "out" + " 2>" + folder / "err";
  ASSERT_EQ(std::system(command.c_str()), 0) << std::ifstream(folder / "err").rdbuf();
  std::ifstream out(folder / "out");
  for (std::size_t i = 0; i < want.size(); ++i) {
    std::string theirs;
    ASSERT_TRUE(std::getline(out, theirs)) << "message " << i;
    ASSERT_EQ(want[i], theirs) << sent[i];
  }
}

}  // namespace
}  // namespace margay::bgp::wire
