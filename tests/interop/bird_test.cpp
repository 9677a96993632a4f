// SPDX-License-Identifier: Apache-2.0
// The speaker against a real BIRD 2: sessions, routes both ways in both families, withdrawals, a
// killed peer, passwords.
#include "tests/interop/bird.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "base/loop/asio_loop.h"
#include "bgp/speaker/speaker.h"
#include "bgp/speaker/tcp_transport.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;
using test::Bird;

class MapSink : public RouteSink {
 public:
  void apply(std::vector<RouteChange> changes) override {
    for (auto& c : changes) {
      if (c.next_hops) {
        routes[c.prefix] = *c.next_hops;
      } else {
        routes.erase(c.prefix);
      }
    }
  }
  void initial_sync_done() override { synced = true; }
  std::map<Prefix, std::vector<Ip>> routes;
  bool synced = false;
};

Prefix prefix(const char* text) { return *Prefix::parse(text); }
Ip ip(const char* text) { return *Ip::parse(text); }

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

  // Runs the loop until `done` or the time is up.
  template <typename F>
  [[nodiscard]] bool until(F done, Clock::duration limit = 20s) {
    bool late = false;
    const auto deadline = loop_.after(limit, [&] {
      late = true;
      loop_.stop();
    });
    std::function<void()> look;
    EventLoop::Timer timer;
    look = [&] {
      if (done()) {
        loop_.stop();
      } else {
        timer = loop_.after(20ms, look);
      }
    };
    loop_.post(look);
    loop_.run();
    loop_.restart();
    return !late;
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

TEST_F(BirdTest, exchanges_routes_of_both_families_both_ways) {
  Bird bird(bird_config());
  make_speaker();
  speaker_->set_config(config());
  ASSERT_TRUE(until([&] { return sink_.synced && sink_.routes.size() == 3; })) << states();
  EXPECT_EQ(sink_.routes[prefix("203.0.113.0/24")], std::vector{ip("10.99.0.2")});
  EXPECT_EQ(sink_.routes[prefix("0.0.0.0/0")], std::vector{ip("10.99.0.2")});
  EXPECT_EQ(sink_.routes[prefix("2001:db8:1::/48")], std::vector{ip("fd99::2")});
  std::string v4, v6;
  EXPECT_TRUE(until([&] {
    v4 = bird.ask("show route all 10.65.1.0/26");
    v6 = bird.ask("show route all fd65:0:0:1::/122");
    return v4.find("BGP.as_path: 64512") != v4.npos && v6.find("BGP.as_path: 64512") != v6.npos;
  })) << v4
      << v6;
  EXPECT_NE(v4.find("BGP.next_hop: 10.99.0.1"), v4.npos) << v4;
  EXPECT_NE(v6.find("BGP.next_hop: fd99::1"), v6.npos) << v6;
}

TEST_F(BirdTest, follows_withdrawals_both_ways) {
  Bird bird(bird_config());
  make_speaker();
  auto c = config();
  speaker_->set_config(c);
  ASSERT_TRUE(until([&] { return sink_.routes.size() == 3; })) << states();
  (void)bird.ask("disable static4");
  EXPECT_TRUE(until([&] { return sink_.routes.size() == 1; }));
  (void)bird.ask("enable static4");
  EXPECT_TRUE(until([&] { return sink_.routes.size() == 3; }));
  ASSERT_TRUE(
      until([&] { return bird.ask("show route").find("10.65.1.0/26") != std::string::npos; }));
  c.originated.erase(c.originated.begin());
  speaker_->set_config(c);
  std::string routes;
  EXPECT_TRUE(until([&] {
    routes = bird.ask("show route");
    return routes.find("10.65.1.0/26") == routes.npos;
  })) << routes;
  EXPECT_NE(routes.find("fd65:0:0:1::/122"), routes.npos) << routes;
}

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

TEST_F(BirdTest, loses_no_route_while_bird_restarts) {
  Bird bird(bird_config("hold time 90; graceful restart on;"));
  make_speaker();
  speaker_->set_config(config());
  ASSERT_TRUE(until([&] { return sink_.routes.size() == 3; })) << states();
  bird.kill();
  ASSERT_TRUE(until([&] { return !all_up(); }));
  bird.start(Bird::Start::recover);
  std::size_t least = 3;
  EXPECT_TRUE(until([&] {
    least = std::min(least, sink_.routes.size());
    return all_up();
  })) << states();
  EXPECT_EQ(least, 3U);
}

TEST_F(BirdTest, bird_keeps_our_routes_while_we_restart) {
  Bird bird(bird_config("hold time 90; graceful restart on;"));
  make_speaker();
  speaker_->set_config(config());
  const auto has_route = [&] {
    return bird.ask("show route 10.65.1.0/26").find("10.65.1.0/26") != std::string::npos;
  };
  ASSERT_TRUE(until([&] { return all_up() && has_route(); })) << states();
  speaker_->stop(true);
  ASSERT_TRUE(until(
      [&] { return bird.ask("show protocols node4").find("Established") == std::string::npos; }));
  EXPECT_TRUE(has_route());
  speaker_ = std::make_unique<Speaker>(loop_, transport_, sink_, registry_,
                                       SpeakerOptions{.restarting = true});
  speaker_->set_config(config());
  bool kept = true;
  EXPECT_TRUE(until([&] {
    kept = kept && has_route();
    return all_up();
  })) << states();
  EXPECT_TRUE(kept);
}

TEST_F(BirdTest, needs_the_same_password) {
  Bird bird(bird_config("hold time 9; password \"sesame\";"));
  make_speaker();
  auto c = config();
  for (auto& p : c.peers) p.session.password = "sesame";
  speaker_->set_config(c);
  EXPECT_TRUE(until([&] { return all_up() && sink_.routes.size() == 3; })) << states();
  for (auto& p : c.peers) p.session.password = "wrong";
  speaker_->set_config(c);
  EXPECT_TRUE(until([&] { return states().find("timed out") != std::string::npos; })) << states();
  EXPECT_FALSE(all_up());
}

TEST_F(BirdTest, takes_connections_when_it_is_passive) {
  Bird bird(bird_config());
  make_speaker();
  auto c = config();
  for (auto& p : c.peers) p.session.passive = true;
  speaker_->set_config(c);
  EXPECT_TRUE(until([&] { return all_up() && sink_.routes.size() == 3; })) << states();
}

TEST_F(BirdTest, secures_the_session_by_ttl) {
  Bird bird(bird_config("hold time 9; multihop 1; ttl security on;"));
  make_speaker();
  auto c = config();
  for (auto& p : c.peers) p.session.ttl_security = 1;
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

TEST_F(BirdTest, answers_and_sends_route_refresh) {
  Bird bird(bird_config());
  make_speaker();
  speaker_->set_config(config());
  ASSERT_TRUE(until([&] { return all_up() && sink_.routes.size() == 3; })) << states();
  const auto before = speaker_->status().peers[0].counters;
  (void)bird.ask("reload node4");
  EXPECT_TRUE(until([&] {
    const auto now = speaker_->status().peers[0].counters;
    return now.updates_in > before.updates_in && now.updates_out > before.updates_out;
  }));
  EXPECT_EQ(sink_.routes.size(), 3U);
  EXPECT_EQ(speaker_->status().peers[0].counters.established, before.established);
}

}  // namespace
}  // namespace margay::bgp
