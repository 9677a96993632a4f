// SPDX-License-Identifier: Apache-2.0
// One entry of the kernel's connection tracking table, decoded, and the requests that find and
// delete entries. Pure, bytes in, bytes out, but for what names a socket.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "base/ip.h"
#include "base/result.h"
#include "dataplane/netlink/message.h"
#include "dataplane/netlink/socket.h"

namespace margay::conntrack {

// One direction of a flow. Ports of protocols that have them, type and code of the ICMPs; else 0.
struct Tuple {
  Ip source, destination;
  std::uint8_t protocol = 0;
  std::uint16_t source_port = 0, destination_port = 0;
  std::uint8_t icmp_type = 0, icmp_code = 0;
  friend bool operator==(const Tuple&, const Tuple&) = default;
};

// Views into the message that it was read from.
struct Flow {
  Tuple original;                    // as its first packet came
  Tuple reply;                       // as answers come, before they are translated back
  bool over = false;                 // TCP: closed, only waiting to be forgotten
  netlink::ByteView master;          // related flows: the tuple of the flow that they belong to
  netlink::ByteView original_bytes;  // comparable with another's `master`
  const netlink::Message* message = nullptr;
};

// nullopt: nothing that has addresses of one family.
[[nodiscard]] std::optional<Flow> decode(const netlink::Message& message);

// What a dump is to show; the rest is left out by the kernel where it can, so the reader must look.
struct Query {
  Family family = Family::v4;
  std::optional<Ip> address;  // of `family`: only flows with it ...
  bool reply = false;         // ... in the tuple of this direction ...
  bool source = true;         // ... at this end
};
void encode_dump(netlink::Writer& out, std::uint32_t seq, const Query& query);

// How many flows this network namespace has; nullopt: some other message.
void encode_count(netlink::Writer& out, std::uint32_t seq);
[[nodiscard]] std::optional<std::uint32_t> decode_count(const netlink::Message& message);

// Deletes exactly this flow: never a successor that has its tuple.
void encode_removal(netlink::Writer& out, const netlink::Message& flow);
[[nodiscard]] Result<netlink::Socket> open_socket();
// Sends what encode_removal made. That a flow has gone meanwhile is as well.
[[nodiscard]] Result<void> send_removals(netlink::Socket& socket, const netlink::Writer& removals);

}  // namespace margay::conntrack
