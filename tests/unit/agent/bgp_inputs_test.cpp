// SPDX-License-Identifier: Apache-2.0
// What BGP is given beside resources: routes of the kernel, passwords in files; and its metrics.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "agent/learnt_routes.h"
#include "agent/passwords.h"
#include "agent/show.h"
#include "tests/support/temp_dir.h"

namespace margay::agent {
namespace {

TEST(LearntRoutes, are_all_but_what_nobody_could_use) {
  struct Row {
    const char* dst;
    std::uint8_t protocol;  // 2: the kernel's own, of connected networks; 3, 4: people's
    const char* interface;
    bool learnt;
  };
  const Row rows[] = {
      {"10.65.0.0/24", 4, "eth0", true},
      {"0.0.0.0/0", 3, "eth0", true},
      {"10.0.0.0/24", 2, "eth0", true},
      {"172.17.0.0/16", 2, "docker0", false},
      {"172.18.0.0/16", 4, "docker0", true},
      {"10.65.0.9/32", 2, "cali123", false},
      {"10.96.0.9/32", 2, "kube-ipvs0", false},
      {"fe80::/64", 2, "eth0", false},
      {"ff00::/8", 2, "eth0", false},
      {"127.0.0.0/8", 2, "lo", false},
      {"::/0", 9, "eth0", true},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.dst);
    const auto out = learnt_routes(
        {{*Prefix::parse(row.dst), row.protocol, 7, *Ip::parse("10.0.0.1"), row.interface}},
        {"docker*"});
    ASSERT_EQ(out.size(), row.learnt ? 1U : 0U);
    if (!row.learnt) continue;
    EXPECT_EQ(out[0], (bgp::LearntRoute{*Prefix::parse(row.dst), *Ip::parse("10.0.0.1"),
                                        row.interface, 7}));
  }
}

TEST(Passwords, are_read_as_kubernetes_mounts_them) {
  namespace fs = std::filesystem;
  const TempDir dir;
  EXPECT_TRUE(read_passwords(dir / "missing").empty());
  fs::create_directories(dir / "bgp/..2026");
  std::ofstream(dir / "bgp/..2026/mesh") << "s3cret\n";
  fs::create_symlink("..2026", dir / "bgp/..data");
  fs::create_symlink("..data/mesh", dir / "bgp/mesh");
  std::ofstream(dir / "bgp/empty") << "\n";
  fs::create_symlink("nowhere", dir / "bgp/dangling");
  std::ofstream(dir / "stray") << "x";
  EXPECT_EQ(read_passwords(dir.path()), (bgp::Passwords{{{"bgp", "mesh"}, "s3cret"}}));
}

TEST(BgpMetrics, are_by_peer_and_say_what_is_wrong) {
  bgp::SpeakerStatus status;
  auto& up = status.peers.emplace_back();
  up.name = "Mesh_10_0_0_2";
  up.state = "up";
  up.fsm = "Established";
  up.counters.prefixes_in = 5;
  up.counters.messages_out = 9;
  auto& down = status.peers.emplace_back();
  down.name = "Global_10_0_0_9";
  down.state = "start";
  down.fsm = "Passive";
  down.counters.lost = 3;
  down.last_error = "Received: \"no\"";
  const std::string text = bgp_peer_metrics(status);
  for (const char* line :
       {"margay_bgp_peer_up{peer=\"Mesh_10_0_0_2\"} 1\n",
        "margay_bgp_peer_up{peer=\"Global_10_0_0_9\"} 0\n",
        "margay_bgp_peer_state{peer=\"Mesh_10_0_0_2\"} 6\n",
        "margay_bgp_peer_state{peer=\"Global_10_0_0_9\"} 3\n",
        "margay_bgp_peer_prefixes{peer=\"Mesh_10_0_0_2\",kind=\"received\"} 5\n",
        "margay_bgp_peer_lost_total{peer=\"Global_10_0_0_9\"} 3\n",
        "margay_bgp_peer_messages_total{peer=\"Mesh_10_0_0_2\",direction=\"out\"} 9\n",
        "margay_bgp_peer_last_error{peer=\"Global_10_0_0_9\",error=\"Received: \\\"no\\\"\"} "
        "1\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
  EXPECT_EQ(text.find("last_error{peer=\"Mesh"), std::string::npos);
}

}  // namespace
}  // namespace margay::agent
