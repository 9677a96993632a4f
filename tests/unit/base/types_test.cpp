// SPDX-License-Identifier: Apache-2.0
#include "base/types.h"

#include <gtest/gtest.h>

namespace margay {
namespace {

TEST(Asn, takes_plain_and_dotted_numbers) {
  EXPECT_EQ(parse_asn("64512")->value(), 64512U);
  EXPECT_EQ(parse_asn("4294967295")->value(), 4294967295U);
  EXPECT_EQ(parse_asn("1.10")->value(), 65546U);
  for (const char* text : {"", "-1", "4294967296", "1.65536", "65536.1", "1.2.3", "a"}) {
    EXPECT_FALSE(parse_asn(text).ok()) << text;
  }
}

TEST(RouterId, is_a_non_zero_ipv4_address) {
  EXPECT_EQ(to_string(*parse_router_id("10.0.0.1")), "10.0.0.1");
  EXPECT_FALSE(parse_router_id("0.0.0.0").ok());
  EXPECT_FALSE(parse_router_id("fd00::1").ok());
}

}  // namespace
}  // namespace margay
