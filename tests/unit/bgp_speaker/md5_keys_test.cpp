// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/md5_keys.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/bgp_speaker/world.h"

namespace margay::bgp {
namespace {

std::vector<std::string> text(const std::vector<AcceptRule>& rules) {
  std::vector<std::string> out;
  for (const auto& k : md5_keys(rules)) out.push_back(k.prefix.to_string() + " " + k.password);
  return out;
}

TEST(Md5Keys, neighbours_with_one_password_share_a_prefix) {
  using Lines = std::vector<std::string>;
  EXPECT_EQ(text({}), Lines{});
  EXPECT_EQ(text({{ip("10.0.0.1"), "a", {}}}), Lines{"10.0.0.1/32 a"});
  EXPECT_EQ(text({{ip("10.0.0.1"), "", {}}}), Lines{});
  EXPECT_EQ(text({{ip("10.0.0.9"), "a", {}}, {ip("10.0.0.1"), "a", {}}, {ip("fd00::1"), "a", {}}}),
            (Lines{"10.0.0.0/28 a", "fd00::1/128 a"}));
  // Somebody without a password, or with another, is left out.
  EXPECT_EQ(text({{ip("10.0.0.1"), "a", {}},
                  {ip("10.0.0.2"), "", {}},
                  {ip("10.0.0.3"), "b", {}},
                  {ip("10.0.0.12"), "a", {}},
                  {ip("10.0.0.13"), "a", {}}}),
            (Lines{"10.0.0.1/32 a", "10.0.0.3/32 b", "10.0.0.12/31 a"}));
}

TEST(Md5Keys, a_thousand_peers_with_one_password_need_one_key) {
  std::vector<AcceptRule> rules;
  for (unsigned i = 0; i < 1000; ++i) rules.push_back({ip("10.0.0.1").plus(i), "sesame", {}});
  EXPECT_EQ(md5_keys(rules).size(), 1U);
}

TEST(Md5Keys, everybody_gets_the_own_password) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<AcceptRule> rules;
    for (auto left = random() % 40; left > 0; --left) {
      const char* const passwords[] = {"", "a", "b"};
      const Ip base = ip(random() % 2 == 0 ? "10.0.0.0" : "fd00::");
      const Ip address = base.plus(static_cast<unsigned>(random() % 64));
      const bool known = std::any_of(rules.begin(), rules.end(),
                                     [&](const AcceptRule& r) { return r.address == address; });
      if (!known) rules.push_back({address, passwords[random() % 3], {}});
    }
    const auto keys = md5_keys(rules);
    for (const auto& r : rules) {
      std::string got;
      for (const auto& k : keys) {
        if (!k.prefix.contains(Prefix::host(r.address))) continue;
        EXPECT_EQ(got, "") << "two keys for " << r.address.to_string();
        got = k.password;
      }
      EXPECT_EQ(got, r.password) << r.address.to_string();
    }
  }
}

}  // namespace
}  // namespace margay::bgp
