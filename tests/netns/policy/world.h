// SPDX-License-Identifier: Apache-2.0
// A workload with all the policy that concerns it, as a value: the oracle draws one, and when the
// kernel and the evaluator disagree about a packet, leaves out of it what the disagreement does not
// need. Knows nothing of kernels.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "model/desired.h"

namespace margay::test {

struct World {
  std::vector<model::SetUpdate> sets;
  std::vector<model::ActiveProfile> profiles;
  std::vector<model::ActivePolicy> policies;
  model::LocalWorkload workload;

  std::vector<model::Change> changes() const {
    std::vector<model::Change> out(sets.begin(), sets.end());
    out.insert(out.end(), profiles.begin(), profiles.end());
    out.insert(out.end(), policies.begin(), policies.end());
    out.emplace_back(workload);
    return out;
  }
  // Every list of which an entry may be left out, the larger things first.
  template <typename F>
  void each_list(const F& f) {
    f(workload.tiers);
    for (auto& t : workload.tiers) f(t.ingress), f(t.egress);
    f(workload.profiles);
    for (auto& p : policies) f(p.inbound), f(p.outbound);
    for (auto& p : profiles) f(p.inbound), f(p.outbound);
    const auto rules = [&](std::vector<model::ActiveRule>& list) {
      for (model::ActiveRule& r : list) {
        f(r.destination_service_sets);
        for (model::ActiveRule::Side* s : {&r.source, &r.destination}) {
          f(s->nets), f(s->not_nets), f(s->sets), f(s->not_sets), f(s->ports), f(s->not_ports);
          f(s->port_sets), f(s->not_port_sets);
        }
      }
    };
    for (auto& p : policies) rules(p.inbound), rules(p.outbound);
    for (auto& p : profiles) rules(p.inbound), rules(p.outbound);
    for (auto& s : sets) f(s.added);
  }
};

// Leaves out the entry of that number; false: there are not so many.
inline bool leave_out(World& world, std::size_t entry) {
  bool done = false;
  world.each_list([&](auto& list) {
    if (done) return;
    if (entry < list.size()) {
      list.erase(list.begin() + static_cast<std::ptrdiff_t>(entry));
      done = true;
    } else {
      entry -= list.size();
    }
  });
  return done;
}

// Leaves out one by one what can be left out while `fails` holds, until everything that is left
// matters.
template <typename Fails>
World shrink(World world, const Fails& fails) {
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (std::size_t entry = 0;;) {
      World less = world;
      if (!leave_out(less, entry)) break;
      if (fails(less)) {
        world = std::move(less);
        smaller = true;
      } else {
        ++entry;
      }
    }
  }
  return world;
}

}  // namespace margay::test
