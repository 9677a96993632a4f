// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/keeper.h"

#include <gmock/gmock.h>

#include "base/loop/asio_loop.h"
#include "fixture.h"

namespace margay::nft::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class NftKeeper : public KernelTest {
 protected:
  void open(KeeperOptions options = {}) {
    auto k = Keeper::open(
        loop_, {"t", "u"}, options,
        [this](Table& table, const Result<Progress>& r) {
          ASSERT_TRUE(r.ok()) << r.error().message();
          ++applied_;
          last_table_ = table.name();
          last_ = r.value();
          loop_.stop();
        },
        [this](const Notice* n) { elsewhere_ += n != nullptr && n->table == "foreign"; });
    ASSERT_TRUE(k.ok()) << k.error().message();
    keeper_ = std::move(k).value();
    ASSERT_TRUE(keeper_->table(0).want_set({"s", {{Datatype::ipv4_addr}, false, {}}}).ok());
    keeper_->table(0).want_chain({"c", std::nullopt, {rule({drop()})}});
    keeper_->table(1).want_chain({"d", std::nullopt, {rule({accept()})}});
  }
  // Until the next call of AppliedFn.
  void run() {
    const auto guard = loop_.after(std::chrono::seconds(10), [this] {
      ADD_FAILURE() << "nothing was applied";
      loop_.stop();
    });
    loop_.restart();
    loop_.run();
  }

  AsioLoop loop_{"test"};
  std::unique_ptr<Keeper> keeper_;
  int applied_ = 0, elsewhere_ = 0;
  std::string last_table_;
  Progress last_;
};

TEST_F(NftKeeper, requests_of_one_turn_are_one_apply) {
  open();
  keeper_->request(0);
  keeper_->table(0).add_element("s", Element::of(v4(kNet + 1)));
  keeper_->request(0);
  run();
  EXPECT_EQ(applied_, 1);
  EXPECT_EQ(last_.transactions, 1U);
  EXPECT_THAT(listing(), HasSubstr("10.0.0.1"));
}

TEST_F(NftKeeper, what_others_take_away_comes_back_without_being_asked_for) {
  open();
  keeper_->request(0);
  run();
  nft("flush chain inet t c");
  run();
  EXPECT_EQ(applied_, 2);
  EXPECT_EQ(last_.rules_added, 1U);
  EXPECT_EQ(keeper_->repairs(), 1U);
  EXPECT_THAT(listing(), HasSubstr("drop"));
  nft("flush ruleset");
  run();
  EXPECT_THAT(listing(), HasSubstr("drop"));
}

TEST_F(NftKeeper, each_table_is_repaired_for_itself_and_others_are_reported) {
  open();
  keeper_->request(0);
  run();
  keeper_->request(1);
  run();
  nft("add table inet foreign");
  nft("delete table inet u");
  run();
  EXPECT_EQ(last_table_, "u");
  EXPECT_EQ(applied_, 3);
  EXPECT_GT(elsewhere_, 0);
}

TEST_F(NftKeeper, others_that_are_busy_are_heard_now_and_then) {
  open();
  keeper_->request(0);
  run();
  const auto heard = [this](int number) {
    const auto guard = loop_.after(std::chrono::seconds(10), [this] { loop_.stop(); });
    EventLoop::Timer look;
    std::function<void()> again = [&] {
      if (elsewhere_ >= number) return loop_.stop();
      look = loop_.after(std::chrono::milliseconds(1), again);
    };
    loop_.restart();
    loop_.post(again);
    loop_.run();
    return elsewhere_ >= number;
  };
  nft("add table inet foreign");
  ASSERT_TRUE(heard(1));
  for (int i = 0; i < 5; ++i) nft("add chain inet foreign c" + std::to_string(i));
  const int before = elsewhere_;
  loop_.restart();
  loop_.post([this] { loop_.post([this] { loop_.stop(); }); });
  loop_.run();
  EXPECT_EQ(elsewhere_, before) << "read at once";
  nft("flush chain inet t c");
  run();
  EXPECT_EQ(keeper_->repairs(), 1U);
  EXPECT_TRUE(heard(before + 5));
}

TEST_F(NftKeeper, a_table_not_yet_asked_for_is_left_alone) {
  nft("add table inet t");
  nft("add chain inet t old");
  open();
  keeper_->request(1);
  run();
  nft("add chain inet t older");
  keeper_->request(1);
  run();
  EXPECT_THAT(listing(), HasSubstr("chain old"));
}

TEST_F(NftKeeper, the_audit_finds_what_no_notification_told) {
  open({.audit = std::chrono::milliseconds(1)});
  keeper_->request(0);
  run();
  const int before = applied_;
  keeper_->table(0).suspect_all();  // as the audit does
  const auto done = loop_.after(std::chrono::milliseconds(20), [this] { loop_.stop(); });
  loop_.restart();
  loop_.run();
  EXPECT_EQ(applied_, before) << "an audit of an intact table changes nothing";
  EXPECT_EQ(keeper_->repairs(), 0U);
}

}  // namespace
}  // namespace margay::nft::test
