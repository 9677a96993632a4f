// SPDX-License-Identifier: Apache-2.0
#include "agent/options.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

namespace margay::agent {
namespace {

Result<Options> parse(std::vector<const char*> args, std::vector<const char*> environment = {}) {
  args.insert(args.begin(), "margay-agent");
  environment.push_back(nullptr);
  return parse_options(static_cast<int>(args.size()), args.data(), environment.data());
}

TEST(Options, defaults_run_with_bgp) {
  const auto o = parse({});
  ASSERT_TRUE(o.ok());
  EXPECT_EQ(o->mode, Mode::run);
  EXPECT_EQ(o->backend, Backend::bird);
  EXPECT_EQ(o->socket_path, "/run/margay/agent.sock");
}

TEST(Options, the_nodes_name_comes_from_felixhostname_then_nodename) {
  auto o = parse({}, {"NODENAME=n1"});
  EXPECT_EQ(node_name(*o, o->layers.resolve()), "n1");
  o = parse({}, {"NODENAME=n1", "FELIX_FELIXHOSTNAME=n2"});
  EXPECT_EQ(node_name(*o, o->layers.resolve()), "n2");
}

TEST(Options, a_reflector_has_its_resources_from_a_file_and_no_dataplane) {
  EXPECT_TRUE(parse({})->dataplane);
  const auto o = parse({"--resources", "/etc/rr0.yaml", "--no-dataplane", "--bgp-passwords", "/p"});
  ASSERT_TRUE(o.ok());
  EXPECT_EQ(o->resources_file, "/etc/rr0.yaml");
  EXPECT_EQ(o->password_directory, "/p");
  EXPECT_FALSE(o->dataplane);
}

TEST(Options, of_services_come_from_the_environment) {
  const auto o =
      parse({}, {"CALICO_K8S_NODE_REF=host-1", "CALICO_ADVERTISE_CLUSTER_IPS=10.96.0.0/12"});
  ASSERT_TRUE(o.ok());
  EXPECT_EQ(o->k8s_node_ref, "host-1");
  EXPECT_EQ(o->cluster_ips, *Prefix::parse("10.96.0.0/12"));
  EXPECT_FALSE(parse({}, {"CALICO_ADVERTISE_CLUSTER_IPS=10.96.0.1/12"}).ok());
}

TEST(Options, of_bgp_log_come_from_the_environment) {
  EXPECT_FALSE(parse({}, {})->bgp_log_level.has_value());
  EXPECT_EQ(parse({}, {"BGP_LOGSEVERITYSCREEN=Warning"})->bgp_log_level, log::Level::warn);
  const auto wrong = parse({}, {"BGP_LOGSEVERITYSCREEN=loud"});
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.error().message().find("BGP_LOGSEVERITYSCREEN: 'loud'"), std::string::npos);
}

TEST(Options, errors_name_the_argument) {
  for (const auto& [args, word] : std::vector<std::pair<std::vector<const char*>, std::string>>{
           {{"--nonsense"}, "--nonsense"},
           {{"--config"}, "--config"},
           {{"--config", "/does/not/exist"}, "/does/not/exist"},
           {{"--datastore", "sqlite:///a", "--resources", "b"}, "--resources"}}) {
    const auto o = parse(args);
    ASSERT_FALSE(o.ok()) << word;
    EXPECT_NE(o.error().message().find(word), std::string::npos) << o.error().message();
  }
  const auto o = parse({}, {"CALICO_NETWORKING_BACKEND=frr"});
  ASSERT_FALSE(o.ok());
  EXPECT_NE(o.error().message().find("frr"), std::string::npos);
}

TEST(Options, the_file_is_below_the_environment_and_a_bad_reload_changes_nothing) {
  const std::string path = testing::TempDir() + "margay-options-test.cfg";
  std::ofstream(path) << "HealthPort = 1\nVXLANPort = 2\n";
  auto o = parse({"--config", path.c_str()}, {"FELIX_HEALTHPORT=3"});
  ASSERT_TRUE(o.ok()) << o.error().message();
  EXPECT_EQ(o->layers.resolve().number("HealthPort"), 3U);
  EXPECT_EQ(o->layers.resolve().number("VXLANPort"), 2U);
  std::ofstream(path) << "nonsense\n";
  EXPECT_FALSE(reload_file(*o).ok());
  EXPECT_EQ(o->layers.resolve().number("VXLANPort"), 2U);
  std::ofstream(path) << "VXLANPort = 4\n";
  EXPECT_TRUE(reload_file(*o).ok());
  EXPECT_EQ(o->layers.resolve().number("VXLANPort"), 4U);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace margay::agent
