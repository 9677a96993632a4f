// SPDX-License-Identifier: Apache-2.0
// Tests of the nftables driver against the kernel, in a network namespace that the program makes
// for itself before the first test and that vanishes with it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "dataplane/netlink/socket.h"
#include "dataplane/nft/builder.h"
#include "dataplane/nft/driver.h"

namespace margay::nft::test {

// Runs the nft program; its standard output. Fails the test when it fails.
std::string nft(const std::string& arguments);
std::string nft_file(const std::string& script);

class KernelTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // A driver as after a restart: it knows nothing of the kernel.
  void restart();
  Progress apply(Scope scope = Scope::members_first);
  // Messages of nf_tables notifications since the last call, but for generation events.
  std::size_t events();
  // Elements of a set as `nft` counts them.
  static std::string listing() { return nft("-n -s list table inet t"); }

  std::optional<netlink::Socket> socket_;
  std::optional<netlink::Socket> watcher_;
  std::unique_ptr<Table> table_;
};

Packed v4(std::uint32_t host_order);

}  // namespace margay::nft::test
