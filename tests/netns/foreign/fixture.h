// SPDX-License-Identifier: Apache-2.0
// Other software's packet filters, made with its own tools in a network namespace of the test
// program's own, and what the foreign module makes of them.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/loop/asio_loop.h"
#include "base/metrics.h"
#include "dataplane/foreign/watch.h"
#include "dataplane/nft/keeper.h"

namespace margay::foreign::test {

// Runs a command; its output. Fails the test when it fails.
std::string run(const std::string& command);
// A file with this content, for `nft -f` and `iptables-restore`; it lasts as long as the program.
std::string file_of(const std::string& text);
// The running kernel may have been built without the tables of iptables-legacy.
bool has_legacy();
inline constexpr const char* kNoLegacy = "the kernel has no iptables-legacy";
// Everything that stands there, of whatever backend, without counters.
std::string all_filters();

class Foreign : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  void fresh();  // another namespace, where nothing is yet
  void watch(std::optional<bool> accepting);
  void set(std::optional<bool> accepting) { watch_->set_subject(subject_, accepting); }
  bool until(const std::function<bool()>& condition);
  // What is dropped of ours, one "table/chain: what" each.
  [[nodiscard]] std::vector<std::string> dropped() const;
  // Accepts of ours spare what would be dropped.
  [[nodiscard]] bool spared() const;
  double metric(const std::string& name) const;

  Subject subject_{{"cali"}, true, true, {}, {}, false};
  AsioLoop loop_{"foreign-test"};
  metrics::Registry metrics_;
  std::unique_ptr<Watch> watch_;
  std::unique_ptr<nft::Keeper> keeper_;  // whose notifications the watch hears of
};

}  // namespace margay::foreign::test
