// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/rib.h"

#include <algorithm>
#include <tuple>

#include "bgp/rib/rib_state.h"

namespace margay::bgp {
namespace {

// Multicast and loopback are never destinations of unicast routes.
bool martian(const Prefix& p) {
  return p.length() != 0 && (p.addr().is_multicast() || p.addr().is_loopback());
}

}  // namespace

Rib::Rib() : export_({}), kernel_({}), ways_(std::make_unique<KernelWays>()) {
  for (PeerId id = 0; id < kFirstPeer; ++id) {
    peers_.push_back(std::make_unique<Peer>());
    peers_[id]->up = true;
  }
}
Rib::~Rib() = default;

// --- configuration ---------------------------------------------------------------------------

void Rib::set_config(RibConfig config) {
  const bool exports = !(config.export_policy == config_.export_policy) ||
                       config.cluster_id != config_.cluster_id ||
                       config.router_id != config_.router_id;
  const bool selects = !(config.kernel_policy == config_.kernel_policy) ||
                       config.max_paths != config_.max_paths || exports;
  config_ = std::move(config);
  if (exports) {
    export_ = ExportDecider(config_.export_policy);
    for (auto& g : groups_) refill(*g);
  }
  if (!selects) return;
  kernel_ = KernelDecider(config_.kernel_policy);
  for (DestId d = 0; d < dests_.end(); ++d) {
    if (dests_[d].used) mark(d);
  }
}

void Rib::set_originated(const std::vector<OriginatedRoute>& routes) {
  std::unordered_map<Prefix, AttrId> want;
  for (const auto& r : routes) {
    Attributes a;
    a.next_hop = Ip::any(r.prefix.family());
    a.local_pref = kPreferenceBase - r.metric;
    auto [it, added] = want.try_emplace(r.prefix, kNoAttr);
    if (added) it->second = attributes_.intern(std::move(a));
  }
  for (const auto& [prefix, attr] : originated_) {
    if (!want.contains(prefix)) withdraw(peer(kLocalPeer), kLocalPeer, {prefix, 0});
    attributes_.unref(attr);
  }
  originated_ = std::move(want);
  for (const auto& [prefix, attr] : originated_) {
    announce(peer(kLocalPeer), kLocalPeer, {prefix, 0}, attr, attr);
  }
}

PeerId Rib::add_peer(RibPeer info) {
  auto added = std::make_unique<Peer>();
  std::size_t highest = 0;
  for (const auto& p : peers_) {
    if (!p) continue;
    highest = std::max(highest, p->filters);
    if (same(p->info.filters, info.filters)) added->filters = p->filters;
  }
  if (added->filters == 0 && !info.filters.empty()) added->filters = highest + 1;
  added->info = std::move(info);
  const auto gap = std::find(peers_.begin(), peers_.end(), nullptr);
  const auto id = static_cast<PeerId>(gap - peers_.begin());
  if (gap == peers_.end()) {
    MARGAY_ASSERT(peers_.size() < 0xffff);
    peers_.push_back(std::move(added));
  } else {
    *gap = std::move(added);
  }
  return id;
}

void Rib::set_peer(PeerId id, RibPeer info) {
  Peer& p = peer(id);
  const bool filters = !same(p.info.filters, info.filters);
  const bool imports = filters || info.allowed_local_as != p.info.allowed_local_as ||
                       info.local_as != p.info.local_as;
  const bool exports = filters || info.next_hop != p.info.next_hop ||
                       info.client != p.info.client || info.local_as != p.info.local_as;
  p.info = std::move(info);
  if (filters) {
    std::size_t highest = 0;
    p.filters = 0;
    for (const auto& o : peers_) {
      if (!o || o.get() == &p) continue;
      highest = std::max(highest, o->filters);
      if (same(o->info.filters, p.info.filters)) p.filters = o->filters;
    }
    if (p.filters == 0 && !p.info.filters.empty()) p.filters = highest + 1;
  }
  if (imports) {
    p.job.refilter = true;
    start_job(id);
  }
  if (exports && p.up) move_group(id);
}

void Rib::remove_peer(PeerId id) {
  Peer& p = peer(id);
  if (p.up) session_down(id, false);
  p.removing = true;
  ++removing_;
  p.kept = ++p.epoch;
  p.job.purge = true;
  start_job(id);
}

// --- sessions --------------------------------------------------------------------------------

void Rib::session_up(PeerId id, const RibSession& session) {
  Peer& p = peer(id);
  p.session = session;
  p.up = true;
  // What is still held is stale until the peer names it again.
  ++p.epoch;
  p.fresh = 0;
  p.end_of_rib_due = session.send_end_of_rib;
  join(id);
}

void Rib::session_down(PeerId id, bool keep) {
  Peer& p = peer(id);
  leave(id);
  forget_told(p);
  p.refresh_begins = p.refresh_ends = p.end_of_rib_due = false;
  p.up = false;
  age(p);
  if (!keep) p.kept = p.epoch;
  p.job.purge = true;
  start_job(id);
}

void Rib::age(Peer& p) {
  p.kept = p.epoch++;
  p.fresh = 0;
}

void Rib::sweep(PeerId id) {
  Peer& p = peer(id);
  p.kept = p.epoch;
  p.job.purge = true;
  start_job(id);
}

void Rib::begin_refresh(PeerId id) { age(peer(id)); }

void Rib::send_all(PeerId id, bool enhanced) {
  Peer& p = peer(id);
  if (!p.up || p.group == nullptr) return;
  p.cursor.at = p.group->out.begin();
  p.refresh_begins = p.refresh_ends = enhanced;
}

bool Rib::is_stale(const Path& path) const { return path.epoch != peers_[path.peer]->epoch; }

// --- what comes in ---------------------------------------------------------------------------

Refusal Rib::refusal(const Peer& p, const Attributes& a) const {
  if (a.as_path.count(p.info.local_as) > p.info.allowed_local_as) return Refusal::own_as;
  if (a.next_hop.is_any() || a.next_hop.is_multicast() || a.next_hop.is_loopback() ||
      a.next_hop == p.session.local_address) {
    return Refusal::bad_next_hop;
  }
  if (!p.session.internal) return Refusal::no;
  if (a.originator_id == config_.router_id) return Refusal::originated_here;
  const auto& clusters = a.cluster_list;
  const bool loop = config_.cluster_id && std::find(clusters.begin(), clusters.end(),
                                                    *config_.cluster_id) != clusters.end();
  return loop ? Refusal::cluster_loop : Refusal::no;
}

AttrId Rib::imported(const Peer& p, const Prefix& prefix, AttrId received, bool usable) {
  if (!usable) return kNoAttr;
  const Attributes& in = attributes_.get(received);
  // RFC 8326 4.2: a route that is about to go is the last choice; a filter may still say otherwise.
  const bool leaving = !p.session.internal && in.has(Community(kGracefulShutdown));
  if (!leaving && p.info.filters.empty()) {
    attributes_.ref(received);
    return received;
  }
  std::optional<Attributes> changed;
  if (leaving) {
    changed = in;
    changed->local_pref = 0;
  }
  const Attributes& now = changed ? *changed : in;
  const RouteFacts facts{prefix, now, true, !p.session.internal, view_.interface_to(now.next_hop)};
  auto result = run_filters(p.info.filters, Direction::import, facts);
  if (result.verdict == Verdict::reject) return kNoAttr;
  if (result.changed) changed = std::move(result.changed);
  if (changed) return attributes_.intern(std::move(*changed));
  attributes_.ref(received);
  return received;
}

void Rib::update(PeerId id, const wire::Update& u) {
  Peer& p = peer(id);
  const bool withdraw_all = u.treatment == wire::Treatment::treat_as_withdraw;
  const auto ours = [&](const wire::Nlri& n) {
    return !n.empty() && n.family() == p.session.family;
  };
  const auto withdraw_each = [&](const wire::Nlri& n) {
    if (ours(n)) n.for_each([&](const wire::NlriEntry& e) { withdraw(p, id, e); });
  };
  withdraw_each(u.withdrawn);
  withdraw_each(u.mp_withdrawn);
  if (withdraw_all) {
    withdraw_each(u.announced);
    withdraw_each(u.mp_announced);
    return;
  }
  if (ours(u.announced)) accept(p, id, u.announced, Attributes(u.attributes));
  if (ours(u.mp_announced)) {
    Attributes a = u.attributes;
    a.next_hop = u.mp_next_hop;
    a.link_local = u.mp_link_local;
    accept(p, id, u.mp_announced, std::move(a));
  }
}

void Rib::accept(Peer& p, PeerId id, const wire::Nlri& nlri, Attributes&& attributes) {
  const bool good = refusal(p, attributes) == Refusal::no;
  const AttrId received = attributes_.intern(std::move(attributes));
  nlri.for_each([&](const wire::NlriEntry& e) {
    if (martian(e.prefix)) return;
    const AttrId result = imported(p, e.prefix, received, good);
    announce(p, id, e, received, result);
    attributes_.unref(result);
  });
  attributes_.unref(received);
}

// Counts its own references to the two ids.
void Rib::announce(Peer& p, PeerId id, const wire::NlriEntry& e, AttrId received, AttrId usable) {
  const DestId dest = dests_.find_or_add(e.prefix);
  const PathId path_id = dests_.find_path(dest, id, e.path_id);
  if (path_id == kNone) {
    Path path;
    path.received = received;
    path.attributes = usable;
    path.path_id = e.path_id;
    path.peer = id;
    path.epoch = p.epoch;
    attributes_.ref(received);
    attributes_.ref(usable);
    (void)dests_.add_path(dest, path);
    ++p.paths;
    ++p.fresh;
    if (usable != kNoAttr) ++p.accepted;
    if (usable != kNoAttr) mark(dest);
    return;
  }
  Path& path = dests_.path(path_id);
  const bool changed = path.attributes != usable || path.epoch != p.epoch;
  if (path.epoch != p.epoch) ++p.fresh;
  path.epoch = p.epoch;
  attributes_.ref(received);
  attributes_.unref(path.received);
  path.received = received;
  if (path.attributes != usable) {
    if (path.attributes != kNoAttr) --p.accepted;
    if (usable != kNoAttr) ++p.accepted;
    attributes_.ref(usable);
    attributes_.unref(path.attributes);
    path.attributes = usable;
  }
  if (changed) mark(dest);
}

void Rib::withdraw(Peer&, PeerId id, const wire::NlriEntry& e) {
  const DestId dest = dests_.find(e.prefix);
  if (dest == kNone) return;
  const PathId path = dests_.find_path(dest, id, e.path_id);
  if (path != kNone) erase_path(dest, path);
}

void Rib::erase_path(DestId dest, PathId id) {
  const Path path = dests_.path(id);
  Peer& p = peer(path.peer);
  --p.paths;
  if (path.epoch == p.epoch) --p.fresh;
  if (path.attributes != kNoAttr) --p.accepted;
  dests_.remove_path(dest, id);
  attributes_.unref(path.received);
  attributes_.unref(path.attributes);
  mark(dest);
}

void Rib::mark(DestId id) {
  if (dests_[id].dirty) return;
  dests_[id].dirty = true;
  dirty_.push_back(id);
}

// --- background work -------------------------------------------------------------------------

void Rib::start_job(PeerId id) {
  auto& job = peer(id).job;
  if (job.active) {
    job.again = true;
    return;
  }
  job.active = true;
  job.at = 0;
  jobs_.push_back(id);
}

void Rib::revise(Peer& p, PeerId id, DestId dest) {
  for (PathId at = dests_[dest].paths; at != kNone;) {
    Path& path = dests_.path(at);
    const PathId next = path.next;
    if (path.peer == id) {
      if (p.job.purge && path.epoch != p.epoch && path.epoch != p.kept) {
        erase_path(dest, at);
      } else if (p.job.refilter) {
        const auto& attributes = attributes_.get(path.received);
        const bool good = refusal(p, attributes) == Refusal::no;
        AttrId result = imported(p, dests_.prefix(dest), path.received, good);
        if (result != path.attributes) {
          if (path.attributes != kNoAttr) --p.accepted;
          if (result != kNoAttr) ++p.accepted;
          std::swap(path.attributes, result);
          mark(dest);
        }
        attributes_.unref(result);
      }
    }
    at = next;
  }
}

// True: done.
bool Rib::run_job(PeerId id, std::size_t& work) {
  Peer& p = peer(id);
  auto& job = p.job;
  // How many paths may still have to be looked at: seldom any when all are fresh.
  const auto left = [&] { return job.refilter || p.kept != p.epoch ? p.paths : p.paths - p.fresh; };
  for (; left() != 0 && job.at < dests_.end() && work > 0; ++job.at, --work) {
    if (dests_[job.at].paths != kNone) revise(p, id, job.at);
  }
  if (left() != 0 && job.at < dests_.end()) return false;
  if (job.again) {
    job.again = false;
    job.at = 0;
    return false;
  }
  job = {};
  return true;
}

bool Rib::step(std::size_t work, std::vector<RouteChange>& changes) {
  for (std::size_t i = 0; i < jobs_.size() && work > 0;) {
    if (!run_job(jobs_[i], work)) {
      ++i;
      continue;
    }
    jobs_[i] = jobs_.back();
    jobs_.pop_back();
  }
  if (deferred_) {
    tidy();
    return !jobs_.empty();
  }
  for (; dirty_at_ < dirty_.size() && work > 0; --work) {
    const DestId id = dirty_[dirty_at_++];
    dests_[id].dirty = false;
    select(id, changes);
  }
  if (dirty_at_ * 2 >= dirty_.size()) {
    dirty_.erase(dirty_.begin(), dirty_.begin() + static_cast<std::ptrdiff_t>(dirty_at_));
    dirty_at_ = 0;
  }
  if (!dirty_.empty()) return true;
  bool more = !jobs_.empty();
  // Destinations are numbered: filling needs them at rest, so it comes last.
  for (auto& g : groups_) more = fill(*g, work) || more;
  tidy();
  return more;
}

void Rib::tidy() {
  for (auto& g : groups_) {
    if (g->out.wants_compaction()) compact(*g);
  }
  for (const DestId id : released_) {
    const Destination& d = dests_[id];
    if (d.used && !d.dirty && d.paths == kNone && d.out_refs == 0) dests_.remove(id);
  }
  released_.clear();
  for (std::size_t id = kFirstPeer; id < peers_.size() && removing_ > 0; ++id) {
    if (!peers_[id] || !peers_[id]->removing || peers_[id]->job.active) continue;
    peers_[id] = nullptr;
    --removing_;
  }
}

void Rib::compact(Group& g) {
  std::vector<OutCursor*> cursors;
  for (const PeerId m : g.members) cursors.push_back(&peer(m).cursor);
  g.out.compact(cursors);
}

// --- output ----------------------------------------------------------------------------------

void Rib::join(PeerId id) {
  Peer& p = peer(id);
  OutGroupKey key;
  key.family = p.session.family;
  key.internal = p.session.internal;
  key.client = p.info.client;
  key.v6_next_hops = p.session.v6_next_hops;
  key.local_as = p.info.local_as;
  key.local_address = p.session.local_address;
  key.next_hop_mode = static_cast<int>(p.info.next_hop);
  key.filters = p.filters;
  key.encode = p.session.encode;
  const auto same_key = [&](const auto& g) { return g->out.key() == key; };
  auto it = std::find_if(groups_.begin(), groups_.end(), same_key);
  if (it == groups_.end()) {
    it = groups_.insert(it, std::make_unique<Group>(key, dests_, attributes_, released_));
    (*it)->filters = p.info.filters;
    (*it)->next_hop = p.info.next_hop;
    (*it)->by_interface = names_interfaces(p.info.filters);
  }
  p.group = it->get();
  p.group->members.push_back(id);
  p.cursor.at = p.group->out.begin();
}

void Rib::leave(PeerId id) {
  Peer& p = peer(id);
  if (p.group == nullptr) return;
  auto& members = p.group->members;
  members.erase(std::find(members.begin(), members.end(), id));
  if (members.empty()) {
    clear_memo(*p.group);
    const Group* g = p.group;
    std::erase_if(groups_, [&](const auto& x) { return x.get() == g; });
  }
  p.group = nullptr;
}

void Rib::clear_memo(Group& g) {
  for (auto& m : g.memo) {
    attributes_.unref(m.in);
    attributes_.unref(m.out);
  }
  g.memo.clear();
}

void Rib::forget_told(Peer& p) {
  if (!p.told) return;
  for (const auto& [path, attributes] : *p.told) attributes_.unref(attributes);
  p.told.reset();
}

void Rib::move_group(PeerId id) {
  Peer& p = peer(id);
  if (!p.told) {
    p.told.emplace();
    for (DestId d = 0; d < dests_.end(); ++d) {
      if (!dests_[d].used) continue;
      // Of what still lies ahead of its cursor the peer may have an older version: kNoAttr, so that
      // it is told in any case.
      p.group->out.for_each_named(d, id, p.cursor, [&](std::uint32_t path_id, AttrId a) {
        attributes_.ref(a);
        p.told->emplace(Told{dests_.prefix(d), path_id}, a);
      });
    }
  }
  leave(id);
  join(id);
  news_ = true;
}

SharedBytes Rib::difference(PeerId id) {
  Peer& p = peer(id);
  const OutGroup& group = p.group->out;
  auto out = std::make_shared<wire::Buffer>();
  wire::UpdateWriter writer(*out, p.session.family, p.session.encode);
  const auto now = [&](const Told& path) {
    const DestId d = dests_.find(path.prefix);
    return d == kNone ? kNoAttr : group.advertised(d, path.path_id, id);
  };
  for (const auto& [path, attributes] : *p.told) {
    if (now(path) == kNoAttr) writer.withdraw(path.prefix, path.path_id);
  }
  std::vector<std::tuple<AttrId, DestId, std::uint32_t>> announced;
  for (DestId d = 0; d < dests_.end(); ++d) {
    if (!dests_[d].used) continue;
    group.for_each_named(d, id, {group.end()}, [&](std::uint32_t path_id, AttrId a) {
      const auto old = p.told->find({dests_.prefix(d), path_id});
      if (a == kNoAttr || (old != p.told->end() && old->second == a)) return;
      announced.emplace_back(a, d, path_id);
    });
  }
  std::sort(announced.begin(), announced.end());
  AttrId current = kNoAttr;
  for (const auto& [a, d, path_id] : announced) {
    if (a != current) writer.set_attributes(attributes_.get(a));
    current = a;
    writer.announce(dests_.prefix(d), path_id);
  }
  writer.finish();
  forget_told(p);
  p.cursor.at = group.end();
  return out;
}

SharedBytes Rib::next_output(PeerId id) {
  Peer& p = peer(id);
  if (!p.up || p.group == nullptr || deferred_) return nullptr;
  const auto mark_of = [&](std::uint8_t subtype) {
    auto out = std::make_shared<wire::Buffer>();
    wire::encode_route_refresh(*out, {wire::unicast(p.session.family), subtype});
    return out;
  };
  if (p.told) {
    if (!p.group->filled) return nullptr;
    if (auto bytes = difference(id); !bytes->empty()) return bytes;
  }
  if (p.refresh_begins) {
    p.refresh_begins = false;
    return mark_of(1);
  }
  while (SharedBytes bytes = p.group->out.next(id, p.cursor)) {
    if (!bytes->empty()) return bytes;
  }
  if (!p.group->filled) return nullptr;
  if (p.end_of_rib_due) {
    p.end_of_rib_due = false;
    auto out = std::make_shared<wire::Buffer>();
    wire::encode_end_of_rib(*out, p.session.family);
    return out;
  }
  if (p.refresh_ends) {
    p.refresh_ends = false;
    return mark_of(2);
  }
  return nullptr;
}

RibCounters Rib::counters(PeerId id) const {
  const Peer& p = peer(id);
  return {p.paths, p.accepted, p.group == nullptr ? 0 : p.group->out.advertised(), p.fresh};
}

void Rib::dump_kernel(std::vector<RouteChange>& changes) const {
  for (DestId d = 0; d < dests_.end(); ++d) {
    if (dests_[d].hops != 0) {
      changes.push_back(ways_->change(dests_.prefix(d), dests_[d].hops));
    }
  }
}

const OutGroup* Rib::group_of(PeerId id) const {
  const Group* g = peer(id).group;
  return g == nullptr ? nullptr : &g->out;
}

}  // namespace margay::bgp
