// SPDX-License-Identifier: Apache-2.0
#include "dataplane/sysctl/sysctl_table.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_dir.h"

namespace margay::sysctl {
namespace {

class SysctlTableTest : public ::testing::Test {
 protected:
  void change(const std::string& name, const std::string& value) const {
    std::ofstream(dir_ / name) << value << "\n";
  }
  [[nodiscard]] std::size_t repaired() { return table_.apply({}).repaired; }

  TempDir dir_;
  SysctlTable table_{dir_.path()};
};

TEST_F(SysctlTableTest, looks_only_at_what_is_suspect) {
  change("a", "0");
  table_.want("a", "1");
  EXPECT_EQ(table_.apply({}).written, 1U);
  EXPECT_EQ(*table_.read("a"), "1");
  change("a", "2");
  EXPECT_EQ(repaired(), 0U);
  table_.suspect("a");
  EXPECT_EQ(repaired(), 1U);
  EXPECT_EQ(*table_.read("a"), "1");
}

TEST_F(SysctlTableTest, takes_turns_and_leaves_none_out) {
  const std::vector<std::string> names{"a", "b", "c", "d", "e"};
  for (const auto& name : names) {
    change(name, "0");
    table_.want(name, "1");
  }
  (void)table_.apply({});
  const auto disturb = [&] {
    for (const auto& name : names) change(name, "2");
  };
  disturb();
  for (const std::size_t expected : {2U, 2U, 1U, 0U}) {  // the third begins anew with "a"
    table_.suspect_some(2);
    EXPECT_EQ(repaired(), expected);
  }
  disturb();
  table_.suspect_some(100);
  EXPECT_EQ(repaired(), names.size());
  table_.suspect_some(3);
  table_.forget("d");
  table_.forget("e");
  table_.suspect_some(100);
  EXPECT_EQ(table_.pending(), 3U);
}

}  // namespace
}  // namespace margay::sysctl
