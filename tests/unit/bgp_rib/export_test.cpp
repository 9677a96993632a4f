// SPDX-License-Identifier: Apache-2.0
// What each kind of peer is told (spec bgp.md 6, 8 and 9).
#include <gtest/gtest.h>

#include "tests/unit/bgp_rib/bench_rib.h"

namespace margay::bgp {
namespace {

using Options = RibBench::PeerOptions;

enum class From { own, internal, external };

struct Row {
  const char* name;
  From from;
  bool to_internal;
  NextHopMode mode;
  const char* next_hop;  // empty: not told at all
};

TEST(RibExport, chooses_the_next_hop_by_mode) {
  const auto automatic = NextHopMode::automatic, self = NextHopMode::self, keep = NextHopMode::keep,
             keep_external = NextHopMode::keep_external;
  const Row rows[] = {
      {"own, iBGP", From::own, true, automatic, "10.1.0.1"},
      {"own, eBGP", From::own, false, automatic, "10.1.0.1"},
      {"own, kept", From::own, false, keep, "10.1.0.1"},
      {"eBGP to iBGP", From::external, true, automatic, "192.0.2.9"},
      {"eBGP to iBGP, self", From::external, true, self, "10.1.0.1"},
      {"eBGP to eBGP", From::external, false, automatic, "10.1.0.1"},
      {"eBGP to eBGP, keep", From::external, false, keep, "192.0.2.9"},
      {"iBGP to eBGP", From::internal, false, automatic, "10.1.0.1"},
      {"iBGP to eBGP, original kept", From::internal, false, keep_external, "192.0.2.9"},
      {"iBGP to iBGP: never without a reflector", From::internal, true, automatic, ""},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    RibBench b;
    const auto source = b.peer(2, Options{.internal = row.from == From::internal});
    const auto target = b.peer(3, Options{.internal = row.to_internal, .next_hop = row.mode});
    const std::string p = "10.65.1.0/26";
    if (row.from == From::own) {
      b.rib.set_originated({{prefix(p), kNormalPriority}});
    } else {
      b.announce(source, {p}, attributes("192.0.2.9", {65001}));
    }
    b.settle();
    if (*row.next_hop == '\0') {
      EXPECT_TRUE(b.told(target).empty());
      continue;
    }
    EXPECT_EQ(b.told(target), Set{p});
    const auto& a = b.told(target, p);
    EXPECT_EQ(a.next_hop, ip(row.next_hop));
    const std::string path = row.from == From::own ? "" : "65001";
    const std::string prepended = path.empty() ? "64512" : "64512 " + path;
    EXPECT_EQ(a.as_path.to_string(), row.to_internal ? path : prepended);
    EXPECT_EQ(a.local_pref.has_value(), row.to_internal);
    if (row.to_internal) {
      EXPECT_EQ(a.local_pref, kPreferenceBase - kNormalPriority);
    }
  }
}

TEST(RibExport, external_peers_get_neither_med_nor_marks_of_reflection) {
  RibBench b;
  const auto in = b.peer(2);
  const auto out = b.peer(3, Options{.internal = false});
  auto a = attributes("192.0.2.9");
  a.med = 7;
  a.originator_id = RouterId(5);
  a.cluster_list = {RouterId(6)};
  b.announce(in, {"10.65.1.0/26"}, a);
  b.settle();
  const auto& got = b.told(out, "10.65.1.0/26");
  EXPECT_FALSE(got.med.has_value());
  EXPECT_FALSE(got.originator_id.has_value());
  EXPECT_TRUE(got.cluster_list.empty());
}

TEST(RibExport, reflects_between_clients_and_others) {  // RFC 4456 6, 8
  RibBench b;
  b.config.cluster_id = RouterId(0x01000001);
  b.rib.set_config(b.config);
  const auto c1 = b.peer(2, Options{.client = true}), c2 = b.peer(3, Options{.client = true});
  const auto n1 = b.peer(4), n2 = b.peer(5);
  b.announce(c1, {"10.65.1.0/26"}, attributes("10.1.0.2"));
  b.announce(n1, {"10.65.2.0/26"}, attributes("10.1.0.4"));
  b.settle();
  EXPECT_EQ(b.told(c1), Set{"10.65.2.0/26"}) << "not its own back";
  EXPECT_EQ(b.told(c2), (Set{"10.65.1.0/26", "10.65.2.0/26"}));
  EXPECT_EQ(b.told(n1), Set{"10.65.1.0/26"});
  EXPECT_EQ(b.told(n2), Set{"10.65.1.0/26"}) << "not from one non-client to another";
  const auto& a = b.told(c2, "10.65.1.0/26");
  EXPECT_EQ(a.next_hop, ip("10.1.0.2"));
  EXPECT_EQ(a.originator_id, RouterId(0x0a010002));
  EXPECT_EQ(a.cluster_list, ShortList<RouterId>{RouterId(0x01000001)});
  EXPECT_EQ(b.withdrawals[c1], 0) << "nothing to withdraw from the source";
}

TEST(RibExport, tells_the_source_of_a_better_path_to_forget_the_older_one) {
  RibBench b;
  b.config.cluster_id = RouterId(0x01000001);
  b.rib.set_config(b.config);
  const auto c1 = b.peer(2, Options{.client = true}), c2 = b.peer(3, Options{.client = true});
  auto worse = attributes("10.1.0.2"), better = attributes("10.1.0.3");
  worse.local_pref = 50;
  better.local_pref = 60;
  b.announce(c1, {"10.65.1.0/26"}, worse);
  b.settle();
  EXPECT_EQ(b.told(c2).size(), 1U);
  b.announce(c2, {"10.65.1.0/26"}, better);
  b.settle();
  EXPECT_TRUE(b.told(c2).empty());
  EXPECT_EQ(b.told(c1, "10.65.1.0/26").next_hop, ip("10.1.0.3"));
  b.withdraw(c2, {"10.65.1.0/26"});
  b.settle();
  EXPECT_EQ(b.told(c2, "10.65.1.0/26").next_hop, ip("10.1.0.2"));
  EXPECT_TRUE(b.told(c1).empty());
}

TEST(RibExport, sessions_of_two_local_numbers_pass_routes_to_each_other) {
  RibBench b;
  const auto one = b.peer(2, Options{.local_as = Asn(64512)}),
             two = b.peer(3, Options{.local_as = Asn(64999)}),
             outside = b.peer(4, Options{.internal = false, .local_as = Asn(64999)});
  b.announce(one, {"10.65.1.0/26"}, attributes("10.1.0.2", {65001}));
  b.settle();
  EXPECT_EQ(b.told(two), Set{"10.65.1.0/26"});
  EXPECT_EQ(b.told(outside, "10.65.1.0/26").as_path.to_string(), "64999 65001");
}

TEST(RibExport, keeps_what_others_attached) {  // RFC 1997, 4360, 8092, and unknown attributes
  RibBench b;
  const auto in = b.peer(2, Options{.internal = false}), out = b.peer(3),
             outside = b.peer(4, Options{.internal = false});
  auto a = attributes("192.0.2.9", {65001});
  a.communities = {0xfde90001};
  a.extended_communities = {0x0002fde900000064};
  a.large_communities = {{65001, 1, 2}};
  a.unknown.add(0xe0, 99, std::vector<std::uint8_t>{1, 2, 3});
  b.announce(in, {"10.65.1.0/26"}, a);
  b.settle();
  for (const auto peer : {out, outside}) {
    const auto& got = b.told(peer, "10.65.1.0/26");
    EXPECT_EQ(got.communities, a.communities);
    EXPECT_EQ(got.extended_communities, a.extended_communities);
    EXPECT_EQ(got.large_communities, a.large_communities);
    EXPECT_EQ(got.unknown, a.unknown);
  }
}

TEST(RibExport, honours_well_known_communities) {
  RibBench b;
  const auto source = b.peer(2, Options{.internal = false});
  const auto internal = b.peer(3), external = b.peer(4, Options{.internal = false});
  const struct {
    const char* prefix;
    std::uint32_t community;
  } routes[] = {{"10.65.1.0/26", kNoExport},
                {"10.65.2.0/26", kNoAdvertise},
                {"10.65.3.0/26", kNoExportSubconfed},
                {"10.65.4.0/26", 0xfc000001}};
  for (const auto& r : routes) {
    auto a = attributes("192.0.2.9", {65001});
    a.communities = {r.community};
    b.announce(source, {r.prefix}, a);
  }
  b.settle();
  EXPECT_EQ(b.told(internal), (Set{"10.65.1.0/26", "10.65.3.0/26", "10.65.4.0/26"}));
  EXPECT_EQ(b.told(external), Set{"10.65.4.0/26"});
  EXPECT_TRUE(b.told(source).empty()) << "never back to where it came from";
}

TEST(RibExport, applies_policy_filters_and_communities) {
  RibBench b;
  b.config.export_policy.own_blocks = {prefix("10.65.1.0/26")};
  b.config.export_policy.disabled_pools = {prefix("10.67.0.0/16")};
  b.config.export_policy.communities = {{prefix("10.65.0.0/16"), {Community(7U)}}};
  b.rib.set_config(b.config);
  auto filter = std::make_shared<Filter>();
  FilterRule reject, prepend;
  reject.prefix = PrefixMatch{prefix("10.65.8.0/24"), MatchOperator::in, 24, 32, false};
  prepend.prefix = PrefixMatch{prefix("203.0.113.0/24"), MatchOperator::equal, 24, 32, false};
  prepend.accept = true;
  prepend.operations = {PrependAs{{Asn(1)}}};
  filter->export_v4 = {reject, prepend};
  const auto source = b.peer(2, Options{.internal = false});
  const auto plain = b.peer(3), filtered = b.peer(4, Options{.filters = {filter}});
  b.announce(source,
             {"10.65.1.0/26", "10.65.1.5/32", "10.65.8.0/26", "10.67.1.0/26", "203.0.113.0/24"},
             attributes("192.0.2.9", {65001}));
  b.settle();
  EXPECT_EQ(b.told(plain), (Set{"10.65.1.0/26", "10.65.8.0/26"}));
  EXPECT_EQ(b.told(filtered), (Set{"10.65.1.0/26", "203.0.113.0/24"}));
  EXPECT_EQ(b.told(plain, "10.65.1.0/26").communities, ShortList<std::uint32_t>{7});
  EXPECT_EQ(b.told(filtered, "203.0.113.0/24").as_path.to_string(), "1 65001");
  EXPECT_TRUE(b.told(filtered, "203.0.113.0/24").communities.empty()) << "the filter has decided";
}

TEST(RibExport, a_change_of_policy_sends_the_difference) {
  RibBench b;
  const auto source = b.peer(2, Options{.internal = false}), target = b.peer(3);
  b.announce(source, {"10.65.1.0/26", "10.66.1.0/26", "10.67.1.0/26"},
             attributes("192.0.2.9", {65001}));
  b.settle();
  EXPECT_EQ(b.announcements[target], 3);
  b.config.export_policy.disabled_pools = {prefix("10.66.0.0/16")};
  b.config.export_policy.communities = {{prefix("10.67.0.0/16"), {Community(7U)}}};
  b.rib.set_config(b.config);
  b.settle();
  EXPECT_EQ(b.told(target), (Set{"10.65.1.0/26", "10.67.1.0/26"}));
  EXPECT_EQ(b.announcements[target], 4) << "only the one whose communities changed";
  EXPECT_EQ(b.withdrawals[target], 1);
}

TEST(RibExport, a_change_of_filters_sends_that_peer_the_difference) {
  RibBench b;
  const auto source = b.peer(2, Options{.internal = false}), target = b.peer(3), other = b.peer(4);
  b.announce(source, {"10.65.1.0/26", "10.66.1.0/26"}, attributes("192.0.2.9", {65001}));
  b.settle();
  auto filter = std::make_shared<Filter>();
  FilterRule reject;
  reject.prefix = PrefixMatch{prefix("10.65.0.0/16"), MatchOperator::in, 16, 32, false};
  filter->export_v4 = {reject};
  RibPeer changed;
  changed.local_as = Asn(64512);
  changed.address = b.addresses[target];
  changed.filters = {filter};
  b.rib.set_peer(target, changed);
  b.settle();
  EXPECT_EQ(b.told(target), Set{"10.66.1.0/26"});
  EXPECT_EQ(b.announcements[target], 2);
  EXPECT_EQ(b.withdrawals[target], 1);
  EXPECT_EQ(b.announcements[other], 2);
  EXPECT_EQ(b.withdrawals[other], 0);
  changed.filters.clear();
  b.rib.set_peer(target, changed);
  b.settle();
  EXPECT_EQ(b.told(target), (Set{"10.65.1.0/26", "10.66.1.0/26"}));
  EXPECT_EQ(b.announcements[target], 3);
}

}  // namespace
}  // namespace margay::bgp
