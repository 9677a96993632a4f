// SPDX-License-Identifier: Apache-2.0
// The BGP speaker: drives sessions (bgp/fsm) and tables (bgp/rib) over a Transport. Given a whole
// wanted configuration it changes only what differs: a session is reset only when its own
// parameters change, filters and originated routes take effect in place. Best routes go to the
// RouteSink. All members are called on the loop's thread. Must not know Kubernetes or the kernel's
// routing tables.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "base/loop/event_loop.h"
#include "base/metrics.h"
#include "bgp/speaker/config.h"
#include "bgp/speaker/route_sink.h"
#include "bgp/speaker/status.h"
#include "bgp/speaker/transport.h"

namespace margay::bgp {

struct SpeakerOptions {
  // The kernel still holds the routes of an earlier run: peers that kept ours are told so (RFC
  // 4724), and no route is selected or sent before they have sent theirs.
  bool restarting = false;
  // How long that waits for a peer without a session, from the first configuration on.
  std::chrono::seconds absent_limit{15};
  // How long peers have to send their routes before initial_sync_done() comes regardless.
  std::chrono::seconds initial_sync_limit{120};
  std::uint64_t seed = 0;  // of the jitter; 0: taken from the system
  // summary() says something else: a session has come up or gone, or the restart is over.
  std::function<void()> on_summary = {};
};

class Speaker {
 public:
  // The four references must outlive the speaker. Nothing happens before set_config.
  Speaker(EventLoop& loop, Transport& transport, RouteSink& sink, metrics::Registry& registry,
          SpeakerOptions options = {});
  ~Speaker();
  Speaker(const Speaker&) = delete;
  Speaker& operator=(const Speaker&) = delete;

  void set_config(SpeakerConfig config);

  // What the kernel holds beside our routes, whenever that changes; all of it. Before the first
  // call every next hop counts as reachable.
  void set_kernel_routes(const std::vector<LearntRoute>& routes);
  // What our own dataplane keeps there, as it changes; never a way to a next hop.
  void change_dataplane_routes(const std::vector<DataplaneChange>& changes);

  // Ends every session. `leave_forwarding`: peers that agreed on graceful restart are left without
  // a word, so that they keep our routes; the others are told "Administrative shutdown". The sink
  // is not called any more.
  void stop(bool leave_forwarding);

  [[nodiscard]] SpeakerSummary summary() const;
  [[nodiscard]] SpeakerStatus status() const;
  // Sorted by prefix; nothing when no peer goes by that name or address.
  [[nodiscard]] std::vector<RouteStatus> routes(const RouteQuery& query = {});
  // The destination that `prefix` falls into, the longest that is known; nullopt: none.
  [[nodiscard]] std::optional<RouteExplanation> explain(const Prefix& prefix);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace margay::bgp
