// SPDX-License-Identifier: Apache-2.0
// Connections that stand when policy becomes stricter: those of the endpoints that a change affects
// are judged again by the tuple of their first packet, and cut when it would be denied now. Related
// connections stay as long as the one that they belong to. The connection tracking table is
// searched on another thread; its flows are judged piece by piece on the loop of the policy plane,
// which tells of every change; one that comes during a search causes another. Must not know how
// policy is compiled.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/loop/event_loop.h"
#include "base/metrics.h"
#include "dataplane/conntrack/search.h"
#include "dataplane/managers/flow_blocks.h"
#include "dataplane/managers/flow_judge.h"
#include "dataplane/managers/host_flows.h"

namespace margay::managers {

class FlowReview {
 public:
  // What the plane knows, as it is now.
  struct Sight {
    const model::PolicyTables& tables;
    const std::map<model::EndpointId, model::LocalWorkload>& workloads;
    std::function<bool(const Ip&)> is_host;  // an address of this host: to its workloads it may
    HostFlows host;
  };
  // `request`: what was wanted of the table is to be applied; settled() follows.
  FlowReview(EventLoop& loop, nft::Table& table, Sight sight, FlowJudge judge,
             metrics::Counter& cut, std::function<void()> request);

  // Off: nothing is remembered. Switched on, everything is judged once.
  void enable(bool on);
  void policy_changed(const model::PolicyKey& key);
  void profile_changed(const std::string& name);
  void workload_changed(const model::EndpointId& id);
  void host_endpoint_changed();
  void set_changed(const model::SetUpdate& update);
  void all_changed();
  // The kernel's table is as wanted.
  void settled();

 private:
  struct Due {
    std::set<model::PolicyKey> policies;
    std::set<std::string> profiles;
    std::set<model::EndpointId> workloads;
    std::unordered_set<Ip> hosts;  // flows with these addresses, whoever has the other end
    bool host_endpoints = false;
    bool all = false;
    [[nodiscard]] bool any() const {
      return all || host_endpoints || !policies.empty() || !profiles.empty() ||
             !workloads.empty() || !hosts.empty();
    }
  };
  struct Related {  // denied by its own tuple
    std::vector<std::uint8_t> master;
    netlink::Writer removal;
    conntrack::Tuple reply;
  };

  struct Plan {
    std::vector<conntrack::Query> queries;
    conntrack::Search::Wanted wanted;
  };

  void begin();
  [[nodiscard]] Plan plan(const Due& due);
  [[nodiscard]] Result<void> open();
  void next_piece();
  void take(const conntrack::Search::Piece& piece);
  void look(const conntrack::Flow& flow);
  void end_of_search();
  void pause(Clock::duration time);
  void give_up(const Error& error);
  void cut(const conntrack::Tuple& reply, bool over);
  void send_removals();
  void arm_expiry();
  void look_around();
  [[nodiscard]] const model::LocalWorkload* workload_of(const Ip& address) const;
  [[nodiscard]] const model::LocalWorkload* sender(const Ip& address) const;
  [[nodiscard]] bool denied(const conntrack::Flow& flow) const;

  EventLoop& loop_;
  nft::Table& table_;
  Sight sight_;
  FlowJudge judge_;
  metrics::Counter& cut_count_;
  std::function<void()> request_;
  bool enabled_ = false;
  Due due_;  // of the next search

  // The search in progress.
  std::optional<netlink::Socket> remover_;
  bool searching_ = false;
  Clock::time_point begun_{};
  std::unordered_map<Ip, const model::LocalWorkload*> by_address_;  // for one piece
  netlink::Writer removals_;                                        // wait until their blocks stand
  bool blocked_ = false;
  std::size_t removing_ = 0;
  std::vector<Related> related_;
  std::set<std::vector<std::uint8_t>> cut_originals_;

  FlowBlocks blocks_;
  EventLoop::Timer pause_, expiry_;
  std::unique_ptr<conntrack::Search>
      search_;  // from the first time that there is something to find
};

}  // namespace margay::managers
