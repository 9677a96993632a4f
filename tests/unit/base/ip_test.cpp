// SPDX-License-Identifier: Apache-2.0
#include "base/ip.h"

#include <gtest/gtest.h>

namespace margay {
namespace {

TEST(Ip, parses_what_it_prints_and_nothing_else) {
  for (const char* text :
       {"0.0.0.0", "10.65.1.2", "255.255.255.255", "::", "fd65::1", "fe80::1:2"}) {
    const auto ip = Ip::parse(text);
    ASSERT_TRUE(ip.ok()) << text;
    EXPECT_EQ(ip->to_string(), text);
  }
  for (const char* text : {"", "10.0.0", "10.0.0.256", "1.2.3.4.5", "::g", "10.0.0.1/24",
                           " 1.2.3.4", "01.2.3.4", "1:2:3:4:5:6:7:8:9"}) {
    EXPECT_FALSE(Ip::parse(text).ok()) << text;
  }
}

TEST(Ip, orders_v4_before_v6_then_by_number) {
  EXPECT_LT(*Ip::parse("255.0.0.0"), *Ip::parse("::"));
  EXPECT_LT(*Ip::parse("9.0.0.0"), *Ip::parse("10.0.0.0"));
}

TEST(Ip, plus_carries_and_wraps) {
  EXPECT_EQ(Ip::parse("10.0.0.255")->plus(1).to_string(), "10.0.1.0");
  EXPECT_EQ(Ip::parse("255.255.255.255")->plus(1).to_string(), "0.0.0.0");
  EXPECT_EQ(Ip::parse("fd00::ffff")->plus(2).to_string(), "fd00::1:1");
}

TEST(Prefix, parse_is_strict_and_parse_containing_masks) {
  EXPECT_EQ(Prefix::parse("10.65.0.0/16")->to_string(), "10.65.0.0/16");
  EXPECT_EQ(Prefix::parse("10.65.0.1")->length(), 32U);
  for (const char* text :
       {"10.65.0.1/16", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/", "::/129", "fd00::1/64"}) {
    EXPECT_FALSE(Prefix::parse(text).ok()) << text;
  }
  EXPECT_EQ(Prefix::parse_containing("10.65.3.1/16")->to_string(), "10.65.0.0/16");
  EXPECT_EQ(Prefix::parse_containing("fd00::1/64")->to_string(), "fd00::/64");
}

TEST(Prefix, contains_by_family_and_length) {
  const Prefix p = *Prefix::parse("10.64.0.0/10");
  EXPECT_TRUE(p.contains(*Ip::parse("10.127.255.255")));
  EXPECT_FALSE(p.contains(*Ip::parse("10.128.0.0")));
  EXPECT_FALSE(p.contains(*Ip::parse("::")));
  EXPECT_TRUE(p.contains(*Prefix::parse("10.65.0.0/16")));
  EXPECT_FALSE(p.contains(*Prefix::parse("10.0.0.0/8")));
  EXPECT_TRUE(Prefix::parse("0.0.0.0/0")->contains(p));
}

TEST(InterfaceAddress, keeps_the_host_part) {
  const auto a = InterfaceAddress::parse("172.30.0.5/24");
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(a->addr.to_string(), "172.30.0.5");
  EXPECT_EQ(a->subnet().to_string(), "172.30.0.0/24");
}

TEST(Mac, parses_what_it_prints_and_nothing_else) {
  EXPECT_EQ(Mac::parse("66:0a:ff:00:01:02")->to_string(), "66:0a:ff:00:01:02");
  for (const char* text :
       {"", "66:0a:ff:00:01", "66:0a:ff:00:01:0g", "66-0a-ff-00-01-02", "6:0a:ff:00:01:002"}) {
    EXPECT_FALSE(Mac::parse(text).ok()) << text;
  }
}

}  // namespace
}  // namespace margay
