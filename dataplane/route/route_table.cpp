// SPDX-License-Identifier: Apache-2.0
#include "dataplane/route/route_table.h"

#include <algorithm>
#include <cerrno>
#include <unordered_map>
#include <utility>

#include "base/log.h"

namespace margay::route {

namespace {

using netlink::Route;
using netlink::RouteMessage;
using netlink::RouteType;

// One datagram; the kernel works through it under one hold of its lock.
constexpr std::size_t kBatchBytes = 60'000;
// Put back more often than this within the window: somebody else wants it otherwise.
constexpr unsigned kFightTimes = 5;
constexpr std::chrono::seconds kFightWindow{10};

bool of_table(const RouteMessage& m, TableId table) {
  if (m.cloned || m.route.table != table) return false;
  switch (m.route.type) {
    case RouteType::unicast:
    case RouteType::blackhole:
    case RouteType::unreachable:
    case RouteType::prohibit:
    case RouteType::throw_on:
      return true;
    default:
      return false;
  }
}

bool uses(const Route& r, IfIndex interface) {
  return std::ranges::any_of(r.hops,
                             [&](const netlink::NextHop& h) { return h.interface == interface; });
}

std::string place_taken(unsigned protocol) {
  return "a route of protocol " + std::to_string(protocol) + " holds this destination and metric";
}

}  // namespace

RouteTable::RouteTable(TableId table, RouteRules rules) : table_(table), rules_(std::move(rules)) {}

bool RouteTable::want(Route route) {
  const RouteKey key = key_of(route);
  if (!delta_.want(key, std::move(route))) return false;
  retry_.clear(key);
  held_.erase(key);
  return true;
}

bool RouteTable::forget(const RouteKey& key) {
  if (!delta_.forget(key)) return false;
  retry_.clear(key);
  usurped_.erase(key);
  doubted_.erase(key);
  give_up_place(key);
  return true;
}

void RouteTable::give_up_place(const RouteKey& key) {
  if (!taken_.empty() && taken_.erase(key.dst) != 0) ++taken_version_;
}

bool RouteTable::installed(const RouteKey& key) const {
  return delta_.wanted(key) != nullptr && delta_.in_sync(key);
}

// --- reading ---------------------------------------------------------------------------------

Result<void> RouteTable::read(netlink::Socket& socket, Family family, IfIndex interface) {
  const bool whole = interface.value() == 0;
  const auto start = [&](netlink::Writer& request, std::uint32_t seq) {
    delta_.begin_audit();
    whole ? foreign_.clear(family) : foreign_.clear(family, interface);
    if (whole) {
      std::erase_if(extra_, [&](const Route& r) { return r.dst.family() == family; });
    }
    encode_route_dump(request, seq, {family, table_, 0, interface});
  };
  const auto done = socket.dump_retry(start, [&](const netlink::Message& m) {
    const auto message = netlink::decode_route(m);
    if (message && of_table(*message, table_)) read_one(*message);
  });
  // A table without a route does not exist yet for the kernel's dump filter.
  if (!done.ok() && done.error().sys_errno != ENOENT) return done;
  const auto covered = [&](const RouteKey& key, const Route& have) {
    return key.dst.family() == family && (whole || uses(have, interface));
  };
  delta_.end_audit(covered, [&](const RouteKey&) { repairs_ += whole ? 1 : 0; });
  ++foreign_version_;
  return {};
}

void RouteTable::read_one(const RouteMessage& message) {
  const Route& route = message.route;
  const RouteKey key = key_of(route);
  if (!rules_.ours(route)) {
    if (relevant(route, key)) foreign_.add(message);
    return;
  }
  if (delta_.seen_in_audit(key)) {
    put_in_extra(key, route);
    return;
  }
  const bool stood = installed(key);
  delta_.saw(key, route);
  if (stood && !installed(key)) ++repairs_;
}

// One in a place that we want says why we do not get it.
bool RouteTable::relevant(const Route& route, const RouteKey& key) {
  if (filter_.keeps(route) || delta_.wanted(key) != nullptr) return true;
  disregarded_ = true;
  return false;
}

void RouteTable::put_in_extra(const RouteKey& key, const Route& route) {
  const Route* want = delta_.wanted(key);
  const Route* have = delta_.actual(key);
  if (*have == route) return;
  if (want != nullptr && *want == route) {
    extra_.push_back(*have);
    delta_.saw(key, route);
  } else {
    extra_.push_back(route);
  }
}

void RouteTable::notice(const RouteMessage& message, Clock::time_point now) {
  if (!of_table(message, table_)) return;
  const Route& route = message.route;
  const RouteKey key = key_of(route);
  if (!rules_.ours(route)) {
    notice_foreign(message, key, now);
    return;
  }
  const bool stood = installed(key);
  if (message.removed) {
    delta_.lost(key);
  } else {
    if (message.replaced) foreign_.remove(route);
    delta_.saw(key, route);
  }
  if (stood && !installed(key)) count_repair(key, route.protocol, now);
}

void RouteTable::notice_foreign(const RouteMessage& message, const RouteKey& key,
                                Clock::time_point now) {
  if (relevant(message.route, key)) {
    ++foreign_version_;
    message.removed ? foreign_.remove(message.route) : foreign_.add(message);
  }
  if (message.removed) {
    if (foreign_.at(key) == nullptr) delta_.touch(key), retry_.clear(key);
    return;
  }
  // Only IPv4 and IPv6 replacement take a route away without saying so.
  if (!message.replaced || delta_.actual(key) == nullptr) return;
  const bool stood = installed(key);
  delta_.lost(key);
  if (!stood) return;
  usurped_.insert(key);
  count_repair(key, message.route.protocol, now);
}

void RouteTable::flushed(IfIndex interface) {
  delta_.begin_audit();
  delta_.end_audit([&](const RouteKey&, const Route& have) { return uses(have, interface); },
                   [](const RouteKey&) {});
  for (const Family f : kFamilies) foreign_.clear(f, interface);
  ++foreign_version_;
}

void RouteTable::count_repair(const RouteKey& key, unsigned protocol, Clock::time_point now) {
  ++repairs_;
  if (fights_.size() > 1000) fights_.clear();  // forgetful rather than large
  Fight& f = fights_[key];
  if (now - f.since > kFightWindow) f = {0, now};
  if (++f.times <= kFightTimes) return;
  retry_.failed(key, 0,
                "changed again and again by another program, protocol " + std::to_string(protocol),
                now);
  if (f.times == kFightTimes + 1) {
    log::warn("route_contested", kv("prefix", key.dst), kv("protocol", protocol));
  }
}

// --- writing ---------------------------------------------------------------------------------

std::size_t RouteTable::Order::of(const Route* want) {
  if (want == nullptr) return 2;
  const bool gateway = std::ranges::any_of(
      want->hops, [](const netlink::NextHop& hop) { return hop.gateway.has_value(); });
  return gateway ? 1 : 0;
}

void RouteTable::plan(Table::Item& item, Clock::time_point now, netlink::Socket& socket,
                      Batch& puts, Batch& removes) {
  const RouteKey& key = item.first;
  if (retry_.waiting(key, now)) return;
  const Route* want = item.second.wanted();
  const Route* have = item.second.actual();
  if (want != nullptr) {
    const Route* taken = foreign_.at(key);
    if (taken != nullptr && !usurped_.contains(key)) {
      retry_.failed(key, EEXIST, place_taken(taken->protocol), now);
      if (taken_.insert(key.dst).second) ++taken_version_;
      return;
    }
    const std::uint32_t seq = socket.next_seq();
    // What may stand there unseen is not ours to replace.
    const bool known = have != nullptr || filter_.sees(key.dst) || usurped_.contains(key);
    encode_route(puts.messages, seq, known ? netlink::Verb::replace : netlink::Verb::create, *want);
    puts.writes.push_back({seq, &item, true});
    return;
  }
  if (const auto until = rules_.hold(*have, now); until && *until > now) {
    held_[key] = *until;
    return;
  }
  held_.erase(key);
  const std::uint32_t seq = socket.next_seq();
  encode_route(removes.messages, seq, netlink::Verb::remove, *have);
  removes.writes.push_back({seq, &item, false});
}

Result<RouteTable::Step> RouteTable::apply(netlink::Socket& socket, Clock::time_point now,
                                           std::size_t max) {
  Step step;
  Batch puts, removes;
  for (; max > 0; --max) {
    Table::Item* item = delta_.next_dirty();
    if (item == nullptr) break;
    plan(*item, now, socket, puts, removes);
    if (puts.messages.size() + removes.messages.size() < kBatchBytes) continue;
    MARGAY_CHECK(send(socket, puts, now, step));
    MARGAY_CHECK(send(socket, removes, now, step));
  }
  MARGAY_CHECK(send(socket, puts, now, step));
  MARGAY_CHECK(send(socket, removes, now, step));
  MARGAY_CHECK(remove_extra(socket, step));
  for (const RouteKey& key : doubted_) delta_.touch(key);  // for after the reading
  step.more = delta_.queued() > 0;
  return step;
}

Result<void> RouteTable::send(netlink::Socket& socket, Batch& batch, Clock::time_point now,
                              Step& step) {
  if (batch.messages.empty()) return {};
  auto refused = socket.transact(batch.messages.bytes());
  if (!refused.ok() && refused.error().code != Code::overrun) return std::move(refused).error();
  std::unordered_map<std::uint32_t, const netlink::Socket::Refusal*> by_seq;
  if (refused.ok()) {
    for (const auto& r : *refused) by_seq[r.seq] = &r;
  } else {
    step.unsure = true;  // too many refusals to be told of; the reading that follows will tell
  }
  for (const Write& w : batch.writes) {
    const auto it = by_seq.find(w.seq);
    it == by_seq.end() ? accept(w, step) : refuse(w, *it->second, now, step);
  }
  batch.messages.clear();
  batch.writes.clear();
  return {};
}

void RouteTable::accept(const Write& write, Step& step) {
  const RouteKey& key = write.item->first;
  if (write.put) {
    if (usurped_.erase(key) != 0) {
      // Ours took the place of the usurper's.
      while (const Route* taken = foreign_.at(key)) foreign_.remove(Route(*taken));
      ++foreign_version_;
    }
    ++step.written;
  } else {
    ++step.removed;
  }
  doubted_.erase(key);
  retry_.clear(key);
  give_up_place(key);
  delta_.done(*write.item);
}

void RouteTable::refuse(const Write& write, const netlink::Socket::Refusal& refusal,
                        Clock::time_point now, Step& step) {
  if (!write.put && refusal.sys_errno == ESRCH) {  // gone already
    accept(write, step);
    return;
  }
  const RouteKey& key = write.item->first;
  // Something stands there that we have not seen: the reading that follows tells what.
  if (refusal.sys_errno == EEXIST && doubted_.insert(key).second) {
    step.unsure = true;
    return;
  }
  doubted_.erase(key);
  ++step.refused;
  const unsigned attempts = retry_.failed(key, refusal.sys_errno, refusal.text, now);
  // Of a device that is gone (ENODEV) its own notification will tell.
  if (attempts == 1 && refusal.sys_errno != ENODEV) {
    log::warn("route_refused", kv("prefix", key.dst), kv("errno", refusal.sys_errno),
              kv("reason", refusal.text));
  }
}

Result<void> RouteTable::remove_extra(netlink::Socket& socket, Step& step) {
  if (extra_.empty()) return {};
  netlink::Writer messages;
  for (const Route& r : extra_) {
    encode_route(messages, socket.next_seq(), netlink::Verb::remove, r);
    ++step.removed;
  }
  extra_.clear();
  MARGAY_TRY(const auto refused, socket.transact(messages.bytes()));
  for (const auto& r : refused) {
    if (r.sys_errno != ESRCH) ++step.refused;
  }
  return {};
}

void RouteTable::wake(Clock::time_point now) {
  for (const RouteKey& key : retry_.due(now)) {
    if (delta_.in_sync(key)) retry_.clear(key);  // a reading found it as it should be
    delta_.touch(key);
  }
  for (auto it = held_.begin(); it != held_.end();) {
    if (it->second > now) {
      ++it;
      continue;
    }
    delta_.touch(it->first);
    it = held_.erase(it);
  }
}

std::optional<Clock::time_point> RouteTable::next_wake(Clock::time_point now) const {
  auto next = retry_.next_after(now);
  for (const auto& [key, until] : held_) {
    if (until != Clock::time_point::max() && (!next || until < *next)) next = until;
  }
  return next;
}

void RouteTable::release_held() {
  for (const auto& [key, until] : held_) delta_.touch(key);
  held_.clear();
}

void RouteTable::retry_refused() {
  std::vector<RouteKey> keys;
  for (const auto& [key, failure] : retry_.all()) {
    if (failure.sys_errno != 0) keys.push_back(key);  // 0: contested, that must wait
  }
  for (const RouteKey& key : keys) {
    retry_.clear(key);
    delta_.touch(key);
  }
}

}  // namespace margay::route
