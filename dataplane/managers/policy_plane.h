// SPDX-License-Identifier: Apache-2.0
// Desired policy, endpoints, sets, pools and node addresses -> the two nftables tables of this node
// (`inet margay`, `inet margay-static`), kept so whatever others do to them; and an eye on what
// other software's chains drop. Lives on one EventLoop
// (the nftables loop). Nothing is written before start() and the in-sync batch; afterwards a change
// is applied as soon as the loop has no more input waiting. A packet is never judged by half a
// change. Destruction leaves the kernel as it is. Must not know routes, links or BGP.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/loop/event_loop.h"
#include "base/metrics.h"
#include "dataplane/foreign/filters.h"
#include "dataplane/managers/flow_judge.h"
#include "dataplane/nft/driver.h"
#include "dataplane/policy/config.h"
#include "model/desired.h"

namespace margay::managers {

struct PolicyStatus {
  bool in_sync = false;    // the first whole view has arrived
  bool applied = false;    // and it stands in the kernel (stays true while later changes wait)
  bool pending = false;    // something wanted is not yet in the kernel
  std::string last_error;  // of the last apply; empty after a good one
  Clock::time_point last_apply{};  // when the kernel last took (or needed) nothing more
  // Since when something wanted has been waiting while the kernel took nothing; absent: all is
  // well.
  std::optional<Clock::time_point> behind_since;
  std::vector<std::string> quarantined;   // objects the kernel refused, "name: reason"
  std::vector<std::string> fails_closed;  // policies that deny because a set of theirs is unknown
  std::size_t chains = 0, rules = 0, sets = 0, elements = 0;  // wanted, both tables
  std::uint64_t repairs = 0;           // objects restored after somebody else changed them
  std::vector<foreign::Drop> foreign;  // chains of other software that drop by default
  friend bool operator==(const PolicyStatus&, const PolicyStatus&) = default;
};

class PolicyPlane {
 public:
  // Called on the loop's thread after every change of the status.
  using StatusFn = std::function<void(const PolicyStatus&)>;

  // The kernel's tables are those of the calling thread's network namespace. Without a judge the
  // configuration must not ask for flows to be cut.
  PolicyPlane(EventLoop& loop, metrics::Registry& metrics, StatusFn on_status = {},
              FlowJudge judge = {});
  ~PolicyPlane();
  PolicyPlane(const PolicyPlane&) = delete;
  PolicyPlane& operator=(const PolicyPlane&) = delete;

  // All on the loop's thread. apply takes what concerns it from the batch, ignores the rest.
  void apply(model::Batch batch);
  void set_config(policy::PolicyConfig config);
  // Addresses of the host's interfaces: host endpoints without an interface name are found by them.
  void set_interfaces(std::map<std::string, std::vector<Ip>> interfaces);
  // Opens the kernel's sockets and begins; before it, input is only collected. An error says what
  // the kernel lacks; start may be called again.
  [[nodiscard]] Result<void> start();
  [[nodiscard]] const PolicyStatus& status() const;
  // Of both tables: what they should hold, and what they do. For people: looks at everything.
  struct Holdings {
    nft::Holding want, have;
  };
  [[nodiscard]] Holdings holdings() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace margay::managers
