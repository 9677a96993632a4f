// SPDX-License-Identifier: Apache-2.0
// The graph against the reference, over random sequences of changes; the seed is printed and can be
// given in MARGAY_SEED, the number of sequences in MARGAY_ROUNDS.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "tests/unit/calc/random_cluster.h"

namespace margay::calc {
namespace {

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::uint64_t seed() {
  static const std::uint64_t value = number_from("MARGAY_SEED", std::random_device{}());
  return value;
}

void give(Graph& graph, const model::Key& key, const Value& value) {
  std::visit([&](const auto& v) { graph.update(key, v); }, value);
}

void drain(Graph& graph, View& view, std::size_t at_once) {
  bool in_sync_twice = false;
  while (graph.pending()) {
    const auto batch = graph.flush(at_once);
    in_sync_twice |= batch.in_sync && view.local.has_value() && batch.changes.empty();
    view.apply(batch);
  }
}

Options options_of(RandomCluster& random) {
  Options out;
  out.node = "node0";
  out.allow_source_spoofing = random.chance(50);
  out.floating_ips = random.chance(50);
  out.route_source = random.chance(50) ? RouteSource::workload_ips : RouteSource::calico_ipam;
  if (random.chance(20)) out.vxlan_enabled = random.chance(50);
  return out;
}

std::string broken_promises(const View& view) {
  return view.broken.empty() ? "" : view.broken.front();
}

// One sequence: changes before in-sync, then rounds of changes with a comparison after each.
void run_sequence(std::uint64_t sequence_seed) {
  RandomCluster random(sequence_seed);
  Options options = options_of(random);
  Graph graph(options);
  View view;
  Resources resources;
  const auto step = [&] {
    auto [key, value] = random.object();
    if (random.chance(25)) {
      resources.erase(key);
      graph.remove(key);  // also of what was never there
    } else {
      give(graph, key, value);
      resources[key] = std::move(value);
    }
  };
  for (unsigned i = random.below(200); i > 0; --i) step();
  EXPECT_TRUE(graph.flush().changes.empty());
  graph.set_in_sync();
  for (unsigned round = 0; round < 25; ++round) {
    drain(graph, view, random.chance(50) ? 1 + random.below(5) : 1'000'000);
    ASSERT_EQ(broken_promises(view), "") << "round " << round;
    ASSERT_EQ(view.difference(reference(options, resources)), "") << "round " << round;
    if (random.chance(10)) {
      options = options_of(random);
      graph.configure(options);
    }
    for (unsigned i = 1 + random.below(random.chance(50) ? 2 : 20); i > 0; --i) {
      step();
      if (random.chance(10) && graph.pending()) view.apply(graph.flush(1));
    }
  }
  // Everything goes: nothing stays.
  while (!resources.empty()) {
    graph.remove(resources.begin()->first);
    resources.erase(resources.begin());
  }
  drain(graph, view, 1'000'000);
  ASSERT_EQ(broken_promises(view), "");
  ASSERT_EQ(view.difference(reference(options, {})), "");
  const Counts counts = graph.counts();
  EXPECT_EQ(counts.policies + counts.active_policies + counts.active_profiles + counts.endpoints +
                counts.active_sets + counts.local_endpoints + counts.labels,
            0U);
  EXPECT_TRUE(graph.problems().empty());
}

TEST(GraphProperty, equals_the_reference_after_any_sequence) {
  const std::uint64_t rounds = number_from("MARGAY_ROUNDS", 15);
  for (std::uint64_t i = 0; i < rounds; ++i) {
    SCOPED_TRACE("MARGAY_SEED=" + std::to_string(seed() + i) + " MARGAY_ROUNDS=1");
    run_sequence(seed() + i);
    if (HasFatalFailure()) return;
  }
}

TEST(GraphProperty, result_does_not_depend_on_the_order_of_inputs) {
  for (std::uint64_t i = 0; i < 8; ++i) {
    SCOPED_TRACE("MARGAY_SEED=" + std::to_string(seed()));
    RandomCluster random(seed() + 1'000'000 + i);
    const Options options = options_of(random);
    Resources resources;
    for (unsigned n = 0; n < 150; ++n) {
      auto [key, value] = random.object();
      resources[key] = std::move(value);
    }
    std::vector<model::Key> keys;
    for (const auto& [key, value] : resources) keys.push_back(key);
    View first;
    for (unsigned shuffle = 0; shuffle < 4; ++shuffle) {
      std::shuffle(keys.begin(), keys.end(), std::mt19937_64(seed() + shuffle));
      Graph graph(options);
      View view;
      const std::size_t sync_at = shuffle % 2 == 0 ? keys.size() : random.below(150);
      for (std::size_t k = 0; k < keys.size(); ++k) {
        if (k == sync_at) graph.set_in_sync();
        give(graph, keys[k], resources[keys[k]]);
        drain(graph, view, 7);
      }
      graph.set_in_sync();
      drain(graph, view, 7);
      ASSERT_EQ(broken_promises(view), "");
      if (shuffle == 0) first = view;
      ASSERT_EQ(view.difference(first), "");
    }
  }
}

}  // namespace
}  // namespace margay::calc
