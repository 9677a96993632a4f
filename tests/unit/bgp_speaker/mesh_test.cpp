// SPDX-License-Identifier: Apache-2.0
// Whole clusters in one process and virtual time, compared with a plain computation.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <set>

#include "tests/unit/bgp_speaker/world.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;

std::string address(std::size_t n) { return "10.0.0." + std::to_string(n + 1); }
std::string address6(std::size_t n) { return "fd00::" + std::to_string(n + 1); }

using Table = std::map<Prefix, std::vector<Ip>>;

class Cluster {
 public:
  Cluster(std::size_t size, bool reflectors) : reflectors_(reflectors ? 2 : 0) {
    for (std::size_t i = 0; i < size; ++i) {
      const std::string n = std::to_string(i);
      auto& blocks = blocks_.emplace_back();
      blocks[0].push_back(prefix("10.65." + n + ".0/26"));
      blocks[1].push_back(prefix("fd65:0:0:1" + n + "::/122"));
      alive_.push_back(true);
    }
    nodes_.resize(size);
    for (std::size_t i = 0; i < size; ++i) boot(i);
  }

  void boot(std::size_t i) {
    nodes_[i] = std::make_unique<SimNode>(loop, net, std::vector{ip(address(i)), ip(address6(i))},
                                          SpeakerOptions{.seed = 100 + i});
    alive_[i] = true;
    configure(i);
  }
  void die(std::size_t i) {
    nodes_[i].reset();
    alive_[i] = false;
  }

  void configure(std::size_t i) {
    SpeakerConfig c;
    c.router_id = RouterId(0x0a000000U + static_cast<std::uint32_t>(i) + 1);
    c.local_as = Asn(64512);
    if (i < reflectors_) c.cluster_id = RouterId(0x01000001);
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (j == i || !peers(i, j) || left_.contains(j)) continue;
      for (const bool v6 : {false, true}) {
        const std::string mine = v6 ? address6(i) : address(i);
        const std::string theirs = v6 ? address6(j) : address(j);
        auto p = sim_peer(mine, theirs);
        p.session.passive = theirs > mine;
        p.session.route_reflector_client = i < reflectors_ && j >= reflectors_;
        c.peers.push_back(p);
      }
    }
    for (const auto& list : blocks_[i]) {
      for (const auto& b : list) {
        c.originated.push_back({b, kNormalPriority});
        c.export_policy.own_blocks.push_back(b);
      }
    }
    c.export_policy.pools = {prefix("10.65.0.0/16"), prefix("fd65::/48")};
    nodes_[i]->speaker.set_config(std::move(c));
  }

  // A node is taken out of the cluster, or comes back.
  void leave(std::size_t i) {
    left_.insert(i);
    die(i);
    reconfigure();
  }
  void come(std::size_t i) {
    left_.erase(i);
    boot(i);
    reconfigure();
  }
  void reconfigure() {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (alive_[i]) configure(i);
    }
  }

  [[nodiscard]] bool peers(std::size_t a, std::size_t b) const {
    return reflectors_ == 0 || a < reflectors_ || b < reflectors_;
  }

  // Every block of every other node that is there, through that node.
  [[nodiscard]] Table want(std::size_t i) const {
    Table out;
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (j == i || !alive_[j]) continue;
      for (const auto& b : blocks_[j][0]) out[b] = {ip(address(j))};
      for (const auto& b : blocks_[j][1]) out[b] = {ip(address6(j))};
    }
    return out;
  }
  void check(const char* when) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (!alive_[i]) continue;
      EXPECT_EQ(nodes_[i]->sink.routes, want(i)) << when << ", node " << i;
    }
  }
  [[nodiscard]] int batches() const {
    int n = 0;
    for (const auto& node : nodes_) n += node ? node->sink.batches : 0;
    return n;
  }
  // Moves a block, or gives a new one.
  void change_blocks(std::mt19937& random) {
    const std::size_t i = random() % nodes_.size();
    auto& mine = blocks_[i][0];
    if (mine.size() > 1 && random() % 2 == 0) {
      mine.pop_back();
    } else {
      mine.push_back(Prefix::containing(ip("10.65.128.0").plus(64 * (next_block_++ % 512)), 26));
    }
    if (alive_[i]) configure(i);
  }

  SimLoop loop;
  SimNetwork net{loop};

 private:
  std::size_t reflectors_;
  std::vector<std::array<std::vector<Prefix>, 2>> blocks_;  // per family
  std::vector<bool> alive_;
  std::set<std::size_t> left_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  unsigned next_block_ = 0;
};

TEST(Mesh, fifty_nodes_learn_every_block_of_both_families) {
  Cluster c(50, false);
  c.loop.advance(20s);
  c.check("at first");
  // A node is taken out of the cluster: its routes go at once.
  c.leave(7);
  c.loop.advance(1s);
  c.check("after one left");
  c.come(7);
  c.loop.advance(20s);
  c.check("after it is back");
  // At rest nothing changes.
  const int before = c.batches();
  c.loop.advance(300s);
  EXPECT_EQ(c.batches(), before);
}

TEST(Mesh, random_changes_and_losses_end_equal_to_a_plain_computation) {
  const unsigned seed =
      testing::UnitTest::GetInstance()->random_seed() == 0
          ? 42U
          : static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed());
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (const bool reflectors : {false, true}) {
    Cluster c(12, reflectors);
    c.loop.advance(5s);
    for (int step = 0; step < 60; ++step) {
      const std::size_t a = random() % 12, b = random() % 12;
      switch (random() % 4) {
        case 0:
        case 1:
          c.change_blocks(random);
          break;
        case 2:
          c.net.reset(ip(address(a)), ip(address(b)));
          break;
        default:
          c.net.latency = std::chrono::milliseconds(random() % 50);
          break;
      }
      c.loop.advance(std::chrono::milliseconds(random() % 2000));
    }
    c.loop.advance(200s);
    c.check(reflectors ? "reflectors" : "mesh");
  }
}

}  // namespace
}  // namespace margay::bgp
