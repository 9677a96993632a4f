// SPDX-License-Identifier: Apache-2.0
#include "dataplane/link/link_view.h"

#include <algorithm>
#include <set>

namespace margay::link {

namespace {

bool same_address(const netlink::Address& a, const netlink::Address& b) {
  return a.interface == b.interface && a.address == b.address;
}

}  // namespace

Result<void> LinkView::read(netlink::Socket& socket, Clock::time_point now) {
  std::vector<netlink::LinkMessage> links;
  std::vector<netlink::AddressMessage> addresses;
  MARGAY_CHECK(socket.dump_retry(
      [&](netlink::Writer& w, std::uint32_t seq) {
        links.clear();
        encode_link_dump(w, seq);
      },
      [&](const netlink::Message& m) {
        if (auto link = netlink::decode_link(m)) links.push_back(std::move(*link));
      }));
  for (const Family family : kFamilies) {
    const std::size_t keep = addresses.size();
    const auto done = socket.dump_retry(
        [&](netlink::Writer& w, std::uint32_t seq) {
          addresses.resize(keep);
          encode_address_dump(w, seq, family);
        },
        [&](const netlink::Message& m) {
          if (auto address = netlink::decode_address(m)) addresses.push_back(*address);
        });
    if (!done.ok() && family == Family::v4) return done;  // IPv6 may be off
  }

  std::set<IfIndex> present;
  const Clock::time_point since = first_ ? Clock::time_point{} : now;
  for (const auto& m : links) {
    present.insert(m.link.index);
    notice(m, since);
  }
  std::vector<IfIndex> gone;
  for (const auto& [index, i] : interfaces_) {
    if (!present.contains(index)) gone.push_back(index);
  }
  for (const IfIndex index : gone) remove(index);

  std::vector<netlink::AddressMessage> lost;
  for (const auto& [index, i] : interfaces_) {
    for (const netlink::Address& a : i.addresses) {
      const bool there =
          std::ranges::any_of(addresses, [&](const auto& m) { return same_address(m.address, a); });
      if (!there) lost.push_back({a, true});
    }
  }
  for (const auto& m : lost) notice(m);
  for (const auto& m : addresses) notice(m);
  first_ = false;
  return {};
}

void LinkView::notice(const netlink::LinkMessage& message, Clock::time_point now) {
  const netlink::Link& link = message.link;
  if (message.removed) {
    remove(link.index);
    return;
  }
  if (link.name.empty()) return;
  auto [it, fresh] = interfaces_.try_emplace(link.index);
  Interface& i = it->second;
  if (!fresh && i.link == link) return;
  LinkChangeSeen seen{link.index, {}, &i, false, {}};
  if (fresh) {
    i.since = now;
  } else {
    seen.before = i.link;
    if (i.link.name != link.name) rename(i, i.link.name);
  }
  i.link = link;
  names_[link.name] = link.index;
  listener_(seen);
}

void LinkView::rename(const Interface& i, const std::string& before) {
  const auto it = names_.find(before);
  // Somebody else may have taken the old name already ...
  if (it == names_.end() || it->second != i.link.index) return;
  names_.erase(it);
  // ... or stand behind it: late news of a device that has been made anew can hide its successor.
  for (const auto& [index, other] : interfaces_) {
    if (index != i.link.index && other.link.name == before) names_[before] = index;
  }
}

void LinkView::remove(IfIndex index) {
  const auto it = interfaces_.find(index);
  if (it == interfaces_.end()) return;
  const LinkChangeSeen seen{index, it->second.link, nullptr, false, {}};
  rename(it->second, it->second.link.name);
  for (const netlink::Address& a : it->second.addresses) {
    const auto holder = addresses_.find(a.address.addr);
    if (holder == addresses_.end()) continue;
    std::erase(holder->second, index);
    if (holder->second.empty()) addresses_.erase(holder);
  }
  interfaces_.erase(it);
  listener_(seen);
}

void LinkView::notice(const netlink::AddressMessage& message) {
  const netlink::Address& a = message.address;
  const auto it = interfaces_.find(a.interface);
  if (it == interfaces_.end()) return;
  Interface& i = it->second;
  const auto found = std::ranges::find_if(
      i.addresses, [&](const netlink::Address& b) { return same_address(a, b); });
  if (message.removed == (found == i.addresses.end())) {  // no news, or only other flags
    if (!message.removed) *found = a;
    return;
  }
  std::vector<IfIndex>& holders = addresses_[a.address.addr];
  if (message.removed) {
    i.addresses.erase(found);
    const bool other_length = std::ranges::any_of(
        i.addresses, [&](const netlink::Address& b) { return b.address.addr == a.address.addr; });
    if (!other_length) std::erase(holders, a.interface);
  } else {
    i.addresses.push_back(a);
    if (std::ranges::find(holders, a.interface) == holders.end()) holders.push_back(a.interface);
  }
  if (holders.empty()) addresses_.erase(a.address.addr);
  LinkChangeSeen seen{a.interface, i.link, &i, true, {}};
  if (message.removed) seen.address_gone = a.address.addr;
  listener_(seen);
}

const Interface* LinkView::by_index(IfIndex index) const {
  const auto it = interfaces_.find(index);
  return it == interfaces_.end() ? nullptr : &it->second;
}

const Interface* LinkView::by_name(const std::string& name) const {
  const auto it = names_.find(name);
  return it == names_.end() ? nullptr : by_index(it->second);
}

const Interface* LinkView::owner_of(const Ip& address) const {
  const auto it = addresses_.find(address);
  if (it == addresses_.end()) return nullptr;
  for (const IfIndex index : it->second) {
    const Interface* i = by_index(index);
    if (i != nullptr && !i->link.loopback) return i;
  }
  return nullptr;
}

bool LinkView::is_local(const Ip& address) const { return addresses_.contains(address); }

}  // namespace margay::link
