// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace margay {
namespace {

// Resident pages of mapped files, in KiB.
long file_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    long kib = 0;
    if (word == "RssFile:" && status >> kib) return kib;
  }
  return -1;
}

TEST(Memory, CodeGivenBackIsNoLongerResident) {
  const long before = file_kib();
  memory::give_back_code();
  const long after = file_kib();
  ASSERT_GT(before, 0);
  EXPECT_LT(after, before);
}

}  // namespace
}  // namespace margay
