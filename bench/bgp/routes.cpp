// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/routes.h"

#include <algorithm>
#include <vector>

#include "bgp/wire/message.h"

namespace margay::bench {
namespace {

// Numbers that differ from set to set, and are spread like real ones.
std::uint32_t spread(std::uint32_t set, std::uint32_t place) {
  return (set * 7 + place * 131) % 5000;
}

bgp::Attributes attributes_of(const Group& g, std::uint32_t index, std::uint32_t set,
                              std::uint32_t their_as) {
  bgp::Attributes a;
  a.next_hop = g.address.plus(index);
  const std::uint32_t own = g.as + g.as_step * index;
  std::vector<std::uint32_t> path;
  if (own == their_as) {
    a.local_pref = 100;
  } else {
    path.push_back(own);
    const std::uint32_t more = g.each_better ? g.speakers - 1 - index : 0;
    for (std::uint32_t i = 1; i < g.path_length + more; ++i)
      path.push_back(200000 + spread(set, i));
    if (g.path_length != 0) path.push_back(300000 + set);
    a.as_path.append(bgp::AsPath::Segment::sequence, path);
  }
  for (std::uint32_t i = 0; i < g.communities; ++i) {
    a.communities.push_back(64000U << 16 | ((set + i * 911) & 0xffff));
  }
  std::sort(a.communities.begin(), a.communities.end());
  return a;
}

}  // namespace

Routes routes_of(const Group& g, std::uint32_t index, std::uint32_t their_as,
                 const Numbering& numbering) {
  Routes r;
  r.count = g.routes;
  r.first = g.first + (g.same ? 0 : index * g.routes);
  bgp::wire::UpdateWriter announce(r.announce, Family::v4, {});
  for (std::uint32_t i = 0; i < r.count; ++i) {
    if (i % g.per_update == 0) {
      const std::uint32_t set = i / g.per_update % g.attribute_sets;
      announce.set_attributes(attributes_of(g, index, set, their_as));
    }
    announce.announce(numbering.prefix(r.first + i));
  }
  announce.finish();
  bgp::wire::UpdateWriter withdraw(r.withdraw, Family::v4, {});
  for (std::uint32_t i = 0; i < r.count; ++i) withdraw.withdraw(numbering.prefix(r.first + i));
  withdraw.finish();
  return r;
}

}  // namespace margay::bench
