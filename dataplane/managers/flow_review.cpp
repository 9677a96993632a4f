// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/flow_review.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace margay::managers {

namespace {

using model::LocalWorkload;

// Few addresses: the kernel is asked for their flows. It walks its whole table for each, which is
// ten times less work than to read it.
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

void FlowReview::host_endpoint_changed() {
  if (enabled_ && !due_.all) due_.host_endpoints = true;
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
  if (!enabled_ || searching_ || pause_ || !due_.any()) return;
  begin();
}

// --- a search --------------------------------------------------------------------------------

void FlowReview::begin() {
  Plan p = plan(std::exchange(due_, {}));
  if (p.queries.empty()) return;
  if (auto opened = open(); !opened.ok()) return give_up(opened.error());
  searching_ = true;
  begun_ = loop_.now();
  search_->begin(std::move(p.queries), std::move(p.wanted));
  next_piece();
}

Result<void> FlowReview::open() {
  if (!search_) search_ = std::make_unique<conntrack::Search>(loop_);
  if (!remover_) {
    MARGAY_TRY(remover_, conntrack::open_socket());
  }
  return {};
}

FlowReview::Plan FlowReview::plan(const Due& due) {
  bool all = due.all;
  std::unordered_set<Ip> addresses = due.hosts;  // flows with one of these are judged
  for (const auto& [id, w] : sight_.workloads) {
    const bool named_profile = std::ranges::any_of(
        w.profiles, [&](const std::string& p) { return due.profiles.contains(p); });
    if (!due.workloads.contains(id) && !named_profile && !names_any(w.tiers, due.policies)) {
      continue;
    }
    all = all || !w.spoofable.empty();  // it may send from anywhere there
    for (const Prefix& a : w.addresses) addresses.insert(a.addr());
  }
  sight_.host.look();
  if (due.host_endpoints || sight_.host.names(due.policies, due.profiles)) {
    addresses.insert(sight_.host.addresses().begin(), sight_.host.addresses().end());
  }
  Plan out;
  const bool filtered = !all && addresses.size() <= kMaxFiltered;
  for (const Family f : kFamilies) {
    const auto of_family = [&](const Ip& a) { return a.family() == f; };
    if (!all && std::ranges::none_of(addresses, of_family)) continue;
    if (!filtered || f == Family::v6) {
      out.queries.push_back({f, std::nullopt});
      continue;
    }
    for (const Ip& a : addresses) {
      if (!of_family(a)) continue;
      out.queries.push_back({f, a, false});
      out.queries.push_back({f, a, true});
    }
  }
  out.wanted = [all, addresses = std::move(addresses)](const conntrack::Flow& flow) {
    return all || addresses.contains(flow.original.source) || addresses.contains(flow.reply.source);
  };
  return out;
}

void FlowReview::next_piece() {
  search_->next([this](const Result<conntrack::Search::Piece>& piece) {
    if (!piece.ok()) return give_up(piece.error());
    take(*piece);
  });
}

void FlowReview::take(const conntrack::Search::Piece& piece) {
  look_around();
  piece.each([&](const conntrack::Flow& flow) { look(flow); });
  if (std::exchange(blocked_, false)) {
    request_();  // the rest follows when the blocks stand
  } else if (!removals_.empty() && !table_.pending()) {
    send_removals();
  }
  if (piece.complete) {
    end_of_search();
  } else {
    next_piece();
  }
}

void FlowReview::look(const conntrack::Flow& flow) {
  if (!enabled_ || !denied(flow)) return;
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

void FlowReview::end_of_search() {
  for (const Related& r : std::exchange(related_, {})) {
    if (!cut_originals_.contains(r.master)) continue;
    removals_.put_bytes(r.removal.bytes());
    cut(r.reply, false);
  }
  cut_originals_.clear();
  searching_ = false;
  if (std::exchange(blocked_, false)) request_();
  pause(loop_.now() - begun_);  // never more than half of the time
}

void FlowReview::give_up(const Error& error) {
  log::warn("flows_not_cut", kv("error", error));
  searching_ = false;
  related_.clear();
  cut_originals_.clear();
  all_changed();
  if (std::exchange(blocked_, false)) request_();
  pause(kRetry);
}

void FlowReview::pause(Clock::duration time) {
  pause_ = loop_.after(time, [this] {
    pause_.reset();
    if (!table_.pending()) settled();
  });
}

void FlowReview::send_removals() {
  const netlink::Writer removals = std::exchange(removals_, {});
  const std::size_t count = std::exchange(removing_, 0);
  if (!remover_) return all_changed();  // failed meanwhile
  if (const auto sent = conntrack::send_removals(*remover_, removals); !sent.ok()) {
    remover_.reset();  // half-read answers go with it
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

void FlowReview::look_around() {
  sight_.host.look();
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
  const auto elsewhere = [this](const Ip& a) {
    return !sight_.is_host(a) && !by_address_.contains(a);
  };
  if (sight_.host.denies(packet, sight_.tables, elsewhere)) return true;
  if (sight_.is_host(packet.source)) return false;  // a node reaches its own workloads
  const LocalWorkload* from = sender(packet.source);
  if (from != nullptr && !judge_(*from, FlowWay::from_workload, packet, sight_.tables)) return true;
  const LocalWorkload* to = workload_of(packet.destination);
  return to != nullptr && !judge_(*to, FlowWay::to_workload, packet, sight_.tables);
}

}  // namespace margay::managers
