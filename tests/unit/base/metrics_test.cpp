// SPDX-License-Identifier: Apache-2.0
#include "base/metrics.h"

#include <gtest/gtest.h>

namespace margay::metrics {
namespace {

TEST(Registry, prints_families_sorted_with_cumulative_buckets) {
  Registry r;
  r.gauge("margay_b", "B.").set(1.5);
  r.counter("margay_a_total", "A.", {{"kind", "x\"y"}}).add(3);
  auto& h = r.histogram("margay_c_seconds", "C.", {0.1, 1});
  h.observe(0.1);
  h.observe(0.5);
  h.observe(7);
  EXPECT_EQ(r.text(),
            "# HELP margay_a_total A.\n# TYPE margay_a_total counter\n"
            "margay_a_total{kind=\"x\\\"y\"} 3\n"
            "# HELP margay_b B.\n# TYPE margay_b gauge\nmargay_b 1.5\n"
            "# HELP margay_c_seconds C.\n# TYPE margay_c_seconds histogram\n"
            "margay_c_seconds_bucket{le=\"0.1\"} 1\nmargay_c_seconds_bucket{le=\"1\"} 2\n"
            "margay_c_seconds_bucket{le=\"+Inf\"} 3\nmargay_c_seconds_sum 7.6\n"
            "margay_c_seconds_count 3\n");
}

TEST(Registry, gives_the_same_instrument_for_the_same_name_and_labels) {
  Registry r;
  r.counter("margay_x_total", "X.", {{"k", "1"}}).add();
  EXPECT_EQ(r.counter("margay_x_total", "X.", {{"k", "1"}}).value(), 1U);
  EXPECT_EQ(r.counter("margay_x_total", "X.", {{"k", "2"}}).value(), 0U);
}

}  // namespace
}  // namespace margay::metrics
