// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/encode.h"

#include <gmock/gmock.h>
#include <linux/netfilter/nf_tables.h>

#include <set>

#include "dataplane/nft/builder.h"

namespace margay::nft {
namespace {

using netlink::Attr;
using netlink::Attrs;
using netlink::Writer;
using ::testing::ElementsAre;

std::uint64_t print_of(const Rule& r) {
  References refs;
  return encode(r, refs).fingerprint;
}

TEST(Encode, rules_that_differ_have_different_fingerprints) {
  const Prefix p = Prefix::parse("10.0.0.0/8").value();
  const std::vector<Rule> rules{
      rule({accept()}),
      rule({accept()}, "a"),
      rule({accept()}, "b"),
      rule({drop()}),
      rule({}),
      rule({jump("a")}),
      rule({jump("b")}),
      rule({goto_("a")}),
      rule({address(Direction::source, p), accept()}),
      rule({address(Direction::source, p, true), accept()}),
      rule({address(Direction::destination, p), accept()}),
      rule({address_in(Direction::source, Family::v4, "s")}),
      rule({address_in(Direction::source, Family::v4, "s", true)}),
      rule({limit(1, 1, 5, false)}),
      rule({limit(1, 1, 5, true)}),
      rule({limit(1, 60, 5, true)}),
      rule({masquerade(0)}),
      rule({masquerade(kNatFullyRandom)}),
      rule({l4proto(6)}),
      rule({l4proto(6, CmpOp::neq)}),
      rule({port(Direction::source, 1)}),
      rule({port(Direction::destination, 1)}),
      rule({counter()}),
      rule({counter(), counter()}),
  };
  std::set<std::uint64_t> seen;
  for (const Rule& r : rules) seen.insert(print_of(r));
  EXPECT_EQ(seen.size(), rules.size());
}

TEST(Encode, names_what_a_rule_needs) {
  References refs;
  (void)encode(rule({address_in(Direction::source, Family::v4, "b"), iifname_vmap("a"),
                     address_in(Direction::source, Family::v4, "b"), jump("x")}),
               refs);
  refs.normalise();
  EXPECT_THAT(refs.sets, ElementsAre("a", "b"));
  EXPECT_THAT(refs.chains, ElementsAre("x"));
  References read;
  References ignored;
  const EncodedRule again =
      encode(rule({address_in(Direction::source, Family::v4, "b"), jump("x")}), ignored);
  collect_references(again.exprs, read);
  EXPECT_THAT(read.sets, ElementsAre("b"));
  EXPECT_THAT(read.chains, ElementsAre("x"));
}

// What kernels do to a rule on its way back: other order, counters filled in, defaults written out.
void put_expr(Writer& w, const char* name, const std::function<void()>& data) {
  const auto e = w.begin_nested(NFTA_LIST_ELEM, false);
  w.attr_string(NFTA_EXPR_NAME, name);
  const auto d = w.begin_nested(NFTA_EXPR_DATA, false);
  data();
  w.end_nested(d);
  w.end_nested(e);
}

TEST(Encode, the_kernels_form_of_a_rule_is_recognised) {
  Writer w;
  put_expr(w, "counter", [&] {
    w.attr_be64(NFTA_COUNTER_BYTES, 123456);
    w.attr_be64(NFTA_COUNTER_PACKETS, 7);
  });
  put_expr(w, "meta", [&] {
    w.attr_be32(NFTA_META_DREG, NFT_REG_1);
    w.attr_be32(NFTA_META_KEY, NFT_META_MARK);
  });
  put_expr(w, "lookup", [&] {
    w.attr_be32(NFTA_LOOKUP_SREG, NFT_REG_1);
    w.attr_string(NFTA_LOOKUP_SET, "s");
    w.attr_be32(NFTA_LOOKUP_FLAGS, 0);
  });
  const Rule same{
      {Counter{}, MetaLoad{MetaKey::mark, Reg{0}}, Lookup{"s", Reg{0}, false, false, std::nullopt}},
      ""};
  EXPECT_EQ(fingerprint(w.bytes(), {}), print_of(same));
}

TEST(Encode, an_unknown_attribute_is_a_difference) {
  Writer w;
  put_expr(w, "notrack", [&] { w.attr_be32(17, 1); });
  EXPECT_NE(fingerprint(w.bytes(), {}), print_of(rule({notrack()})));
}

TEST(Encode, registers_have_the_numbers_that_the_kernel_shows) {
  EXPECT_EQ(register_number(Reg{0}), static_cast<std::uint32_t>(NFT_REG_1));
  EXPECT_EQ(register_number(Reg{4}), static_cast<std::uint32_t>(NFT_REG_2));
  EXPECT_EQ(register_number(Reg{1}), static_cast<std::uint32_t>(NFT_REG32_01));
  EXPECT_EQ(register_number(Reg{15}), static_cast<std::uint32_t>(NFT_REG32_15));
}

TEST(Encode, long_comments_are_cut_to_what_nft_reads) {
  References refs;
  const EncodedRule r = encode(rule({accept()}, std::string(500, 'x')), refs);
  ASSERT_EQ(r.userdata.size(), 2U + 128);
  EXPECT_EQ(r.userdata[1], 128);
  EXPECT_EQ(r.userdata.back(), 0);
}

}  // namespace
}  // namespace margay::nft
