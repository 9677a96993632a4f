// SPDX-License-Identifier: Apache-2.0
#include "dataplane/foreign/extensions.h"

#include <linux/netfilter/xt_tcpudp.h>

#include <algorithm>
#include <cstring>

namespace margay::foreign {
namespace {

// Ports first, and the bits that invert them, in tcp and udp alike.
template <typename T>
void add_ports(netlink::ByteView content, Rule& rule) {
  T m{};
  if (content.size() < sizeof m) {
    rule.more = true;
    return;
  }
  std::memcpy(&m, content.data(), sizeof m);
  constexpr std::uint16_t kLast = 0xffff;
  const bool all_sources = m.spts[0] == 0 && m.spts[1] == kLast;
  const bool all = m.dpts[0] == 0 && m.dpts[1] == kLast;
  if (!all_sources || m.invflags != 0 || (!all && m.dpts[0] != m.dpts[1])) rule.more = true;
  if constexpr (requires { m.flg_mask; }) {
    if (m.flg_mask != 0 || m.option != 0) rule.more = true;
  }
  if (!all) rule.match.port = m.dpts[0];
}

}  // namespace

std::string_view text_in(netlink::ByteView bytes) {
  const auto end = std::ranges::find(bytes, std::uint8_t{0});
  const auto size = static_cast<std::size_t>(end - bytes.begin());
  return netlink::Attr{0, bytes.first(size)}.text();
}

void add_comment(std::string_view text, Rule& rule) {
  if (text.starts_with(kComment)) rule.ours = true;
}

void add_match(std::string_view name, netlink::ByteView content, Rule& rule) {
  if (name == "comment") {
    add_comment(text_in(content), rule);
  } else if (name == "tcp") {
    add_ports<xt_tcp>(content, rule);
  } else if (name == "udp") {
    add_ports<xt_udp>(content, rule);
  } else {
    rule.more = true;
  }
}

Rule::Verdict verdict_of_target(std::string_view name) {
  return name == "REJECT" || name == "DROP" ? Rule::Verdict::drop : Rule::Verdict::none;
}

}  // namespace margay::foreign
