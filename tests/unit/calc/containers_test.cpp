// SPDX-License-Identifier: Apache-2.0
// The small containers against standard ones, under random operations.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "agent/calc/index_table.h"
#include "agent/calc/members.h"
#include "agent/calc/rules.h"

namespace margay::calc {
namespace {

class Random {
 public:
  std::uint32_t operator()() { return static_cast<std::uint32_t>(engine_()); }

 private:
  std::mt19937 engine_{7};
};

TEST(IndexTable, holds_what_was_put_in) {
  Random random;
  std::vector<unsigned> keys(5000);
  for (auto& k : keys) k = random() % 1000;  // collisions on purpose
  const auto hash_of = [&](std::uint32_t i) { return std::size_t{keys[i] % 64}; };
  IndexTable table;
  std::set<std::uint32_t> inside;
  for (int n = 0; n < 20000; ++n) {
    const std::uint32_t i = random() % 500;
    if (inside.erase(i) != 0) {
      table.erase(i, hash_of(i));
    } else {
      table.insert(i, hash_of(i));
      inside.insert(i);
    }
    const std::uint32_t probe = random() % 500;
    const auto found = table.find(hash_of(probe), [&](std::uint32_t x) { return x == probe; });
    ASSERT_EQ(found, inside.contains(probe) ? probe : kNone);
    ASSERT_EQ(table.size(), inside.size());
  }
}

TEST(IdList, is_a_multiset) {
  Random random;
  IdList list;
  std::multiset<std::uint32_t> want;
  for (int n = 0; n < 5000; ++n) {
    const std::uint32_t id = random() % 20;
    if (random() % 2 == 0) {
      list.push(id);
      want.insert(id);
    } else {
      list.erase(id);
      if (const auto it = want.find(id); it != want.end()) want.erase(it);
    }
    ASSERT_EQ(std::multiset<std::uint32_t>(list.begin(), list.end()), want);
  }
}

TEST(Members, tells_only_what_changed_since_last_time) {
  Random random;
  Members members;
  std::map<model::SetMember, int> counts;
  std::set<model::SetMember> known;
  const auto some = [&]() -> model::SetMember {
    const Ip ip = random() % 2 == 0 ? Ip::v4(random() % 40)
                                    : Ip::parse("fd00::" + std::to_string(random() % 40)).value();
    return {Prefix::containing(ip, ip.is_v4() ? 31 : 128), 0, 0};
  };
  model::SetUpdate all{"x", model::SetKind::nets, true, {}, {}};
  members.send_all(all);
  EXPECT_TRUE(all.added.empty());
  for (int n = 0; n < 20000; ++n) {
    const model::SetMember m = some();
    if (random() % 2 == 0) {
      members.add(m, model::SetKind::nets);
      ++counts[m];
    } else if (counts[m] > 0) {
      members.remove(m, model::SetKind::nets);
      --counts[m];
    }
    if (random() % 10 != 0) continue;
    model::SetUpdate delta{"x", model::SetKind::nets, false, {}, {}};
    members.send_changes(delta);
    for (const auto& a : delta.added) ASSERT_TRUE(known.insert(a).second);
    for (const auto& r : delta.removed) ASSERT_EQ(known.erase(r), 1U);
    std::set<model::SetMember> want;
    for (const auto& [key, count] : counts) {
      if (count > 0) want.insert(key);
    }
    ASSERT_EQ(known, want);
    ASSERT_EQ(members.size(), want.size());
  }
}

TEST(Members, networks_that_differ_in_their_upper_bits_spread_over_a_table) {
  std::set<std::size_t> homes;
  for (std::uint32_t i = 0; i < 4096; ++i) homes.insert(MemberKey4{i << 8, 24}.hash() % 4096);
  EXPECT_GT(homes.size(), 2000U);
}

TEST(Members, packs_networks) {
  const std::vector<Prefix> nets = {
      Prefix::parse("fd00::/64").value(), Prefix::parse("10.0.0.1/32").value(),
      Prefix::parse("0.0.0.0/0").value(), Prefix::parse("::/0").value(),
      Prefix::parse("10.0.0.1/32").value()};
  const auto packed = pack(nets);
  EXPECT_EQ(packed.size(), 2 * 5U + 2 * 17U);
  const std::set<Prefix> want(nets.begin(), nets.end());
  const auto got = unpack(packed);
  EXPECT_EQ(std::set<Prefix>(got.begin(), got.end()), want);
  EXPECT_EQ(got.size(), want.size());
}

TEST(PackedRules, come_back_whole) {
  model::ActiveRule r;
  r.action = model::Action::pass;
  r.family = Family::v6;
  r.protocol = model::Protocol{6};
  r.not_protocol = model::Protocol{17};
  r.icmp = model::Icmp{8, std::nullopt};
  r.not_icmp = model::Icmp{std::nullopt, 3};
  r.source.nets = {Prefix::parse("10.0.0.0/8").value(), Prefix::parse("fd00::1/128").value()};
  r.source.sets = {std::string(300, 'x'), ""};
  r.source.ports = {{1, 65535}};
  r.source.not_port_sets = {"a"};
  r.destination.not_nets = {Prefix::parse("0.0.0.0/0").value()};
  r.destination.not_sets = {"b"};
  r.destination.not_ports = {{80, 90}, {7, 7}};
  r.destination.port_sets = {"c", "d"};
  r.destination_service_sets = {"e"};
  r.never = true;
  r.annotations = "a=name";
  const std::vector<model::ActiveRule> rules = {r, {}, r};
  EXPECT_EQ(unpack_rules(pack_rules(rules)), rules);
  EXPECT_TRUE(unpack_rules("").empty());
}

}  // namespace
}  // namespace margay::calc
