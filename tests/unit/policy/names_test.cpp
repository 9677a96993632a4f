// SPDX-License-Identifier: Apache-2.0
#include "dataplane/policy/names.h"

#include <gtest/gtest.h>

namespace margay::policy {
namespace {

TEST(Names, plain_text_is_kept) {
  EXPECT_EQ(bounded_name("pi-", "np/default/allow-web"), "pi-np/default/allow-web");
}

TEST(Names, a_replaced_character_brings_a_hash_so_that_names_stay_apart) {
  EXPECT_TRUE(bounded_name("pi-", "np/a/b c").starts_with("pi-np/a/b_c-"));
  EXPECT_NE(bounded_name("pi-", "np/a/b c"), bounded_name("pi-", "np/a/b_c"));
}

TEST(Names, long_text_is_cut_and_stays_apart) {
  const std::string a(300, 'a');
  const std::string one = bounded_name("pi-", a + "1");
  EXPECT_EQ(one.size(), kMaxName);
  EXPECT_NE(one, bounded_name("pi-", a + "2"));
  EXPECT_EQ(one, bounded_name("pi-", a + "1"));
}

TEST(Names, sets_carry_family_and_length) {
  EXPECT_EQ(net_set_name("s:aB_-9", Family::v4, 32), "s-aB_-9-4-32");
  EXPECT_EQ(interval_set_name("s:aB_-9", Family::v6), "s-aB_-9-6-i");
  EXPECT_EQ(port_set_name("svc:aB_-9", Family::v6), "svc-aB_-9-6");
  EXPECT_EQ(net_set_name("9x", Family::v4, 8), "set-9x-4-8");
}

TEST(Names, digest_is_sha256) { EXPECT_EQ(digest("abc", 8), "ba7816bf"); }

}  // namespace
}  // namespace margay::policy
