// SPDX-License-Identifier: Apache-2.0
#include "dataplane/policy/base_chains.h"

#include <algorithm>
#include <array>

#include "dataplane/nft/builder.h"
#include "dataplane/policy/static_table.h"

namespace margay::policy {

namespace {

using nft::Chain;
using nft::ChainType;
using nft::Datatype;
using nft::Exprs;
using nft::Hook;
using nft::join;
using nft::KeyField;

// Beside the conventional priorities, as the order among equal ones is that of registration: source
// before 0, destination after it; host endpoints' forward policy outside of both.
constexpr std::int32_t kRaw = -300, kMangle = -150;
constexpr std::int32_t kHostForwardIn = -2, kSource = -1, kDestination = 1, kHostForwardOut = 2;

constexpr std::uint8_t kTcp = 6, kUdp = 17, kIpip = 4, kIcmpv6 = 58;

constexpr std::string_view kFromProgram = "from-workload", kToProgram = "to-workload";

Chain base(std::string name, Hook hook, std::int32_t priority) {
  return {std::move(name), nft::BaseChain{ChainType::filter, hook, priority, false}, {}};
}

void add(Chain& c, std::initializer_list<Exprs> parts, std::string comment = {}) {
  c.rules.push_back(nft::rule(parts, std::move(comment)));
}

Exprs known_flow() { return nft::ct_state(nft::kCtEstablished | nft::kCtRelated); }

Exprs icmpv6_in(ConstantSets& sets, std::initializer_list<std::uint8_t> types) {
  std::vector<nft::Element> elements;
  for (const std::uint8_t t : types) elements.push_back(nft::Element::of(nft::Packed::u8(t)));
  const auto name = sets.add("icmpv6", {{Datatype::icmpv6_type}, false, std::nullopt}, elements);
  return join({nft::l4proto(kIcmpv6),
               {nft::PayloadLoad{nft::PayloadBase::transport, 0, 1, nft::Reg{0}},
                nft::Lookup{name, nft::Reg{0}, false, false, std::nullopt}}});
}

// Multicast listener discovery, router and neighbour discovery: never a matter of policy. From a
// workload nothing that only a router says.
Exprs neighbour_discovery(ConstantSets& sets) {
  return icmpv6_in(sets, {130, 131, 132, 133, 135, 136});
}

Exprs link_discovery(ConstantSets& sets) {
  return icmpv6_in(sets, {130, 131, 132, 133, 134, 135, 136, 143});
}

class BaseChains {
 public:
  BaseChains(const BaseSpec& spec, const SetShapes& shapes, const PolicyConfig& config,
             ConstantSets& sets)
      : spec_(spec), shapes_(shapes), config_(config), sets_(sets) {}

  std::vector<Chain> run() {
    raw();
    forward();
    input();
    if (spec_.cut_flows) cut_flows();
    if (spec_.host.any()) host();
    return std::move(out_);
  }

 private:
  // What to do with packets of workload interfaces: one rule for each name prefix.
  void per_prefix(Chain& c, bool out, const Exprs& then, std::string comment = {}) {
    for (const std::string& p : config_.interface_prefixes) {
      add(c, {out ? nft::oifname(p + "*") : nft::iifname(p + "*"), then}, comment);
    }
  }

  Exprs mark_settled() const {
    const std::uint32_t mark = settled_mark(config_);
    return nft::mark_is(mark, mark);
  }

  // The mark is believed only where a rule of ours has cleared it before: others may use the bit.
  bool settles_in() const { return spec_.host.untracked_in.used() || spec_.host.before_nat.used(); }

  // A host that may not find its neighbours has no IPv6 at all, failsafe ports included.
  void host_discovery(Chain& c) {
    add(c, {nft::family(Family::v6), link_discovery(sets_), nft::accept()}, "neighbour discovery");
  }

  void drop_invalid(Chain& c) {
    if (config_.drop_invalid) add(c, {nft::ct_state(nft::kCtInvalid), nft::drop()});
  }

  bool openstack() const {
    return std::ranges::find(config_.interface_prefixes, "tap") != config_.interface_prefixes.end();
  }

  void raw() {
    Chain hook = base("raw-prerouting", Hook::prerouting, kRaw);
    const std::uint32_t mark = settled_mark(config_);
    if (settles_in()) {
      add(hook, {mark_settled(), nft::set_mark(0, mark)}, "settled is ours to say");
    }
    per_prefix(hook, false, nft::goto_("raw-workload"));
    if (spec_.host.untracked_in.used()) {
      host_discovery(hook);
      failsafe(hook, true, true);
      dispatch(hook, spec_.host.untracked_in, false);
    }
    out_.push_back(std::move(hook));

    Chain c{"raw-workload", std::nullopt, {}};
    if (!config_.allow_vxlan_from_workloads) {
      add(c,
          {nft::l4proto(kUdp), nft::port(nft::Direction::destination, config_.vxlan_port),
           nft::drop()},
          "VXLAN from a workload");
    }
    if (!config_.allow_ipip_from_workloads) {
      add(c, {nft::l4proto(kIpip), nft::drop()}, "IPIP from a workload");
    }
    if (openstack()) {
      add(c,
          {nft::address(nft::Direction::source, Prefix::host(Ip())), nft::l4proto(kUdp),
           nft::port(nft::Direction::source, 68), nft::port(nft::Direction::destination, 67),
           nft::accept()},
          "DHCP");
    }
    anti_spoofing(c);
    out_.push_back(std::move(c));
  }

  void anti_spoofing(Chain& c) {
    for (const Family f : kFamilies) {
      const std::array key{KeyField{KeyField::Kind::iifname}, KeyField{KeyField::Kind::saddr}};
      add(c, {nft::concat_in(f, key, workload_source_set(f)), nft::accept()});
    }
    for (const auto& [interface, prefix] : spec_.spoofable) {
      add(c, {nft::iifname(interface), nft::address(nft::Direction::source, prefix), nft::accept()},
          "source prefix allowed to " + interface);
    }
    // Before a pod has an address, and for what is only ever link-local.
    for (const char* from : {"::/128", "fe80::/10"}) {
      add(c, {nft::address(nft::Direction::source, Prefix::parse(from).value()),
              icmpv6_in(sets_, {130, 131, 132, 133, 135, 136, 143}), nft::accept()});
    }
    add(c, {nft::drop()}, "source address is not this workload's");
  }

  // What a workload sends has passed raw-workload: its interface is known and active. What is sent
  // to one has not, and a flow that stands ends with its endpoint.
  void forward() {
    for (const bool out : {false, true}) {
      Chain hook = base(out ? "forward-destination" : "forward-source", Hook::forward,
                        out ? kDestination : kSource);
      if (!out) add(hook, {known_flow(), nft::accept()});
      per_prefix(hook, out, nft::goto_(std::string(out ? kToProgram : kFromProgram)));
      out_.push_back(std::move(hook));

      Chain c{std::string(out ? kToProgram : kFromProgram), std::nullopt, {}};
      if (out) add(c, {known_flow(), nft::oifname_in(std::string(kWorkloads)), nft::accept()});
      drop_invalid(c);
      add(c, {out ? nft::oifname_vmap(std::string(kToWorkload))
                  : nft::iifname_vmap(std::string(kFromWorkload))});
      add(c, {deny_verdict(Stage::filter, config_)}, "unknown workload interface");
      out_.push_back(std::move(c));
    }
  }

  void input() {
    Chain hook = base("input", Hook::input, kSource);
    per_prefix(hook, false, nft::goto_("input-workload"));
    if (spec_.host.input.used()) host_input(hook);
    out_.push_back(std::move(hook));

    Chain c{"input-workload", std::nullopt, {}};
    exempt(c);
    add(c, {nft::goto_(std::string(kFromProgram))});
    out_.push_back(std::move(c));

    if (config_.endpoint_to_host != EndpointToHost::drop) return;
    Chain host = base("input-host", Hook::input, kDestination);
    per_prefix(host, false, nft::goto_("workload-to-host"));
    out_.push_back(std::move(host));
    Chain to_host{"workload-to-host", std::nullopt, {}};
    exempt(to_host);
    add(to_host, {deny_verdict(Stage::filter, config_)}, "DefaultEndpointToHostAction");
    out_.push_back(std::move(to_host));
  }

  // From a workload to its host, whatever its policy says.
  void exempt(Chain& c) {
    add(c, {known_flow(), nft::accept()});
    add(c, {nft::family(Family::v6), neighbour_discovery(sets_), nft::accept()});
    if (!openstack()) return;
    const auto destination = nft::Direction::destination;
    const auto source = nft::Direction::source;
    add(c,
        {nft::address(destination, Prefix::parse("169.254.169.254").value()), nft::l4proto(kTcp),
         nft::port(destination, 80), nft::accept()},
        "OpenStack metadata");
    add(c,
        {nft::family(Family::v4), nft::l4proto(kUdp), nft::port(source, 68),
         nft::port(destination, 67), nft::accept()},
        "DHCP");
    add(c,
        {nft::family(Family::v6), nft::l4proto(kUdp), nft::port(source, 546),
         nft::port(destination, 547), nft::accept()},
        "DHCPv6");
    add(c, {nft::l4proto(kUdp), nft::port(destination, 53), nft::accept()}, "DNS");
  }

  // Before DNAT, where packets still look as the set has them.
  void cut_flows() {
    using Kind = KeyField::Kind;
    const std::array key{KeyField{Kind::saddr}, KeyField{Kind::daddr}, KeyField{Kind::l4proto},
                         KeyField{Kind::sport}, KeyField{Kind::dport}};
    for (const Hook hook : {Hook::prerouting, Hook::output}) {
      Chain c = base(hook == Hook::output ? "cut-output" : "cut-prerouting", hook, kMangle);
      add(c, {known_flow(), nft::accept()});
      for (const Family f : kFamilies) {
        add(c, {nft::concat_in(f, key, cut_flow_set(f)), nft::drop()}, "of a connection cut");
      }
      out_.push_back(std::move(c));
    }
  }

  // --- host endpoints --------------------------------------------------------------------------

  void dispatch(Chain& c, const HostHook& hook, bool out) {
    if (hook.named) add(c, {out ? nft::oifname_vmap(hook.map) : nft::iifname_vmap(hook.map)});
    if (hook.others) add(c, {nft::goto_(*hook.others)}, "every other interface");
  }

  // Lets the failsafe ports through: of requests in this direction, and in the raw table, which
  // knows no connections, of replies to those of the other one.
  void failsafe(Chain& c, bool in, bool replies) {
    using nft::Direction;
    failsafe_list(c, in ? config_.failsafe_in : config_.failsafe_out, Direction::destination,
                  in ? Direction::source : Direction::destination);
    if (!replies) return;
    failsafe_list(c, in ? config_.failsafe_out : config_.failsafe_in, Direction::source,
                  in ? Direction::source : Direction::destination);
  }

  void failsafe_list(Chain& c, const std::vector<FailsafePort>& list, nft::Direction port_side,
                     nft::Direction net_side) {
    std::vector<nft::Element> everywhere;
    for (const FailsafePort& f : list) {
      if (f.net && f.net->length() > 0) {
        add(c,
            {nft::address(net_side, *f.net), nft::l4proto(f.protocol), nft::port(port_side, f.port),
             nft::accept()},
            "failsafe");
        continue;
      }
      nft::Packed key;
      key.then(nft::Packed::u8(f.protocol)).then(nft::Packed::be16(f.port));
      everywhere.push_back(nft::Element::of(key));
    }
    if (everywhere.empty()) return;
    std::ranges::sort(everywhere, {}, &nft::Element::key);
    const auto last = std::unique(everywhere.begin(), everywhere.end());
    everywhere.erase(last, everywhere.end());
    const auto name =
        sets_.add("failsafe", {{Datatype::inet_proto, Datatype::inet_service}, false, std::nullopt},
                  std::move(everywhere));
    const std::array key{KeyField{KeyField::Kind::l4proto},
                         KeyField{port_side == nft::Direction::source ? KeyField::Kind::sport
                                                                      : KeyField::Kind::dport}};
    add(c, {nft::concat_in(Family::v4, key, name), nft::accept()}, "failsafe");
  }

  // The underlay packets of our own tunnels; whom they may come from is the static table's matter.
  void tunnels_in(Chain& c) {
    const Exprs to_us = nft::fib_type(nft::kFibDaddr, nft::kAddressTypeLocal);
    if (spec_.vxlan) {
      add(c,
          {nft::l4proto(kUdp), nft::port(nft::Direction::destination, config_.vxlan_port), to_us,
           nft::accept()},
          "VXLAN");
    }
    if (spec_.ipip) add(c, {nft::l4proto(kIpip), to_us, nft::accept()}, "IPIP");
  }

  void tunnels_out(Chain& c) {
    const Exprs from_us = nft::fib_type(nft::kFibSaddr, nft::kAddressTypeLocal);
    const auto known = [&](std::string_view id, const Exprs& match, std::string comment) {
      const auto it = shapes_.find(id);
      if (it == shapes_.end()) return;
      for (const Family f : kFamilies) {
        for (const Exprs& to :
             member_of(model::SetId(id), it->second.of(f), nft::Direction::destination, f)) {
          add(c, {nft::family(f), match, to, from_us, nft::accept()}, comment);
        }
      }
    };
    if (spec_.vxlan) {
      known(kVxlanHosts,
            join({nft::l4proto(kUdp), nft::port(nft::Direction::destination, config_.vxlan_port)}),
            "VXLAN");
    }
    if (spec_.ipip) known(kAllHosts, nft::l4proto(kIpip), "IPIP");
  }

  void host_input(Chain& hook) {
    if (settles_in()) add(hook, {mark_settled(), nft::accept()});
    tunnels_in(hook);
    add(hook, {known_flow(), nft::accept()});
    host_discovery(hook);
    failsafe(hook, true, false);
    dispatch(hook, spec_.host.input, false);
  }

  void host() {
    const HostHooks& h = spec_.host;
    if (h.before_nat.used()) {
      Chain c = base("mangle-prerouting", Hook::prerouting, kMangle);
      add(c, {known_flow(), nft::accept()});
      add(c, {mark_settled(), nft::accept()});
      host_discovery(c);
      failsafe(c, true, false);
      dispatch(c, h.before_nat, false);
      out_.push_back(std::move(c));
    }
    for (const bool out : {false, true}) {
      const HostHook& hook = out ? h.forward_out : h.forward_in;
      if (!hook.used()) continue;
      Chain c = base(out ? "forward-host-out" : "forward-host-in", Hook::forward,
                     out ? kHostForwardOut : kHostForwardIn);
      add(c, {known_flow(), nft::accept()});
      if (!out && settles_in()) add(c, {mark_settled(), nft::accept()});
      dispatch(c, hook, out);
      out_.push_back(std::move(c));
    }
    if (h.untracked_out.used()) {
      Chain c = base("raw-output", Hook::output, kRaw);
      const std::uint32_t mark = settled_mark(config_);
      add(c, {mark_settled(), nft::set_mark(0, mark)}, "settled is ours to say");
      host_discovery(c);
      failsafe(c, false, true);
      dispatch(c, h.untracked_out, true);
      out_.push_back(std::move(c));
    }
    if (h.output.used()) host_output();
  }

  // What is destined elsewhere by DNAT still has its old output interface here; it is judged after
  // routing has seen the new address, in postrouting.
  void host_output() {
    const std::uint32_t dnat = nft::kCtStatusDnat;
    Chain c = base("output", Hook::output, kSource);
    per_prefix(c, true, nft::accept(), "to a workload of ours");
    if (spec_.host.untracked_out.used()) add(c, {mark_settled(), nft::accept()});
    add(c, {nft::ct_status(dnat), nft::accept()}, "judged in postrouting");
    tunnels_out(c);
    add(c, {known_flow(), nft::accept()});
    host_discovery(c);
    failsafe(c, false, false);
    dispatch(c, spec_.host.output, true);
    out_.push_back(std::move(c));

    // A positive match: an untracked packet has no status to be without.
    Chain hook = base("mangle-postrouting", Hook::postrouting, kMangle);
    add(hook, {nft::ct_status(dnat), nft::goto_("output-after-nat")});
    out_.push_back(std::move(hook));
    Chain p{"output-after-nat", std::nullopt, {}};
    add(p, {nft::fib_type(nft::kFibSaddr, nft::kAddressTypeLocal, true), nft::accept()},
        "not from this host");
    per_prefix(p, true, nft::accept(), "to a workload of ours");
    if (spec_.host.untracked_out.used()) add(p, {mark_settled(), nft::accept()});
    add(p, {known_flow(), nft::accept()});
    failsafe(p, false, false);
    dispatch(p, spec_.host.output_after_nat, true);
    out_.push_back(std::move(p));
  }

  const BaseSpec& spec_;
  const SetShapes& shapes_;
  const PolicyConfig& config_;
  ConstantSets& sets_;
  std::vector<Chain> out_;
};

}  // namespace

std::string workload_source_set(Family f) {
  return f == Family::v4 ? "workload-source-4" : "workload-source-6";
}

std::string cut_flow_set(Family f) { return f == Family::v4 ? "cut-flows-4" : "cut-flows-6"; }

bool HostHooks::any() const {
  return input.used() || output.used() || output_after_nat.used() || forward_in.used() ||
         forward_out.used() || before_nat.used() || untracked_in.used() || untracked_out.used();
}

std::vector<nft::Chain> base_chains(const BaseSpec& spec, const SetShapes& shapes,
                                    const PolicyConfig& config, ConstantSets& sets) {
  return BaseChains(spec, shapes, config, sets).run();
}

std::vector<nft::SetDef> base_sets(const BaseSpec& spec) {
  std::vector<nft::SetDef> out;
  const auto map = [&](std::string name) {
    out.push_back({std::move(name), {{Datatype::ifname}, false, Datatype::verdict}});
  };
  map(std::string(kFromWorkload));
  map(std::string(kToWorkload));
  out.push_back({std::string(kWorkloads), {{Datatype::ifname}, false, std::nullopt}});
  for (const Family f : kFamilies) {
    out.push_back(
        {workload_source_set(f), {{Datatype::ifname, address_type(f)}, false, std::nullopt}});
    if (!spec.cut_flows) continue;
    out.push_back({cut_flow_set(f),
                   {{address_type(f), address_type(f), Datatype::inet_proto, Datatype::inet_service,
                     Datatype::inet_service},
                    false,
                    std::nullopt}});
  }
  const HostHooks& h = spec.host;
  for (const HostHook* hook : {&h.input, &h.output, &h.output_after_nat, &h.forward_in,
                               &h.forward_out, &h.before_nat, &h.untracked_in, &h.untracked_out}) {
    if (hook->named) map(hook->map);
  }
  return out;
}

}  // namespace margay::policy
