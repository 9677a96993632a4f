// SPDX-License-Identifier: Apache-2.0
#include "tests/netns/nft/fixture.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>

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
  Progress all;
  do {
    const Progress one = apply_once(scope);
    all.transactions += one.transactions;
    all.messages += one.messages;
    all.chains_added += one.chains_added;
    all.chains_removed += one.chains_removed;
    all.rules_added += one.rules_added;
    all.rules_removed += one.rules_removed;
    all.sets_added += one.sets_added;
    all.sets_removed += one.sets_removed;
    all.elements_added += one.elements_added;
    all.elements_removed += one.elements_removed;
    all.repairs += one.repairs;
    all.refused = one.refused;
    all.waiting = one.waiting;
    all.more = one.more;
  } while (all.more);
  return all;
}

Progress KernelTest::apply_once(Scope scope) {
  auto p = table_->apply(scope);
  EXPECT_TRUE(p.ok()) << p.error().message();
  return p.ok() ? p.value() : Progress{};
}

std::string KernelTest::listing() {
  std::string text = nft("-n -s list table inet t");
  text.resize(std::min(text.rfind("\n}"), text.size()));
  std::set<std::string> objects;
  std::size_t at = text.find('\n') + 1;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find("\n\n", at), text.size());
    objects.insert(text.substr(at, end - at));
    at = end + 2;
  }
  std::string out;
  for (const std::string& o : objects) out += o + "\n\n";
  return out;
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

void KernelTest::want_sample() {
  const auto set = [this](const char* name, SetType type) {
    ASSERT_TRUE(table_->want_set({name, std::move(type)}).ok());
  };
  set("peers", {{Datatype::ipv4_addr}, false, std::nullopt});
  set("dispatch", {{Datatype::ifname}, false, Datatype::verdict});
  set("nets", {{Datatype::ipv4_addr}, true, std::nullopt});
  set("ports",
      {{Datatype::ipv4_addr, Datatype::inet_proto, Datatype::inet_service}, false, std::nullopt});
  set("net_ports", {{Datatype::ipv4_addr, Datatype::inet_service}, true, std::nullopt});
  table_->want_chain(
      {"web",
       std::nullopt,
       {rule({address_in(Direction::source, Family::v4, "peers"), counter(), accept()},
             "from peers"),
        rule({address_in(Direction::source, Family::v4, "nets"), accept()}), rule({drop()})}});
  table_->want_chain({"endpoint", std::nullopt, {rule({jump("web")}), rule({accept()})}});
  table_->want_chain({"forward",
                      BaseChain{ChainType::filter, Hook::forward, 1, false},
                      {rule({oifname_vmap("dispatch")})}});
  table_->add_element("dispatch", Element::verdict_for(Packed::interface_name("cali1"),
                                                       {Verdict::Code::goto_, "endpoint"}));
  table_->add_element("peers", Element::of(v4(kNet + 1)));
  table_->add_element("peers", Element::of(v4(kNet + 2)));
  table_->add_element("nets", Element::prefix(Prefix::parse("10.1.0.0/16").value()));
  table_->add_element("nets", Element::prefix(Prefix::parse("255.255.0.0/16").value()));
  Packed key = v4(kNet + 7);
  key.then(Packed::u8(6)).then(Packed::be16(80));
  table_->add_element("ports", Element::of(key));
  Packed from = v4(kNet);
  from.then(Packed::be16(80));
  Packed to = v4(kNet + 255);
  to.then(Packed::be16(90));
  table_->add_element("net_ports", Element::range(from, to));
}

Packed v4(std::uint32_t host_order) { return Packed::ip(Ip::v4(host_order)); }

}  // namespace margay::nft::test
