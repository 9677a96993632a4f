// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/kernel_view.h"

#include <utility>

namespace margay::bgp {
namespace {

constexpr std::size_t kMaxAsked = 65536;  // next hops come from outside
const std::string kNowhere;

}  // namespace

bool KernelView::set(const std::vector<LearntRoute>& routes) {
  const bool first = !std::exchange(known_, true);
  ways_.clear();
  lengths_v4_ = {};
  lengths_v6_ = {};
  for (const auto& r : routes) {
    const auto [it, added] = ways_.try_emplace(r.prefix, Way{r.interface, r.metric});
    if (!added && r.metric < it->second.metric) it->second = {r.interface, r.metric};
    const unsigned length = r.prefix.length();
    if (added) ++(r.prefix.family() == Family::v4 ? lengths_v4_[length] : lengths_v6_[length]);
  }
  bool moved = first;
  for (auto& [to, interface] : asked_) {
    const std::string& now = look(to);
    moved |= now != interface;
    interface = now;
  }
  return moved;
}

const std::string& KernelView::interface_to(const Ip& to) const {
  if (const auto it = asked_.find(to); it != asked_.end()) return it->second;
  if (asked_.size() >= kMaxAsked) asked_.clear();
  return asked_.emplace(to, look(to)).first->second;
}

const std::string& KernelView::look(const Ip& to) const {
  for (int length = static_cast<int>(max_prefix_length(to.family())); length >= 0; --length) {
    const auto n = static_cast<unsigned>(length);
    if ((to.is_v4() ? lengths_v4_[n] : lengths_v6_[n]) == 0) continue;
    const auto it = ways_.find(Prefix::containing(to, n));
    if (it != ways_.end()) return it->second.interface;
  }
  return kNowhere;
}

}  // namespace margay::bgp
