// SPDX-License-Identifier: Apache-2.0
// What every Store driver must do, as one suite over a harness that each driver's test provides.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "datastore/store.h"

namespace margay::datastore {

class StoreHarness {
 public:
  virtual ~StoreHarness() = default;
  virtual Store& store() = 0;  // keeps the last 100 changes
  [[nodiscard]] virtual bool run_until(std::function<bool()> done) = 0;
};

using StoreFactory = std::unique_ptr<StoreHarness> (*)();

class StoreConformance : public ::testing::TestWithParam<StoreFactory> {
 protected:
  std::unique_ptr<StoreHarness> harness_ = GetParam()();
  Store& store_ = harness_->store();
};

}  // namespace margay::datastore
