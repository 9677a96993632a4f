// SPDX-License-Identifier: Apache-2.0
// Any bytes through every rtnetlink decoder; what decodes as a route must survive a second pass.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "dataplane/netlink/rtnl.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace margay::netlink;
  ByteView rest(data, size);
  while (const auto m = next_message(rest)) {
    (void)decode_link(*m);
    (void)decode_address(*m);
    (void)decode_neighbour(*m);
    (void)decode_fdb(*m);
    const auto route = decode_route(*m);
    if (!route || route->route.hops.size() > 64) continue;
    Writer w;
    encode_route(w, 1, Verb::replace, route->route);
    ByteView again(w.bytes());
    const auto second = next_message(again);
    if (!second || !decode_route(*second)) std::abort();
  }
  return 0;
}
