// SPDX-License-Identifier: Apache-2.0
// One set under random changes: members of every prefix length, nested, of both families, now few
// lengths (hash sets), now many (an interval set). What rules that look it up, and that look it up
// negated, do to packets must follow its members. MARGAY_SEED repeats a run.
#include <algorithm>
#include <cstdlib>
#include <random>

#include "lab.h"

namespace margay::test {
namespace {

using model::Action;
using model::ActiveRule;

constexpr std::uint16_t kMember = 1, kStranger = 2;  // ports of the two rules

class Sets : public Lab {
 protected:
  void SetUp() override {
    Lab::SetUp();
    if (IsSkipped()) return;
    add_station("calia1", "10.65.0.1", "fd00:65::1");
    add_station("eth0", "192.0.2.1", "2001:db8::1");
    for (const char* text :
         {"192.0.2.1", "192.0.2.2", "192.0.3.1", "193.0.0.1", "10.1.2.3", "100.64.0.1",
          "223.255.255.254", "2001:db8::1", "2001:db8::2", "2001:db9::1", "3fff::1", "fd01::9"}) {
      addresses_.push_back(Ip::parse(text).value());
    }
    start_plane();
    model::ActivePolicy p = policy("sets");
    const auto to_port = [](std::uint16_t port) {
      return rule(Action::allow, [&](ActiveRule& r) {
        r.protocol = model::Protocol{kTcp};
        r.destination.ports = {{port, port}};
      });
    };
    p.inbound = {to_port(kMember), to_port(kStranger)};
    p.inbound[0].source.sets = {"s:x"};
    p.inbound[1].source.not_sets = {"s:x"};
    model::LocalWorkload w = workload("calia1");
    w.tiers = {{"default", false, {p.key}, {}}};
    apply({nets("s:x", {}), p, allow_profile(), w});
  }

  unsigned pick(unsigned n) { return static_cast<unsigned>(random_() % n); }

  Prefix random_prefix(bool any_length) {
    const Ip a = addresses_[pick(static_cast<unsigned>(addresses_.size()))];
    const unsigned most = max_prefix_length(a.family());
    const unsigned common[] = {most, most, most - 8, most / 2, 0};
    return Prefix::containing(a, any_length ? pick(most + 1) : common[pick(5)]);
  }

  // The next change, which is to make the set what `members_` says then. A growing set is not
  // emptied, and gets members of any length.
  model::SetUpdate random_change(bool growing) {
    model::SetUpdate u;
    u.id = "s:x";
    u.replace = pick(8) == 0;
    const std::set<Prefix> old = members_;
    if (!growing && (u.replace || pick(10) == 0)) members_.clear();
    for (unsigned n = growing ? pick(2) : pick(4); n > 0 && !members_.empty(); --n) {
      members_.erase(std::next(members_.begin(), pick(static_cast<unsigned>(members_.size()))));
    }
    for (unsigned n = pick(6); n > 0; --n) members_.insert(random_prefix(growing || pick(3) == 0));
    for (const Prefix& p : members_) {
      if (u.replace || !old.contains(p)) u.added.push_back({p, 0, 0});
    }
    for (const Prefix& p : old) {
      if (!u.replace && !members_.contains(p)) u.removed.push_back({p, 0, 0});
    }
    return u;
  }

  void check() {
    std::vector<Shot> shots;
    for (const std::uint16_t port : {kMember, kStranger}) {
      for (const Ip& a : addresses_) {
        shots.push_back({{.protocol = kTcp, .sport = next_port_++, .dport = port},
                         a,
                         station("calia1").address(a.family())});
      }
    }
    const auto passed = send_all("eth0", "calia1", shots);
    for (std::size_t i = 0; i < shots.size(); ++i) {
      const bool member = std::ranges::any_of(
          members_, [&](const Prefix& p) { return p.contains(shots[i].source); });
      EXPECT_EQ(passed[i], member == (shots[i].packet.dport == kMember))
          << shots[i].source.to_string() << " to port " << shots[i].packet.dport;
    }
  }

  std::vector<Ip> addresses_;
  std::set<Prefix> members_;
  std::mt19937_64 random_;
};

TEST_F(Sets, packets_follow_the_members_whatever_their_lengths) {
  const char* given = std::getenv("MARGAY_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  SCOPED_TRACE("MARGAY_SEED=" + std::to_string(seed));
  random_.seed(seed);
  bool intervals = false, hashes = false;
  for (int step = 0; step < 60 && !HasFailure(); ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    apply({random_change(step % 40 >= 20)});
    check();
    const std::string sets = run("nft list sets");
    intervals = intervals || sets.find("s-x-4-i") != std::string::npos;
    hashes = hashes || sets.find("s-x-4-0") != std::string::npos;
  }
  EXPECT_TRUE(intervals) << "never more lengths than hash sets are made for";
  EXPECT_TRUE(hashes) << "0.0.0.0/0 was never a member beside few others";
}

}  // namespace
}  // namespace margay::test
