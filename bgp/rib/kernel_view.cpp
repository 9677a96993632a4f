// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/kernel_view.h"

#include <limits>
#include <utility>

namespace margay::bgp {
namespace {

constexpr std::size_t kMaxAsked = 65536;  // next hops come from outside

std::uint32_t cost_of(const LearntRoute& r) {
  if (!r.gateway) return 0;
  return r.metric + (r.metric < std::numeric_limits<std::uint32_t>::max() ? 1U : 0U);
}

}  // namespace

bool KernelView::set(const std::vector<LearntRoute>& routes) {
  const bool first = !std::exchange(known_, true);
  ways_.clear();
  lengths_v4_ = {};
  lengths_v6_ = {};
  for (const auto& r : routes) {
    const Way way{r.interface, r.metric, cost_of(r)};
    const auto [it, added] = ways_.try_emplace(r.prefix, way);
    if (!added && r.metric < it->second.metric) it->second = way;
    const unsigned length = r.prefix.length();
    if (added) ++(r.prefix.family() == Family::v4 ? lengths_v4_[length] : lengths_v6_[length]);
  }
  bool moved = first;
  for (auto& [to, way] : asked_) {
    const Way& now = look(to);
    moved |= now != way;
    way = now;
  }
  return moved;
}

const KernelView::Way& KernelView::way_to(const Ip& to) const {
  if (const auto it = asked_.find(to); it != asked_.end()) return it->second;
  if (asked_.size() >= kMaxAsked) asked_.clear();
  return asked_.emplace(to, look(to)).first->second;
}

const KernelView::Way& KernelView::look(const Ip& to) const {
  static const Way kNowhere;
  for (int length = static_cast<int>(max_prefix_length(to.family())); length >= 0; --length) {
    const auto n = static_cast<unsigned>(length);
    if ((to.is_v4() ? lengths_v4_[n] : lengths_v6_[n]) == 0) continue;
    const auto it = ways_.find(Prefix::containing(to, n));
    if (it != ways_.end()) return it->second;
  }
  return kNowhere;
}

}  // namespace margay::bgp
