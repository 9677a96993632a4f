// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conntrack/walk.h"

#include <linux/netlink.h>

namespace margay::conntrack {

Result<Walk> Walk::open() {
  netlink::SocketOptions options;
  options.strict_check = false;  // a route dump's matter
  MARGAY_TRY(netlink::Socket reader, netlink::Socket::open(NETLINK_NETFILTER, options));
  MARGAY_TRY(netlink::Socket remover, netlink::Socket::open(NETLINK_NETFILTER, options));
  return Walk(std::move(reader), std::move(remover));
}

Result<void> Walk::begin(const Query& query) {
  seq_ = reader_.next_seq();
  netlink::Writer request;
  encode_dump(request, seq_, query);
  return reader_.start_dump(request);
}

Result<bool> Walk::step(int datagrams, const std::function<void(const Flow&)>& each) {
  return reader_.read_dump(
      seq_,
      [&](const netlink::Message& message) {
        if (const auto flow = decode(message)) each(*flow);
      },
      datagrams);
}

Result<void> Walk::remove(const netlink::Writer& removals) {
  return send_removals(remover_, removals);
}

}  // namespace margay::conntrack
