// SPDX-License-Identifier: Apache-2.0
#include "dataplane/neigh/neigh_table.h"

#include <cerrno>
#include <vector>

#include "base/log.h"

namespace margay::neigh {

namespace {

using netlink::FdbEntry;
using netlink::Neighbour;
using netlink::Verb;

FdbEntry fdb_entry(const FdbKey& key, std::optional<Ip> remote) {
  return {key.interface, key.mac, remote, true, true};
}

// The state of a table after somebody else's change: was it in order, and is it still?
template <typename Table, typename Key, typename Change>
bool broke(Table& table, const Key& key, Change change) {
  const bool stood = table.wanted(key) != nullptr && table.in_sync(key);
  change();
  return stood && !table.in_sync(key);
}

}  // namespace

std::size_t KeyHash::operator()(const NeighKey& k) const noexcept {
  return hash_bytes(k.address.bytes(), k.interface.value());
}
std::size_t KeyHash::operator()(const FdbKey& k) const noexcept {
  return hash_bytes(k.mac.bytes, k.interface.value());
}

void NeighTable::want_neighbour(const NeighKey& key, const Mac& mac) {
  if (neighbours_.want(key, mac)) neighbour_retry_.clear(key);
}
void NeighTable::forget_neighbour(const NeighKey& key) {
  if (neighbours_.forget(key)) neighbour_retry_.clear(key);
}
void NeighTable::want_fdb(const FdbKey& key, const Ip& remote) {
  if (fdb_.want(key, remote)) fdb_retry_.clear(key);
}
void NeighTable::forget_fdb(const FdbKey& key) {
  if (fdb_.forget(key)) fdb_retry_.clear(key);
}

Result<void> NeighTable::read_neighbours(netlink::Socket& socket) {
  for (const Family family : kFamilies) {
    const auto done = socket.dump_retry(
        [&](netlink::Writer& w, std::uint32_t seq) {
          neighbours_.begin_audit();
          encode_neighbour_dump(w, seq, family);
        },
        [&](const netlink::Message& m) {
          const auto message = netlink::decode_neighbour(m);
          if (!message || message->neighbour.address.family() != family) return;
          const Neighbour& n = message->neighbour;
          if (!n.permanent || n.proxy || !n.mac || !managed_(n.interface)) return;
          const NeighKey key{n.interface, n.address};
          repairs_ += broke(neighbours_, key, [&] { neighbours_.saw(key, *n.mac); });
        });
    if (!done.ok() && family == Family::v4) return done;
    neighbours_.end_audit(
        [&](const NeighKey& key, const Mac&) { return key.address.family() == family; },
        [&](const NeighKey&) { ++repairs_; });
  }
  return {};
}

Result<void> NeighTable::read_fdb(netlink::Socket& socket, IfIndex device) {
  MARGAY_CHECK(socket.dump_retry(
      [&](netlink::Writer& w, std::uint32_t seq) {
        fdb_.begin_audit();
        encode_fdb_dump(w, seq, device);
      },
      [&](const netlink::Message& m) {
        const auto message = netlink::decode_fdb(m);
        if (!message || message->entry.interface != device) return;
        const FdbEntry& e = message->entry;
        if (!e.permanent || !e.self || !e.remote) return;
        const FdbKey key{e.interface, e.mac};
        repairs_ += broke(fdb_, key, [&] { fdb_.saw(key, *e.remote); });
      }));
  fdb_.end_audit([&](const FdbKey& key, const Ip&) { return key.interface == device; },
                 [&](const FdbKey&) { ++repairs_; });
  return {};
}

void NeighTable::notice(const netlink::NeighbourMessage& message) {
  const Neighbour& n = message.neighbour;
  if (n.proxy || !managed_(n.interface)) return;
  const NeighKey key{n.interface, n.address};
  repairs_ += broke(neighbours_, key, [&] {
    if (message.removed || !n.permanent || !n.mac) {
      neighbours_.lost(key);
    } else {
      neighbours_.saw(key, *n.mac);
    }
  });
}

void NeighTable::notice(const netlink::FdbMessage& message) {
  const FdbEntry& e = message.entry;
  if (!e.self || !managed_(e.interface)) return;
  const FdbKey key{e.interface, e.mac};
  repairs_ += broke(fdb_, key, [&] {
    if (message.removed || !e.permanent || !e.remote) {
      fdb_.lost(key);
    } else {
      fdb_.saw(key, *e.remote);
    }
  });
}

void NeighTable::flushed(IfIndex interface) {
  neighbours_.begin_audit();
  neighbours_.end_audit([&](const NeighKey& key, const Mac&) { return key.interface == interface; },
                        [](const NeighKey&) {});
  fdb_.begin_audit();
  fdb_.end_audit([&](const FdbKey& key, const Ip&) { return key.interface == interface; },
                 [](const FdbKey&) {});
}

template <typename Table, typename Retry, typename Encode>
Result<bool> NeighTable::apply_table(Table& table, Retry& retry, netlink::Socket& socket,
                                     Clock::time_point now, Encode encode) {
  bool any = false;
  for (;;) {
    netlink::Writer batch;
    std::vector<std::pair<std::uint32_t, typename Table::Item*>> sent;
    while (batch.size() < 60'000) {
      auto* item = table.next_dirty();
      if (item == nullptr) break;
      if (retry.waiting(item->first, now)) continue;
      const std::uint32_t seq = socket.next_seq();
      encode(batch, seq, item->first, item->second.wanted());
      sent.emplace_back(seq, item);
    }
    if (sent.empty()) return any;
    any = true;
    MARGAY_TRY(const auto refused, socket.transact(batch.bytes()));
    std::size_t next = 0;  // refusals come in the order of the requests
    for (const auto& [seq, item] : sent) {
      const auto& key = item->first;
      if (next == refused.size() || refused[next].seq != seq) {
        retry.clear(key);
        table.done(*item);
        continue;
      }
      const auto& r = refused[next++];
      if (item->second.wanted() == nullptr && (r.sys_errno == ENOENT || r.sys_errno == ENODEV)) {
        table.done(*item);  // gone already
      } else if (retry.failed(key, r.sys_errno, r.text, now) == 1 && r.sys_errno != ENODEV) {
        // Of a device that is gone (ENODEV) its own notification will tell.
        log::warn("neighbour_refused", kv("interface", key.interface.value()),
                  kv("errno", r.sys_errno), kv("reason", r.text));
      }
    }
  }
}

Result<bool> NeighTable::apply(netlink::Socket& socket, Clock::time_point now) {
  MARGAY_TRY(
      const bool fdb,
      apply_table(fdb_, fdb_retry_, socket, now,
                  [](netlink::Writer& w, std::uint32_t seq, const FdbKey& key, const Ip* remote) {
                    encode_fdb(
                        w, seq, remote != nullptr ? Verb::replace : Verb::remove,
                        fdb_entry(key, remote != nullptr ? std::optional(*remote) : std::nullopt));
                  }));
  MARGAY_TRY(
      const bool neighbours,
      apply_table(neighbours_, neighbour_retry_, socket, now,
                  [](netlink::Writer& w, std::uint32_t seq, const NeighKey& key, const Mac* mac) {
                    const Neighbour n{key.interface, key.address,
                                      mac != nullptr ? std::optional(*mac) : std::nullopt, true,
                                      false};
                    encode_neighbour(w, seq, mac != nullptr ? Verb::replace : Verb::remove, n);
                  }));
  return fdb || neighbours;
}

void NeighTable::wake(Clock::time_point now) {
  for (const NeighKey& key : neighbour_retry_.due(now)) neighbours_.touch(key);
  for (const FdbKey& key : fdb_retry_.due(now)) fdb_.touch(key);
}

std::optional<Clock::time_point> NeighTable::next_wake(Clock::time_point now) const {
  const auto a = neighbour_retry_.next_after(now);
  const auto b = fdb_retry_.next_after(now);
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

}  // namespace margay::neigh
