// SPDX-License-Identifier: Apache-2.0
// The second half of Rib: which path wins, what the kernel gets, what each output group is told.
#include <algorithm>

#include "bgp/rib/rib.h"
#include "bgp/rib/rib_state.h"

namespace margay::bgp {
namespace {

constexpr std::size_t kMemoSize = 4096;  // a power of two

}  // namespace

// Fills scratch_, the best first; returns the size of the multipath set, 0: nothing usable.
std::size_t Rib::gather(DestId id) {
  scratch_.clear();
  const Prefix prefix = dests_.prefix(id);
  dests_.for_each_path(id, [&](PathId path_id, const Path& path) {
    if (path.attributes == kNoAttr) return;
    const Peer& p = peer(path.peer);
    Candidate c;
    c.attributes = &attributes_.get(path.attributes);
    c.tag = path_id;
    c.path_id = path.path_id;
    c.local = path.peer < kFirstPeer;
    c.unreachable = !reachable(path.peer, *c.attributes);
    c.elevated = export_.elevated(prefix, *c.attributes);
    c.stale = path.epoch != p.epoch;
    c.external = !c.local && !p.session.internal;
    c.peer_id = p.session.peer_id;
    c.peer_address = p.info.address;
    scratch_.push_back(c);
  });
  if (scratch_.size() > 1) {
    for (Candidate& c : scratch_) {
      if (!c.local) c.cost = view_.cost_to(c.attributes->next_hop);
    }
  }
  return scratch_.empty() ? 0 : select_best(scratch_);
}

// Reorders scratch_. An unreachable next hop is passed on: who programs it looks for itself.
std::uint32_t Rib::kernel_hops(const Prefix& prefix, std::size_t multipath) {
  const auto learnt = [&](const Candidate& c) { return dests_.path(c.tag).peer == kKernelPeer; };
  if (multipath != 0 && learnt(scratch_[0])) {
    std::erase_if(scratch_, learnt);
    multipath = scratch_.empty() ? 0 : select_best(scratch_);
  }
  if (multipath == 0 || scratch_[0].local || !kernel_.programs(prefix)) return 0;
  auto& [hops, metric] = way_scratch_;
  hops.clear();
  metric.reset();
  for (std::size_t i = 0; i < multipath && hops.size() < config_.max_paths; ++i) {
    const Ip& hop = scratch_[i].attributes->next_hop;
    if (std::find(hops.begin(), hops.end(), hop) == hops.end()) hops.push_back(hop);
  }
  std::sort(hops.begin(), hops.end());
  if (scratch_[0].elevated) {
    const std::uint32_t preference = *scratch_[0].attributes->local_pref;
    metric = preference < kPreferenceBase ? kPreferenceBase - preference : 1;
  }
  return ways_->intern(way_scratch_);
}

void Rib::select(DestId id, std::vector<RouteChange>& changes) {
  const std::size_t multipath = gather(id);
  Destination& d = dests_[id];
  AttrId best = kNoAttr;
  PeerId source = kLocalPeer;
  if (multipath != 0 && !scratch_[0].unreachable) {
    const Path& path = dests_.path(scratch_[0].tag);
    best = path.attributes;
    source = path.peer;
  }
  const Prefix prefix = dests_.prefix(id);
  std::uint32_t hops = kernel_hops(prefix, multipath);
  if (hops != d.hops) {
    changes.push_back(ways_->change(prefix, hops));
    std::swap(d.hops, hops);
  }
  ways_->unref(hops);
  const bool another = best != d.best || source != d.best_peer;
  prefixes_ += best != kNoAttr ? 1U : 0U;
  prefixes_ -= d.best != kNoAttr ? 1U : 0U;
  attributes_.ref(best);
  attributes_.unref(d.best);
  d.best = best;
  d.best_peer = source;
  for (auto& g : groups_) {
    const bool concerned = another || g->out.key().encode.add_path;
    if (concerned && (!g->filling || id < g->fill_at)) export_to(*g, id);
  }
  if (d.paths == kNone && d.out_refs == 0) released_.push_back(id);
}

// --- output groups ---------------------------------------------------------------------------

void Rib::export_to(Group& g, DestId id) {
  const Destination& d = dests_[id];
  if (!d.used || d.family != g.out.key().family) return;
  if (g.out.key().encode.add_path) return export_paths(g, id);
  const AttrId out =
      d.best == kNoAttr ? kNoAttr : export_attributes(g, dests_.prefix(id), d.best, d.best_peer);
  news_ = g.out.set(id, 0, out, d.best_peer) || news_;
}

// RFC 7911 with all paths, as Calico asks for. A path is named by the number of its record: unique
// in its destination for as long as it lives, and when the number serves another path of the same
// destination later, that one takes the place of the first at the peer too.
void Rib::export_paths(Group& g, DestId id) {
  auto& have = named_scratch_;
  have.clear();
  g.out.for_each_named(id, kLocalPeer, {g.out.end()}, [&](std::uint32_t path_id, AttrId a) {
    if (a != kNoAttr) have.push_back({path_id, a});
  });
  auto& want = wanted_scratch_;
  want.clear();
  dests_.for_each_path(id, [&](PathId path, const Path& p) {
    if (p.attributes == kNoAttr || !is_reachable(p)) return;
    want.push_back({path + 1, p.peer});
  });
  std::sort(have.begin(), have.end());
  std::sort(want.begin(), want.end());
  auto old = have.begin();
  const auto withdraw_below = [&](std::uint32_t limit) {
    for (; old != have.end() && old->first < limit; ++old) {
      news_ = g.out.set(id, old->first, kNoAttr, kLocalPeer) || news_;
    }
  };
  for (const auto& [path_id, source] : want) {
    withdraw_below(path_id);
    const AttrId in = dests_.path(path_id - 1).attributes;
    const AttrId out = export_attributes(g, dests_.prefix(id), in, source);
    const bool named = old != have.end() && old->first == path_id;
    if (named) ++old;
    if (named || out != kNoAttr) news_ = g.out.set(id, path_id, out, source) || news_;
  }
  withdraw_below(kNone);
}

Withheld Rib::may_pass(const Group& g, PeerId source, const Attributes& a) const {
  if (a.has(Community(kNoAdvertise))) return Withheld::no_advertise;
  const auto& key = g.out.key();
  if (!key.internal) {
    const bool stays = !a.communities.empty() &&
                       (a.has(Community(kNoExport)) || a.has(Community(kNoExportSubconfed)));
    return stays ? Withheld::no_export : Withheld::no;
  }
  if (source < kFirstPeer) return Withheld::no;
  const Peer& from = peer(source);
  if (!from.session.internal || from.info.local_as != key.local_as) return Withheld::no;
  // RFC 4456 6: from a client to everybody, from anybody to a client.
  const bool reflected = config_.cluster_id && (from.info.client || key.client);
  return reflected ? Withheld::no : Withheld::not_reflected;
}

// Policy in the order of spec 6; may change `a`, which has its LOCAL_PREF already.
Withheld Rib::decide(const Group& g, const Prefix& prefix, PeerId source, Attributes& a) const {
  const bool elevated = export_.elevated(prefix, a);
  if (!g.filters.empty()) {
    const auto interface = g.by_interface ? interface_of(prefix, source, a) : std::string_view();
    const RouteFacts facts{prefix, a, source >= kFirstPeer, !g.out.key().internal, interface};
    auto result = run_filters(g.filters, Direction::export_, facts);
    if (result.changed) a = std::move(*result.changed);
    if (result.verdict == Verdict::accept) return Withheld::no;
    if (result.verdict == Verdict::reject) return Withheld::filter;
  }
  if (source == kKernelPeer &&
      !export_.accepts_interface(interface_of(prefix, source, a), g.out.key().internal)) {
    return Withheld::tunnel;
  }
  const Withheld judged = export_.judge(prefix, elevated);
  if (judged == Withheld::no) export_.add_communities(prefix, a);
  return judged;
}

void Rib::rewrite(const Group& g, PeerId source, Attributes& a) const {
  const auto& key = g.out.key();
  const bool own = a.next_hop.is_any();
  const bool keep = g.next_hop == NextHopMode::keep ||
                    (g.next_hop == NextHopMode::keep_external && !key.internal) ||
                    (g.next_hop != NextHopMode::self && key.internal);
  // An IPv6 next hop of an IPv4 prefix goes only to those who said that they take it.
  const bool foreign = key.family == Family::v4 && a.next_hop.is_v6() && !key.v6_next_hops;
  if (own || !keep || foreign) a.next_hop = key.local_address;
  a.link_local.reset();
  if (!key.internal) {
    const Asn head[] = {key.local_as};
    a.as_path.prepend(head);
    a.local_pref.reset();
    a.med.reset();
    a.originator_id.reset();
    a.cluster_list.clear();
    return;
  }
  if (source < kFirstPeer || !peer(source).session.internal) return;
  if (!config_.cluster_id) return;
  // RFC 4456 8.
  if (!a.originator_id) a.originator_id = peer(source).session.peer_id;
  a.cluster_list.insert(a.cluster_list.begin(), *config_.cluster_id);
}

AttrId Rib::export_attributes(Group& g, const Prefix& prefix, AttrId best, PeerId source) {
  const Attributes& in = attributes_.get(best);
  if (may_pass(g, source, in) != Withheld::no) return kNoAttr;
  const bool usual =
      g.filters.empty() && source != kKernelPeer && !export_.has_communities_for(prefix);
  if (usual) {
    if (!export_.accepts(prefix, export_.elevated(prefix, in))) return kNoAttr;
    if (g.memo.empty()) g.memo.resize(kMemoSize);
    auto& memo = g.memo[(best * 31 + source) & (kMemoSize - 1)];
    if (memo.in != best || memo.source != source) {
      Attributes a = in;
      if (!a.local_pref) a.local_pref = export_.normal_local_pref(prefix.family());
      rewrite(g, source, a);
      const AttrId out = attributes_.intern(std::move(a));
      attributes_.ref(best);
      attributes_.unref(memo.in);
      attributes_.unref(memo.out);
      memo = {best, source, out};
    }
    attributes_.ref(memo.out);
    return memo.out;
  }
  Attributes a = in;
  if (!a.local_pref) a.local_pref = export_.normal_local_pref(prefix.family());
  if (decide(g, prefix, source, a) != Withheld::no) return kNoAttr;
  rewrite(g, source, a);
  return attributes_.intern(std::move(a));
}

// True: not done yet.
bool Rib::fill(Group& g, std::size_t& work) {
  if (!g.filling) return false;
  for (; g.fill_at < dests_.end() && work > 0; ++g.fill_at, --work) export_to(g, g.fill_at);
  if (g.fill_at < dests_.end()) return true;
  g.filling = false;
  g.filled = news_ = true;
  return false;
}

}  // namespace margay::bgp
