// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "agent/bgp_thread.h"

namespace margay::agent {
namespace {

using namespace std::chrono_literals;

TEST(BgpReady, with_all_sessions_at_first_and_with_one_later) {
  struct Row {
    std::size_t peers, established;
    bool restarting;
    bool at_first, later;
  };
  for (const Row& row : {
           Row{0, 0, false, true, true},    // nobody to speak to
           Row{3, 0, false, false, false},  //
           Row{3, 2, false, false, true},   // those that are away hold nobody up for ever
           Row{3, 3, false, true, true},    //
           Row{3, 3, true, false, true},    // their routes have not come
       }) {
    const bgp::SpeakerSummary now{row.peers, row.established, row.restarting, ""};
    EXPECT_EQ(bgp_ready(now, 29s), row.at_first) << row.established;
    EXPECT_EQ(bgp_ready(now, 30s), row.later) << row.established;
  }
}

}  // namespace
}  // namespace margay::agent
