// SPDX-License-Identifier: Apache-2.0
// Whole clusters in one process and virtual time, compared with a plain computation.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <random>
#include <set>

#include "base/log.h"
#include "tests/unit/bgp_speaker/world.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;

std::string address(std::size_t n) {
  return "10.0." + std::to_string((n + 1) / 256) + "." + std::to_string((n + 1) % 256);
}
std::string address6(std::size_t n) { return "fd00::" + std::to_string(n + 1); }

// Of the random runs; the same number draws the same.
unsigned seed() {
  const int given = testing::UnitTest::GetInstance()->random_seed();
  return given == 0 ? 42U : static_cast<unsigned>(given);
}

using Table = std::map<Prefix, std::vector<Ip>>;

// "-10.64.0.0/26 10.0.0.1 +10.64.0.0/26 10.0.0.1 10.0.0.2": has the former, wants the latter.
std::string difference(const Table& have, const Table& want) {
  std::string out;
  const auto put = [&](char sign, const Table& table, const Table& other) {
    for (const auto& [prefix, hops] : table) {
      const auto it = other.find(prefix);
      if (it != other.end() && it->second == hops) continue;
      out += sign + prefix.to_string() + " ";
      for (const Ip& hop : hops) out += hop.to_string() + " ";
    }
  };
  put('-', have, want);
  put('+', want, have);
  return out;
}

class Cluster {
 public:
  enum class Families { v4, both };
  Cluster(std::size_t size, bool reflectors, Families families = Families::both)
      : reflectors_(reflectors ? 2 : 0), families_(families) {
    log::set_level(log::Level::warn);  // a line for each session would be very many
    for (std::size_t i = 0; i < size; ++i) {
      auto& blocks = blocks_.emplace_back();
      blocks[0].push_back(Prefix::containing(ip("10.64.0.0").plus(64 * i), 26));
      if (families == Families::both) {
        blocks[1].push_back(prefix("fd65:0:0:" + std::to_string(i) + "::/122"));
      }
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
        if (v6 && families_ == Families::v4) continue;
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
    c.export_policy.pools = {prefix("10.64.0.0/10"), prefix("fd65::/48")};
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
      EXPECT_EQ(difference(nodes_[i]->sink.routes, want(i)), "") << when << ", node " << i;
    }
  }
  // Everything that any node has said of routes so far.
  [[nodiscard]] std::uint64_t updates_sent() const {
    std::uint64_t n = 0;
    for (const auto& node : nodes_) {
      if (node) n += node->registry.counter("margay_bgp_update_batches_sent_total", "").value();
    }
    return n;
  }
  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  [[nodiscard]] bool alive(std::size_t i) const { return alive_[i]; }
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
      mine.push_back(Prefix::containing(ip("10.96.0.0").plus(64 * std::size_t{next_block_++}), 26));
    }
    if (alive_[i]) configure(i);
  }

  SimLoop loop;
  SimNetwork net{loop};

 private:
  std::size_t reflectors_;
  Families families_;
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

// One of what happens in a cluster that has a bad day.
void disturb(Cluster& c, std::mt19937& random) {
  const std::size_t n = c.size();
  const std::size_t a = random() % n, b = random() % n;
  switch (random() % 8) {
    case 0:
    case 1:
    case 2:
      c.change_blocks(random);
      break;
    case 3:
    case 4:
      c.net.reset(ip(address(a)), ip(address(b)));
      break;
    case 5:  // for longer than the hold time, or for less
      c.net.cut(ip(address(a)), ip(address(b)));
      c.loop.advance(std::chrono::seconds(random() % 300));
      c.net.mend(ip(address(a)), ip(address(b)));
      break;
    case 6:
      c.net.latency = std::chrono::milliseconds(random() % 50);
      c.net.jitter = std::chrono::milliseconds(random() % 200);
      break;
    default:  // dies, and is back before or after its routes have gone
      c.die(a);
      c.loop.advance(std::chrono::seconds(random() % 300));
      c.boot(a);
      break;
  }
  c.loop.advance(std::chrono::milliseconds(random() % 2000));
}

// However the days go: in the end every table is what can be computed from the blocks alone, and
// then nothing moves any more.
void settles(Cluster& c, unsigned disturbances, std::mt19937& random) {
  c.loop.advance(20s);
  c.check("at first");
  for (unsigned i = 0; i < disturbances; ++i) disturb(c, random);
  c.loop.advance(600s);
  c.check("in the end");
  const int changes = c.batches();
  const std::uint64_t updates = c.updates_sent();
  c.loop.advance(600s);
  EXPECT_EQ(c.batches(), changes) << "routes come and go";
  EXPECT_EQ(c.updates_sent(), updates) << "updates go round";
}

TEST(Mesh, random_changes_and_losses_end_equal_to_a_plain_computation) {
  SCOPED_TRACE("seed " + std::to_string(seed()));
  std::mt19937 random(seed());
  for (const bool reflectors : {false, true}) {
    SCOPED_TRACE(reflectors ? "reflectors" : "mesh");
    Cluster c(12, reflectors);
    settles(c, 60, random);
  }
}

struct Big {
  const char* name;
  std::size_t nodes, long_nodes;  // the latter with MARGAY_LONG
  bool reflectors;
};
class BigCluster : public testing::TestWithParam<Big> {};

TEST_P(BigCluster, ends_equal_to_a_plain_computation) {
  SCOPED_TRACE("seed " + std::to_string(seed()));
  std::mt19937 random(seed());
  const char* asked = std::getenv("MARGAY_LONG");
  const bool long_run = asked != nullptr && std::string(asked) == "1";
  Cluster c(long_run ? GetParam().long_nodes : GetParam().nodes, GetParam().reflectors,
            Cluster::Families::v4);
  settles(c, long_run ? 30 : 20, random);
}

INSTANTIATE_TEST_SUITE_P(Of, BigCluster,
                         testing::Values(Big{"mesh", 40, 1000, false},
                                         Big{"reflectors", 60, 1000, true}),
                         [](const auto& of) { return of.param.name; });

}  // namespace
}  // namespace margay::bgp
