// SPDX-License-Identifier: Apache-2.0
#include "dataplane/link/link_addresses.h"

#include <algorithm>
#include <cerrno>

#include "base/log.h"

namespace margay::link {
namespace {

constexpr std::uint8_t kProtocol = 80;  // as of our routes

bool carries(const Interface& i, const Ip& ip) {
  return std::ranges::any_of(i.addresses,
                             [&](const netlink::Address& a) { return a.address.addr == ip; });
}

netlink::Address make_address(const Interface& i, const Ip& ip) {
  netlink::Address a;
  a.interface = i.link.index;
  a.address = {ip, max_prefix_length(ip.family())};
  // Never the source of what the host itself sends through the interface.
  a.scope = ip.is_v4() ? netlink::RouteScope::host : netlink::RouteScope::universe;
  a.no_dad = ip.is_v6();
  a.protocol = kProtocol;
  return a;
}

}  // namespace

void LinkAddresses::want(Wanted wanted) {
  if (wanted == wanted_) return;
  wanted_ = std::move(wanted);
  retry_ = {};
  due_ = true;
}

std::vector<LinkAddresses::Step> LinkAddresses::plan(const LinkView& view,
                                                     Clock::time_point now) const {
  static const std::set<Ip> kNone;
  std::vector<Step> steps;
  for (const auto& [index, i] : view.all()) {
    if (!ours_(i.link.name)) continue;
    const auto it = wanted_.find(i.link.name);
    const std::set<Ip>& want = it == wanted_.end() ? kNone : it->second;
    const auto add = [&](netlink::Verb verb, const netlink::Address& a) {
      Place place(i.link.name, a.address.addr);
      if (!retry_.waiting(place, now)) steps.push_back({verb, a, std::move(place)});
    };
    for (const netlink::Address& a : i.addresses) {
      if (a.protocol == kProtocol && !want.contains(a.address.addr)) add(netlink::Verb::remove, a);
    }
    if (!i.link.up) continue;
    for (const Ip& ip : want) {
      if (!carries(i, ip)) add(netlink::Verb::replace, make_address(i, ip));
    }
  }
  return steps;
}

bool LinkAddresses::apply(netlink::Socket& socket, LinkView& view, Clock::time_point now) {
  if (!due_ && retry_.size() == 0) return false;
  due_ = false;
  std::vector<Place> gone;  // with their interfaces
  for (const auto& [place, failure] : retry_.all()) {
    if (view.by_name(place.first) == nullptr) gone.push_back(place);
  }
  for (const Place& place : gone) retry_.clear(place);
  const std::vector<Step> steps = plan(view, now);
  for (const Step& step : steps) carry_out(step, socket, view, now);
  return !steps.empty();
}

void LinkAddresses::carry_out(const Step& step, netlink::Socket& socket, LinkView& view,
                              Clock::time_point now) {
  netlink::Writer w;
  encode_address(w, socket.next_seq(), step.verb, step.address);
  const auto refused = socket.transact(w.bytes());
  const bool removal = step.verb == netlink::Verb::remove;
  int sys_errno = refused.ok() ? 0 : refused.error().sys_errno;
  if (refused.ok() && !refused->empty()) sys_errno = refused->front().sys_errno;
  const bool gone_already = removal && (sys_errno == EADDRNOTAVAIL || sys_errno == ENODEV);
  if (gone_already || (refused.ok() && refused->empty())) {
    retry_.clear(step.place);
    view.notice(netlink::AddressMessage{step.address, removal});
    return;
  }
  const std::string reason = refused.ok() ? refused->front().text : refused.error().message();
  if (retry_.failed(step.place, sys_errno, reason, now) == 1) {
    log::warn("address_refused", kv("address", step.place.second),
              kv("interface", step.place.first), kv("errno", sys_errno), kv("reason", reason));
  }
}

}  // namespace margay::link
