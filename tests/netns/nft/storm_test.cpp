// SPDX-License-Identifier: Apache-2.0
// Somebody else changes nftables all the time: dumps are interrupted, notifications get lost.
#include <gmock/gmock.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>

#include <atomic>
#include <thread>

#include "base/loop/asio_loop.h"
#include "dataplane/nft/batch.h"
#include "dataplane/nft/keeper.h"
#include "fixture.h"

namespace margay::nft::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Puts an element into a table of its own and takes it out again, as fast as the kernel allows.
class Foreigner {
 public:
  Foreigner() {
    auto s = netlink::Socket::open(NETLINK_NETFILTER);
    EXPECT_TRUE(s.ok());
    socket_.emplace(std::move(s).value());
    table_ = std::make_unique<Table>(*socket_, "foreign");
    EXPECT_TRUE(table_->want_set({"s", {{Datatype::ipv4_addr}, false, std::nullopt}}).ok());
    change();
  }
  void change() {
    const Element e = Element::of(v4(kNet + 1));
    ++changes_ % 2 != 0 ? table_->add_element("s", e) : table_->remove_element("s", e);
    EXPECT_TRUE(table_->apply().ok());
  }
  [[nodiscard]] int changes() const { return changes_; }

 private:
  std::optional<netlink::Socket> socket_;
  std::unique_ptr<Table> table_;
  std::atomic<int> changes_ = 0;
};

class NftStorm : public KernelTest {
 protected:
  void want_large() {
    want_sample();
    ASSERT_TRUE(table_->want_set({"large", {{Datatype::ipv4_addr}, false, std::nullopt}}).ok());
    ElementTable all(*table_->set_type("large"));
    for (std::uint32_t i = 0; i < 50'000; ++i) all.append_key(v4(kNet + 7 * i).bytes());
    table_->replace_elements("large", std::move(all));
    for (int i = 0; i < 600; ++i) {
      Chain c{"policy" + std::to_string(i), std::nullopt, {}};
      for (std::uint16_t r = 0; r < 10; ++r) {
        c.rules.push_back(rule({l4proto(6), port(Direction::destination, r), accept()}));
      }
      table_->want_chain(c);
    }
  }
};

TEST_F(NftStorm, a_dump_that_a_change_interrupts_is_told_and_repeated) {
  want_large();
  apply();
  Foreigner foreigner;
  const auto request = [](netlink::Writer& w, std::uint32_t seq) {
    begin_request(w, NFT_MSG_GETRULE, NLM_F_DUMP, seq);
    w.attr_string(NFTA_RULE_TABLE, "t");
    w.end();
  };
  int passes = 0, messages = 0;
  const auto each = [&](const netlink::Message&) {
    if (++messages == 1) foreigner.change();  // the rest of the dump is still to come
  };
  netlink::Writer w;
  const auto seq = socket_->next_seq();
  request(w, seq);
  const auto once = socket_->dump(w, seq, each);
  ASSERT_FALSE(once.ok());
  EXPECT_EQ(once.error().code, Code::conflict);
  const auto again = socket_->dump_retry(
      [&](netlink::Writer& writer, std::uint32_t number) {
        messages = ++passes == 3 ? 1 : 0;  // the third is left in peace
        request(writer, number);
      },
      each);
  EXPECT_TRUE(again.ok());
  EXPECT_EQ(passes, 3);
}

TEST_F(NftStorm, a_start_among_endless_changes_of_others_reads_what_is_there) {
  want_large();
  apply();
  const auto rules = [] { return nft("-t list table inet t"); };  // without elements
  const std::string before = rules();
  watcher_.reset();  // nobody reads it, and the kernel slows down who fills it
  Foreigner foreigner;
  std::jthread storm([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) foreigner.change();
  });
  const int start = foreigner.changes();
  for (int i = 0; i < 2; ++i) {
    restart();
    want_large();
    const auto p = table_->apply();
    ASSERT_TRUE(p.ok()) << p.error().message();
    EXPECT_EQ(p.value().messages, 0U);
    EXPECT_FALSE(table_->pending());
  }
  const int changes = foreigner.changes() - start;
  storm.request_stop();
  storm.join();
  std::printf("%d changes of another program meanwhile\n", changes);
  EXPECT_GT(changes, 10);
  EXPECT_EQ(rules(), before);
}

// What others took away while fifty thousand changes went by comes back although the notifications
// were lost.
TEST_F(NftStorm, fifty_thousand_foreign_changes_and_a_tiny_buffer) {
  AsioLoop loop("test");
  auto keeper = Keeper::open(
      loop, {"t"}, {.audit = Clock::duration::zero(), .monitor_queue = 1},
      [](Table&, const Result<Progress>& r) { EXPECT_TRUE(r.ok()) << r.error().message(); });
  ASSERT_TRUE(keeper.ok());
  Table& ours = keeper.value()->table(0);
  ASSERT_TRUE(ours.want_set({"s", {{Datatype::ipv4_addr}, false, {}}}).ok());
  for (std::uint32_t i = 0; i < 1000; ++i) ours.add_element("s", Element::of(v4(kNet + 2 * i)));
  for (const char* c : {"a", "b", "c"}) ours.want_chain({c, std::nullopt, {rule({drop()})}});
  keeper.value()->request(0);
  const auto whole = [] {
    const std::string text = listing();
    return text.find("chain a {\n\t\tdrop") != std::string::npos &&
           text.find("chain b {\n\t\tdrop") != std::string::npos &&
           text.find("10.0.0.8,") != std::string::npos;
  };
  const auto until_whole = [&] {
    EventLoop::Timer look;
    int looks = 0;
    const std::function<void()> tick = [&] {
      if (whole() || ++looks > 500) return loop.stop();
      look = loop.after(std::chrono::milliseconds(10), tick);
    };
    loop.restart();
    loop.post(tick);
    loop.run();
    EXPECT_TRUE(whole()) << listing();
  };
  until_whole();
  // The loop does not come to read meanwhile.
  Table foreign(*socket_, "foreign");
  const SetType addresses{{Datatype::ipv4_addr}, false, std::nullopt};
  ASSERT_TRUE(foreign.want_set({"s", addresses}).ok());
  for (std::uint32_t i = 0; i < 50'000; i += 100) {
    ElementTable add(addresses);
    for (std::uint32_t k = 0; k < 100; ++k) add.append_key(v4(kNet + i + k).bytes());
    foreign.change_elements("s", std::move(add), ElementTable(addresses));
    EXPECT_TRUE(foreign.apply().ok());
    if (i == 20'000) nft("flush chain inet t a");
    if (i == 30'000) nft("delete element inet t s '{ 10.0.0.8 }'");
    if (i == 40'000) nft("flush chain inet t b");
  }
  until_whole();
  EXPECT_EQ(keeper.value()->repairs(), 3U);
}

}  // namespace
}  // namespace margay::nft::test
