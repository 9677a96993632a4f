// SPDX-License-Identifier: Apache-2.0
// The decision process (RFC 4271 9.1.2.2 in the order of spec bgp.md 8) over the paths of one
// destination. Pure; the result does not depend on the order of the candidates.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/types.h"
#include "bgp/wire/attributes.h"

namespace margay::bgp {

struct Candidate {
  const Attributes* attributes = nullptr;
  std::uint32_t tag = 0;      // the caller's
  std::uint32_t path_id = 0;  // that the neighbour gave it (RFC 7911)
  bool local = false;         // originated here
  bool elevated = false;      // overrides a local route
  bool unreachable = false;   // nothing leads to its next hop
  bool stale = false;
  bool external = false;   // learnt over eBGP
  std::uint32_t cost = 0;  // of the way to its next hop
  RouterId peer_id;        // of the neighbour
  Ip peer_address;
};

// Reorders `candidates` (not empty): the best comes first, then those that are equal to it up to
// the step of the IGP metric (with the best they are the multipath set), in the order of the last
// steps. Returns the size of that set.
std::size_t select_best(std::vector<Candidate>& candidates);

// The step at which `loser` fell behind `winner`, the first of select_best's; empty: at none.
[[nodiscard]] std::string_view deciding_step(const Candidate& winner, const Candidate& loser);

}  // namespace margay::bgp
