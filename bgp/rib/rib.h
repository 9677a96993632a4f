// SPDX-License-Identifier: Apache-2.0
// The tables of one speaker: Adj-RIB-In, Loc-RIB, Adj-RIB-Out. Sessions tell it what they received
// and pull what they should send; step() does the pending work in bounded portions and gives the
// changes for the kernel. Pure: no sockets, no clock.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bgp/policy/evaluate.h"
#include "bgp/rib/destinations.h"
#include "bgp/rib/kernel_view.h"
#include "bgp/rib/out_group.h"
#include "bgp/rib/rib_types.h"
#include "bgp/rib/selection.h"

namespace margay::bgp {

struct RibConfig {
  RouterId router_id;
  std::optional<RouterId> cluster_id;  // set: this node reflects routes
  ExportPolicy export_policy;
  KernelPolicy kernel_policy;
  unsigned max_paths = 16;
};

// Of a peer, whatever its session does.
struct RibPeer {
  Asn local_as;
  Ip address;
  NextHopMode next_hop = NextHopMode::automatic;
  unsigned allowed_local_as = 0;
  bool client = false;  // of our reflector
  FilterList filters;
};

// Of an established session.
struct RibSession {
  Family family = Family::v4;
  bool internal = false;
  bool v6_next_hops = false;  // the peer takes them with IPv4 prefixes (RFC 8950)
  RouterId peer_id;
  Ip local_address;  // our next hop
  wire::EncodeContext encode;
  bool send_end_of_rib = true;
};

struct RibCounters {
  std::uint64_t prefixes_in = 0, prefixes_accepted = 0, prefixes_out = 0;
  std::uint64_t prefixes_fresh = 0;  // of prefixes_in those that are not stale
};

// Why a path that a peer sent is not used.
enum class Refusal { no, own_as, bad_next_hop, originated_here, cluster_loop, filter };
[[nodiscard]] std::string_view to_string(Refusal r);

class Rib {
 public:
  Rib();
  ~Rib();
  Rib(const Rib&) = delete;
  Rib& operator=(const Rib&) = delete;

  void set_config(RibConfig config);
  // While deferred (RFC 4724 4.1) routes are taken in, but none is selected: neither the kernel nor
  // a peer hears anything.
  void set_deferred(bool deferred) {
    deferred_ = deferred;
    news_ = true;
  }
  void set_originated(const std::vector<OriginatedRoute>& routes);
  // All that are worth knowing: offered to peers, as the export policy says, and the way to next
  // hops. They never keep a route of BGP's out of the kernel: theirs may go.
  void set_kernel_routes(const std::vector<LearntRoute>& routes);
  // Those of our own dataplane, as they change: offered in the same way, but no way to next hops.
  void change_dataplane_routes(const std::vector<DataplaneChange>& changes);

  [[nodiscard]] PeerId add_peer(RibPeer peer);
  void set_peer(PeerId id, RibPeer peer);  // new filters are applied to what is held
  void remove_peer(PeerId id);             // with its routes; the session must be down

  void session_up(PeerId id, const RibSession& session);
  // keep: as stale, until sweep(). What was stale already goes (RFC 4724 4.2).
  void session_down(PeerId id, bool keep);
  void update(PeerId id, const wire::Update& update);  // treatment other than session_reset
  void sweep(PeerId id);          // drops what the peer has not sent since its session came up
  void begin_refresh(PeerId id);  // RFC 7313: what it does not send again until sweep() goes
  // The peer asks for everything once more.
  void send_all(PeerId id, bool enhanced);

  // Up to about `work` units of pending work; appends to `changes` (a prefix may come twice: the
  // later entry counts). True: there is more to do.
  bool step(std::size_t work, std::vector<RouteChange>& changes);
  // Everything that the kernel should have, from the table as it is.
  void dump_kernel(std::vector<RouteChange>& changes) const;

  // Whether next_output() of any peer may have got something from step() or a change of
  // configuration since the last call.
  [[nodiscard]] bool take_news() { return std::exchange(news_, false); }
  // The next bytes for an established peer, null: nothing now.
  [[nodiscard]] SharedBytes next_output(PeerId id);

  [[nodiscard]] RibCounters counters(PeerId id) const;
  [[nodiscard]] std::size_t prefixes() const { return prefixes_; }  // with a usable path
  [[nodiscard]] const Destinations& destinations() const { return dests_; }
  [[nodiscard]] const AttributeTable& attributes() const { return attributes_; }
  [[nodiscard]] bool is_stale(const Path& path) const;
  [[nodiscard]] Refusal refusal(const Path& path) const;
  // Of a path that is used.
  [[nodiscard]] Withheld withheld(PeerId to, DestId dest, PathId path) const;
  struct Ranked {
    PathId path = kNone;
    std::string_view why;    // it is not the best; empty: it is
    bool multipath = false;  // as good as the best, but for the last steps
  };
  // The paths that are used, the best first.
  [[nodiscard]] std::vector<Ranked> ranking(DestId dest);
  // What the kernel should have; null: nothing.
  [[nodiscard]] NextHops programmed(DestId dest) const;
  [[nodiscard]] bool programs(const Prefix& prefix) const { return kernel_.programs(prefix); }
  [[nodiscard]] bool is_reachable(const Path& path) const {
    return reachable(path.peer, attributes_.get(path.attributes));
  }
  // What the peer has been or will be told of a destination: f(path identifier, attributes).
  template <typename F>
  void for_each_advertised(PeerId id, DestId dest, F&& f) const {
    const OutGroup* g = group_of(id);
    if (g == nullptr) return;
    g->for_each_named(dest, id, {g->end()}, [&](std::uint32_t path_id, AttrId a) {
      if (a != kNoAttr) f(path_id, attributes_.get(a));
    });
  }

 private:
  struct Peer;
  struct Group;
  struct KernelWays;

  // rib.cpp: peers, what comes in, background work.
  void mark(DestId id);
  void announce(Peer& p, PeerId id, const wire::NlriEntry& e, AttrId received, AttrId usable);
  void withdraw(Peer& p, PeerId id, const wire::NlriEntry& e);
  void erase_path(DestId dest, PathId path);
  [[nodiscard]] Refusal refusal(const Peer& p, const Attributes& a) const;
  [[nodiscard]] AttrId imported(const Peer& p, const Prefix& prefix, AttrId received, bool usable);
  void accept(Peer& p, PeerId id, const wire::Nlri& nlri, Attributes&& attributes);
  static void age(Peer& p);
  void start_job(PeerId id);
  bool run_job(PeerId id, std::size_t& work);
  void revise(Peer& p, PeerId id, DestId dest);
  void join(PeerId id);
  void leave(PeerId id);
  void compact(Group& g);
  void move_group(PeerId id);
  [[nodiscard]] SharedBytes difference(PeerId id);
  [[nodiscard]] const OutGroup* group_of(PeerId id) const;
  void forget_told(Peer& p);
  void clear_memo(Group& g);
  void tidy();

  // rib_kernel.cpp: what the kernel's routes say.
  struct Learnt {
    std::optional<LearntRoute> foreign, ours;
    [[nodiscard]] const LearntRoute* choice() const;  // the kernel's; null: none
  };
  [[nodiscard]] bool learn(const Prefix& prefix, std::optional<LearntRoute> Learnt::*whose,
                           const LearntRoute* route);
  void ways_moved();
  void refill(Group& g);
  [[nodiscard]] bool reachable(PeerId source, const Attributes& a) const;
  [[nodiscard]] std::string_view interface_of(const Prefix& prefix, PeerId source,
                                              const Attributes& a) const;

  // rib_export.cpp: selection, the kernel, output groups.
  void select(DestId id, std::vector<RouteChange>& changes);
  [[nodiscard]] std::size_t gather(DestId id);
  [[nodiscard]] std::uint32_t kernel_hops(const Prefix& prefix, std::size_t multipath);
  void export_to(Group& g, DestId id);
  void export_paths(Group& g, DestId id);
  [[nodiscard]] Withheld may_pass(const Group& g, PeerId source, const Attributes& a) const;
  [[nodiscard]] AttrId export_attributes(Group& g, const Prefix& prefix, AttrId best,
                                         PeerId source);
  [[nodiscard]] Withheld decide(const Group& g, const Prefix& prefix, PeerId source,
                                Attributes& a) const;
  void rewrite(const Group& g, PeerId source, Attributes& a) const;
  bool fill(Group& g, std::size_t& work);
  [[nodiscard]] Peer& peer(PeerId id) { return *peers_[id]; }
  [[nodiscard]] const Peer& peer(PeerId id) const { return *peers_[id]; }

  RibConfig config_;
  ExportDecider export_;
  KernelDecider kernel_;
  AttributeTable attributes_;
  Destinations dests_;
  std::vector<DestId> released_;
  std::vector<std::unique_ptr<Peer>> peers_;  // ourselves, the kernel, peers
  std::vector<std::unique_ptr<Group>> groups_;
  std::unique_ptr<KernelWays> ways_;
  std::vector<DestId> dirty_;
  std::size_t dirty_at_ = 0;
  bool deferred_ = false;
  bool news_ = false;
  std::size_t prefixes_ = 0;
  std::size_t removing_ = 0;  // peers that go when their routes have gone
  std::vector<PeerId> jobs_;  // peers with routes to purge or to filter again
  std::unordered_map<Prefix, AttrId> originated_;
  KernelView view_;
  std::unordered_map<Prefix, Learnt> learnt_;
  std::vector<Candidate> scratch_;
  std::pair<std::vector<Ip>, std::optional<std::uint32_t>> way_scratch_;
  std::vector<std::pair<std::uint32_t, AttrId>> named_scratch_;
  std::vector<std::pair<std::uint32_t, PeerId>> wanted_scratch_;
};

}  // namespace margay::bgp
