// SPDX-License-Identifier: Apache-2.0
// Driver of one routing table: what of it is ours (decided by a predicate) is made equal to what is
// wanted; what is not ours is never touched; what of it is relevant is remembered
// (kernel_routes.h). A place that a foreign route holds is reported, not taken; a route of ours
// that was replaced under our eyes is put back. Removal may be held (BGP not synced yet, grace of a
// new interface). Must not know why a route is wanted.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/loop/event_loop.h"
#include "base/result.h"
#include "dataplane/netlink/route_filter.h"
#include "dataplane/netlink/rtnl.h"
#include "dataplane/netlink/socket.h"
#include "dataplane/reconcile/delta.h"
#include "dataplane/reconcile/retry.h"
#include "dataplane/route/kernel_routes.h"

namespace margay::route {

struct RouteRules {
  std::function<bool(const netlink::Route&)> ours;
  // Until when an unwanted route of ours stays; nothing: it goes now. time_point::max(): until
  // release_held().
  std::function<std::optional<Clock::time_point>(const netlink::Route&, Clock::time_point)> hold;
};

class RouteTable {
 public:
  RouteTable(TableId table, RouteRules rules);

  // Which foreign routes are worth remembering; for what is read and noticed from now on.
  void set_filter(netlink::RouteFilter filter) { filter_ = std::move(filter); }
  [[nodiscard]] const netlink::RouteFilter& filter() const { return filter_; }

  // True when that changed something.
  bool want(netlink::Route route);
  bool forget(const RouteKey& key);

  // Reads the kernel: all of a family, or what goes through one interface. The first full reading
  // of each family must come before any apply().
  [[nodiscard]] Result<void> read(netlink::Socket& socket, Family family, IfIndex interface = {});
  // A change that somebody else made.
  void notice(const netlink::RouteMessage& message, Clock::time_point now);

  // The interface is gone, and with it everything through it, without a word from the kernel.
  void flushed(IfIndex interface);

  struct Step {
    std::size_t written = 0, removed = 0, refused = 0;
    bool more = false;    // call again
    bool unsure = false;  // answers were lost: read again
  };
  // Writes up to `max` differences: routes without a gateway first, as the others may go through
  // them (IPv6 looks when a route is added), then those, then removals, so that a change of metric
  // leaves no gap.
  [[nodiscard]] Result<Step> apply(netlink::Socket& socket, Clock::time_point now, std::size_t max);
  // Puts in the queue again what waited for a time that has come.
  void wake(Clock::time_point now);
  [[nodiscard]] std::optional<Clock::time_point> next_wake(Clock::time_point now) const;
  void release_held();
  // The outside changed (an interface came up, a route appeared): refused ones may go in now.
  void retry_refused();

  [[nodiscard]] const KernelRoutes& foreign() const { return foreign_; }
  // Whether foreign routes were seen that are not remembered; since the last call.
  [[nodiscard]] bool take_disregarded() { return std::exchange(disregarded_, false); }
  [[nodiscard]] std::uint64_t foreign_version() const { return foreign_version_; }
  // Destinations of wanted routes whose place a foreign one holds; the number tells of changes.
  [[nodiscard]] const std::set<Prefix>& taken() const { return taken_; }
  [[nodiscard]] std::uint64_t taken_version() const { return taken_version_; }
  [[nodiscard]] bool installed(const RouteKey& key) const;
  [[nodiscard]] const netlink::Route* wanted_at(const RouteKey& key) const {
    return delta_.wanted(key);
  }
  [[nodiscard]] std::size_t wanted() const { return delta_.wanted_count(); }
  [[nodiscard]] std::size_t present() const { return delta_.present_count(); }
  [[nodiscard]] std::size_t pending() const { return delta_.queued() + extra_.size(); }
  [[nodiscard]] std::uint64_t repairs() const { return repairs_; }
  [[nodiscard]] const std::map<RouteKey, reconcile::Failure>& failures() const {
    return retry_.all();
  }

 private:
  // The order of writing: routes without a gateway, those with one, removals.
  struct Order {
    static constexpr std::size_t kLanes = 3;
    static std::size_t of(const netlink::Route* want);
  };
  using Table = reconcile::Delta<RouteKey, netlink::Route, RouteKeyHash, Order>;
  struct Write {
    std::uint32_t seq = 0;
    Table::Item* item = nullptr;
    bool put = false;
  };
  struct Batch {
    netlink::Writer messages;
    std::vector<Write> writes;
  };
  struct Fight {
    unsigned times = 0;
    Clock::time_point since{};
  };
  void read_one(const netlink::RouteMessage& message);
  [[nodiscard]] bool relevant(const netlink::Route& route, const RouteKey& key);
  void put_in_extra(const RouteKey& key, const netlink::Route& route);
  void notice_foreign(const netlink::RouteMessage& message, const RouteKey& key,
                      Clock::time_point now);
  void count_repair(const RouteKey& key, unsigned protocol, Clock::time_point now);
  // Adds the message that settles the item to one of the two, unless it must wait.
  void plan(Table::Item& item, Clock::time_point now, netlink::Socket& socket, Batch& puts,
            Batch& removes);
  [[nodiscard]] Result<void> send(netlink::Socket& socket, Batch& batch, Clock::time_point now,
                                  Step& step);
  void refuse(const Write& write, const netlink::Socket::Refusal& refusal, Clock::time_point now,
              Step& step);
  void accept(const Write& write, Step& step);
  [[nodiscard]] Result<void> remove_extra(netlink::Socket& socket, Step& step);

  TableId table_;
  RouteRules rules_;
  Table delta_;
  reconcile::RetryList<RouteKey> retry_;
  std::map<RouteKey, Clock::time_point> held_;
  void give_up_place(const RouteKey& key);
  std::set<Prefix> taken_;
  std::uint64_t taken_version_ = 0;
  std::set<RouteKey> usurped_;         // ours until somebody replaced it: we may take it back
  std::set<RouteKey> doubted_;         // the kernel says that something unknown stands there
  std::vector<netlink::Route> extra_;  // a second route of ours at one key
  std::map<RouteKey, Fight> fights_;
  netlink::RouteFilter filter_;
  KernelRoutes foreign_;
  std::uint64_t foreign_version_ = 0;
  bool disregarded_ = false;
  std::uint64_t repairs_ = 0;
};

}  // namespace margay::route
