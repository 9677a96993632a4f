// SPDX-License-Identifier: Apache-2.0
#include "model/document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/codec.h"

namespace margay::model {
namespace {

using ::testing::HasSubstr;

std::vector<Document> must_parse(std::string_view text, const DocumentOptions& options = {}) {
  auto r = parse_documents(text, options);
  if (!r.ok()) {
    ADD_FAILURE() << r.error().message();
    return {};
  }
  return std::move(r).value();
}

std::string error_of(std::string_view text) {
  const auto r = parse_documents(text, {"f.yaml", "default"});
  if (r.ok()) return "no error";
  EXPECT_EQ(r.error().code, Code::invalid);
  return r.error().context;
}

TEST(Documents, reads_several_yaml_documents) {
  const auto docs = must_parse(R"(# two peers and an empty document
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor-a}
spec:
  peerIP: 198.51.100.1
  asNumber: 64601
---
---
kind: NetworkPolicy
apiVersion: projectcalico.org/v3
metadata:
  name: web
  resourceVersion: "12"
spec: {}
)",
                               {"f.yaml", "shop"});
  ASSERT_EQ(docs.size(), 2U);
  EXPECT_EQ(docs[0].key, (Key{Kind::bgp_peer, "", "tor-a"}));
  EXPECT_EQ(docs[0].where, "f.yaml:2");
  EXPECT_EQ(docs[0].json,
            R"({"kind":"BGPPeer","apiVersion":"projectcalico.org/v3","metadata":{"name":"tor-a"},)"
            R"("spec":{"peerIP":"198.51.100.1","asNumber":64601}})");
  EXPECT_EQ(docs[1].key, (Key{Kind::network_policy, "shop", "web"}));
  EXPECT_EQ(docs[1].where, "f.yaml:10");
  EXPECT_EQ(docs[1].resource_version, "12");
  EXPECT_EQ(docs[1].json, R"({"kind":"NetworkPolicy","apiVersion":"projectcalico.org/v3",)"
                          R"("metadata":{"name":"web","namespace":"shop"},"spec":{}})");
}

TEST(Documents, reads_lists_and_arrays_in_yaml_and_json) {
  const char* rows[] = {
      R"({"kind": "TierList", "apiVersion": "projectcalico.org/v3", "metadata": {},
 "items": [{"metadata": {"name": "a"}},
           {"kind": "Tier", "apiVersion": "projectcalico.org/v3", "metadata": {"name": "b"}}]})",
      R"([{"kind": "Tier", "apiVersion": "projectcalico.org/v3", "metadata": {"name": "a"}},
          {"kind": "Tier", "apiVersion": "projectcalico.org/v3", "metadata": {"name": "b"}}])",
      R"(- {kind: Tier, apiVersion: projectcalico.org/v3, metadata: {name: a}}
- {kind: Tier, apiVersion: projectcalico.org/v3, metadata: {name: b}})",
      R"(kind: List
apiVersion: v1
items:
- {kind: Tier, apiVersion: projectcalico.org/v3, metadata: {name: a}}
- {kind: Tier, apiVersion: projectcalico.org/v3, metadata: {name: b}})",
      R"({kind: Tier, apiVersion: projectcalico.org/v3, metadata: {name: a}}
---
{kind: Tier, apiVersion: projectcalico.org/v3, metadata: {name: b}}
)",
  };
  for (const char* text : rows) {
    SCOPED_TRACE(text);
    const auto docs = must_parse(text);
    ASSERT_EQ(docs.size(), 2U);
    EXPECT_EQ(docs[0].key, (Key{Kind::tier, "", "a"}));
    EXPECT_EQ(docs[1].key, (Key{Kind::tier, "", "b"}));
    EXPECT_EQ(docs[1].json,
              R"({"kind":"Tier","apiVersion":"projectcalico.org/v3","metadata":{"name":"b"}})");
  }
  EXPECT_EQ(must_parse(rows[0])[1].where, "input:3");
  EXPECT_EQ(must_parse(rows[3])[1].where, "input:5");
  for (const char* text :
       {"", "  \n", "---\n", "# nothing\n", "{\"kind\":\"TierList\",\"items\":[]}",
        "kind: TierList\nitems:\n", "[]"}) {
    EXPECT_EQ(must_parse(text).size(), 0U) << text;
  }
}

TEST(Documents, types_scalars_as_kubernetes_does) {
  const auto docs = must_parse(R"(kind: Profile
apiVersion: projectcalico.org/v3
metadata: {name: x}
spec:
  yes_plain: yes
  true_quoted: "true"
  int: 12
  negative: -7
  octal: 010
  hex: 0x1F
  float: 1.5
  exponent: 1e3
  big: 18446744073709551616
  quoted: '12'
  community: 64601:120
  time: 2026-01-02T03:04:05Z
  version: 1.2.3
  nothing:
  tilde: ~
  tagged: !!str 12
  block: |
    two
    lines
  merged: &m {a: 1, b: 2}
  with: {<<: *m, b: 3}
  unicode: "\u00e9\u65e5"
)");
  ASSERT_EQ(docs.size(), 1U);
  const auto& json = docs[0].json;
  const char* expected[] = {R"("yes_plain":true)",
                            R"("true_quoted":"true")",
                            R"("int":12)",
                            R"("negative":-7)",
                            R"("octal":8)",
                            R"("hex":31)",
                            R"("float":1.5)",
                            R"("exponent":1000.0)",
                            R"("big":1.8446744073709552e+19)",
                            R"("quoted":"12")",
                            R"("community":"64601:120")",
                            R"("time":"2026-01-02T03:04:05Z")",
                            R"("version":"1.2.3")",
                            R"("nothing":null)",
                            R"("tilde":null)",
                            R"("tagged":"12")",
                            R"("block":"two\nlines\n")",
                            R"("with":{"b":3,"a":1})",
                            "\"unicode\":\"\xc3\xa9\xe6\x97\xa5\""};
  for (const char* part : expected) EXPECT_THAT(json, HasSubstr(part));
}

TEST(Documents, errors_name_file_and_line) {
  struct Row {
    const char* text;
    const char* error;
  };
  const Row rows[] = {
      {"kind: Foo\napiVersion: projectcalico.org/v3\nmetadata: {name: a}",
       "f.yaml:1: unknown resource type (Foo) and/or version (projectcalico.org/v3)"},
      {"a: 1\n---\nkind: Tier\nmetadata: {name: a}", "f.yaml:1: unknown resource type ()"},
      {"\n\nkind: Tier\napiVersion: v1\n", "f.yaml:3: unknown resource type (Tier) and/or version"},
      {"kind: Tier\napiVersion: projectcalico.org/v3", "f.yaml:1: Tier: metadata is required"},
      {"kind: Tier\napiVersion: projectcalico.org/v3\nmetadata: {}", "a name is required"},
      {"kind: Tier\napiVersion: projectcalico.org/v3\nmetadata: {name: a/b}", "without '/'"},
      {"kind: Tier\napiVersion: projectcalico.org/v3\nmetadata: {name: 12}", "a name is required"},
      {"a: 1\nb: [1, 2\nc: 3\n", "malformed YAML"},
      {"a: 1\na: 2\n", "f.yaml:2: the key 'a' is given twice"},
      {"a:\n\t- 1\n", "f.yaml:2: malformed YAML"},
      {"a: *missing\n", "malformed YAML"},
      {"? [a]\n: 1\n", "a key must be a text"},
      {"a: .inf\n", "'.inf' is not a value that JSON has"},
      {"a: !!binary aGk=\n", "unknown tag 'binary'"},
      {"kind: T\xff", "f.yaml: not UTF-8 text"},
      {"a: 1\n}\n", "f.yaml:"},
      {",", "f.yaml:1: malformed YAML: stray text"},
      {"]", "f.yaml:1: malformed YAML"},
      {"just text", "f.yaml:1: a resource must be a map"},
      {"- 1\n- 2", "a resource must be a map"},
      {"{\"kind\": \"Tier\",\n \"apiVersion\": }", "f.yaml:2: malformed JSON"},
      {"{\"kind\": \"Tier\"", "f.yaml:1: malformed JSON"},
      {"{\"a\": 1, \"a\": 2}", "f.yaml:1: the key 'a' is given twice"},
      {"{\"kind\":\"List\",\"items\":3}", "List: items must be a list"},
      {"{\"kind\":\"List\",\"items\":[{\"kind\":\"List\",\"items\":[]}]}",
       "unknown resource type (List)"},
  };
  for (const auto& row : rows) EXPECT_THAT(error_of(row.text), HasSubstr(row.error)) << row.text;
}

TEST(Documents, bombs_are_errors) {
  const auto repeat = [](std::string_view s, int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += s;
    return out;
  };
  EXPECT_THAT(error_of(repeat("[", 100000)), HasSubstr("more than 100 levels"));
  EXPECT_THAT(error_of(repeat("{\"a\":", 100000)), HasSubstr("more than 100 levels"));
  EXPECT_THAT(error_of("a: " + repeat("[", 101) + repeat("]", 101)),
              HasSubstr("more than 100 levels"));
  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  std::string tower = "a0: &a0 []\n";
  for (int i = 1; i < 12; ++i) {
    const std::string name = "a" + std::to_string(i), last = "*a" + std::to_string(i - 1);
    laughs += name + ": &" + name + " [" + repeat(last + ", ", 9) + last + "]\n";
  }
  EXPECT_THAT(error_of(laughs), HasSubstr("too large"));
  for (int i = 1; i < 200; ++i) {
    const std::string name = "a" + std::to_string(i), last = "*a" + std::to_string(i - 1);
    tower += name + ": &" + name + " [" + last + "]\n";
  }
  EXPECT_THAT(error_of(tower), HasSubstr("more than 100 levels"));
  EXPECT_THAT(error_of("a: &a [*a]\n"), HasSubstr("alias"));
}

TEST(Documents, many_keys_take_no_quadratic_time) {
  std::string text =
      "{\"kind\":\"Tier\",\"apiVersion\":\"projectcalico.org/v3\",\"metadata\":{"
      "\"name\":\"a\"}";
  for (int i = 0; i < 200000; ++i) text += ",\"k" + std::to_string(i) + "\":0";
  EXPECT_EQ(must_parse(text + "}").size(), 1U);
}

TEST(Yaml, prints_as_calicoctl_does) {
  const auto yaml = to_yaml(
      R"j({"kind":"IPPool","apiVersion":"projectcalico.org/v3","metadata":{"name":"p1",
      "creationTimestamp":"2026-01-02T03:04:05Z","resourceVersion":"22","labels":{}},
      "spec":{"cidr":"10.1.0.0/16","allowedUses":["Workload","Tunnel"],"natOutgoing":true,
      "blockSize":26,"nodeSelector":"all()","list":[{"b":[1,2],"a":"x"},[],[["deep"]]],
      "texts":["true","12","1.5","~","","no","a: b","a #b","- a","*","'q'","yes it is","x:",
        " lead","tail ","::1","10.0.0.0/8","rack == 'r'","@x","y","a\u0007b","-1","-x","?"],
      "text":"two\nlines","other":"two\nlines\n","null":null,"order":1000000,"half":0.5}})j");
  ASSERT_TRUE(yaml.ok()) << yaml.error().message();
  EXPECT_EQ(*yaml, R"j(apiVersion: projectcalico.org/v3
kind: IPPool
metadata:
  creationTimestamp: "2026-01-02T03:04:05Z"
  labels: {}
  name: p1
  resourceVersion: "22"
spec:
  allowedUses:
  - Workload
  - Tunnel
  blockSize: 26
  cidr: 10.1.0.0/16
  half: 0.5
  list:
  - a: x
    b:
    - 1
    - 2
  - []
  - - - deep
  natOutgoing: true
  nodeSelector: all()
  "null": null
  order: 1000000
  other: |
    two
    lines
  text: |-
    two
    lines
  texts:
  - "true"
  - "12"
  - "1.5"
  - "~"
  - ""
  - "no"
  - 'a: b'
  - 'a #b'
  - '- a'
  - '*'
  - '''q'''
  - yes it is
  - 'x:'
  - ' lead'
  - 'tail '
  - ::1
  - 10.0.0.0/8
  - rack == 'r'
  - '@x'
  - "y"
  - "a\u0007b"
  - "-1"
  - -x
  - '?'
)j");
  EXPECT_FALSE(to_yaml("{").ok());
  EXPECT_EQ(*to_yaml("[]"), "[]\n");
  EXPECT_EQ(*to_yaml("\"x\""), "x\n");
}

TEST(Yaml, what_is_printed_reads_back_the_same) {
  const std::string json =
      R"({"kind":"Profile","apiVersion":"projectcalico.org/v3","metadata":{)"
      R"("annotations":{"a":"{\"x\":\"y\"}","b":"line1\nline2\n\n","c":"\ttab","d":"null","e":"0x1"},"name":"p"},)"
      R"("spec":{"x":[{"y":[{"z":1}]},{"y":{}}]}})";
  const auto yaml = to_yaml(json);
  ASSERT_TRUE(yaml.ok());
  const auto docs = must_parse(*yaml);
  ASSERT_EQ(docs.size(), 1U) << *yaml;
  EXPECT_EQ(docs[0].json, json) << *yaml;
}

TEST(Json, is_indented_without_a_last_newline) {
  EXPECT_EQ(*to_pretty_json(R"({"b":[1,{}],"a":"x"})"),
            "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": \"x\"\n}");
}

// --- what a write adds -----------------------------------------------------------------------

struct DefaultsRow {
  const char* name;
  Key key;
  const char* spec;
  const char* metadata_part;  // in the result
  const char* spec_part;
};

TEST(Defaults, are_those_that_calico_writes) {
  const DefaultsRow rows[] = {
      {"v4 pool",
       {Kind::ip_pool, "", "a"},
       R"({"cidr":"10.1.0.0/16","blockSize":0})",
       "",
       R"("spec":{"cidr":"10.1.0.0/16","blockSize":26,"vxlanMode":"Never","ipipMode":"Never",)"
       R"j("nodeSelector":"all()","allowedUses":["Workload","Tunnel"],"assignmentMode":"Automatic"})j"},
      {"v6 pool",
       {Kind::ip_pool, "", "a"},
       R"({"cidr":"fd00::/64","nodeSelector":""})",
       "",
       R"j("nodeSelector":"all()","vxlanMode":"Never","ipipMode":"Never","blockSize":122)j"},
      {"ingress by default",
       {Kind::network_policy, "ns", "a"},
       "{}",
       R"("labels":{"projectcalico.org/tier":"default"},)"
       R"("annotations":{"projectcalico.org/metadata":"{\"name\":\"a\"}"})",
       R"("spec":{"tier":"default","types":["Ingress"]})"},
      {"egress rules only",
       {Kind::global_network_policy, "", "a"},
       R"({"tier":"t","egress":[{"action":"Allow"}]})",
       R"("labels":{"projectcalico.org/tier":"t"})",
       R"("types":["Egress"])"},
      {"both",
       {Kind::global_network_policy, "", "a"},
       R"({"ingress":[{"action":"Deny"}],"egress":[{"action":"Allow"}]})",
       "",
       R"("types":["Ingress","Egress"])"},
      {"types as given",
       {Kind::network_policy, "ns", "a"},
       R"({"types":["Egress"]})",
       "",
       R"("types":["Egress"])"},
      {"staged", {Kind::staged_network_policy, "ns", "a"}, "{}", "", R"("stagedAction":"Set")"},
      {"bgp configuration",
       {Kind::bgp_configuration, "", "default"},
       R"({"logSeverityScreen":"Debug"})",
       "",
       R"("spec":{"logSeverityScreen":"Debug","serviceLoadBalancerAggregation":"Enabled"})"},
      {"felix",
       {Kind::felix_configuration, "", "default"},
       R"({"floatingIPs":"Enabled"})",
       "",
       R"("floatingIPs":"Enabled","nftablesMode":"Auto")"},
      {"tier",
       {Kind::tier, "", "a"},
       R"({"order":null})",
       "",
       R"("spec":{"defaultAction":"Deny"})"},
      {"endpoint",
       {Kind::workload_endpoint, "ns", "a"},
       R"({"orchestrator":"k8s","serviceAccountName":"bot"})",
       R"("labels":{"projectcalico.org/namespace":"ns","projectcalico.org/orchestrator":"k8s",)"
       R"("projectcalico.org/serviceaccount":"bot"})",
       ""},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    const std::string json = R"({"metadata":{"name":"a"},"spec":)" + std::string(row.spec) + "}";
    const auto out = with_defaults(row.key, json, {"u-1", "2026-01-02T03:04:05Z"});
    ASSERT_TRUE(out.ok()) << out.error().message();
    EXPECT_THAT(*out, HasSubstr(R"("uid":"u-1","creationTimestamp":"2026-01-02T03:04:05Z")"));
    EXPECT_THAT(*out, HasSubstr(row.metadata_part));
    EXPECT_THAT(*out, HasSubstr(row.spec_part));
    // Filling in twice changes nothing.
    EXPECT_EQ(*with_defaults(row.key, *out, {"u-2", "later"}), *out);
  }
  EXPECT_EQ(*with_defaults({Kind::staged_kubernetes_network_policy, "n", "a"},
                           R"({"metadata":{"name":"a"}})", {"u", "t"}),
            R"({"metadata":{"name":"a","uid":"u","creationTimestamp":"t"},)"
            R"("spec":{"stagedAction":"Set"}})");
  EXPECT_FALSE(with_defaults({Kind::tier, "", "a"}, R"({"spec":3})", {}).ok());
  EXPECT_FALSE(with_defaults({Kind::tier, "", "a"}, "[]", {}).ok());
  // Blocks are data: a null in their lists says "free".
  EXPECT_EQ(
      *with_defaults({Kind::ipam_block, "", "10.0.0.0/31"}, R"({"allocations":[null,0]})", {}),
      R"({"allocations":[null,0]})");
}

TEST(Defaults, identity_comes_from_the_stored_object) {
  EXPECT_EQ(*with_identity_of(R"({"metadata":{"name":"a","uid":"old","creationTimestamp":"t0"}})",
                              R"({"metadata":{"name":"a","uid":"mine"},"spec":{}})"),
            R"({"metadata":{"name":"a","uid":"old","creationTimestamp":"t0"},"spec":{}})");
  EXPECT_EQ(*with_resource_version(R"({"metadata":{"name":"a"}})", Revision(7)),
            R"({"metadata":{"name":"a","resourceVersion":"7"}})");
}

TEST(Defaults, stamps_are_random_and_well_formed) {
  const Stamp a = fresh_stamp(), b = fresh_stamp();
  EXPECT_NE(a.uid, b.uid);
  EXPECT_THAT(a.uid, ::testing::MatchesRegex(
                         "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_THAT(a.now, ::testing::MatchesRegex("20[0-9-]{8}T[0-9:]{8}Z"));
}

}  // namespace
}  // namespace margay::model
