// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/selection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

namespace margay::bgp {
namespace {

AsPath path(std::vector<std::uint32_t> numbers) {
  AsPath p;
  p.append(AsPath::Segment::sequence, numbers);
  return p;
}

// A candidate that is the same as all others but for what a row changes.
struct Route {
  Attributes attributes;
  Candidate candidate;
};

Route route(const std::function<void(Route&)>& change = {}) {
  Route r;
  r.attributes.as_path = path({65001, 65002});
  r.candidate.external = true;
  r.candidate.peer_id = RouterId(50);
  r.candidate.peer_address = *Ip::parse("10.0.0.50");
  if (change) change(r);
  return r;
}

struct Row {
  const char* name;
  Route better, worse;
  bool multipath = false;  // both are used
};

TEST(Selection, decides_step_by_step) {
  const Row rows[] = {
      {"reachable over elevated", route(), route([](Route& r) {
         r.candidate.unreachable = true;
         r.candidate.elevated = true;
       })},
      {"elevated over local", route([](Route& r) { r.candidate.elevated = true; }),
       route([](Route& r) { r.candidate.local = true; })},
      {"local over learnt", route([](Route& r) { r.candidate.local = true; }),
       route([](Route& r) { r.attributes.local_pref = 1000; })},
      {"fresh over stale", route(), route([](Route& r) {
         r.candidate.stale = true;
         r.attributes.local_pref = 1000;
       })},
      {"local preference, 100 by default", route([](Route& r) { r.attributes.local_pref = 101; }),
       route([](Route& r) { r.attributes.as_path = path({1}); })},
      {"shorter path", route([](Route& r) { r.attributes.as_path = path({65001}); }),
       route([](Route& r) { r.candidate.peer_id = RouterId(1); })},
      {"origin", route(), route([](Route& r) { r.attributes.origin = Origin::incomplete; })},
      {"MED of the same neighbour", route([](Route& r) { r.attributes.med = 5; }),
       route([](Route& r) {
         r.attributes.med = 6;
         r.candidate.peer_id = RouterId(1);
       })},
      {"no MED is zero", route(), route([](Route& r) {
         r.attributes.med = 1;
         r.candidate.peer_id = RouterId(1);
       })},
      {"MED of different neighbours does not count", route([](Route& r) {
         r.attributes.med = 9;
         r.candidate.peer_id = RouterId(1);
       }),
       route([](Route& r) {
         r.attributes.as_path = path({65003, 65002});
       }),
       true},
      {"external over internal", route(), route([](Route& r) {
         r.candidate.external = false;
         r.candidate.peer_id = RouterId(1);
       })},
      {"nearer next hop", route(), route([](Route& r) {
         r.candidate.cost = 1;
         r.candidate.peer_id = RouterId(1);
       })},
      {"external over internal, however far", route([](Route& r) { r.candidate.cost = 9; }),
       route([](Route& r) { r.candidate.external = false; })},
      {"lower identifier", route([](Route& r) { r.candidate.peer_id = RouterId(1); }), route(),
       true},
      {"the originator stands for the peer",
       route([](Route& r) { r.attributes.originator_id = RouterId(1); }), route(), true},
      {"shorter cluster list", route(),
       route([](Route& r) { r.attributes.cluster_list = {RouterId(1)}; }), true},
      {"lower address", route([](Route& r) { r.candidate.peer_address = *Ip::parse("10.0.0.2"); }),
       route(), true},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    for (const bool swapped : {false, true}) {
      std::vector<Candidate> list = {row.better.candidate, row.worse.candidate};
      list[0].attributes = &row.better.attributes;
      list[1].attributes = &row.worse.attributes;
      list[0].tag = 1;
      list[1].tag = 2;
      if (swapped) std::swap(list[0], list[1]);
      const auto n = select_best(list);
      EXPECT_EQ(list[0].tag, 1U);
      EXPECT_EQ(n, row.multipath ? 2U : 1U);
      EXPECT_NE(deciding_step(list[0], list[1]), "");
      EXPECT_EQ(deciding_step(list[0], list[0]), "");
    }
  }
}

TEST(Selection, does_not_depend_on_the_order_of_candidates) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<Route> routes;
    for (unsigned i = 0; i < 6; ++i) {
      routes.push_back(route([&](Route& r) {
        r.attributes.as_path = path({65001 + static_cast<std::uint32_t>(random() % 2), 1});
        r.attributes.med = random() % 3;
        r.candidate.external = random() % 2 == 0;
        r.candidate.cost = random() % 2;
        r.candidate.peer_id = RouterId(static_cast<std::uint32_t>(random() % 3));
        r.candidate.peer_address = *Ip::parse("10.0.0." + std::to_string(i));
      }));
    }
    std::vector<Candidate> list;
    for (unsigned i = 0; i < 6; ++i) {
      list.push_back(routes[i].candidate);
      list.back().attributes = &routes[i].attributes;
      list.back().tag = i;
    }
    auto first = list;
    const auto n = select_best(first);
    for (int i = 0; i < 10; ++i) {
      std::shuffle(list.begin(), list.end(), random);
      auto again = list;
      EXPECT_EQ(select_best(again), n);
      EXPECT_EQ(again[0].tag, first[0].tag);
    }
    for (unsigned i = 1; i < 6; ++i) EXPECT_NE(deciding_step(first[0], first[i]), "");
  }
}

}  // namespace
}  // namespace margay::bgp
