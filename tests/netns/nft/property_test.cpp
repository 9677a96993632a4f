// SPDX-License-Identifier: Apache-2.0
// Random wants, random disturbance: after apply() the kernel equals what is wanted, as an
// independent driver that reads the kernel anew confirms by having nothing to send, and as the same
// wants programmed into an empty kernel look to nft.
#include <cstdlib>
#include <map>
#include <random>
#include <set>

#include "dataplane/nft/monitor.h"
#include "fixture.h"

namespace margay::nft::test {
namespace {

// A model of what is wanted, from which both drivers are told.
struct Model {
  std::map<std::string, Chain> chains;
  std::map<std::string, std::set<std::uint32_t>> sets;  // hash sets of IPv4
  std::map<std::string, std::set<std::uint32_t>> nets;  // interval sets of /24s
  std::map<std::uint32_t, Verdict> map;
};

class NftProperty : public KernelTest {
 protected:
  std::uint32_t pick(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }
  static std::string chain_name(std::uint32_t i) { return "c" + std::to_string(i); }
  static std::string set_name(std::uint32_t i) { return "s" + std::to_string(i); }
  static std::string net_name(std::uint32_t i) { return "n" + std::to_string(i); }
  static Packed map_key(std::uint32_t i) {
    return Packed::interface_name("cali" + std::to_string(i));
  }

  // A chain jumps only to chains of a higher number that are wanted, and names wanted sets.
  Rule random_rule(std::uint32_t self) {
    switch (pick(7)) {
      case 0:
        if (!model_.sets.empty()) {
          return rule({address_in(Direction::source, Family::v4,
                                  std::next(model_.sets.begin(),
                                            pick(static_cast<std::uint32_t>(model_.sets.size())))
                                      ->first),
                       accept()});
        }
        break;
      case 1:
        if (!model_.nets.empty()) {
          return rule({address_in(Direction::destination, Family::v4, model_.nets.begin()->first),
                       counter(), drop()});
        }
        break;
      case 2:
      case 3: {
        const auto target = model_.chains.upper_bound(chain_name(self));
        if (target != model_.chains.end()) return rule({jump(target->first)});
        break;
      }
      case 4:
        return rule({counter(), set_mark(pick(4), 3)}, "mark");
      default:
        break;
    }
    return rule(
        {l4proto(6), port(Direction::destination, static_cast<std::uint16_t>(pick(4))), accept()});
  }

  void mutate() {
    switch (pick(8)) {
      case 0:
      case 1:
      case 2: {
        const std::uint32_t i = pick(6);
        Chain c{chain_name(i), std::nullopt, {}};
        const std::uint32_t rules = pick(6);
        for (std::uint32_t r = 0; r < rules; ++r) c.rules.push_back(random_rule(i));
        if (const auto old = model_.chains.find(c.name);
            old != model_.chains.end() && !old->second.rules.empty() && pick(2) == 0) {
          c.rules = old->second.rules;  // a small change to a known chain
          const auto at = c.rules.begin() + pick(static_cast<std::uint32_t>(c.rules.size()));
          if (pick(2) == 0) {
            c.rules.erase(at);
          } else {
            c.rules.insert(at, random_rule(i));
          }
        }
        model_.chains[c.name] = c;
        break;
      }
      case 3:
        forget_chain(chain_name(pick(6)));
        break;
      case 4: {
        auto& s = model_.sets[set_name(pick(3))];
        for (int k = 0; k < 3; ++k) {
          const std::uint32_t a = pick(30);
          if (!s.insert(a).second) s.erase(a);
        }
        break;
      }
      case 5: {
        auto& n = model_.nets[net_name(pick(2))];
        const std::uint32_t a = pick(10);
        if (!n.insert(a).second) n.erase(a);
        break;
      }
      case 6:
        if (!model_.chains.empty()) {
          model_.map[pick(5)] = {Verdict::Code::goto_, model_.chains.rbegin()->first};
        }
        break;
      case 7:
        model_.map.erase(pick(5));
        break;
    }
  }

  // Takes the chain away, and with it what names it.
  void forget_chain(const std::string& name) {
    model_.chains.erase(name);
    std::erase_if(model_.map, [&](const auto& kv) { return kv.second.chain == name; });
    for (auto& [n, c] : model_.chains) {
      std::erase_if(c.rules, [&](const Rule& r) {
        const auto* v = std::get_if<Verdict>(&r.exprs.back());
        return v != nullptr && v->chain == name;
      });
    }
  }

  // Tells the difference from `told` to the model.
  static void tell(Table& t, const Model& want, const Model& told) {
    const SetType hash{{Datatype::ipv4_addr}, false, std::nullopt};
    const SetType interval{{Datatype::ipv4_addr}, true, std::nullopt};
    for (const auto& [name, members] : want.sets) {
      ASSERT_TRUE(t.want_set({name, hash}).ok());
      ElementTable all(hash);
      for (const std::uint32_t a : members) all.append_key(v4(kNet + a).bytes());
      t.replace_elements(name, std::move(all));
    }
    for (const auto& [name, members] : want.nets) {
      ASSERT_TRUE(t.want_set({name, interval}).ok());
      ElementTable all(interval);
      for (const std::uint32_t a : members) {
        all.append(Element::prefix(Prefix::containing(Ip::v4(kNet + (a << 8)), 24)));
      }
      t.replace_elements(name, std::move(all));
    }
    const SetType verdicts{{Datatype::ifname}, false, Datatype::verdict};
    ASSERT_TRUE(t.want_set({"dispatch", verdicts}).ok());
    ElementTable all(verdicts);
    for (const auto& [key, v] : want.map) all.append(Element::verdict_for(map_key(key), v));
    t.replace_elements("dispatch", std::move(all));
    for (const auto& [name, c] : want.chains) t.want_chain(c);
    t.want_chain({"base",
                  BaseChain{ChainType::filter, Hook::forward, 1, false},
                  {rule({iifname_vmap("dispatch")})}});
    for (const auto& [name, c] : told.chains) {
      if (!want.chains.contains(name)) t.forget_chain(name);
    }
  }

  void disturb() {
    switch (pick(6)) {
      case 0:
        nft("flush ruleset");
        break;
      case 1:
        nft("flush chain inet t base");
        break;
      case 2:
        nft("add rule inet t base counter");
        break;
      case 3:
        if (!told_.sets.empty()) {
          nft("add element inet t " + told_.sets.begin()->first + " '{ 10.9.9.9 }'");
          if (pick(2) == 0) nft("flush set inet t " + told_.sets.begin()->first);
        }
        break;
      case 4:
        if (!told_.nets.empty()) nft("flush set inet t " + told_.nets.begin()->first);
        break;
      case 5:
        nft("flush map inet t dispatch");
        break;
    }
  }

  std::mt19937 random_;
  Model model_, told_;
};

TEST_F(NftProperty, apply_makes_the_kernel_what_is_wanted) {
  const char* given = std::getenv("MARGAY_SEED");
  const auto seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                                     : std::random_device{}();
  SCOPED_TRACE("MARGAY_SEED=" + std::to_string(seed));
  random_.seed(seed);
  const std::uint32_t ports[] = {socket_->port()};
  auto monitor = Monitor::open(ports);
  ASSERT_TRUE(monitor.ok());
  Table* tables[] = {table_.get()};
  for (int step = 0; step < 60 && !HasFailure(); ++step) {
    for (std::uint32_t n = pick(5) + 1; n > 0; --n) mutate();
    tell(*table_, model_, told_);
    const bool noticed = pick(4) != 0;
    if (step > 0 && pick(3) == 0) disturb();
    if (noticed) (void)monitor.value()->read(tables);
    Progress p = apply(pick(2) == 0 ? Scope::atomic : Scope::members_first);
    told_ = model_;
    if (!noticed) {  // the notice comes after the apply
      (void)monitor.value()->read(tables);
      p = apply();
    }
    EXPECT_TRUE(p.refused.empty() && p.waiting.empty())
        << "step " << step << (p.refused.empty() ? "" : p.refused[0].error.message())
        << (p.waiting.empty() ? "" : p.waiting[0]);
    EXPECT_FALSE(table_->pending());
    Table other(*socket_, "t");
    tell(other, model_, {});
    const auto check = other.apply();
    ASSERT_TRUE(check.ok());
    EXPECT_EQ(check.value().messages, 0U) << "step " << step << "\n" << listing();
  }
  // The same wants in an empty kernel look the same to an independent reader.
  const std::string grown = listing();
  nft("flush ruleset");
  restart();
  tell(*table_, model_, {});
  for (const auto& [name, members] : told_.sets) {
    if (!model_.sets.contains(name)) table_->forget_set(name);
  }
  apply();
  EXPECT_EQ(listing(), grown);
}

}  // namespace
}  // namespace margay::nft::test
