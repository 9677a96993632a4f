// SPDX-License-Identifier: Apache-2.0
// Formats as calicoctl prints them, character by character.
#include "ctl/print.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace margay::ctl {
namespace {

using model::Kind;

std::string print(Kind kind, const char* objects, const char* output, bool with_namespace = false) {
  Listed list{kind, {}, true, "7"};
  for (const Json& o : Json::parse(objects)) list.objects.push_back(o);
  const auto parsed = parse_output(output);
  EXPECT_TRUE(parsed.ok());
  const auto text = print_objects({list}, *parsed, with_namespace, {});
  EXPECT_TRUE(text.ok()) << text.error().message();
  return text.ok() ? *text : "";
}

TEST(Tables, pools_narrow_and_wide) {
  const char* pools =
      R"json([{"metadata":{"name":"pool-a"},"spec":{"cidr":"10.33.0.0/17","vxlanMode":"CrossSubnet",
      "ipipMode":"Never","natOutgoing":true,"nodeSelector":"all()","assignmentMode":"Automatic"}}])json";
  EXPECT_EQ(print(Kind::ip_pool, pools, ""),
            "NAME     CIDR           SELECTOR\n"
            "pool-a   10.33.0.0/17   all()\n\n");
  EXPECT_EQ(
      print(Kind::ip_pool, pools, "wide"),
      "NAME     CIDR           NAT     IPIPMODE   VXLANMODE     DISABLED   DISABLEBGPEXPORT   "
      "SELECTOR   ASSIGNMENTMODE\n"
      "pool-a   10.33.0.0/17   true    Never      CrossSubnet   false      false              "
      "all()      Automatic\n\n");
}

TEST(Tables, nodes_inherit_the_clusters_as_number_in_parentheses) {
  const char* nodes = R"([{"metadata":{"name":"n1"},"spec":{"bgp":{"ipv4Address":"10.0.0.1/24"}}},
    {"metadata":{"name":"n2"},"spec":{"bgp":{"asNumber":64513,"ipv6Address":"fd00::2/64"}}}])";
  EXPECT_EQ(print(Kind::node, nodes, "wide"),
            "NAME    ASN       IPV4          IPV6\n"
            "n1      (64512)   10.0.0.1/24\n"
            "n2      64513                   fd00::2/64\n\n");
}

TEST(Tables, namespaces_come_first_when_asked_for) {
  const char* policies =
      R"([{"metadata":{"name":"web","namespace":"shop"},"spec":{"order":10.5}}])";
  EXPECT_EQ(print(Kind::network_policy, policies, "", true),
            "NAMESPACE   NAME    TIER\n"
            "shop        web     default\n\n");
  EXPECT_EQ(print(Kind::network_policy, policies, "wide"),
            "NAME    TIER      ORDER   SELECTOR\n"
            "web     default   10.5\n\n");
}

TEST(Tables, custom_columns_and_what_is_no_column) {
  const char* peers =
      R"([{"metadata":{"name":"p"},"spec":{"peerIP":"10.0.0.1","asNumber":64512}}])";
  EXPECT_EQ(print(Kind::bgp_peer, peers, "custom-columns=NAME,ASN"),
            "NAME    ASN\np       64512\n\n");
  const auto text = print_objects({Listed{Kind::bgp_peer, {}, true, ""}},
                                  *parse_output("custom-columns=BAD"), false, {});
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().message(), "unknown heading, valid values are: NAME, PEERIP, NODE, ASN");
  EXPECT_FALSE(parse_output("bogus").ok());
}

TEST(Documents, a_list_is_a_list_kind_and_one_object_is_itself) {
  const Json list = Json::parse(print(Kind::tier, R"([{"kind":"Tier"}])", "json"));
  EXPECT_EQ(list["kind"], "TierList");
  EXPECT_EQ(list["items"].size(), 1U);
  EXPECT_EQ(list["metadata"]["resourceVersion"], "7");
  Listed one{Kind::tier, {Json{{"kind", "Tier"}}}, false, ""};
  EXPECT_EQ(Json::parse(*print_objects({one}, *parse_output("json"), false, {}))["kind"], "Tier");
}

TEST(Tables, boxes_as_node_status_prints_them) {
  EXPECT_EQ(boxed_table({{"PEER ADDRESS", "STATE", "INFO"}, {"10.0.0.1", "up", "Established"}}),
            "+--------------+-------+-------------+\n"
            "| PEER ADDRESS | STATE |    INFO     |\n"
            "+--------------+-------+-------------+\n"
            "| 10.0.0.1     | up    | Established |\n"
            "+--------------+-------+-------------+\n");
}

}  // namespace
}  // namespace margay::ctl
