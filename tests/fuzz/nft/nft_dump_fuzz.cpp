// SPDX-License-Identifier: Apache-2.0
// Any bytes as an answer of nf_tables, or as a table of iptables-legacy: every decoder gives a
// value or nothing. The first byte says which type of set its elements are read for; what was read
// has the type's sizes.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "dataplane/foreign/legacy_table.h"
#include "dataplane/foreign/nft_filters.h"
#include "dataplane/netlink/message.h"
#include "dataplane/nft/kernel.h"

namespace {

using margay::nft::Datatype;
using margay::nft::SetType;

SetType type_of(std::uint8_t choice) {
  switch (choice % 5) {
    case 0:
      return {{Datatype::ipv4_addr}, false, std::nullopt};
    case 1:
      return {{Datatype::ipv4_addr}, true, std::nullopt};
    case 2:
      return {{Datatype::ifname}, false, Datatype::verdict};
    case 3:
      return {{Datatype::ipv4_addr, Datatype::inet_service}, true, std::nullopt};
    default:
      return {{Datatype::mark}, false, Datatype::mark};
  }
}

// The family, where the chains of hooks 1 to 3 begin and where their policies are (in units of 8
// bytes), and the rules.
void read_legacy(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kHead = 7;
  if (size < kHead) return;
  margay::foreign::LegacyTable t;
  t.family = data[0] % 2 == 0 ? margay::Family::v4 : margay::Family::v6;
  t.name = "filter";
  t.valid_hooks = 0b01110;
  for (std::size_t h = 1; h <= 3; ++h) {
    t.entry[h] = data[h] * 8U;
    t.policy[h] = data[h + 3] * 8U;
  }
  t.bytes.assign(data + kHead, data + size);
  const auto table = margay::foreign::read_table(t);
  if (!table.ok() || !margay::foreign::number_rules(t).ok()) return;
  // What was read can be changed, and is then still a table, or the change is refused.
  margay::foreign::Edit edit;
  for (const auto& [name, chain] : table->chains)
    edit.insert.push_back({name, {"cali*", {}, {}, {}}});
  const auto changed = margay::foreign::with_edit(t, edit);
  if (changed.ok() && !margay::foreign::read_table(*changed).ok()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  read_legacy(data, size);
  const SetType type = type_of(data[0]);
  margay::netlink::ByteView rest(data + 1, size - 1);
  margay::nft::ElementCollector collector(type);
  while (const auto m = margay::netlink::next_message(rest)) {
    (void)margay::netlink::parse_ack(*m);
    (void)margay::nft::parse_chain(*m, "t");
    (void)margay::nft::parse_rule(*m, "t");
    (void)margay::nft::parse_set(*m, "t");
    (void)margay::nft::parse_generation(*m);
    if (const auto n = margay::nft::parse_notice(*m)) {
      margay::nft::for_each_key(n->elements, [](margay::netlink::ByteView) {});
    }
    std::string chain;
    (void)margay::foreign::parse_nft_rule(*m, chain);
    collector.add(*m);
  }
  const auto found = collector.finish();
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found.key(i).size() != type.key_size()) std::abort();
    if (!found.find(found.full_key(i))) std::abort();
    (void)margay::nft::describe(type, found.key(i));
  }
  return 0;
}
