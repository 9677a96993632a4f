// SPDX-License-Identifier: Apache-2.0
#include "dataplane/link/tunnel_device.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.h"

namespace margay::link {

namespace {

netlink::VxlanLink vxlan_of(const VxlanSpec& spec) {
  netlink::VxlanLink v;
  v.vni = spec.vni;
  v.port = spec.port;
  v.parent = spec.parent;
  v.local = spec.local;
  return v;
}

netlink::LinkChange whole(TunnelKind kind, const std::string& name, const TunnelSpec& spec) {
  netlink::LinkChange c;
  c.name = name;
  c.kind = kind == TunnelKind::vxlan ? "vxlan" : "ipip";
  if (kind == TunnelKind::vxlan) {
    c.vxlan = vxlan_of(spec.vxlan);
    c.mac = spec.vxlan.mac;
  }
  c.mtu = spec.mtu;
  c.up = true;
  return c;
}

// What the kernel cannot change on a standing device.
bool must_be_new(const VxlanSpec& want, const netlink::Link& have) {
  if (!have.vxlan) return true;
  const netlink::VxlanLink& v = *have.vxlan;
  const bool other_family = v.local && v.local->family() != want.local.family();
  return v.vni != want.vni || v.port != want.port || v.external || v.group || other_family;
}

std::optional<netlink::LinkChange> live_change(TunnelKind kind, const TunnelSpec& want,
                                               const netlink::Link& have) {
  netlink::LinkChange c;
  c.index = have.index;
  bool any = false;
  if (kind == TunnelKind::vxlan && *have.vxlan != vxlan_of(want.vxlan)) {
    c.kind = "vxlan";
    c.vxlan = vxlan_of(want.vxlan);
    c.vxlan_keep_fixed = true;
    any = true;
  }
  if (kind == TunnelKind::vxlan && have.mac != want.vxlan.mac) c.mac = want.vxlan.mac, any = true;
  if (have.mtu != want.mtu) c.mtu = want.mtu, any = true;
  if (!have.up) c.up = true, any = true;
  return any ? std::optional(c) : std::nullopt;
}

netlink::Address device_address(IfIndex index, const Ip& ip) {
  netlink::Address a;
  a.interface = index;
  a.address = {ip, max_prefix_length(ip.family())};
  a.no_dad = ip.is_v6();  // nobody could answer on a tunnel without a broadcast
  return a;
}

// What the device has too much, and what it lacks.
void plan_addresses(const std::optional<Ip>& want, const Interface& have, TunnelPlan& plan) {
  bool stands = !want.has_value();
  for (const netlink::Address& a : have.addresses) {
    if (want && a.address == device_address({}, *want).address) {
      stands = true;
    } else if (!a.address.addr.is_link_local()) {
      plan.remove_addresses.push_back(a);
    }
  }
  if (!stands) plan.add_addresses.push_back(device_address(have.link.index, *want));
}

}  // namespace

bool TunnelPlan::empty() const {
  return !remove && !create && !change && remove_addresses.empty() && add_addresses.empty();
}

TunnelPlan plan_tunnel(TunnelKind kind, const std::string& name,
                       const std::optional<TunnelSpec>& want, const Interface* have) {
  TunnelPlan plan;
  const bool vxlan = kind == TunnelKind::vxlan;
  if (!want) {
    if (have == nullptr) return plan;
    if (vxlan) {
      plan.remove = have->link.vxlan.has_value();
    } else {
      plan_addresses(std::nullopt, *have, plan);
    }
    return plan;
  }
  if (have == nullptr || (vxlan && must_be_new(want->vxlan, have->link))) {
    plan.remove = have != nullptr;
    plan.create = true;
    plan.change = whole(kind, name, *want);
    if (want->address) plan.add_addresses.push_back(device_address({}, *want->address));
    return plan;
  }
  plan.change = live_change(kind, *want, have->link);
  plan_addresses(want->address, *have, plan);
  return plan;
}

void TunnelDevice::want(std::optional<TunnelSpec> spec) {
  if (spec == want_) return;
  want_ = std::move(spec);
  retry_.clear(name_);
}

bool TunnelDevice::impossible() const {
  const auto failure = retry_.all().find(name_);
  return failure != retry_.all().end() && failure->second.sys_errno == EOPNOTSUPP;
}

bool TunnelDevice::in_sync(const LinkView& view) const {
  return plan_tunnel(kind_, name_, want_, view.by_name(name_)).empty();
}

bool TunnelDevice::apply(netlink::Socket& socket, LinkView& view, Clock::time_point now) {
  const Interface* have = view.by_name(name_);
  // One that has come or gone since makes another attempt worth it.
  const bool same = stood_ == (have != nullptr);
  stood_ = have != nullptr;
  if (same && retry_.waiting(name_, now)) return false;
  TunnelPlan plan = plan_tunnel(kind_, name_, want_, have);
  if (plan.empty()) {
    retry_.clear(name_);
    return false;
  }
  const auto done = carry_out(std::move(plan), socket, view, now);
  if (done.ok()) {
    retry_.clear(name_);
  } else if (retry_.failed(name_, done.error().sys_errno, done.error().context, now) == 1) {
    log::warn("tunnel_refused", kv("device", name_), kv("error", done.error()));
  }
  return true;
}

Result<void> TunnelDevice::carry_out(TunnelPlan plan, netlink::Socket& socket, LinkView& view,
                                     Clock::time_point now) {
  if (plan.remove) MARGAY_CHECK(remove(socket, view, now));
  if (plan.create) {
    MARGAY_CHECK(create(socket));
    log::info("tunnel_created", kv("device", name_));
  } else if (plan.change) {
    netlink::Writer w;
    encode_link(w, socket.next_seq(), netlink::Verb::change, *plan.change);
    if (const auto changed = send(socket, w); !changed.ok()) {
      if (!plan.change->vxlan) return changed;
      // This kernel cannot move the device live.
      MARGAY_CHECK(remove(socket, view, now));
      MARGAY_CHECK(create(socket));
      plan.remove_addresses.clear();
      plan.add_addresses.clear();
      if (want_->address) plan.add_addresses.push_back(device_address({}, *want_->address));
    }
  }
  if (plan.create || plan.change) MARGAY_CHECK(look(socket, view, now));
  return write_addresses(std::move(plan), socket, view);
}

Result<void> TunnelDevice::write_addresses(TunnelPlan plan, netlink::Socket& socket,
                                           LinkView& view) {
  const Interface* device = view.by_name(name_);
  if (device == nullptr) return {};
  const IfIndex index = device->link.index;
  for (const auto& [addresses, verb] : {std::pair{&plan.add_addresses, netlink::Verb::replace},
                                        std::pair{&plan.remove_addresses, netlink::Verb::remove}}) {
    for (netlink::Address& a : *addresses) {
      a.interface = index;
      netlink::Writer w;
      encode_address(w, socket.next_seq(), verb, a);
      MARGAY_CHECK(send(socket, w));
      view.notice(netlink::AddressMessage{a, verb == netlink::Verb::remove});
    }
  }
  return {};
}

Result<void> TunnelDevice::create(netlink::Socket& socket) {
  const netlink::LinkChange wanted = whole(kind_, name_, *want_);
  netlink::Writer w;
  encode_link(w, socket.next_seq(), netlink::Verb::create, wanted);
  auto done = send(socket, w);
  if (done.ok() || kind_ != TunnelKind::ipip) return done;
  if (done.error().sys_errno == EOPNOTSUPP) {
    return sys_error(EOPNOTSUPP, "this kernel has no IPIP: load its module (modprobe ipip)");
  }
  if (done.error().sys_errno != EEXIST) return done;
  // Asking for it loaded the module, and that made it.
  netlink::LinkChange shape;
  shape.name = name_;
  shape.mtu = wanted.mtu;
  shape.up = true;
  netlink::Writer change;
  encode_link(change, socket.next_seq(), netlink::Verb::change, shape);
  return send(socket, change);
}

Result<void> TunnelDevice::remove(netlink::Socket& socket, LinkView& view, Clock::time_point now) {
  const Interface* device = view.by_name(name_);
  if (device == nullptr) return {};
  const netlink::Link link = device->link;
  netlink::Writer w;
  encode_link_remove(w, socket.next_seq(), link.index);
  const auto done = send(socket, w);
  if (!done.ok() && done.error().sys_errno != ENODEV) return done;
  view.notice(netlink::LinkMessage{link, true}, now);
  log::info("tunnel_removed", kv("device", name_));
  return {};
}

Result<void> TunnelDevice::look(netlink::Socket& socket, LinkView& view, Clock::time_point now) {
  netlink::Writer w;
  encode_link_lookup(w, socket.next_seq(), name_);
  std::optional<netlink::LinkMessage> found;
  MARGAY_TRY(const auto refused, socket.transact(w.bytes(), [&](const netlink::Message& m) {
    if (auto link = netlink::decode_link(m)) found = std::move(link);
  }));
  if (!refused.empty()) return sys_error(refused.front().sys_errno, "link " + name_);
  if (found) view.notice(*found, now);
  return {};
}

Result<void> TunnelDevice::send(netlink::Socket& socket, const netlink::Writer& message) {
  MARGAY_TRY(const auto refused, socket.transact(message.bytes()));
  if (refused.empty()) return {};
  const auto& r = refused.front();
  return sys_error(r.sys_errno, "link " + name_ + (r.text.empty() ? "" : ": " + r.text));
}

}  // namespace margay::link
