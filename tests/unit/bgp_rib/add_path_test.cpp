// SPDX-License-Identifier: Apache-2.0
// Several paths of one prefix on one session (RFC 7911), in both directions.
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/bgp_rib/bench_rib.h"

namespace margay::bgp {
namespace {

using Options = RibBench::PeerOptions;
using Paths = std::multiset<std::string>;
constexpr const char* kPrefix = "10.65.1.0/26";

// A reflector, so that what one client sends reaches the others.
struct Reflector : RibBench {
  Reflector() {
    config.cluster_id = RouterId(0x01000001);
    rib.set_config(config);
  }
  PeerId client(std::uint32_t n, bool add_path) {
    return peer(n, Options{.client = true, .add_path = add_path});
  }
};

TEST(AddPath, all_paths_go_to_those_who_take_them_and_the_best_to_the_others) {
  Reflector b;
  const auto c1 = b.client(2, true), c2 = b.client(3, true), plain = b.client(4, false);
  b.announce(c1, {kPrefix}, attributes("10.1.0.2"));
  b.announce(c2, {kPrefix}, attributes("10.1.0.3"));
  b.announce(plain, {kPrefix}, attributes("10.1.0.4"));
  const auto listener = b.client(5, true);
  b.settle();
  EXPECT_EQ(b.hops_told(listener, kPrefix), (Paths{"10.1.0.2", "10.1.0.3", "10.1.0.4"}));
  EXPECT_EQ(b.hops_told(c1, kPrefix), (Paths{"10.1.0.3", "10.1.0.4"})) << "not its own";
  EXPECT_EQ(b.hops_told(plain, kPrefix), Paths{"10.1.0.2"});
  EXPECT_EQ(b.kernel[prefix(kPrefix)].size(), 3U);
  // A withdrawn path goes alone.
  const int before = b.announcements[listener];
  b.withdraw(c2, {kPrefix});
  b.settle();
  EXPECT_EQ(b.hops_told(listener, kPrefix), (Paths{"10.1.0.2", "10.1.0.4"}));
  EXPECT_EQ(b.announcements[listener], before);
  EXPECT_EQ(b.withdrawals[listener], 1);
}

TEST(AddPath, several_paths_of_one_peer_are_told_apart) {
  Reflector b;
  const auto source = b.client(2, true), listener = b.client(3, true);
  b.announce(source, {kPrefix}, attributes("192.0.2.1"), 7);
  b.announce(source, {kPrefix}, attributes("192.0.2.2"), 8);
  b.settle();
  EXPECT_EQ(b.hops_told(listener, kPrefix), (Paths{"192.0.2.1", "192.0.2.2"}));
  EXPECT_EQ(b.kernel[prefix(kPrefix)], (Hops{ip("192.0.2.1"), ip("192.0.2.2")}));
  b.announce(source, {kPrefix}, attributes("192.0.2.3"), 7);  // in the place of the first
  b.settle();
  EXPECT_EQ(b.hops_told(listener, kPrefix), (Paths{"192.0.2.2", "192.0.2.3"}));
  EXPECT_EQ(b.withdrawals[listener], 0);
  b.withdraw(source, {kPrefix}, 9);  // never heard of
  b.withdraw(source, {kPrefix}, 8);
  b.settle();
  EXPECT_EQ(b.hops_told(listener, kPrefix), Paths{"192.0.2.3"});
  EXPECT_EQ(b.rib.counters(source).prefixes_in, 1U);
}

TEST(AddPath, a_change_of_filters_sends_the_difference_per_path) {
  Reflector b;
  const auto c1 = b.client(2, true), c2 = b.client(3, true), listener = b.client(4, true);
  auto marked = attributes("10.1.0.3");
  marked.communities = {77};
  b.announce(c1, {kPrefix}, attributes("10.1.0.2"));
  b.announce(c2, {kPrefix}, marked);
  b.settle();
  auto filter = std::make_shared<Filter>();
  FilterRule reject;
  reject.community = Community(77U);
  filter->export_v4 = {reject};
  RibPeer changed;
  changed.local_as = Asn(64512);
  changed.address = b.addresses[listener];
  changed.client = true;
  changed.filters = {filter};
  b.rib.set_peer(listener, changed);
  b.settle();
  EXPECT_EQ(b.hops_told(listener, kPrefix), Paths{"10.1.0.2"});
  EXPECT_EQ(b.announcements[listener], 2);
  EXPECT_EQ(b.withdrawals[listener], 1);
}

TEST(AddPath, peers_that_agreed_on_the_same_share_their_messages) {
  Reflector b;
  const auto source = b.client(2, true), l1 = b.client(3, true), l2 = b.client(4, true),
             plain = b.client(5, false);
  b.asleep = {l1, l2, plain};
  b.announce(source, {kPrefix}, attributes("192.0.2.1"), 1);
  b.announce(source, {kPrefix}, attributes("192.0.2.2"), 2);
  b.settle();
  const auto one = b.rib.next_output(l1), two = b.rib.next_output(l2),
             other = b.rib.next_output(plain);
  EXPECT_EQ(one.get(), two.get()) << "the very same bytes";
  EXPECT_NE(one.get(), other.get());
}

// Everything that can happen to paths, at random and with peers that read late; in the end each
// peer knows exactly the paths of the others, and nothing is left over.
TEST(AddPath, random_histories_end_right_and_leave_nothing_behind) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto pick = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    Reflector b;
    b.work = 1 + pick(50);
    std::vector<PeerId> peers;
    for (std::uint32_t n = 2; n < 8; ++n) peers.push_back(b.client(n, n != 2));
    std::map<PeerId, std::map<std::pair<std::string, std::uint32_t>, std::string>> held;
    for (int i = 0; i < 1500; ++i) {
      const PeerId p = peers[pick(6)];
      const std::string prefix = "10.65." + std::to_string(pick(5)) + ".0/26";
      const std::uint32_t path_id = b.with_path_ids.contains(p) ? pick(4) : 0;
      switch (pick(8)) {
        case 0:
          b.rib.session_down(p, false);
          held[p].clear();
          b.up(p);
          break;
        case 1:
        case 2:
          b.withdraw(p, {prefix}, path_id);
          held[p].erase({prefix, path_id});
          break;
        case 3:
          if (!b.asleep.erase(p)) b.asleep.insert(p);
          break;
        default: {
          const std::string hop = "192.0.2." + std::to_string(1 + pick(200));
          b.announce(p, {prefix}, attributes(hop), path_id);
          held[p][{prefix, path_id}] = hop;
          break;
        }
      }
      if (pick(3) == 0) b.settle();
    }
    b.asleep.clear();
    b.settle();
    for (const PeerId to : peers) {
      if (!b.with_path_ids.contains(to)) continue;
      for (unsigned n = 0; n < 5; ++n) {
        const std::string prefix = "10.65." + std::to_string(n) + ".0/26";
        Paths want;
        for (const auto& [from, routes] : held) {
          for (const auto& [path, hop] : routes) {
            if (from != to && path.first == prefix) want.insert(hop);
          }
        }
        EXPECT_EQ(b.hops_told(to, prefix), want) << "peer " << to << " " << prefix;
      }
    }
    for (const PeerId p : peers) b.rib.remove_peer(p);
    b.received.clear();
    b.settle();
    b.settle();
    EXPECT_EQ(b.rib.destinations().size(), 0U);
    EXPECT_EQ(b.rib.attributes().size(), 0U);
  }
}

}  // namespace
}  // namespace margay::bgp
