// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/route_view.h"

#include <algorithm>
#include <tuple>

namespace margay::bgp {

const SpeakerPeer* RouteView::find(std::string_view name_or_address) const {
  const auto it = std::find_if(peers_.begin(), peers_.end(), [&](const SpeakerPeer* p) {
    return p->config().name == name_or_address ||
           p->config().session.address.to_string() == name_or_address;
  });
  return it == peers_.end() ? nullptr : *it;
}

std::string RouteView::source(PeerId id) const {
  if (id == kKernelPeer) return std::string(kKernelSource);
  for (const SpeakerPeer* p : peers_) {
    if (p->is_source(id)) return p->config().name;
  }
  return {};
}

RouteStatus RouteView::describe(const Prefix& prefix, PeerId from, const Attributes& a) const {
  RouteStatus r;
  r.prefix = prefix;
  r.peer = source(from);
  r.next_hop = a.next_hop;
  r.as_path = a.as_path.to_string();
  r.local_pref = a.local_pref.value_or(100);
  r.med = a.med.value_or(0);
  for (const auto c : a.communities) r.communities.push_back(to_string(Community(c)));
  for (const auto& c : a.large_communities) r.communities.push_back(to_string(Community(c)));
  return r;
}

std::vector<RouteStatus> RouteView::paths(DestId dest) {
  const Prefix prefix = rib_.destinations().prefix(dest);
  const auto& table = rib_.destinations();
  std::vector<RouteStatus> out;
  const auto add = [&](const Path& p, AttrId attributes) -> RouteStatus& {
    RouteStatus& r = out.emplace_back(describe(prefix, p.peer, rib_.attributes().get(attributes)));
    r.path_id = p.path_id;
    r.stale = rib_.is_stale(p);
    return r;
  };
  for (const auto& ranked : rib_.ranking(dest)) {
    const Path& p = table.path(ranked.path);
    RouteStatus& r = add(p, p.attributes);
    const bool reachable = rib_.is_reachable(p);
    r.best = ranked.why.empty() && reachable;
    r.multipath = ranked.multipath && !r.best && reachable;
    r.why = reachable ? ranked.why : to_string(Withheld::unreachable);
  }
  table.for_each_path(dest, [&](PathId, const Path& p) {
    if (p.attributes == kNoAttr) add(p, p.received).why = to_string(rib_.refusal(p));
  });
  return out;
}

std::vector<RouteStatus> RouteView::told(DestId dest, const SpeakerPeer& peer) const {
  const Destination& d = rib_.destinations()[dest];
  std::vector<RouteStatus> out;
  peer.for_each_table([&](PeerId id) {
    rib_.for_each_advertised(id, dest, [&](std::uint32_t path_id, const Attributes& a) {
      RouteStatus& r = out.emplace_back(describe(rib_.destinations().prefix(dest), d.best_peer, a));
      r.path_id = path_id;
      if (path_id != 0) r.peer = source(rib_.destinations().path(path_id - 1).peer);
    });
  });
  return out;
}

// Of the best path; where there is none, what is wrong with one of the others stands beside it.
std::string RouteView::why_not_told(DestId dest, const SpeakerPeer& peer) const {
  const Destination& d = rib_.destinations()[dest];
  std::string why = "no path is used";
  rib_.destinations().for_each_path(dest, [&](PathId id, const Path& path) {
    if (path.attributes == kNoAttr || d.best == kNoAttr) return;
    if (path.peer != d.best_peer || path.attributes != d.best) return;
    peer.for_each_table([&](PeerId table) {
      if (peer.family_of(table) == d.family) {
        why = to_string(rib_.withheld(table, dest, id));
      }
    });
  });
  return why;
}

std::vector<RouteStatus> RouteView::list(const RouteQuery& query) {
  using View = RouteQuery::View;
  const SpeakerPeer* peer = query.peer.empty() ? nullptr : find(query.peer);
  std::vector<RouteStatus> out;
  if (peer == nullptr && !query.peer.empty() && query.peer != kKernelSource) return out;
  const auto take = [&](DestId dest) {
    auto found =
        query.view == View::advertised && peer != nullptr ? told(dest, *peer) : paths(dest);
    for (auto& r : found) {
      if (query.view == View::received && r.peer != query.peer &&
          (peer == nullptr || r.peer != peer->config().name)) {
        continue;
      }
      out.push_back(std::move(r));
    }
  };
  const auto& dests = rib_.destinations();
  if (query.prefix) {
    const DestId dest = dests.find(*query.prefix);
    if (dest != kNone) take(dest);
  } else {
    std::size_t left = query.limit;
    for (DestId d = 0; d < dests.end() && left > 0; ++d) {
      if (!dests[d].used || dests[d].paths == kNone) continue;
      take(d);
      --left;
    }
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.prefix < b.prefix; });
  return out;
}

std::optional<RouteExplanation> RouteView::explain(const Prefix& prefix) {
  const auto& dests = rib_.destinations();
  DestId dest = kNone;
  for (unsigned n = prefix.length() + 1; n-- > 0;) {
    dest = dests.find(Prefix::containing(prefix.addr(), n));
    if (dest != kNone && dests[dest].paths != kNone) break;
    dest = kNone;
  }
  if (dest == kNone) return std::nullopt;
  RouteExplanation out;
  out.prefix = dests.prefix(dest);
  out.paths = paths(dest);
  if (const NextHops hops = rib_.programmed(dest)) {
    out.kernel = *hops;
  } else if (!rib_.programs(out.prefix)) {
    out.kernel_why = "its pool belongs to the dataplane, or it is an address of Services";
  } else {
    const bool here =
        !out.paths.empty() && out.paths.front().best && out.paths.front().peer.empty();
    out.kernel_why = here ? "it is this node's own" : "no path from a peer is used";
  }
  for (const SpeakerPeer* p : peers_) {
    RouteExplanation::Told& t = out.peers.emplace_back();
    t.peer = p->config().name;
    t.paths = told(dest, *p);
    if (t.paths.empty())
      t.why = p->carries(out.prefix.family()) ? why_not_told(dest, *p)
                                              : "its session is of the other family";
  }
  return out;
}

}  // namespace margay::bgp
