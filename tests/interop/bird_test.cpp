// SPDX-License-Identifier: Apache-2.0
// What only BIRD 2 is asked: a killed peer, a wrong password, very many of them, live changes. The
// conversations of all daemons are in daemons_test.cpp and daemon_sessions_test.cpp.
#include "tests/interop/bird.h"

#include <gtest/gtest.h>

#include "tests/interop/our_side.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;
using test::Bird;

// Both sessions of a ToR with AS 65001.
std::string bird_config(const std::string& options = "hold time 9;") {
  std::string out = "log stderr all;\nrouter id 10.99.0.2;\nprotocol device { scan time 1; }\n";
  for (const std::string f : {"4", "6"}) {
    const std::string net = f == "4" ? "203.0.113.0/24" : "2001:db8:1::/48";
    out += "protocol static static" + f + " { ipv" + f + "; route " + net + " blackhole; ";
    if (f == "4") out += "route 0.0.0.0/0 blackhole; ";
    out += "}\nprotocol bgp node" + f + " { local " + (f == "4" ? "10.99.0.2" : "fd99::2") +
           " as 65001; neighbor " + (f == "4" ? "10.99.0.1" : "fd99::1") + " as 64512; " + options +
           " connect delay time 1; ipv" + f +
           " { import all; export where source = RTS_STATIC; next hop self; }; }\n";
  }
  return out;
}

class BirdTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::enter_own_namespace()) GTEST_SKIP() << "needs root: no network namespaces";
  }

  PeerConfig peer(const char* name, const char* address, const char* source) {
    PeerConfig p;
    p.name = name;
    p.type = PeerType::global;
    p.session.address = ip(address);
    p.session.remote_as = Asn(65001);
    p.session.local_as = Asn(64512);
    p.session.source = ip(source);
    p.session.timers.hold = 9s;
    p.session.timers.connect_delay = 1s;
    return p;
  }

  SpeakerConfig config() {
    SpeakerConfig c;
    c.router_id = RouterId(0x0a630001);
    c.local_as = Asn(64512);
    c.peers = {peer("Global_10_99_0_2", "10.99.0.2", "10.99.0.1"),
               peer("Global_fd99__2", "fd99::2", "fd99::1")};
    c.originated = {{prefix("10.65.1.0/26"), kNormalPriority},
                    {prefix("fd65:0:0:1::/122"), kNormalPriority}};
    c.export_policy.own_blocks = {prefix("10.65.1.0/26"), prefix("fd65:0:0:1::/122")};
    c.export_policy.pools = {prefix("10.65.0.0/16"), prefix("fd65::/48")};
    return c;
  }

  void make_speaker() { speaker_ = std::make_unique<Speaker>(loop_, transport_, sink_, registry_); }

  template <typename F>
  [[nodiscard]] bool until(F done) {
    return run_until(loop_, done);
  }

  [[nodiscard]] bool all_up() {
    const auto s = speaker_->status();
    return std::all_of(s.peers.begin(), s.peers.end(),
                       [](const PeerStatus& p) { return p.state == "up"; });
  }
  [[nodiscard]] std::string states() {
    std::string out;
    for (const auto& p : speaker_->status().peers) out += p.name + ": " + p.info + "\n";
    return out;
  }

  AsioLoop loop_{"test"};
  TcpTransport transport_{loop_};
  MapSink sink_;
  metrics::Registry registry_;
  std::unique_ptr<Speaker> speaker_;
};

TEST_F(BirdTest, drops_the_routes_of_a_killed_peer_after_its_restart_time_and_comes_back) {
  Bird bird(bird_config("hold time 9; graceful restart time 1;"));
  make_speaker();
  speaker_->set_config(config());
  ASSERT_TRUE(until([&] { return sink_.routes.size() == 3; })) << states();
  bird.kill();
  EXPECT_TRUE(until([&] { return sink_.routes.empty(); })) << states();
  EXPECT_TRUE(until([&] {
    return states().find("Active Socket: Connection refused") != std::string::npos ||
           states().find("Connect Socket: Connection refused") != std::string::npos;
  })) << states();
  bird.start(Bird::Start::afresh);
  EXPECT_TRUE(until([&] { return all_up() && sink_.routes.size() == 3; })) << states();
}

TEST_F(BirdTest, needs_the_same_password) {
  Bird bird(bird_config("hold time 9; password \"sesame\";"));
  make_speaker();
  auto c = config();
  for (auto& p : c.peers) p.session.password = "sesame";
  speaker_->set_config(c);
  EXPECT_TRUE(until([&] { return all_up() && sink_.routes.size() == 3; })) << states();
  for (auto& p : c.peers) {
    p.session.password = "wrong";
    p.session.timers.connect_retry = 1s;
  }
  speaker_->set_config(c);
  EXPECT_TRUE(until([&] { return states().find("timed out") != std::string::npos; })) << states();
  EXPECT_FALSE(all_up());
}

// Keys of a listening socket are charged to memory that is scarce by default: some 150 fit.
TEST_F(BirdTest, a_thousand_peers_with_one_password_fit_into_one_listening_socket) {  // RFC 2385
  Bird bird(bird_config("hold time 9; password \"sesame\";"));
  std::vector<AcceptRule> rules;
  for (std::uint64_t i = 2; i < 1002; ++i) {
    rules.push_back({ip("10.99.0.0").plus(i), "sesame", std::nullopt});
  }
  auto listener = transport_.listen({{ip("10.99.0.1")}, 1790}, [](std::unique_ptr<Stream>) {});
  ASSERT_TRUE(listener.ok()) << listener.error().message();
  for (const auto& e : (*listener)->set_rules(rules)) ADD_FAILURE() << e.message();
  listener->reset();

  make_speaker();
  auto c = config();
  c.peers = {c.peers[0]};
  for (std::size_t i = 1; i < rules.size(); ++i) {
    const std::string address = rules[i].address.to_string();
    c.peers.push_back(peer(("Global_" + address).c_str(), address.c_str(), "10.99.0.1"));
  }
  for (auto& p : c.peers) {
    p.session.password = "sesame";
    p.session.passive = true;  // so that the listener's key is what counts
  }
  speaker_->set_config(c);
  EXPECT_TRUE(until([&] { return speaker_->status().peers[0].state == "up"; }))
      << speaker_->status().peers[0].info;
}

TEST_F(BirdTest, takes_connections_when_it_is_passive) {
  Bird bird(bird_config());
  make_speaker();
  auto c = config();
  for (auto& p : c.peers) p.session.passive = true;
  speaker_->set_config(c);
  EXPECT_TRUE(until([&] { return all_up() && sink_.routes.size() == 3; })) << states();
}

TEST_F(BirdTest, changes_peers_live) {
  Bird bird(bird_config());
  make_speaker();
  auto c = config();
  speaker_->set_config(c);
  ASSERT_TRUE(until([&] { return all_up() && sink_.routes.size() == 3; })) << states();
  const auto v6 = c.peers.back();
  c.peers.pop_back();
  speaker_->set_config(c);
  EXPECT_TRUE(until([&] { return sink_.routes.size() == 2; }));
  EXPECT_TRUE(until([&] {
    return bird.ask("show protocols node6").find("Peer de-configured") != std::string::npos;
  })) << bird.ask("show protocols");
  c.peers.push_back(v6);
  speaker_->set_config(c);
  EXPECT_TRUE(until([&] { return all_up() && sink_.routes.size() == 3; })) << states();
  EXPECT_EQ(speaker_->status().peers[0].counters.established, 1U) << "the other session stood";
}

// --- ExaBGP, which sends what nobody else would -------------------------------------------------

TEST_F(BirdTest, odd_messages_cost_a_route_and_not_the_session) {  // RFC 7606
  test::Neighbour machine;
  machine.write("exa.conf", R"(
neighbor 10.99.0.1 {
  router-id 10.99.0.2; local-address 10.99.0.2; local-as 65001; peer-as 64512; hold-time 9;
  family { ipv4 unicast; }
  static {
    route 203.0.113.0/24 next-hop 10.99.0.2;
    route 198.51.100.0/24 next-hop 10.99.0.2 attribute [0x10 0xc0 0x00010203040506];
    route 192.0.2.0/24 next-hop 10.99.0.2 attribute [0x06 0x40 0x01];
    route 198.18.0.0/24 next-hop 10.99.0.2 attribute [0x63 0xc0 0x010203];
    route 198.18.1.0/24 next-hop 10.99.0.2 attribute [0x63 0x40 0x010203];
  }
}
)");
  (void)machine.start({"env", "exabgp_daemon_user=root", "exabgp_daemon_drop=false",
                       "exabgp_api_cli=false", "exabgp", machine.path("exa.conf")});
  make_speaker();
  auto c = config();
  c.peers = {c.peers[0]};
  speaker_->set_config(c);
  ASSERT_TRUE(until([&] {
    const auto n = speaker_->status().peers[0].counters;
    return sink_.routes.size() == 3 && n.treated_as_withdraw == 2 && n.attributes_discarded == 1;
  })) << states()
      << machine.read("log");
  EXPECT_TRUE(sink_.routes.contains(prefix("203.0.113.0/24"))) << "nothing is wrong with it";
  EXPECT_TRUE(sink_.routes.contains(prefix("192.0.2.0/24"))) << "7.6: the attribute goes";
  EXPECT_TRUE(sink_.routes.contains(prefix("198.18.0.0/24"))) << "an unknown one is kept";
  EXPECT_EQ(speaker_->status().peers[0].counters.established, 1U);
}

}  // namespace
}  // namespace margay::bgp
