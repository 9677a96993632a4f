// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conntrack/walk.h"

namespace margay::conntrack {

Result<Walk> Walk::open() {
  MARGAY_TRY(netlink::Socket reader, open_socket());
  return Walk(std::move(reader));
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

}  // namespace margay::conntrack
