// SPDX-License-Identifier: Apache-2.0
// Driver of permanent neighbour entries (one family-blind table) and of the forwarding entries of
// VXLAN devices. Ours are the permanent ones on interfaces that `managed` says are ours; others are
// never touched. Must not know VTEPs or workloads.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "base/loop/event_loop.h"
#include "base/result.h"
#include "dataplane/netlink/rtnl.h"
#include "dataplane/netlink/socket.h"
#include "dataplane/reconcile/delta.h"
#include "dataplane/reconcile/retry.h"

namespace margay::neigh {

struct NeighKey {
  IfIndex interface;
  Ip address;
  friend auto operator<=>(const NeighKey&, const NeighKey&) = default;
};
struct FdbKey {
  IfIndex interface;
  Mac mac;
  friend auto operator<=>(const FdbKey&, const FdbKey&) = default;
};
struct KeyHash {
  std::size_t operator()(const NeighKey& k) const noexcept;
  std::size_t operator()(const FdbKey& k) const noexcept;
};

class NeighTable {
 public:
  using Managed = std::function<bool(IfIndex)>;
  explicit NeighTable(Managed managed) : managed_(std::move(managed)) {}

  void want_neighbour(const NeighKey& key, const Mac& mac);
  void forget_neighbour(const NeighKey& key);
  void want_fdb(const FdbKey& key, const Ip& remote);
  void forget_fdb(const FdbKey& key);

  [[nodiscard]] Result<void> read_neighbours(netlink::Socket& socket);
  [[nodiscard]] Result<void> read_fdb(netlink::Socket& socket, IfIndex device);
  void notice(const netlink::NeighbourMessage& message);
  void notice(const netlink::FdbMessage& message);
  // The interface went away or down, and its entries with it.
  void flushed(IfIndex interface);

  // Everything that differs; true when something was written.
  [[nodiscard]] Result<bool> apply(netlink::Socket& socket, Clock::time_point now);
  void wake(Clock::time_point now);
  [[nodiscard]] std::optional<Clock::time_point> next_wake(Clock::time_point now) const;

  [[nodiscard]] std::size_t neighbours() const { return neighbours_.wanted_count(); }
  [[nodiscard]] std::size_t fdb_entries() const { return fdb_.wanted_count(); }
  [[nodiscard]] std::size_t neighbours_present() const { return neighbours_.present_count(); }
  [[nodiscard]] std::size_t fdb_present() const { return fdb_.present_count(); }
  [[nodiscard]] std::size_t pending() const { return neighbours_.queued() + fdb_.queued(); }
  [[nodiscard]] std::uint64_t repairs() const { return repairs_; }
  [[nodiscard]] const std::map<NeighKey, reconcile::Failure>& neighbour_failures() const {
    return neighbour_retry_.all();
  }
  [[nodiscard]] const std::map<FdbKey, reconcile::Failure>& fdb_failures() const {
    return fdb_retry_.all();
  }

 private:
  template <typename Table, typename Retry, typename Encode>
  [[nodiscard]] Result<bool> apply_table(Table& table, Retry& retry, netlink::Socket& socket,
                                         Clock::time_point now, Encode encode);
  Managed managed_;
  reconcile::Delta<NeighKey, Mac, KeyHash> neighbours_;
  reconcile::Delta<FdbKey, Ip, KeyHash> fdb_;
  reconcile::RetryList<NeighKey> neighbour_retry_;
  reconcile::RetryList<FdbKey> fdb_retry_;
  std::uint64_t repairs_ = 0;
};

}  // namespace margay::neigh
