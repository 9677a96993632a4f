// SPDX-License-Identifier: Apache-2.0
// What people are told of the tables: whose routes, which of them are used, and why not the others.
#include <gtest/gtest.h>

#include "tests/unit/bgp_speaker/world.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;

// We are 10.0.0.1 with two iBGP neighbours, which both announce 10.65.9.0/26, and one that is away.
// 10.0.0.2 also announces what a filter refuses.
class ViewTest : public testing::Test {
 protected:
  ViewTest() {
    for (int n = 1; n <= 3; ++n) {
      auto& c = configs_[n];
      c.router_id = RouterId(static_cast<std::uint32_t>(n));
      c.local_as = Asn(64512);
      c.export_policy.pools = {prefix("10.65.0.0/16"), prefix("192.0.2.0/24")};
    }
    for (int n = 2; n <= 3; ++n) {
      const std::string other = "10.0.0." + std::to_string(n);
      configs_[1].peers.push_back(sim_peer("10.0.0.1", other));
      configs_[n].peers = {sim_peer(other, "10.0.0.1")};
      configs_[n].originated = {{prefix("10.65.9.0/26"), kNormalPriority + (n == 3 ? 1 : 0)}};
    }
    configs_[1].peers.push_back(sim_peer("10.0.0.1", "10.0.0.9"));
    configs_[1].originated = {{prefix("10.65.1.0/26"), kNormalPriority}};
    configs_[1].export_policy.pools = {prefix("10.65.0.0/16")};
    configs_[2].originated.push_back({prefix("192.0.2.0/26"), kNormalPriority});
    auto filter = std::make_shared<Filter>();
    filter->import_v4.emplace_back().prefix =
        PrefixMatch{prefix("192.0.2.0/24"), MatchOperator::in, 24, 32, false};
    configs_[1].peers[0].filters = {filter};
    us_.speaker.set_config(configs_[1]);
    two_.speaker.set_config(configs_[2]);
    three_.speaker.set_config(configs_[3]);
    us_.speaker.set_kernel_routes({{prefix("10.0.0.0/24"), {}, "eth0", 0},
                                   {prefix("10.65.7.0/24"), ip("10.0.0.8"), "eth0", 0}});
    loop_.advance(20s);
  }
  static std::vector<std::string> lines(const std::vector<RouteStatus>& routes) {
    std::vector<std::string> out;
    for (const auto& r : routes) {
      out.push_back(r.prefix.to_string() + (r.best ? " * " : " ") + r.next_hop.to_string() + " " +
                    r.peer + (r.why.empty() ? "" : ": " + r.why));
    }
    return out;
  }

  std::map<int, SpeakerConfig> configs_;
  SimLoop loop_;
  SimNetwork net_{loop_};
  SimNode us_{loop_, net_, {ip("10.0.0.1")}, {.seed = 1}};
  SimNode two_{loop_, net_, {ip("10.0.0.2")}, {.seed = 2}};
  SimNode three_{loop_, net_, {ip("10.0.0.3")}, {.seed = 3}};
};

using Lines = std::vector<std::string>;

TEST_F(ViewTest, lists_every_path_with_why_it_is_not_used) {
  EXPECT_EQ(lines(us_.speaker.routes()),
            (Lines{"10.0.0.0/24 * 0.0.0.0 kernel", "10.65.1.0/26 * 0.0.0.0 ",
                   "10.65.7.0/24 * 10.0.0.8 kernel", "10.65.9.0/26 * 10.0.0.2 Node_10.0.0.2",
                   "10.65.9.0/26 10.0.0.3 Node_10.0.0.3: lower LOCAL_PREF",
                   "192.0.2.0/26 10.0.0.2 Node_10.0.0.2: rejected by a BGPFilter"}));
}

TEST_F(ViewTest, lists_what_one_peer_sent_and_what_it_is_told) {
  using View = RouteQuery::View;
  EXPECT_EQ(lines(us_.speaker.routes({View::received, "Node_10.0.0.2", {}})),
            (Lines{"10.65.9.0/26 * 10.0.0.2 Node_10.0.0.2",
                   "192.0.2.0/26 10.0.0.2 Node_10.0.0.2: rejected by a BGPFilter"}));
  EXPECT_EQ(lines(us_.speaker.routes({View::received, "10.0.0.3", prefix("10.65.9.0/26")})).size(),
            1U);
  EXPECT_EQ(lines(us_.speaker.routes({View::received, "kernel", prefix("10.65.7.0/24")})).size(),
            1U);
  EXPECT_EQ(lines(us_.speaker.routes({View::advertised, "10.0.0.3", {}})),
            (Lines{"10.65.1.0/26 10.0.0.1 ", "10.65.7.0/24 10.0.0.8 kernel"}));
  EXPECT_TRUE(us_.speaker.routes({View::advertised, "10.0.0.9", {}}).empty());
  EXPECT_TRUE(us_.speaker.routes({View::received, "nobody", {}}).empty());
}

TEST_F(ViewTest, explains_one_destination) {
  struct Row {
    const char* name;
    const char* asked;
    const char* found;
    Lines told;  // by peer
    const char* kernel;
  };
  const std::string reflected = "learnt over iBGP, and reflected between clients and others only";
  const Row rows[] = {
      {"learnt, by an address in it",
       "10.65.9.7/32",
       "10.65.9.0/26",
       {"it comes from this peer", reflected, "its session is down"},
       "10.0.0.2"},
      {"our own",
       "10.65.1.0/26",
       "10.65.1.0/26",
       {"told", "told", "its session is down"},
       "it is this node's own"},
      {"of the kernel",
       "10.65.7.0/24",
       "10.65.7.0/24",
       {"told", "told", "its session is down"},
       "no path from a peer is used"},
      {"outside of pools",
       "10.0.0.0/24",
       "10.0.0.0/24",
       {"outside of all pools and service addresses", "outside of all pools and service addresses",
        "its session is down"},
       "no path from a peer is used"},
      {"refused",
       "192.0.2.0/26",
       "192.0.2.0/26",
       {"no path is used", "no path is used", "no path is used"},
       "no path from a peer is used"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    const auto e = us_.speaker.explain(prefix(row.asked));
    ASSERT_TRUE(e.has_value());
    EXPECT_EQ(e->prefix, prefix(row.found));
    Lines told;
    for (const auto& t : e->peers) told.push_back(t.paths.empty() ? t.why : "told");
    EXPECT_EQ(told, row.told);
    EXPECT_EQ(e->kernel.empty() ? e->kernel_why : e->kernel.front().to_string(), row.kernel);
  }
  EXPECT_FALSE(us_.speaker.explain(prefix("198.51.100.0/24")).has_value());
}

}  // namespace
}  // namespace margay::bgp
