// SPDX-License-Identifier: Apache-2.0
// What a running cluster's fan-out sent to a node (data/recorded.jsonl: a real stream, its objects
// brought to the form in which a Store holds them; recorded_large.jsonl: two namespaces of a large
// cluster's): after every message the graph has what the reference makes of all objects so far.
// MARGAY_RECORDING names another file of that form, of which only the end is compared.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "model/codec.h"
#include "tests/unit/calc/reference.h"

namespace margay::calc {
namespace {

using nlohmann::json;

template <typename T>
bool take(const model::Key& key, const std::string& text, Resources& into) {
  if (model::kKindOf<T> != key.kind) return false;
  const auto value = model::decode<T>(text);
  EXPECT_TRUE(value.ok()) << value.error().context;
  if (value.ok()) into.insert_or_assign(key, *value);
  return true;
}

template <typename... T>
void take_any(const std::variant<T...>*, const model::Key& key, const std::string& text,
              Resources& into) {
  (void)(take<T>(key, text, into) || ...);
}

class Recording {
 public:
  explicit Recording(const char* node) {
    options_.node = node;
    options_.allow_source_spoofing = true;
    options_.floating_ips = true;
    graph_ = std::make_unique<Graph>(options_);
  }

  void play(const std::string& file, bool compare_always) {
    std::ifstream in(file);
    ASSERT_TRUE(in) << file;
    for (std::string line; std::getline(in, line);) {
      const json step = json::parse(line);
      if (step.contains("inSync")) in_sync();
      if (step.contains("flush") && compare_always) compare();
      if (::testing::Test::HasFatalFailure()) return;
      if (step.contains("key")) update(step);
    }
    compare();
  }

  void compare() {
    ++comparisons_;
    for (auto batch = graph_->flush(); graph_->pending() || !batch.changes.empty();
         batch = graph_->flush()) {
      view_.apply(batch);
    }
    ASSERT_TRUE(view_.broken.empty()) << view_.broken.front();
    if (!in_sync_) return;
    ASSERT_EQ(view_.difference(reference(options_, resources_)), "");
  }

  [[nodiscard]] const View& view() const { return view_; }
  [[nodiscard]] const Graph& graph() const { return *graph_; }
  [[nodiscard]] std::size_t comparisons() const { return comparisons_; }

 private:
  void in_sync() {
    graph_->set_in_sync();
    in_sync_ = true;
  }

  void update(const json& step) {
    const auto key = model::parse_key(step["key"].get<std::string>());
    ASSERT_TRUE(key.ok()) << step["key"];
    if (step["value"].is_null()) {
      resources_.erase(*key);
      return graph_->remove(*key);
    }
    const std::string text = step["value"].dump();
    graph_->update(*key, text);
    take_any(static_cast<const Value*>(nullptr), *key, text, resources_);
  }

  Options options_;
  std::unique_ptr<Graph> graph_;
  Resources resources_;
  View view_;
  bool in_sync_ = false;
  std::size_t comparisons_ = 0;
};

const char* const kRecorded = MARGAY_TEST_DATA "/recorded.jsonl";
const char* const kLarge = MARGAY_TEST_DATA "/recorded_large.jsonl";

// As each of the nodes; how many comparisons there were.
std::size_t replay(const char* file, std::initializer_list<const char*> nodes, bool always) {
  std::size_t comparisons = 0;
  for (const char* node : nodes) {
    SCOPED_TRACE(node);
    Recording recording(node);
    recording.play(file, always);
    comparisons += recording.comparisons();
    for (const auto& [key, problem] : recording.graph().problems()) {
      EXPECT_EQ(problem.in_force, Problem::InForce::rest)
          << model::describe(key) << ": " << problem.reason;
    }
  }
  return comparisons;
}

TEST(RecordingReplay, every_node_of_the_cluster_equals_the_reference_at_every_step) {
  EXPECT_GT(replay(kRecorded, {"node-a", "node-b", "node-c.example.com", "nobody"}, true), 40U);
}

TEST(RecordingReplay, a_large_cluster_equals_the_reference) {
  const char* other = std::getenv("MARGAY_RECORDING");
  replay(other ? other : kLarge, {"node-000", "node-001", "node-017", "nobody"}, false);
}

TEST(RecordingReplay, a_large_cluster_s_node_has_its_pods_policies_and_sets) {
  Recording recording("node-000");
  ASSERT_NO_FATAL_FAILURE(recording.play(kLarge, false));
  EXPECT_GT(recording.view().workloads.size(), 0U);
  EXPECT_GT(recording.view().policies.size(), 0U);
  EXPECT_GT(recording.view().sets.size(), 0U);
}

TEST(RecordingReplay, ends_in_what_the_stream_said_last) {
  Recording recording("node-a");
  ASSERT_NO_FATAL_FAILURE(recording.play(kRecorded, false));
  const View& view = recording.view();
  ASSERT_EQ(view.workloads.size(), 2U);
  // In tier security only: default-deny is deleted before the end.
  const auto& tiers = view.workloads.at({"k8s", "shop/web-2", "eth0"}).tiers;
  ASSERT_EQ(tiers.size(), 2U);
  EXPECT_EQ(tiers[0].name, "security");
  EXPECT_TRUE(tiers[0].default_pass);
  EXPECT_EQ(tiers[0].ingress.at(0).name, "security.allow-web");
  EXPECT_EQ(tiers[1].egress.at(0).name, "dns");
  EXPECT_TRUE(tiers[1].ingress.empty());
  // The policy's http rule is said; kns.shop is `dev` by then, so its source set is empty.
  std::vector<model::Kind> kinds;
  for (const auto& [key, problem] : recording.graph().problems()) kinds.push_back(key.kind);
  EXPECT_EQ(kinds, std::vector{model::Kind::network_policy});
  const auto& host = view.host_endpoints.at({"", "", "node-a-eth0"});
  EXPECT_EQ(host.pre_dnat_tiers.at(0).ingress.at(0).name, "security.host-lockdown");
  EXPECT_EQ(host.untracked_tiers.at(0).egress.at(0).name, "untracked");
}

}  // namespace
}  // namespace margay::calc
