// SPDX-License-Identifier: Apache-2.0
// Any stream of bytes is framed and decoded without reading beyond it; what was understood without
// an error comes back from the encoder as it was. The first byte chooses what the session agreed
// on.
#include <cstdint>
#include <cstdlib>
#include <map>

#include "bgp/wire/message.h"

namespace {

using namespace margay;
using namespace margay::bgp;
using namespace margay::bgp::wire;

void check(bool condition) {
  if (!condition) std::abort();
}

void check_update(Bytes body, const DecodeContext& context) {
  const Update u = decode_update(body, context);
  check((u.treatment == Treatment::session_reset) == (u.notification.code != 0));
  std::map<Prefix, int> seen;
  for (const auto* n : {&u.withdrawn, &u.mp_withdrawn, &u.announced, &u.mp_announced}) {
    n->for_each([&](const NlriEntry& e) {
      check(e.prefix.family() == n->family());
      check(Prefix::make(e.prefix.addr(), e.prefix.length()).ok());
      ++seen[e.prefix];
    });
  }
  if (u.treatment != Treatment::none || u.announced.empty()) return;
  Buffer again;
  EncodeContext encode;
  encode.as4 = true;
  encode.max_size = kMaxExtendedMessage;
  UpdateWriter writer(again, Family::v4, encode);
  writer.set_attributes(u.attributes);
  u.announced.for_each([&](const NlriEntry& e) { writer.announce(e.prefix); });
  writer.finish();
  DecodeContext back = context;
  back.as4 = true;
  back.add_path_v4 = back.add_path_v6 = false;
  for (Bytes left = again; !left.empty();) {
    const Frame f = next_frame(left, kMaxExtendedMessage);
    check(f.status == Frame::Status::complete);
    left = left.subspan(f.size);
    const Update v = decode_update(f.body, back);
    check(v.treatment == Treatment::none);
    check(v.attributes == u.attributes);
    v.announced.for_each([&](const NlriEntry& e) { check(seen.contains(e.prefix)); });
  }
}

void check_message(const Frame& f, const DecodeContext& context) {
  switch (f.type) {
    case MessageType::open: {
      const auto decoded = decode_open(f.body);
      if (const auto* open = std::get_if<Open>(&decoded)) {
        Buffer again;
        encode_open(again, *open);
        const Frame g = next_frame(again);
        // More capabilities than fit into one OPEN cannot come from one either, but for those that
        // were told twice.
        if (g.status != Frame::Status::complete) return;
        check(std::holds_alternative<Open>(decode_open(g.body)));
      }
      return;
    }
    case MessageType::update:
      return check_update(f.body, context);
    case MessageType::notification: {
      const Notification n = decode_notification(f.body);
      check(!describe(n).empty());
      for (const char c : shutdown_message(n)) check(static_cast<unsigned char>(c) >= 32);
      return;
    }
    case MessageType::route_refresh:
      (void)decode_route_refresh(f.body);
      return;
    case MessageType::keepalive:
      return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  DecodeContext context;
  context.as4 = (data[0] & 1) == 0;
  context.internal = (data[0] & 2) != 0;
  context.add_path_v4 = (data[0] & 4) != 0;
  context.add_path_v6 = (data[0] & 8) != 0;
  for (Bytes left(data + 1, size - 1); !left.empty();) {
    const Frame f = next_frame(left, kMaxExtendedMessage);
    if (f.status != Frame::Status::complete) break;
    check_message(f, context);
    left = left.subspan(f.size);
  }
  return 0;
}
