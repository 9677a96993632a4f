// SPDX-License-Identifier: Apache-2.0
// The policy plane on its thread. All members may be called from any thread but the destructor.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/local_api/local_api.h"
#include "agent/pulse.h"
#include "base/loop/asio_loop.h"
#include "base/loop/mailbox.h"
#include "base/metrics.h"
#include "dataplane/managers/policy_plane.h"

namespace margay::agent {

class PolicyThread {
 public:
  static constexpr std::string_view kSubsystem = "policy";

  PolicyThread(health::Health& health, metrics::Registry& registry, policy::PolicyConfig config);
  ~PolicyThread();
  PolicyThread(const PolicyThread&) = delete;
  PolicyThread& operator=(const PolicyThread&) = delete;

  void apply(model::Batch batch) { batches_.push(std::move(batch)); }
  void configure(policy::PolicyConfig config);
  // Links that are no workload's, with their addresses: host endpoints are found by them.
  void set_interfaces(std::map<std::string, std::vector<Ip>> interfaces);
  void show(local_api::Answer answer);
  void show_foreign(local_api::Answer answer);

 private:
  void start();
  void report(const managers::PolicyStatus& status);

  health::Health& health_;
  AsioLoop loop_{"nft"};
  Mailbox<model::Batch> batches_;
  std::unique_ptr<managers::PolicyPlane> plane_;
  std::unique_ptr<Pulse> pulse_;
  EventLoop::Timer retry_;
};

}  // namespace margay::agent
