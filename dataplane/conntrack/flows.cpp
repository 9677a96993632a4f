// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conntrack/flows.h"

#include "dataplane/conntrack/flow.h"

namespace margay::conntrack {

namespace {

bool has(const Flow& flow, const Query& query) {
  const Tuple& tuple = query.reply ? flow.reply : flow.original;
  return (query.source ? tuple.source : tuple.destination) == query.address;
}

}  // namespace

Result<Flows> Flows::open() {
  MARGAY_TRY(netlink::Socket socket, open_socket());
  return Flows(std::move(socket));
}

Result<std::size_t> Flows::cut_matching(const Query& query) {
  netlink::Writer removals;
  std::size_t found = 0;
  MARGAY_CHECK(
      socket_.dump_retry([&](netlink::Writer& w, std::uint32_t seq) { encode_dump(w, seq, query); },
                         [&](const netlink::Message& message) {
                           const auto flow = decode(message);
                           if (!flow || !has(*flow, query)) return;
                           encode_removal(removals, message);
                           ++found;
                         }));
  MARGAY_CHECK(send_removals(socket_, removals));
  return found;
}

Result<std::size_t> Flows::apply(std::size_t max) {
  std::size_t deleted = 0;
  for (; max > 0 && !queue_.empty(); --max) {
    const Ip address = queue_.front();
    queue_.pop_front();
    // Who took part is the source of what it began, or of the answers to what it was asked,
    // whatever was translated on the way. Each search walks the kernel's whole table.
    for (const bool reply : {false, true}) {
      MARGAY_TRY(const std::size_t found, cut_matching({address.family(), address, reply, true}));
      deleted += found;
    }
  }
  return deleted;
}

}  // namespace margay::conntrack
