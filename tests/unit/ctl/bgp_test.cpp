// SPDX-License-Identifier: Apache-2.0
#include "ctl/bgp.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace margay::ctl {
namespace {

TEST(BgpTables, neighbours_all_or_one) {
  const Json bgp = Json::parse(R"({"peers":[
    {"name":"Global_10_0_0_2","address":"10.0.0.2","port":179,"type":"global","remoteAs":65000,
     "state":"start","since":0,"prefixesIn":3,"prefixesAccepted":2,"prefixesOut":1,"messagesIn":7,
     "messagesOut":8,"info":"Active Socket: Connection refused"},
    {"name":"Node_fd00__2_port_1790","address":"fd00::2","port":1790,"type":"node specific",
     "remoteAs":64512,"state":"up","since":0,"info":"Established"}]})");
  const std::string all = neighbors_table(bgp, "");
  EXPECT_NE(all.find("10.0.0.2"), std::string::npos);
  EXPECT_NE(all.find("[fd00::2]:1790"), std::string::npos);
  const std::string one = neighbors_table(bgp, "10.0.0.2");
  EXPECT_EQ(one.find("fd00"), std::string::npos);
  EXPECT_NE(one.find("3          2          1            7/8        Active Socket: Connection "
                     "refused"),
            std::string::npos)
      << one;
  EXPECT_EQ(neighbors_table(bgp, "Global_10_0_0_2"), one);
}

TEST(BgpTables, routes_with_their_marks) {
  const Json routes = Json::parse(R"([
    {"prefix":"10.65.1.0/26","nextHop":"","peer":"","best":true,"localPref":5,"med":0,"asPath":"",
     "communities":["64512:1","1:2:3"],"why":""},
    {"prefix":"10.65.2.0/26","nextHop":"10.0.0.2","peer":"Mesh_10_0_0_2","multipath":true,
     "stale":true,"localPref":5,"med":0,"asPath":"65001","communities":[],"why":"higher router id"}
  ])");
  EXPECT_EQ(routes_table(routes),
            "  PREFIX          NEXT HOP   FROM            LOCALPREF   MED     AS PATH   "
            "COMMUNITIES     WHY NOT\n"
            "* 10.65.1.0/26    -          this node       5           0       -         "
            "64512:1 1:2:3   -\n"
            "=S 10.65.2.0/26   10.0.0.2   Mesh_10_0_0_2   5           0       65001     "
            "-               higher router id\n\n");
}

TEST(BgpTables, an_explanation_says_who_is_told_and_who_is_not) {
  const Json e = Json::parse(R"({"prefix":"10.65.2.0/26","paths":[],
    "kernel":{"nextHops":[],"why":"it is this node's own"},
    "peers":[{"peer":"a","told":[{"nextHop":"10.0.0.1","asPath":"64512"}],"why":""},
             {"peer":"b","told":[],"why":"its session is down"}]})");
  const std::string text = explanation_text(e);
  EXPECT_NE(text.find("Kernel: none, it is this node's own\n"), std::string::npos) << text;
  EXPECT_NE(text.find("a       via 10.0.0.1   64512     -\n"), std::string::npos) << text;
  EXPECT_NE(text.find("b       nothing        -         its session is down\n"), std::string::npos)
      << text;
}

}  // namespace
}  // namespace margay::ctl
