// SPDX-License-Identifier: Apache-2.0
// Driver of addresses on interfaces that are not ours to make: given to those that are up, again
// when somebody takes them away, and taken away when not wanted any more, after a restart too. Ours
// bear a protocol (kernels from 5.18 on keep it); what does not is left alone. Must not know what
// the addresses are for.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/ip.h"
#include "dataplane/link/link_view.h"
#include "dataplane/netlink/socket.h"
#include "dataplane/reconcile/retry.h"

namespace margay::link {

class LinkAddresses {
 public:
  using Wanted = std::map<std::string, std::set<Ip>>;  // by interface; of host length

  // `ours`: on which interfaces, by name, addresses of our protocol are this driver's.
  explicit LinkAddresses(std::function<bool(const std::string&)> ours) : ours_(std::move(ours)) {}

  void want(Wanted wanted);
  void suspect() { due_ = true; }  // links or addresses changed
  // What it did is told to `view` at once. True when something was written.
  [[nodiscard]] bool apply(netlink::Socket& socket, LinkView& view, Clock::time_point now);

  using Place = std::pair<std::string, Ip>;  // interface, address
  [[nodiscard]] const std::map<Place, reconcile::Failure>& failures() const { return retry_.all(); }
  [[nodiscard]] std::optional<Clock::time_point> next_wake(Clock::time_point now) const {
    return retry_.next_after(now);
  }

 private:
  struct Step {
    netlink::Verb verb;
    netlink::Address address;
    Place place;
  };
  [[nodiscard]] std::vector<Step> plan(const LinkView& view, Clock::time_point now) const;
  void carry_out(const Step& step, netlink::Socket& socket, LinkView& view, Clock::time_point now);

  std::function<bool(const std::string&)> ours_;
  Wanted wanted_;
  bool due_ = true;
  reconcile::RetryList<Place> retry_;
};

}  // namespace margay::link
