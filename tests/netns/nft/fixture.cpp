// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "dataplane/nft/kernel.h"

namespace margay::nft::test {

namespace {

class OwnNamespace : public ::testing::Environment {
 public:
  void SetUp() override {
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0) << "own network namespace: " << std::strerror(errno);
  }
};
[[maybe_unused]] const auto* const kOwnNamespace =
    ::testing::AddGlobalTestEnvironment(new OwnNamespace);

}  // namespace

std::string nft(const std::string& arguments) {
  const std::string command = "nft " + arguments + " 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string out;
  std::array<char, 65536> buffer{};
  std::size_t n = 0;
  while ((n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0) out.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  EXPECT_EQ(WEXITSTATUS(status), 0) << command << ": " << out;
  return out;
}

std::string nft_file(const std::string& script) {
  const std::string path = ::testing::TempDir() + "margay_nft_" + std::to_string(::getpid());
  std::ofstream(path) << script;
  std::string out = nft("-f " + path);
  (void)std::remove(path.c_str());
  return out;
}

void KernelTest::SetUp() {
  nft("flush ruleset");
  auto watcher = netlink::Socket::open(NETLINK_NETFILTER, {.receive_buffer = 16 << 20});
  ASSERT_TRUE(watcher.ok());
  watcher_.emplace(std::move(watcher).value());
  ASSERT_TRUE(watcher_->join(NFNLGRP_NFTABLES).ok());
  restart();
}

void KernelTest::TearDown() {
  table_.reset();
  nft("flush ruleset");
}

void KernelTest::restart() {
  table_.reset();
  auto s = netlink::Socket::open(NETLINK_NETFILTER, {.receive_buffer = 16 << 20});
  ASSERT_TRUE(s.ok());
  socket_.emplace(std::move(s).value());
  table_ = std::make_unique<Table>(*socket_, "t");
}

Progress KernelTest::apply(Scope scope) {
  auto p = table_->apply(scope);
  EXPECT_TRUE(p.ok()) << p.error().message();
  return p.ok() ? p.value() : Progress{};
}

std::size_t KernelTest::events() {
  std::size_t n = 0;
  for (;;) {
    const auto more = watcher_->drain([&](const netlink::Message& m) {
      const auto notice = parse_notice(m);
      if (notice && notice->message != NFT_MSG_NEWGEN) ++n;
    });
    EXPECT_TRUE(more.ok());
    if (!more.ok() || !more.value()) return n;
  }
}

Packed v4(std::uint32_t host_order) { return Packed::ip(Ip::v4(host_order)); }

}  // namespace margay::nft::test
