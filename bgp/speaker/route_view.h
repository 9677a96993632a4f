// SPDX-License-Identifier: Apache-2.0
// The tables as people ask for them: all paths, those of one peer, what a peer is told, and why.
// Built for one question. Inner header of bgp/speaker.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "bgp/rib/rib.h"
#include "bgp/speaker/peer.h"
#include "bgp/speaker/status.h"

namespace margay::bgp {

class RouteView {
 public:
  explicit RouteView(Rib& rib) : rib_(rib) {}
  void add(const SpeakerPeer& peer) { peers_.push_back(&peer); }  // outlives this object

  [[nodiscard]] std::vector<RouteStatus> list(const RouteQuery& query);
  [[nodiscard]] std::optional<RouteExplanation> explain(const Prefix& prefix);

 private:
  [[nodiscard]] const SpeakerPeer* find(std::string_view name_or_address) const;
  [[nodiscard]] std::string source(PeerId id) const;
  [[nodiscard]] RouteStatus describe(const Prefix& prefix, PeerId source,
                                     const Attributes& a) const;
  [[nodiscard]] std::vector<RouteStatus> paths(DestId dest);
  [[nodiscard]] std::vector<RouteStatus> told(DestId dest, const SpeakerPeer& peer) const;
  [[nodiscard]] std::string why_not_told(DestId dest, const SpeakerPeer& peer) const;

  Rib& rib_;
  std::vector<const SpeakerPeer*> peers_;
};

}  // namespace margay::bgp
