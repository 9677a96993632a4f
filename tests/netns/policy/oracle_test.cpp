// SPDX-License-Identifier: Apache-2.0
// Random policy, random packets: what the kernel does with each must be what the evaluator says.
// MARGAY_SEED repeats a run, MARGAY_ROUNDS makes it longer. The first packet of a round that fares
// otherwise is tried with ever smaller policy, and what is left of that is shown.
#include <array>
#include <cstdlib>
#include <random>
#include <sstream>

#include "agent/calc/evaluator.h"
#include "lab.h"
#include "world.h"

namespace margay::test {
namespace {

using model::Action;
using model::ActiveRule;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

class Oracle : public Lab {
 protected:
  void SetUp() override {
    Lab::SetUp();
    if (IsSkipped()) return;
    add_usual_stations(1);
    for (const char* text :
         {"192.0.2.1", "192.0.2.2", "192.0.2.77", "198.51.100.9", "10.1.2.3", "10.1.3.3"}) {
      remote4_.push_back(Ip::parse(text).value());
    }
    for (const char* text : {"2001:db8::1", "2001:db8::2", "2001:db8:1::7", "fd01::9"}) {
      remote6_.push_back(Ip::parse(text).value());
    }
    for (const auto* list : {&remote4_, &remote6_}) {
      for (const Ip& a : *list) {
        const std::string ip = a.is_v4() ? "ip " : "ip -6 ";
        run(ip + "route replace " + a.to_string() + " dev eth0");
        run(ip + "neigh replace " + a.to_string() + " lladdr " + station("eth0").mac.to_string() +
            " dev eth0 nud permanent");
      }
    }
    start_plane();
  }

  unsigned pick(unsigned n) { return static_cast<unsigned>(random_() % n); }
  bool chance(unsigned percent) { return pick(100) < percent; }
  template <typename T>
  const T& any(const std::vector<T>& list) {
    return list[pick(static_cast<unsigned>(list.size()))];
  }

  Ip address(Family f) {
    if (chance(20)) return station("calia1").address(f);
    return any(f == Family::v4 ? remote4_ : remote6_);
  }
  Prefix net(Family f) {
    static const std::vector<unsigned> v4_lengths{32, 32, 31, 26, 24, 16, 8, 0};
    static const std::vector<unsigned> v6_lengths{128, 128, 64, 48, 16, 0};
    return Prefix::containing(address(f), any(f == Family::v4 ? v4_lengths : v6_lengths));
  }
  std::vector<Prefix> some_nets() {
    std::vector<Prefix> out;
    for (unsigned n = 1 + pick(4); n > 0; --n) out.push_back(net(chance(60) ? v4 : v6));
    return out;
  }
  std::uint16_t port() { return static_cast<std::uint16_t>(1 + pick(8)); }
  std::vector<model::PortRange> some_ports() {
    std::vector<model::PortRange> out;
    for (unsigned n = 1 + pick(3); n > 0; --n) {
      const std::uint16_t a = port();
      out.push_back({a, static_cast<std::uint16_t>(chance(30) ? a + pick(3) : a)});
    }
    return out;
  }
  std::uint8_t protocol() {
    static const std::vector<std::uint8_t> all{kTcp, kTcp, kUdp, kUdp, kSctp, kIcmp, kIcmpv6, kEsp};
    return any(all);
  }
  std::vector<model::SetId> some_sets(const char* prefix) {
    return {prefix + std::to_string(pick(4))};
  }

  void random_side(ActiveRule::Side& s, bool ports) {
    if (chance(25)) s.nets = some_nets();
    if (chance(12)) s.not_nets = some_nets();
    if (chance(20)) s.sets = some_sets("s:");
    if (chance(10)) s.not_sets = some_sets("s:");
    if (ports && chance(30)) s.ports = some_ports();
    if (ports && chance(10)) s.not_ports = some_ports();
    if (chance(10)) s.port_sets = some_sets("n:");
    if (chance(6)) s.not_port_sets = some_sets("n:");
  }

  ActiveRule random_rule(bool may_pass) {
    static const std::vector<Action> actions{Action::allow, Action::allow, Action::allow,
                                             Action::deny,  Action::log,   Action::pass};
    ActiveRule r;
    r.action = any(actions);
    if (r.action == Action::pass && !may_pass) r.action = Action::allow;
    if (chance(10)) r.family = chance(50) ? v4 : v6;
    if (chance(60)) r.protocol = model::Protocol{protocol()};
    if (chance(8)) r.not_protocol = model::Protocol{protocol()};
    if (r.protocol && (r.protocol->number == kIcmp || r.protocol->number == kIcmpv6)) {
      const auto icmp = [&] {
        model::Icmp i;
        static const std::vector<std::uint8_t> types{8, 13, 128, 139};
        if (chance(90)) i.type = any(types);
        if (i.type && chance(40)) i.code = static_cast<std::uint8_t>(pick(2));
        return i;
      };
      if (chance(50)) r.icmp = icmp();
      if (chance(20)) r.not_icmp = icmp();
    }
    random_side(r.source, true);
    random_side(r.destination, true);
    if (chance(5)) r.destination_service_sets = some_sets("n:");
    r.never = chance(2);
    return r;
  }

  // Rules that differ in values only, as merging looks for.
  void random_run(std::vector<ActiveRule>& out) {
    ActiveRule frame = random_rule(false);
    frame.action = chance(70) ? Action::allow : Action::deny;
    frame.source = frame.destination = {};
    frame.icmp.reset();
    frame.not_icmp.reset();
    const bool nets = chance(60), ports = chance(70), protocols = chance(50);
    for (unsigned n = 2 + pick(6); n > 0; --n) {
      ActiveRule r = frame;
      if (!r.protocol || protocols) {
        r.protocol = model::Protocol{chance(50) ? kTcp : chance(50) ? kUdp : kSctp};
      }
      if (nets) r.source.nets = {net(chance(60) ? v4 : v6)};
      if (ports) r.destination.ports = {{port(), 0}};
      for (auto& p : r.destination.ports) p.last = p.first;
      if (chance(15)) r.action = r.action == Action::allow ? Action::deny : Action::allow;
      out.push_back(r);
    }
  }

  std::vector<ActiveRule> random_rules(bool may_pass) {
    std::vector<ActiveRule> out;
    for (unsigned n = pick(5); n > 0; --n) {
      if (chance(25)) {
        random_run(out);
      } else {
        out.push_back(random_rule(may_pass));
      }
    }
    return out;
  }

  model::SetUpdate random_set(unsigned i, bool ports) {
    model::SetUpdate s;
    s.id = (ports ? "n:" : "s:") + std::to_string(i);
    s.kind = ports ? model::SetKind::ip_port : model::SetKind::nets;
    s.replace = true;
    std::set<model::SetMember> members;
    for (unsigned n = pick(6); n > 0; --n) {
      const Family f = chance(60) ? v4 : v6;
      if (ports) {
        members.insert({Prefix::host(address(f)), chance(50) ? kTcp : kUdp, port()});
      } else {
        members.insert({net(f), 0, 0});
      }
    }
    s.added.assign(members.begin(), members.end());
    return s;
  }

  World random_world() {
    World out;
    for (unsigned i = 0; i < 4; ++i) {
      out.sets.push_back(random_set(i, false));
      out.sets.push_back(random_set(i, true));
    }
    model::LocalWorkload& w = out.workload;
    w = workload("calia1");
    w.profiles.clear();
    for (unsigned i = 0, n = pick(3); i < n; ++i) {
      model::ActiveProfile p{"p" + std::to_string(i), random_rules(false), random_rules(false)};
      w.profiles.push_back(p.name);
      out.profiles.push_back(std::move(p));
    }
    unsigned number = 0;
    for (unsigned t = 0, n = 1 + pick(3); t < n; ++t) {
      model::EndpointTier tier{"t" + std::to_string(t), chance(60), {}, {}};
      for (unsigned i = 0, m = 1 + pick(3); i < m; ++i) {
        model::ActivePolicy p = policy("p" + std::to_string(number++));
        p.tier = tier.name;
        p.inbound = random_rules(true);
        p.outbound = random_rules(true);
        if (chance(80)) tier.ingress.push_back(p.key);
        if (chance(80)) tier.egress.push_back(p.key);
        out.policies.push_back(std::move(p));
      }
      w.tiers.push_back(std::move(tier));
    }
    return out;
  }

  struct Try {
    bool ingress;
    Shot shot;
    calc::Packet packet;
  };
  Try random_try(bool ingress) {
    const Family f = chance(60) ? v4 : v6;
    const Ip pod = station("calia1").address(f), other = any(f == v4 ? remote4_ : remote6_);
    Try t;
    t.ingress = ingress;
    Packet& p = t.shot.packet;
    do {
      p.protocol = protocol();
    } while (p.protocol == (f == v4 ? kIcmpv6 : kIcmp));
    static std::uint16_t fresh = 1000;
    // A small source port now and then; most are new, so that flows do not meet.
    p.sport = chance(15) ? port() : ++fresh;
    p.dport = port();
    p.type = f == v4 ? (chance(70) ? 8 : 13) : (chance(70) ? 128 : 139);
    p.code = static_cast<std::uint8_t>(pick(2));
    t.shot.source = ingress ? other : pod;
    t.shot.destination = ingress ? pod : other;
    const bool icmp = p.protocol == kIcmp || p.protocol == kIcmpv6, esp = p.protocol == kEsp;
    t.packet = {t.shot.source,
                t.shot.destination,
                p.protocol,
                icmp || esp ? std::uint16_t{0} : p.sport,
                icmp || esp ? std::uint16_t{0} : p.dport,
                icmp ? p.type : std::uint8_t{0},
                icmp ? p.code : std::uint8_t{0}};
    return t;
  }

  static calc::Decision decide(const World& world, const Try& t) {
    calc::EvaluatorTables tables;
    for (const auto& change : world.changes()) tables.apply(change);
    return calc::evaluate(world.workload,
                          t.ingress ? calc::Direction::ingress : calc::Direction::egress, t.packet,
                          tables);
  }
  std::vector<bool> fates(bool ingress, const std::vector<Shot>& shots) {
    forget_flows();
    return send_all(ingress ? "eth0" : "calia1", ingress ? "calia1" : "eth0", shots);
  }
  // Is the packet's fate in the kernel another than the evaluator says?
  bool differs(const World& world, const Try& t) {
    apply(world.changes());
    return fates(t.ingress, {t.shot}).front() != decide(world, t).allowed;
  }

  // Of what stands in the kernel, the chains that have rules of policies.
  static std::string chains_with_rules() {
    std::string out;
    std::istringstream table(run("nft list table inet margay"));
    std::string block;
    for (std::string line; std::getline(table, line);) {
      block += line + "\n";
      if (!line.empty() && line != "\t}") continue;
      if (block.find(" rule ") != std::string::npos) out += block;
      block.clear();
    }
    return out;
  }

  std::string report(const World& world, const Try& t) {
    const calc::Packet& p = t.packet;
    const calc::Decision d = decide(world, t);
    std::ostringstream out;
    out << (t.ingress ? "ingress " : "egress ") << p.source.to_string() << " -> "
        << p.destination.to_string() << " protocol " << unsigned{p.protocol} << " ports "
        << p.source_port << " -> " << p.destination_port << " icmp " << unsigned{p.icmp_type} << "/"
        << unsigned{p.icmp_code} << "; the evaluator " << (d.allowed ? "allows" : "denies")
        << " it: ";
    if (d.by == calc::Decision::By::rule) {
      out << d.policy->to_string() << " rule " << d.rule + 1;
    } else if (d.by == calc::Decision::By::profile_rule) {
      out << "profile " << d.profile << " rule " << d.rule + 1;
    } else {
      out << (d.by == calc::Decision::By::end_of_tier ? "end of tier " + d.tier : "no profile");
    }
    for (const model::SetUpdate& s : world.sets) {
      if (s.added.empty()) continue;
      out << "\nset " << s.id << ":";
      for (const model::SetMember& m : s.added) {
        out << " " << m.prefix.to_string() << " " << unsigned{m.protocol} << "/" << m.port;
      }
    }
    return out.str() + "\n" + chains_with_rules();
  }

  std::vector<Ip> remote4_, remote6_;
  std::mt19937_64 random_;
};

TEST_F(Oracle, the_kernel_agrees_with_the_evaluator) {
  const std::uint64_t first = from_environment("MARGAY_SEED", 1);
  const std::uint64_t rounds = from_environment("MARGAY_ROUNDS", 25);
  std::array<std::size_t, 2> fates_seen{};
  for (std::uint64_t seed = first; seed < first + rounds; ++seed) {
    SCOPED_TRACE("MARGAY_SEED=" + std::to_string(seed));
    random_.seed(seed);
    const World world = random_world();
    apply(world.changes());
    for (const bool ingress : {true, false}) {
      std::vector<Try> tries;
      std::vector<Shot> shots;
      for (int i = 0; i < 80; ++i) {
        tries.push_back(random_try(ingress));
        shots.push_back(tries.back().shot);
      }
      const auto passed = fates(ingress, shots);
      for (std::size_t i = 0; i < tries.size() && !HasFailure(); ++i) {
        const bool allowed = decide(world, tries[i]).allowed;
        ++fates_seen[allowed];
        if (passed[i] == allowed) continue;
        ADD_FAILURE() << report(world, tries[i]);
        // By itself: another packet may have made a connection that this one belonged to.
        if (!differs(world, tries[i])) break;
        const World least =
            shrink(world, [&](const World& less) { return differs(less, tries[i]); });
        ADD_FAILURE() << "what is left of it: " << report(least, tries[i]);
      }
    }
    if (HasFailure()) break;
  }
  EXPECT_GT(fates_seen[0], rounds * 5) << "too few are dropped for the test to say anything";
  EXPECT_GT(fates_seen[1], rounds * 5) << "too few pass for the test to say anything";
}

}  // namespace
}  // namespace margay::test
