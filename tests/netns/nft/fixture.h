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
  // Until nothing is left to be filled.
  Progress apply(Scope scope = Scope::members_first);
  Progress apply_once(Scope scope = Scope::atomic);
  // Messages of nf_tables notifications since the last call, but for generation events.
  std::size_t events();
  // `nft list`, its objects in the order of their text: the kernel's is that of their making.
  static std::string listing();
  // A small firewall with every kind of object.
  void want_sample();

  std::optional<netlink::Socket> socket_;
  std::optional<netlink::Socket> watcher_;
  std::unique_ptr<Table> table_;
};

inline constexpr std::uint32_t kNet = 0x0a000000;  // 10.0.0.0
Packed v4(std::uint32_t host_order);

}  // namespace margay::nft::test
