// SPDX-License-Identifier: Apache-2.0
#include "model/duration.h"

#include <gtest/gtest.h>

namespace margay::model {
namespace {

using namespace std::chrono_literals;

TEST(Duration, reads_go_forms) {
  const std::pair<const char*, std::chrono::nanoseconds> rows[] = {
      {"0", 0ns},
      {"0s", 0ns},
      {"90s", 90s},
      {"1m30s", 90s},
      {"5m0s", 5min},
      {"1.5h", 90min},
      {"300ms", 300ms},
      {".5s", 500ms},
      {"2us", 2us},
      {"7ns", 7ns},
      {"-1m", -1min},
      {"+1m", 1min},
      {"1h2m3.004s", 1h + 2min + 3004ms},
      {"2\xc2\xb5s", 2us}};
  for (const auto& [text, want] : rows) {
    const auto have = parse_duration(text);
    ASSERT_TRUE(have.ok()) << text;
    EXPECT_EQ(*have, want) << text;
  }
}

TEST(Duration, refuses_the_rest) {
  for (const char* text : {"", "-", "5", "s", "1x", "1m 2s", "1m-2s", "--1s", "1e3s", "infs",
                           "nans", "9999999999h", "1.2.3s", " 1s"}) {
    EXPECT_FALSE(parse_duration(text).ok()) << text;
  }
}

}  // namespace
}  // namespace margay::model
