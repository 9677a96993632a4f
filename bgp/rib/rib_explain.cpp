// SPDX-License-Identifier: Apache-2.0
// The part of Rib that answers questions of people: why a path is not used, not the best, or not
// passed on. Asks the same code that decides.
#include "bgp/rib/rib.h"
#include "bgp/rib/rib_state.h"

namespace margay::bgp {

std::string_view to_string(Refusal r) {
  switch (r) {
    case Refusal::no:
      return "";
    case Refusal::own_as:
      return "our AS stands in its path";
    case Refusal::bad_next_hop:
      return "its next hop is no neighbour's address";
    case Refusal::originated_here:
      return "its originator is this node";
    case Refusal::cluster_loop:
      return "our cluster stands in its cluster list";
    case Refusal::filter:
      return "rejected by a BGPFilter";
  }
  return "";
}

Refusal Rib::refusal(const Path& path) const {
  if (path.attributes != kNoAttr) return Refusal::no;
  const Refusal r = refusal(peer(path.peer), attributes_.get(path.received));
  return r == Refusal::no ? Refusal::filter : r;
}

std::vector<Rib::Ranked> Rib::ranking(DestId dest) {
  const std::size_t multipath = gather(dest);
  std::vector<Ranked> out;
  for (std::size_t i = 0; i < scratch_.size(); ++i) {
    out.push_back({scratch_[i].tag, deciding_step(scratch_[0], scratch_[i]), i < multipath});
  }
  return out;
}

NextHops Rib::programmed(DestId dest) const { return ways_->slots[dests_[dest].hops].hops; }

Withheld Rib::withheld(PeerId to, DestId dest, PathId id) const {
  const Group* g = peer(to).group;
  if (!peer(to).up || g == nullptr) return Withheld::session_down;
  const Path& path = dests_.path(id);
  if (path.peer == to) return Withheld::its_own;
  if (!is_reachable(path)) return Withheld::unreachable;
  Attributes a = attributes_.get(path.attributes);
  const Withheld passes = may_pass(*g, path.peer, a);
  if (passes != Withheld::no) return passes;
  const Prefix prefix = dests_.prefix(dest);
  if (!a.local_pref) a.local_pref = export_.normal_local_pref(prefix.family());
  const Withheld decided = decide(*g, prefix, path.peer, a);
  if (decided != Withheld::no) return decided;
  const Destination& d = dests_[dest];
  const bool told =
      g->out.key().encode.add_path || (path.peer == d.best_peer && path.attributes == d.best);
  return told ? Withheld::no : Withheld::not_best;
}

}  // namespace margay::bgp
