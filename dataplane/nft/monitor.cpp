// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/monitor.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "dataplane/netlink/socket.h"
#include "dataplane/nft/batch.h"

namespace margay::nft {

namespace {

constexpr int kDatagramsPerRead = 256;

// All messages of a datagram are of one transaction, so the first one's sender tells whose it is.
Result<void> ignore_own(netlink::Socket& s, std::span<const std::uint32_t> ports) {
  constexpr std::uint32_t kPortOffset = 12;  // of nlmsg_pid in nlmsghdr
  constexpr std::uint32_t kWholeDatagram = 0xffffffff;
  std::vector<sock_filter> code;
  code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kPortOffset));
  for (std::size_t i = 0; i < ports.size(); ++i) {
    // The filter reads big-endian words, netlink headers are in host order.
    const auto to_drop = static_cast<std::uint8_t>(ports.size() - i);
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(ports[i]), to_drop, 0));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, kWholeDatagram));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, 0));
  return s.filter(code);
}

void doubt(Table& table, const Notice& n) {
  switch (n.message) {
    case NFT_MSG_NEWCHAIN:
    case NFT_MSG_DELCHAIN:
    case NFT_MSG_NEWRULE:
    case NFT_MSG_DELRULE:
      table.suspect_chain(n.object);
      break;
    case NFT_MSG_NEWSET:
    case NFT_MSG_DELSET:
      table.suspect_set(n.object);
      break;
    case NFT_MSG_NEWSETELEM:
    case NFT_MSG_DELSETELEM:
      for_each_key(n.elements, [&](ByteView key) { table.suspect_element(n.object, key); });
      break;
    default:  // the table itself, and kinds of objects that we do not use
      table.suspect_all();
      break;
  }
}

}  // namespace

class Monitor::Impl {
 public:
  explicit Impl(netlink::Socket socket) : socket_(std::move(socket)) {}
  netlink::Socket socket_;
};

Monitor::Monitor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Monitor::~Monitor() = default;

Result<std::unique_ptr<Monitor>> Monitor::open(std::span<const std::uint32_t> own_ports,
                                               int receive_buffer) {
  MARGAY_TRY(auto socket,
             netlink::Socket::open(NETLINK_NETFILTER, {.receive_buffer = receive_buffer}));
  MARGAY_CHECK(ignore_own(socket, own_ports));
  MARGAY_CHECK(socket.join(NFNLGRP_NFTABLES));
  return std::unique_ptr<Monitor>(new Monitor(std::make_unique<Impl>(std::move(socket))));
}

int Monitor::fd() const { return impl_->socket_.fd(); }

Monitor::Findings Monitor::read(std::span<Table* const> tables, const ElsewhereFn& elsewhere) {
  Findings out;
  const auto more = impl_->socket_.drain(
      [&](const Message& m) {
        if (const auto g = parse_generation(m)) {
          out.process = g->process;
          out.program = g->program;
          return;
        }
        const auto n = parse_notice(m);
        if (!n) return;
        const auto table = std::ranges::find_if(tables, [&](const Table* t) {
          return n->family == kInetFamily && t->name() == n->table;
        });
        if (table == tables.end()) {
          if (elsewhere) elsewhere(*n);
          return;
        }
        out.touched = true;
        doubt(**table, *n);
      },
      kDatagramsPerRead);
  if (more.ok()) {
    out.more = more.value();
    return out;
  }
  // Lost notifications, or a socket that cannot be read: believe nothing.
  out.overrun = out.touched = true;
  for (Table* t : tables) t->suspect_all();
  return out;
}

}  // namespace margay::nft
