// SPDX-License-Identifier: Apache-2.0
// Matches and targets of xtables, which stand in tables of iptables-legacy and, wrapped, in those
// of iptables-nft. Pure.
#pragma once

#include <string_view>

#include "dataplane/foreign/filters.h"
#include "dataplane/netlink/message.h"

namespace margay::foreign {

// What match `name` with this content asks of a packet, added to the rule.
void add_match(std::string_view name, netlink::ByteView content, Rule& rule);
// Of targets that are no chains and no plain verdicts.
[[nodiscard]] Rule::Verdict verdict_of_target(std::string_view name);
void add_comment(std::string_view text, Rule& rule);
// Text up to the first zero byte.
[[nodiscard]] std::string_view text_in(netlink::ByteView bytes);

}  // namespace margay::foreign
