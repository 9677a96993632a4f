// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/flow_blocks.h"

#include <algorithm>
#include <array>

#include "dataplane/policy/base_chains.h"

namespace margay::managers {

namespace {

constexpr std::array<std::uint8_t, 5> kWithPorts{6, 17, 33, 132, 136};  // TCP, UDP, DCCP, SCTP, ...

}  // namespace

bool FlowBlocks::add(const conntrack::Tuple& reply, Clock::time_point now) {
  if (std::ranges::find(kWithPorts, reply.protocol) == kWithPorts.end()) return false;
  nft::Packed packed;
  packed.then(nft::Packed::ip(reply.source))
      .then(nft::Packed::ip(reply.destination))
      .then(nft::Packed::u8(reply.protocol))
      .then(nft::Packed::be16(reply.source_port))
      .then(nft::Packed::be16(reply.destination_port));
  const Key key{reply.source.family(), packed};
  since_[key] = now;
  order_.emplace_back(now, key);
  table_.add_element(policy::cut_flow_set(key.first), nft::Element::of(key.second));
  while (order_.size() > kMost) drop_oldest();
  return true;
}

void FlowBlocks::drop_oldest() {
  const auto [at, key] = order_.front();
  order_.pop_front();
  const auto it = since_.find(key);
  if (it == since_.end() || it->second != at) return;  // added again since
  table_.remove_element(policy::cut_flow_set(key.first), nft::Element::of(key.second));
  since_.erase(it);
}

bool FlowBlocks::expire(Clock::time_point now) {
  bool some = false;
  for (; !order_.empty() && now - order_.front().first >= kKeep; some = true) drop_oldest();
  return some;
}

void FlowBlocks::clear() {
  since_.clear();
  order_.clear();
}

}  // namespace margay::managers
