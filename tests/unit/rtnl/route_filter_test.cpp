// SPDX-License-Identifier: Apache-2.0
// The rule in C++ and the kernel's instructions agree: datagrams between two sockets are filtered
// by the kernel itself.
#include "dataplane/netlink/route_filter.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>

namespace margay::netlink {
namespace {

Prefix prefix(const std::string& text) { return Prefix::parse(text).value(); }

class Kernel {
 public:
  explicit Kernel(const RouteFilter& filter) {
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds_), 0);
    std::vector<sock_filter> code;
    filter.append_to(code);
    const sock_fprog p{static_cast<unsigned short>(code.size()), code.data()};
    EXPECT_EQ(::setsockopt(fds_[1], SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p), 0);
  }
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  ~Kernel() {
    ::close(fds_[0]);
    ::close(fds_[1]);
  }
  // A notification, with the flags that a replacement has or without.
  bool keeps(const Route& route, bool replaced = false) {
    Writer w;
    encode_route(w, 1, replaced ? Verb::replace : Verb::create, route);
    (void)::send(fds_[0], w.bytes().data(), w.bytes().size(), 0);
    char buffer[4096];
    return ::recv(fds_[1], buffer, sizeof buffer, 0) > 0;
  }

 private:
  int fds_[2] = {-1, -1};
};

Route route(const std::string& dst, std::uint8_t protocol, std::uint32_t metric = 20) {
  Route r;
  r.dst = prefix(dst);
  r.protocol = protocol;
  r.metric = metric;
  r.hops = {{std::nullopt, IfIndex(7), 1, false}};
  return r;
}

TEST(RouteFilter, of_a_daemon_only_what_overlaps_and_of_others_everything) {
  const RouteFilter filter({80, RTPROT_BIRD}, {1024},
                           {prefix("10.65.0.0/16"), prefix("172.30.0.0/24"), prefix("fd65::/48")});
  struct Row {
    const char* dst;
    std::uint8_t protocol;
    bool kept;
  };
  const Row rows[] = {
      {"10.65.3.0/26", RTPROT_BGP, true},    {"10.0.0.0/8", RTPROT_BGP, true},
      {"0.0.0.0/0", RTPROT_BGP, true},       {"172.30.0.9/32", RTPROT_OSPF, true},
      {"172.30.1.0/24", RTPROT_OSPF, false}, {"100.64.0.0/24", RTPROT_ZEBRA, false},
      {"10.64.0.0/16", RTPROT_ZEBRA, false}, {"100.64.0.0/24", RTPROT_STATIC, true},
      {"100.64.0.0/24", 200, true},          {"100.64.0.0/24", RTPROT_BIRD, true},  // ours here
      {"fd65:0:0:1::/64", RTPROT_BGP, true}, {"fd65:0:0:1::9/128", RTPROT_BGP, true},
      {"fd00::/8", RTPROT_BGP, true},        {"::/0", RTPROT_BABEL, true},
      {"2001:db8::/32", RTPROT_BGP, false},  {"fd65:0:1::/48", RTPROT_BGP, false},
  };
  Kernel kernel(filter);
  for (const Row& row : rows) {
    SCOPED_TRACE(std::string(row.dst) + " protocol " + std::to_string(row.protocol));
    EXPECT_EQ(filter.keeps(route(row.dst, row.protocol)), row.kept);
    EXPECT_EQ(kernel.keeps(route(row.dst, row.protocol)), row.kept);
  }
}

TEST(RouteFilter, what_took_the_place_of_a_route_with_our_metric_is_kept) {
  const RouteFilter filter({80}, {1024, 512}, {});
  Kernel kernel(filter);
  EXPECT_FALSE(kernel.keeps(route("100.64.0.0/24", RTPROT_BGP, 1024)));
  EXPECT_TRUE(kernel.keeps(route("100.64.0.0/24", RTPROT_BGP, 1024), true));
  EXPECT_TRUE(kernel.keeps(route("2001:db8::/32", RTPROT_BGP, 512), true));
  EXPECT_FALSE(kernel.keeps(route("100.64.0.0/24", RTPROT_BGP, 20), true));
  EXPECT_FALSE(kernel.keeps(route("100.64.0.0/24", RTPROT_BGP, 0), true));
}

TEST(RouteFilter, one_that_was_told_nothing_keeps_everything) {
  const RouteFilter filter;
  EXPECT_TRUE(Kernel(filter).keeps(route("100.64.0.0/24", RTPROT_BGP)));
  EXPECT_TRUE(filter.keeps(route("100.64.0.0/24", RTPROT_BGP)));
}

Prefix random_prefix(std::mt19937& draw, bool v6) {
  std::uint8_t bytes[16] = {};
  // Few bits vary, so that overlaps are frequent.
  for (std::size_t i = 0; i < (v6 ? 16U : 4U); ++i) {
    bytes[i] = static_cast<std::uint8_t>(draw() & (i % 4 == 0 ? 0x03 : 0x81));
  }
  const Ip address = Ip::from_bytes(std::span(bytes, v6 ? 16 : 4));
  return Prefix::containing(address, static_cast<unsigned>(draw() % (v6 ? 65 : 33)));
}

TEST(RouteFilter, kernel_and_rule_agree_on_random_prefixes) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 draw(seed);
  for (int round = 0; round < 100; ++round) {
    std::vector<Prefix> prefixes;
    for (auto i = draw() % 60; i > 0; --i) {
      const bool v6 = draw() % 2 != 0;
      prefixes.push_back(Prefix::containing(random_prefix(draw, v6).addr(), v6 ? 40 : 20));
    }
    const RouteFilter filter({80}, {1024}, prefixes);
    Kernel kernel(filter);
    for (const Prefix& p : prefixes) EXPECT_TRUE(filter.covers(p)) << p.to_string();
    for (int i = 0; i < 100; ++i) {
      Route r = route("0.0.0.0/0", RTPROT_BGP);
      r.dst = random_prefix(draw, draw() % 2 != 0);
      ASSERT_EQ(kernel.keeps(r), filter.keeps(r)) << r.dst.to_string();
    }
  }
}

}  // namespace
}  // namespace margay::netlink
