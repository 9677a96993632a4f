// SPDX-License-Identifier: Apache-2.0
// Large tables: right, in bounded transactions. Times are printed, not asserted.
#include <chrono>
#include <cstdio>

#include "fixture.h"

namespace margay::nft::test {
namespace {

constexpr std::uint32_t kLarge = 100'000;

class NftSize : public KernelTest {
 protected:
  using Instant = std::chrono::steady_clock::time_point;
  static Instant now() { return std::chrono::steady_clock::now(); }
  static double milliseconds(Instant since) {
    return std::chrono::duration<double, std::milli>(now() - since).count();
  }
  void want_large() {
    ASSERT_TRUE(table_->want_set({"large", {{Datatype::ipv4_addr}, false, std::nullopt}}).ok());
    ElementTable all(*table_->set_type("large"));
    all.reserve(kLarge);
    for (std::uint32_t i = 0; i < kLarge; ++i) all.append_key(v4(kNet + 7 * i).bytes());
    table_->replace_elements("large", std::move(all));
    table_->want_chain(
        {"c", std::nullopt, {rule({address_in(Direction::source, Family::v4, "large"), drop()})}});
  }
  static std::size_t count_elements() {
    const std::string json = nft("-j list set inet t large");
    std::size_t n = 0;
    for (std::size_t at = json.find("\"10."); at != std::string::npos;
         at = json.find("\"10.", at + 1)) {
      ++n;
    }
    return n;
  }
};

TEST_F(NftSize, a_large_set_is_filled_in_bounded_transactions_before_its_rule) {
  want_large();
  const Instant start = now();
  const Progress p = apply();
  std::printf("load %u: %.1f ms, %zu transactions\n", kLarge, milliseconds(start), p.transactions);
  EXPECT_EQ(p.elements_added, kLarge);
  EXPECT_EQ(p.transactions, kLarge / 5000 + 1);
  EXPECT_EQ(count_elements(), kLarge);

  std::string script = "add table inet n\nadd set inet n large { type ipv4_addr; }\n";
  script += "add element inet n large {";
  for (std::uint32_t i = 0; i < kLarge; ++i) {
    script += (i == 0 ? " " : ", ") + Ip::v4(kNet + 7 * i).to_string();
  }
  const Instant theirs = now();
  nft_file(script + " }\n");
  std::printf("nft -f: %.1f ms\n", milliseconds(theirs));
}

TEST_F(NftSize, what_does_not_need_a_large_set_does_not_wait_for_it) {
  want_sample();
  want_large();
  Progress p = apply_once();
  EXPECT_TRUE(p.more);
  EXPECT_EQ(p.transactions, 2U) << "the sample, a piece of the set";
  EXPECT_EQ(p.waiting.size(), 0U) << "it is on its way";
  const auto chains = [] { return nft("list chains inet"); };
  EXPECT_NE(chains().find("chain endpoint {"), std::string::npos);
  EXPECT_EQ(chains().find("chain c {"), std::string::npos);
  EXPECT_EQ(count_elements(), 5000U);
  for (std::uint32_t i = 1; p.more; ++i) {
    ASSERT_LT(i, 100U);
    const std::string name = "cali1" + std::to_string(i);
    table_->add_element("dispatch", Element::verdict_for(Packed::interface_name(name),
                                                         {Verdict::Code::goto_, "endpoint"}));
    p = apply_once();
    EXPECT_NE(nft("list map inet t dispatch").find(name), std::string::npos);
  }
  EXPECT_EQ(count_elements(), kLarge);
  EXPECT_NE(chains().find("chain c {"), std::string::npos);
  EXPECT_FALSE(table_->pending());
}

TEST_F(NftSize, what_looks_up_a_set_waits_until_all_of_it_is_wanted) {
  want_sample();
  apply();
  want_large();
  table_->expect_more("large", true);
  Progress p = apply_once();
  for (int i = 0; i < 100 && p.more; ++i) p = apply_once();
  EXPECT_EQ(count_elements(), kLarge) << "those that are wanted are in";
  EXPECT_TRUE(p.incomplete);
  EXPECT_EQ(p.waiting.size(), 0U) << "it is on its way";
  EXPECT_EQ(nft("list chains inet").find("chain c {"), std::string::npos);
  EXPECT_FALSE(apply_once().changed());
  // Who is to be led there stays where it is.
  table_->add_element("dispatch", Element::verdict_for(Packed::interface_name("cali1"),
                                                       {Verdict::Code::jump, "c"}));
  table_->forget_chain("endpoint");
  EXPECT_FALSE(apply_once().changed());
  EXPECT_NE(nft("list map inet t dispatch").find("goto endpoint"), std::string::npos);

  ElementTable last(*table_->set_type("large"));
  last.append_key(v4(kNet + 1).bytes());
  table_->change_elements("large", std::move(last), ElementTable(*table_->set_type("large")));
  table_->expect_more("large", false);
  p = apply_once();
  EXPECT_FALSE(p.more || p.incomplete);
  EXPECT_EQ(count_elements(), kLarge + 1);
  EXPECT_NE(nft("list map inet t dispatch").find("jump c"), std::string::npos);
  EXPECT_EQ(nft("list chains inet").find("chain endpoint {"), std::string::npos);
}

TEST_F(NftSize, a_large_set_of_intervals_is_filled_in_bounded_transactions_before_its_rule) {
  constexpr std::uint32_t kMany = 12'000;
  ASSERT_TRUE(table_->want_set({"ranges", {{Datatype::ipv4_addr}, true, std::nullopt}}).ok());
  ElementTable all(*table_->set_type("ranges"));
  for (std::uint32_t i = 0; i < kMany; ++i) {
    all.append_range(v4(kNet + 8 * i).bytes(), v4(kNet + 8 * i + 3).bytes());
  }
  table_->replace_elements("ranges", std::move(all));
  table_->want_chain(
      {"c", std::nullopt, {rule({address_in(Direction::source, Family::v4, "ranges"), drop()})}});
  std::size_t added = 0;
  for (Progress p = apply_once();; p = apply_once()) {
    EXPECT_LE(p.elements_added, 5000U);
    added += p.elements_added;
    if (!p.more) break;
    EXPECT_EQ(nft("list chains inet").find("chain c {"), std::string::npos);
  }
  EXPECT_EQ(added, kMany);
  EXPECT_NE(nft("list chains inet").find("chain c {"), std::string::npos);
}

TEST_F(NftSize, a_set_half_full_after_a_restart_is_filled_before_its_rule) {
  want_large();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(apply_once().more);
  restart();
  want_large();
  EXPECT_TRUE(apply_once().more);
  EXPECT_EQ(nft("list chains inet").find("chain c {"), std::string::npos);
  const Progress rest = apply(Scope::atomic);
  EXPECT_EQ(rest.elements_added, kLarge - 4U * 5000U);
  EXPECT_NE(nft("list chains inet").find("chain c {"), std::string::npos);
}

TEST_F(NftSize, a_standing_set_grows_and_shrinks_by_pieces_under_its_rule) {
  want_large();
  apply();
  ElementTable others(*table_->set_type("large"));
  for (std::uint32_t i = 0; i < kLarge / 4; ++i) others.append_key(v4(kNet + 7 * i + 3).bytes());
  table_->replace_elements("large", std::move(others));
  table_->want_chain(
      {"c", std::nullopt, {rule({address_in(Direction::source, Family::v4, "large"), accept()})}});
  const Progress first = apply_once();
  EXPECT_EQ(first.rules_added, 1U) << "the rule knows the set already";
  EXPECT_EQ(first.elements_removed, 5000U);
  EXPECT_TRUE(first.more);
  apply(Scope::atomic);
  EXPECT_EQ(count_elements(), kLarge / 4);
}

TEST_F(NftSize, a_member_more_or_less_costs_its_own_size) {
  want_large();
  apply();
  double best = 1e9;
  for (std::uint32_t i = 0; i < 20; ++i) {
    const Instant start = now();
    if (i % 2 == 0) {
      table_->add_element("large", Element::of(v4(kNet + 0x1000001 + i)));
    } else {
      table_->remove_element("large", Element::of(v4(kNet + 0x1000000 + i)));
    }
    const Progress p = apply();
    best = std::min(best, milliseconds(start));
    EXPECT_EQ(p.messages, 1U);
  }
  std::printf("one element of %u: %.3f ms\n", kLarge, best);
  const Instant idle = now();
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(apply().changed());
  std::printf("no change: %.4f ms\n", milliseconds(idle) / 1000);
  EXPECT_EQ(count_elements(), kLarge);
}

TEST_F(NftSize, a_restart_reads_a_large_set_and_sends_nothing) {
  want_large();
  apply();
  events();
  restart();
  want_large();
  const Instant start = now();
  EXPECT_EQ(apply().messages, 0U);
  std::printf("restart with %u: %.1f ms\n", kLarge, milliseconds(start));
  EXPECT_EQ(events(), 0U);
}

TEST_F(NftSize, thousands_of_rules_in_one_transaction) {
  const auto want = [this] {
    for (int i = 0; i < 500; ++i) {
      Chain c{"policy-" + std::to_string(i), std::nullopt, {}};
      for (std::uint16_t r = 0; r < 10; ++r) {
        c.rules.push_back(
            rule({family(Family::v4),
                  address(Direction::source, Prefix::containing(Ip::v4(kNet + r * 4096U), 20),
                          false, Dependency::met),
                  l4proto(6), port(Direction::destination, r), counter(), accept()},
                 "policy " + std::to_string(i) + " rule " + std::to_string(r)));
      }
      table_->want_chain(c);
    }
    for (int e = 0; e < 250; ++e) {
      Chain c{"endpoint-" + std::to_string(e), std::nullopt, {}};
      for (int j = 0; j < 20; ++j) {
        c.rules.push_back(rule({jump("policy-" + std::to_string((e * 7 + j) % 500))}));
      }
      table_->want_chain(c);
    }
  };
  Instant start = now();
  want();
  std::printf("encode 10,000 rules: %.1f ms\n", milliseconds(start));
  start = now();
  const Progress p = apply();
  std::printf("program 10,000 rules: %.1f ms\n", milliseconds(start));
  EXPECT_EQ(p.transactions, 1U);
  EXPECT_EQ(p.rules_added, 10'000U);
  EXPECT_FALSE(table_->pending()) << "every echo has come";
  events();
  restart();
  want();
  start = now();
  EXPECT_EQ(apply().messages, 0U);
  std::printf("restart with 10,000 rules: %.1f ms\n", milliseconds(start));
}

}  // namespace
}  // namespace margay::nft::test
