// SPDX-License-Identifier: Apache-2.0
#include "dataplane/policy/static_table.h"

#include <algorithm>

#include "dataplane/nft/builder.h"

namespace margay::policy {

namespace {

using nft::Chain;
using nft::ChainType;
using nft::Direction;
using nft::Exprs;
using nft::Hook;
using nft::join;

constexpr std::int32_t kRaw = -300, kFilter = -1, kDstnat = -100;
// After kube-proxy's masquerade at srcnat (100): the first NAT verdict of a connection wins.
constexpr std::int32_t kSrcnat = 110;
constexpr std::uint8_t kTcp = 6, kUdp = 17, kIpip = 4;

Chain base(std::string name, ChainType type, Hook hook, std::int32_t priority) {
  return {std::move(name), nft::BaseChain{type, hook, priority, false}, {}};
}

void add(Chain& c, std::initializer_list<Exprs> parts, std::string comment = {}) {
  c.rules.push_back(nft::rule(parts, std::move(comment)));
}

class StaticChains {
 public:
  StaticChains(const StaticSpec& spec, const SetShapes& shapes, const PolicyConfig& config,
               ConstantSets& sets)
      : spec_(spec), shapes_(shapes), config_(config), sets_(sets) {}

  std::vector<Chain> run() {
    if (vxlan()) untrack();
    if (vxlan() || spec_.encap.ipip) protect();
    loop_prevention();
    if (config_.floating_ips && !spec_.floating.empty()) destination_nat();
    source_nat();
    return std::move(out_);
  }

 private:
  bool vxlan() const { return spec_.encap.vxlan_v4 || spec_.encap.vxlan_v6; }
  const FamilyShape& shape(std::string_view id, Family f) const {
    return shapes_.find(id)->second.of(f);
  }

  Exprs vxlan_port() const {
    return join({nft::l4proto(kUdp), nft::port(Direction::destination, config_.vxlan_port)});
  }

  // Tunnel packets are of no connection worth the price of tracking.
  void untrack() {
    for (const Hook hook : {Hook::prerouting, Hook::output}) {
      Chain c = base(hook == Hook::prerouting ? "raw-prerouting" : "raw-output", ChainType::filter,
                     hook, kRaw);
      add(c, {vxlan_port(), nft::notrack()}, "VXLAN");
      out_.push_back(std::move(c));
    }
  }

  // Tunnel packets from anybody but a node would reach pods past all policy.
  void protect() {
    Chain c = base("input", ChainType::filter, Hook::input, kFilter);
    const Exprs to_us = nft::fib_type(nft::kFibDaddr, nft::kAddressTypeLocal);
    for (const Family f : kFamilies) {
      if (vxlan()) {
        add(c,
            {nft::family(f), vxlan_port(),
             not_member_of(model::SetId(kVxlanHosts), shape(kVxlanHosts, f), Direction::source, f),
             to_us, nft::drop()},
            "VXLAN from a stranger");
      }
    }
    if (spec_.encap.ipip) {
      add(c,
          {nft::family(Family::v4), nft::l4proto(kIpip),
           not_member_of(model::SetId(kAllHosts), shape(kAllHosts, Family::v4), Direction::source,
                         Family::v4),
           nft::drop()},
          "IPIP from a stranger");
    }
    out_.push_back(std::move(c));
  }

  // A service address that nothing translated would go back and forth between us and the router.
  void loop_prevention() {
    if (config_.loop_prevention == LoopPrevention::disabled) return;
    std::vector<Prefix> all = spec_.services.cluster_ips;
    for (const auto* more : {&spec_.services.external_ips, &spec_.services.load_balancer_ips}) {
      all.insert(all.end(), more->begin(), more->end());
    }
    if (all.empty()) return;
    Chain c = base("forward", ChainType::filter, Hook::forward, kFilter);
    add(c, {nft::ct_state(nft::kCtEstablished | nft::kCtRelated), nft::accept()});
    for (const Family f : kFamilies) {
      const auto match = nets_match(sets_, all, Direction::destination, f);
      if (!match) continue;
      add(c,
          {nft::family(f), *match,
           config_.loop_prevention == LoopPrevention::drop ? nft::drop() : nft::reject()},
          "service address without a service");
    }
    out_.push_back(std::move(c));
  }

  // One external address leads to the lowest internal one that claims it; one internal address
  // shows the lowest of its external ones.
  void destination_nat() {
    std::vector<model::IpNat> list = spec_.floating;
    std::ranges::sort(
        list, {}, [](const model::IpNat& n) { return std::pair(n.external_ip, n.internal_ip); });
    Chain rules{"floating-dnat", std::nullopt, {}};
    const Ip* last = nullptr;
    for (const model::IpNat& n : list) {
      if (last != nullptr && *last == n.external_ip) continue;
      last = &n.external_ip;
      add(rules,
          {nft::address(Direction::destination, Prefix::host(n.external_ip)),
           nft::dnat(n.internal_ip)},
          "floating address");
    }
    for (const Hook hook : {Hook::prerouting, Hook::output}) {
      Chain c = base(hook == Hook::prerouting ? "nat-prerouting" : "nat-output", ChainType::nat,
                     hook, kDstnat);
      add(c, {nft::jump("floating-dnat")});
      out_.push_back(std::move(c));
    }
    out_.push_back(std::move(rules));
  }

  // A pod that calls its own floating address must see the answer come from there.
  void hairpin(Chain& c) {
    std::vector<model::IpNat> list = spec_.floating;
    std::ranges::sort(
        list, {}, [](const model::IpNat& n) { return std::pair(n.internal_ip, n.external_ip); });
    const Ip* last = nullptr;
    for (const model::IpNat& n : list) {
      if (last != nullptr && *last == n.internal_ip) continue;
      last = &n.internal_ip;
      const Prefix pod = Prefix::host(n.internal_ip);
      add(c,
          {nft::address(Direction::source, pod),
           nft::address(Direction::destination, pod, false, nft::Dependency::met),
           nft::snat(n.external_ip, nft::kNatFullyRandom)},
          "floating address, hairpin");
    }
  }

  void source_nat() {
    Chain c = base("nat-postrouting", ChainType::nat, Hook::postrouting, kSrcnat);
    if (config_.floating_ips) hairpin(c);
    for (const Family f : kFamilies) outgoing(c, f);
    if (spec_.encap.vxlan_v4 && spec_.vxlan_v4) tunnel(c, config_.vxlan_device_v4, Family::v4);
    if (spec_.encap.vxlan_v6 && spec_.vxlan_v6) tunnel(c, config_.vxlan_device_v6, Family::v6);
    if (spec_.encap.ipip && spec_.ipip_v4) tunnel(c, config_.ipip_device, Family::v4);
    if (!c.rules.empty()) out_.push_back(std::move(c));
  }

  void outgoing(Chain& c, Family f) {
    const Exprs leaves = join(
        {not_member_of(model::SetId(kAllPools), shape(kAllPools, f), Direction::destination, f),
         config_.nat_excludes_hosts ? not_member_of(model::SetId(kAllHosts), shape(kAllHosts, f),
                                                    Direction::destination, f)
                                    : Exprs{},
         nat_interface()});
    for (const Exprs& from :
         member_of(model::SetId(kNatPools), shape(kNatPools, f), Direction::source, f)) {
      const Exprs match = join({nft::family(f), from, leaves});
      if (config_.nat_ports) {
        for (const std::uint8_t protocol : {kTcp, kUdp}) {
          add(c, {match, nft::l4proto(protocol), translate(f, true)}, "outgoing NAT");
        }
      }
      add(c, {match, translate(f, false)}, "outgoing NAT");
    }
  }

  // The parameter's wildcard is that of iptables: "eth+".
  Exprs nat_interface() const {
    std::string name = config_.nat_interface;
    if (name.empty()) return {};
    if (name.back() == '+') name.back() = '*';
    return nft::oifname(name);
  }

  Exprs translate(Family f, bool ports) const {
    const bool fixed = config_.nat_address && config_.nat_address->family() == f;
    if (!fixed) {
      return ports ? nft::masquerade_ports(config_.nat_ports->first, config_.nat_ports->last,
                                           nft::kNatFullyRandom)
                   : nft::masquerade(nft::kNatFullyRandom);
    }
    if (!ports) return nft::snat(*config_.nat_address, nft::kNatFullyRandom);
    const nft::Reg address{0}, first{4}, last{8};
    return {nft::Immediate{address, nft::Packed::ip(*config_.nat_address)},
            nft::Immediate{first, nft::Packed::be16(config_.nat_ports->first)},
            nft::Immediate{last, nft::Packed::be16(config_.nat_ports->last)},
            nft::Nat{nft::Nat::Kind::snat, f, address, first, last, nft::kNatFullyRandom}};
  }

  // What this host itself sends into a tunnel must bear the tunnel's address, whatever source the
  // sender chose before routing did.
  void tunnel(Chain& c, const std::string& device, Family f) {
    const Exprs match =
        join({nft::family(f), nft::oifname(device),
              nft::fib_type(nft::kFibSaddr | nft::kFibOif, nft::kAddressTypeLocal, true),
              nft::fib_type(nft::kFibSaddr, nft::kAddressTypeLocal)});
    if (vxlan()) {
      // A source port equal to VXLAN's would make the reply look like a tunnel packet.
      const std::uint16_t port = config_.vxlan_port;
      const bool above = 65535 - port >= port - 1024;
      const auto first = static_cast<std::uint16_t>(above ? port + 1 : 1024);
      const auto last = static_cast<std::uint16_t>(above ? 65535 : port - 1);
      add(c, {match, nft::l4proto(kUdp), nft::masquerade_ports(first, last, nft::kNatFullyRandom)},
          "from this host into the tunnel");
    }
    add(c, {match, nft::masquerade(nft::kNatFullyRandom)}, "from this host into the tunnel");
  }

  const StaticSpec& spec_;
  const SetShapes& shapes_;
  const PolicyConfig& config_;
  ConstantSets& sets_;
  std::vector<Chain> out_;
};

}  // namespace

std::vector<nft::Chain> static_chains(const StaticSpec& spec, const SetShapes& shapes,
                                      const PolicyConfig& config, ConstantSets& sets) {
  return StaticChains(spec, shapes, config, sets).run();
}

}  // namespace margay::policy
