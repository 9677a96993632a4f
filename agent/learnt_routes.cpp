// SPDX-License-Identifier: Apache-2.0
#include "agent/learnt_routes.h"

#include <algorithm>

#include "bgp/policy/evaluate.h"

namespace margay::agent {
namespace {

constexpr std::uint8_t kProtocolKernel = 2;

bool ignores(const std::vector<std::string>& globs, const std::string& interface) {
  static constexpr std::string_view kAlways[] = {"cali*", "kube-ipvs*"};
  const auto matches = [&](std::string_view glob) { return bgp::glob_matches(glob, interface); };
  return std::ranges::any_of(kAlways, matches) || std::ranges::any_of(globs, matches);
}

bool unicast(const Prefix& p) {
  const Ip& a = p.addr();
  return p.length() == 0 || !(a.is_link_local() || a.is_multicast() || a.is_loopback());
}

}  // namespace

std::vector<bgp::LearntRoute> learnt_routes(const std::vector<dataplane::KernelRoute>& kernel,
                                            const std::vector<std::string>& ignored) {
  std::vector<bgp::LearntRoute> out;
  out.reserve(kernel.size());
  for (const auto& r : kernel) {
    if (!unicast(r.dst) || (r.protocol == kProtocolKernel && ignores(ignored, r.interface)))
      continue;
    out.push_back({r.dst, r.gateway, r.interface, r.metric});
  }
  return out;
}

std::vector<bgp::DataplaneChange> learnt_changes(
    const std::vector<dataplane::OwnRouteChange>& changes) {
  std::vector<bgp::DataplaneChange> out;
  out.reserve(changes.size());
  for (const auto& [r, gone] : changes) {
    out.push_back({{r.dst, r.gateway, r.interface, r.metric}, gone});
  }
  return out;
}

}  // namespace margay::agent
