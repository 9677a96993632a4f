// SPDX-License-Identifier: Apache-2.0
#include "agent/config/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace margay::config {
namespace {

TEST(Parameters, names_and_fields_are_unique_and_defaults_are_legal) {
  std::set<std::string_view> names, fields;
  for (const Parameter& p : parameters()) {
    SCOPED_TRACE(p.name);
    EXPECT_TRUE(names.insert(p.name).second);
    EXPECT_TRUE(p.field.empty() || fields.insert(p.field).second);
    EXPECT_FALSE(p.description.empty());
    if (p.effect != Effect::refused) {
      const auto value = canonical(p, p.default_value);
      ASSERT_TRUE(value.ok()) << value.error().message();
    }
  }
}

TEST(Parameters, the_reference_document_is_generated_from_the_table) {
  std::ifstream file(MARGAY_SOURCE_DIR "/docs/config-reference.md");
  std::stringstream content;
  content << file.rdbuf();
  EXPECT_EQ(content.str(), reference_markdown())
      << "run: margay-agent --config-reference > docs/config-reference.md";
}

struct ValueRow {
  const char* name;
  const char* text;
  const char* want;  // nullptr: refused
};
TEST(Parameters, canonical_values) {
  const ValueRow rows[] = {
      {"HealthEnabled", "yes", "true"},
      {"HealthEnabled", "maybe", nullptr},
      {"HealthPort", "65535", "65535"},
      {"HealthPort", "65536", nullptr},
      {"HealthPort", "-1", nullptr},
      {"DefaultEndpointToHostAction", "accept", "ACCEPT"},
      {"DefaultEndpointToHostAction", "ACCEPT ", nullptr},
      {"NftablesMarkMask", "0xffff0000", "4294901760"},
      {"NftablesMarkMask", "0xffffc000", nullptr},
      {"NftablesMarkMask", "0x10000", nullptr},
      {"RouteRefreshInterval", "1m30s", "90"},
      {"RouteRefreshInterval", "90", "90"},
      {"RouteRefreshInterval", "90 s", nullptr},
      {"InterfacePrefix", "cali,tap", "cali,tap"},
      {"InterfacePrefix", "", nullptr},
      {"InterfacePrefix", "cali*", nullptr},
      {"DeviceRouteSourceAddress", "172.17.0.1", "172.17.0.1"},
      {"DeviceRouteSourceAddress", "fd00::1", nullptr},
      {"NATPortRange", "1000:2000", "1000:2000"},
      {"NATPortRange", "2000:1000", nullptr},
      {"ExternalNodesCIDRList", "10.0.0.1, 10.1.0.0/16", "10.0.0.1/32,10.1.0.0/16"},
      {"FailsafeInboundHostPorts", "none", "none"},
      {"FailsafeInboundHostPorts", "tcp:10.0.0.0/8:22,udp:53", "tcp:10.0.0.0/8:22,udp:53"},
      {"FailsafeInboundHostPorts", "icmp:1", nullptr},
      {"FailsafeInboundHostPorts", "tcp:0", nullptr},
      {"TyphaCAFile", "/does/not/exist", nullptr},
      {"VXLANVNI", "16777216", nullptr},
      {"LogSeverityScreen", "Debug", "Debug"},
  };
  for (const ValueRow& row : rows) {
    SCOPED_TRACE(std::string(row.name) + "=" + row.text);
    const Parameter* p = find_parameter(row.name);
    ASSERT_NE(p, nullptr);
    const auto got = canonical(*p, row.text);
    ASSERT_EQ(got.ok(), row.want != nullptr);
    if (row.want != nullptr) {
      EXPECT_EQ(*got, row.want);
    } else {
      EXPECT_NE(got.error().message().find(row.name), std::string::npos);
      EXPECT_NE(got.error().message().find(std::string(legal_values(p->type))), std::string::npos);
    }
  }
}

TEST(Failsafes, take_protocol_and_net_in_every_form) {
  const auto ports = parse_failsafes("22,udp:53,tcp:10.0.0.0/8:80,tcp:[fd00::/8]:81");
  ASSERT_TRUE(ports.ok()) << ports.error().message();
  const std::vector<FailsafePort> want = {{6, {}, 22},
                                          {17, {}, 53},
                                          {6, *Prefix::parse("10.0.0.0/8"), 80},
                                          {6, *Prefix::parse("fd00::/8"), 81}};
  EXPECT_EQ(*ports, want);
}

TEST(Layers, the_higher_source_wins_and_an_invalid_value_falls_to_the_next) {
  Layers layers;
  layers.set(Source::global_resource,
             {{"healthPort", "1"}, {"vxlanPort", "1111"}, {"vxlanVNI", "7"}});
  layers.set(Source::node_resource, {{"healthPort", "2"}, {"vxlanPort", "nonsense"}});
  layers.set(Source::file, {{"HealthPort", "3"}});
  layers.set(Source::environment, {{"HEALTHPORT", "4"}});
  Config c = layers.resolve();
  EXPECT_EQ(c.number("HealthPort"), 4U);
  EXPECT_EQ(c.source("HealthPort"), Source::environment);
  EXPECT_EQ(c.number("VXLANPort"), 1111U);
  EXPECT_EQ(c.number("VXLANVNI"), 7U);
  ASSERT_EQ(c.problems().size(), 1U);
  EXPECT_NE(c.problems()[0].message.find("nonsense"), std::string::npos);
  EXPECT_NE(c.problems()[0].message.find("FelixConfiguration of this node"), std::string::npos);

  layers.set(Source::environment, {});
  layers.set(Source::file, {});
  c = layers.resolve();
  EXPECT_EQ(c.number("HealthPort"), 2U);
}

TEST(Layers, unknown_and_refused_parameters_are_named) {
  Layers layers;
  layers.set(Source::environment, {{"BPFEnabled", "true"}, {"NoSuchThing", "1"}});
  const Config c = layers.resolve();
  ASSERT_EQ(c.problems().size(), 2U);
  EXPECT_TRUE(c.problems()[0].refused);
  EXPECT_NE(c.problems()[0].message.find("BPFEnabled"), std::string::npos);
  EXPECT_FALSE(c.problems()[1].refused);
  EXPECT_NE(c.problems()[1].message.find("NoSuchThing"), std::string::npos);
}

TEST(Config, what_only_a_restart_changes_keeps_its_value_and_is_named) {
  Layers layers;
  layers.set(Source::file, {{"FelixHostname", "a"}, {"HealthPort", "1"}});
  const Config in_force = layers.resolve();
  layers.set(Source::file, {{"FelixHostname", "b"}, {"HealthPort", "2"}});
  Config now = layers.resolve();
  now.hold(in_force);
  EXPECT_EQ(now.text("FelixHostname"), "a");
  EXPECT_EQ(now.number("HealthPort"), 2U);
  EXPECT_EQ(now.waiting(), (std::vector<Waiting>{{"FelixHostname", "b"}}));
  layers.set(Source::file, {{"FelixHostname", "a"}});
  Config back = layers.resolve();
  back.hold(now);
  EXPECT_TRUE(back.waiting().empty());
}

TEST(Environment, takes_only_felix_variables_in_any_case) {
  const char* env[] = {"FELIX_HealthPort=1", "felix_HEALTHHOST=::1", "PATH=/bin", "FELIX=x",
                       nullptr};
  const Texts want = {{"HealthPort", "1"}, {"HEALTHHOST", "::1"}};
  EXPECT_EQ(from_environment(env), want);
}

TEST(File, takes_sections_and_comments_and_names_the_bad_line) {
  const auto texts = parse_file("f", "[global]\n# c\nHealthPort = 1\n\n VXLANPort=2 \r\n");
  ASSERT_TRUE(texts.ok());
  const Texts want = {{"HealthPort", "1"}, {"VXLANPort", "2"}};
  EXPECT_EQ(*texts, want);
  const auto bad = parse_file("felix.cfg", "HealthPort = 1\nnonsense\n");
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.error().message().find("felix.cfg:2"), std::string::npos);
}

}  // namespace
}  // namespace margay::config
