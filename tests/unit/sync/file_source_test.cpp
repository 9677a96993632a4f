// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <fstream>

#include "agent/sync/source.h"
#include "tests/support/sim_loop.h"
#include "tests/support/temp_dir.h"

namespace margay::sync {
namespace {

using Strings = std::vector<std::string>;

class FileSourceTest : public testing::Test {
 protected:
  static std::string node(const std::string& name, int asn) {
    return "---\napiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {name: " + name +
           "}\nspec: {bgp: {asNumber: " + std::to_string(asn) + "}}\n";
  }
  void write(const std::string& text) { std::ofstream(path_) << text; }
  [[nodiscard]] Result<std::unique_ptr<Source>> open() {
    return make_file_source(loop_, path_,
                            {[this](std::vector<Update>&& updates) {
                               for (const auto& u : updates) {
                                 events_.push_back((u.deleted ? "-" : "+") +
                                                   u.key.substr(u.key.rfind('/') + 1) +
                                                   (u.known ? " known" : ""));
                               }
                             },
                             [this] { events_.emplace_back("in sync"); },
                             {}});
  }
  Strings take() {
    loop_.run_ready();
    return std::exchange(events_, {});
  }

  TempDir dir_;
  std::string path_ = dir_ / "resources.yaml";
  SimLoop loop_;
  Strings events_;
};

TEST_F(FileSourceTest, gives_everything_and_then_the_difference) {
  write(node("a", 1) + node("b", 2));
  auto source = open();
  ASSERT_TRUE(source.ok());
  EXPECT_EQ(take(), (Strings{"+a", "+b", "in sync"}));
  EXPECT_TRUE((*source)->status().in_sync);
  write(node("b", 3) + node("c", 4));
  ASSERT_TRUE((*source)->reload().ok());
  EXPECT_EQ(take(), (Strings{"-a known", "+b known", "+c", "in sync"}));
}

TEST_F(FileSourceTest, a_file_that_is_wrong_changes_nothing_and_is_named) {
  EXPECT_FALSE(open().ok()) << "there is none";
  write(node("a", 1));
  auto source = open();
  ASSERT_TRUE(source.ok());
  (void)take();
  write("kind: [\n");
  EXPECT_FALSE((*source)->reload().ok());
  write(node("a", 1) + node("a", 2));
  const auto twice = (*source)->reload();
  ASSERT_FALSE(twice.ok());
  EXPECT_NE(twice.error().message().find("Node(a) stands there twice"), std::string::npos);
  EXPECT_TRUE(take().empty());
  EXPECT_FALSE((*source)->status().warning.empty());
  write(node("a", 1));
  EXPECT_TRUE((*source)->reload().ok());
  EXPECT_EQ((*source)->status().warning, "");
}

}  // namespace
}  // namespace margay::sync
