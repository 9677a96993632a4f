// SPDX-License-Identifier: Apache-2.0
// One set under random changes: members of every prefix length, nested, of both families, now few
// lengths (hash sets), now many (an interval set). What rules that look it up, and that look it up
// negated, do to packets must follow its members. MARGAY_SEED repeats a run.
#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>

#include "dataplane/policy/set_shape.h"
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
    add_usual_stations(1);
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
    // Short ones cover everything else: what becomes of the others would not be seen.
    const unsigned any = pick(16) == 0 ? pick(most + 1) : most - pick(17);
    return Prefix::containing(a, any_length ? any : common[pick(5)]);
  }

  // The next change, which is to make the set what `members_` says then. A growing set is not
  // emptied, and gets members of any length.
  model::SetUpdate random_change(bool growing) {
    model::SetUpdate u;
    u.id = "s:x";
    u.replace = pick(8) == 0;
    const std::set<Prefix> old = members_;
    if (!growing && (u.replace || pick(10) == 0)) members_.clear();
    for (unsigned n = growing ? pick(3) : pick(4); n > 0 && !members_.empty(); --n) {
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
    const bool interval = sets.find("s-x-4-i") != std::string::npos;
    std::set<unsigned> lengths;
    for (const Prefix& p : members_) {
      if (p.family() == Family::v4) lengths.insert(p.length());
    }
    if (lengths.size() != policy::kMaxLengths) {
      EXPECT_EQ(interval, lengths.size() > policy::kMaxLengths) << lengths.size() << " lengths";
    }
    intervals = intervals || interval;
    hashes = hashes || sets.find("s-x-4-0") != std::string::npos;
  }
  EXPECT_TRUE(intervals) << "never more lengths than hash sets are made for";
  EXPECT_TRUE(hashes) << "0.0.0.0/0 was never a member beside few others";
}

// A set that comes by pieces: what names it waits for the last, and nobody else waits.
TEST_F(Sets, a_set_in_pieces_takes_effect_when_it_is_whole) {
  add_station("calib1", "10.65.0.2", "fd00:65::2");
  struct Case {
    const char* id;
    std::vector<const char*> first, last;
    const char* kernel_set;
  };
  const Case cases[] = {
      {"s:p", {"192.0.3.1/32"}, {"192.0.2.1/32"}, "s-p-4-32"},
      {"s:q",
       {"1.0.0.0/8", "2.0.0.0/9", "3.0.0.0/10", "4.0.0.0/11", "5.0.0.0/12", "6.0.0.0/13",
        "7.0.0.0/14", "8.0.0.0/15", "9.0.0.0/16"},
       {"192.0.2.1/32"},
       "s-q-4-i"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.id);
    model::LocalWorkload w = workload("calia1");
    apply({allow_profile(), w, model::WorkloadRemove{workload("calib1").id}});
    ASSERT_EQ(send("eth0", "calia1", tcp(1), v4), Fate::pass);

    model::ActivePolicy p = policy("pieces");
    p.inbound = {rule(Action::deny, [&](ActiveRule& r) { r.source.sets = {c.id}; }),
                 rule(Action::allow)};
    w.tiers = {{"default", false, {p.key}, {}}};
    model::SetUpdate piece = nets(c.id, c.first);
    piece.more = true;
    plane_->apply({{piece, p, w}});
    plane_->apply({{workload("calib1")}});
    ASSERT_TRUE(until([&] {
      return run("nft list map inet margay to-workload").find("calib1") != std::string::npos;
    }));
    EXPECT_EQ(send("eth0", "calib1", tcp(1), v4), Fate::pass) << "another endpoint stands already";
    EXPECT_EQ(send("eth0", "calia1", tcp(1), v4), Fate::pass) << "what was in force still is";
    EXPECT_TRUE(plane_->status().pending);

    model::SetUpdate end = nets(c.id, c.last);
    end.replace = false;
    apply({end});
    EXPECT_NE(run("nft list sets").find(c.kernel_set), std::string::npos);
    EXPECT_EQ(send("eth0", "calia1", tcp(1), v4), Fate::drop);
    EXPECT_TRUE(plane_->status().quarantined.empty());
  }
}

}  // namespace
}  // namespace margay::test
