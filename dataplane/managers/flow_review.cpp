// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/flow_review.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace margay::managers {

namespace {

using model::LocalWorkload;

// One answer of a dump holds about a hundred flows; a step takes one or two milliseconds.
constexpr int kDatagramsPerStep = 4;
// Few addresses: the kernel is asked for their flows. It walks its whole table for each answer,
// some 15 ms for 100,000 entries that this loop waits for, but ten times less work than reading
// them all.
constexpr std::size_t kMaxFiltered = 4;
constexpr auto kRetry = std::chrono::seconds(1);

bool names_any(const std::vector<model::EndpointTier>& tiers,
               const std::set<model::PolicyKey>& keys) {
  const auto any = [&](const std::vector<model::PolicyKey>& list) {
    return std::ranges::any_of(list, [&](const auto& k) { return keys.contains(k); });
  };
  return std::ranges::any_of(
      tiers, [&](const model::EndpointTier& t) { return any(t.ingress) || any(t.egress); });
}

// The packet as policy sees it, behind DNAT and before SNAT.
conntrack::Tuple as_judged(const conntrack::Flow& flow) {
  conntrack::Tuple out = flow.original;
  out.destination = flow.reply.source;
  out.destination_port = flow.reply.source_port;
  return out;
}

}  // namespace

FlowReview::FlowReview(EventLoop& loop, nft::Table& table, Sight sight, FlowJudge judge,
                       metrics::Counter& cut, std::function<void()> request)
    : loop_(loop),
      table_(table),
      sight_(std::move(sight)),
      judge_(std::move(judge)),
      cut_count_(cut),
      request_(std::move(request)),
      blocks_(table) {}

void FlowReview::enable(bool on) {
  if (on == enabled_) return;
  enabled_ = on;
  due_ = {};
  due_.all = on;
  if (!on) blocks_.clear();  // the sets go with the chains that name them
}

void FlowReview::policy_changed(const model::PolicyKey& key) {
  if (enabled_ && !due_.all) due_.policies.insert(key);
}

void FlowReview::profile_changed(const std::string& name) {
  if (enabled_ && !due_.all) due_.profiles.insert(name);
}

void FlowReview::workload_changed(const model::EndpointId& id) {
  if (enabled_ && !due_.all) due_.workloads.insert(id);
}

// A set whose content comes whole is new to this node, as is what names it; of others the members
// that came or went are the other end of what is affected.
void FlowReview::set_changed(const model::SetUpdate& update) {
  if (!enabled_ || due_.all || update.replace) return;
  for (const auto* list : {&update.added, &update.removed}) {
    for (const model::SetMember& m : *list) {
      const bool single = m.prefix.length() == max_prefix_length(m.prefix.family());
      if (!single) return all_changed();
      due_.hosts.insert(m.prefix.addr());
    }
  }
}

void FlowReview::all_changed() {
  if (!enabled_) return;
  due_ = {};
  due_.all = true;
}

void FlowReview::settled() {
  if (!removals_.empty() && !table_.pending()) send_removals();
  if (!enabled_ || walking_ || pause_ || !due_.any()) return;
  begin();
}

// --- a walk ----------------------------------------------------------------------------------

void FlowReview::begin() {
  worked_ = {};
  plan(std::exchange(due_, {}));
  if (queries_.empty()) return;
  if (!walk_) {
    auto walk = conntrack::Walk::open();
    if (!walk.ok()) return give_up(walk.error());
    walk_ = std::move(*walk);
  }
  walking_ = true;
  next_query();
}

void FlowReview::plan(const Due& due) {
  all_ = due.all;
  addresses_ = due.hosts;
  for (const auto& [id, w] : sight_.workloads) {
    const bool named_profile = std::ranges::any_of(
        w.profiles, [&](const std::string& p) { return due.profiles.contains(p); });
    if (!due.workloads.contains(id) && !named_profile && !names_any(w.tiers, due.policies)) {
      continue;
    }
    all_ = all_ || !w.spoofable.empty();  // it may send from anywhere there
    for (const Prefix& a : w.addresses) addresses_.insert(a.addr());
  }
  queries_.clear();
  const bool filtered = !all_ && addresses_.size() <= kMaxFiltered;
  for (const Family f : kFamilies) {
    const auto of_family = [&](const Ip& a) { return a.family() == f; };
    if (!all_ && std::ranges::none_of(addresses_, of_family)) continue;
    if (!filtered || f == Family::v6) {
      queries_.push_back({f, std::nullopt});
      continue;
    }
    for (const Ip& a : addresses_) {
      if (!of_family(a)) continue;
      queries_.push_back({f, a, false});
      queries_.push_back({f, a, true});
    }
  }
}

void FlowReview::next_query() {
  if (queries_.empty()) return end_of_walk();
  const conntrack::Query query = queries_.back();
  queries_.pop_back();
  if (const auto begun = walk_->begin(query); !begun.ok()) return give_up(begun.error());
  schedule();
}

void FlowReview::schedule() {
  loop_.post([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) step();
  });
}

void FlowReview::step() {
  const auto start = loop_.now();
  index_workloads();
  const auto complete =
      walk_->step(kDatagramsPerStep, [&](const conntrack::Flow& flow) { look(flow); });
  if (!complete.ok()) return give_up(complete.error());
  if (std::exchange(blocked_, false)) {
    request_();  // the rest follows when the blocks stand
  } else if (!removals_.empty() && !table_.pending()) {
    send_removals();
  }
  worked_ += loop_.now() - start;
  if (*complete) {
    next_query();
  } else {
    schedule();
  }
}

void FlowReview::look(const conntrack::Flow& flow) {
  if (!enabled_) return;
  const bool concerned =
      all_ || addresses_.contains(flow.original.source) || addresses_.contains(flow.reply.source);
  if (!concerned || !denied(flow)) return;
  if (!flow.master.empty()) {
    Related related{{flow.master.begin(), flow.master.end()}, {}, flow.reply};
    conntrack::encode_removal(related.removal, *flow.message);
    related_.push_back(std::move(related));
    return;
  }
  cut_originals_.emplace(flow.original_bytes.begin(), flow.original_bytes.end());
  conntrack::encode_removal(removals_, *flow.message);
  cut(flow.reply, flow.over);
}

void FlowReview::cut(const conntrack::Tuple& reply, bool over) {
  ++removing_;
  if (over || !blocks_.add(reply, loop_.now())) return;
  blocked_ = true;
  arm_expiry();
}

void FlowReview::end_of_walk() {
  for (const Related& r : std::exchange(related_, {})) {
    if (!cut_originals_.contains(r.master)) continue;
    removals_.put_bytes(r.removal.bytes());
    cut(r.reply, false);
  }
  cut_originals_.clear();
  addresses_.clear();
  walking_ = false;
  if (std::exchange(blocked_, false)) request_();
  // Never more than half of the loop's time.
  pause_ = loop_.after(worked_, [this] {
    pause_.reset();
    if (!table_.pending()) settled();
  });
}

void FlowReview::give_up(const Error& error) {
  log::warn("flows_not_cut", kv("error", error));
  walk_.reset();  // half-read answers go with its socket
  walking_ = false;
  queries_.clear();
  related_.clear();
  cut_originals_.clear();
  all_changed();
  if (std::exchange(blocked_, false)) request_();
  pause_ = loop_.after(kRetry, [this] {
    pause_.reset();
    if (!table_.pending()) settled();
  });
}

void FlowReview::send_removals() {
  const netlink::Writer removals = std::exchange(removals_, {});
  const std::size_t count = std::exchange(removing_, 0);
  if (!walk_) return;  // given up meanwhile; everything is looked at again
  if (const auto sent = walk_->remove(removals); !sent.ok()) {
    log::warn("flows_not_cut", kv("error", sent.error()));
    return all_changed();
  }
  cut_count_.add(count);
}

void FlowReview::arm_expiry() {
  if (expiry_) return;
  expiry_ = loop_.after(FlowBlocks::kKeep, [this] {
    expiry_.reset();
    if (blocks_.expire(loop_.now())) request_();
    if (!blocks_.empty()) arm_expiry();
  });
}

// --- judging ---------------------------------------------------------------------------------

void FlowReview::index_workloads() {
  by_address_.clear();
  for (const auto& [id, w] : sight_.workloads) {
    for (const Prefix& a : w.addresses) by_address_.try_emplace(a.addr(), &w);
  }
}

const LocalWorkload* FlowReview::workload_of(const Ip& address) const {
  const auto it = by_address_.find(address);
  return it == by_address_.end() ? nullptr : it->second;
}

const LocalWorkload* FlowReview::sender(const Ip& address) const {
  if (const LocalWorkload* owner = workload_of(address)) return owner;
  for (const auto& [id, w] : sight_.workloads) {
    for (const Prefix& p : w.spoofable) {
      if (p.contains(address)) return &w;
    }
  }
  return nullptr;
}

bool FlowReview::denied(const conntrack::Flow& flow) const {
  const conntrack::Tuple packet = as_judged(flow);
  if (sight_.is_host(packet.source)) return false;  // a node reaches its own workloads
  const LocalWorkload* from = sender(packet.source);
  if (from != nullptr && !judge_(*from, FlowWay::from_workload, packet, sight_.tables)) return true;
  const LocalWorkload* to = workload_of(packet.destination);
  return to != nullptr && !judge_(*to, FlowWay::to_workload, packet, sight_.tables);
}

}  // namespace margay::managers
