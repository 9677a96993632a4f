// SPDX-License-Identifier: Apache-2.0
// Rules as the kernel takes and returns them: the bytes of NFTA_RULE_EXPRESSIONS. Two rules are the
// same when their fingerprints are: it is computed over a normal form of those bytes (attributes
// sorted, defaults and counter values left out), for the wanted rule and the kernel's copy alike,
// so that a rule whose expressions somebody exchanged under our comment is noticed. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/netlink/message.h"
#include "dataplane/nft/objects.h"

namespace margay::nft {

using netlink::ByteView;

struct EncodedRule {
  std::vector<std::uint8_t> exprs;     // the content of NFTA_RULE_EXPRESSIONS
  std::vector<std::uint8_t> userdata;  // NFTA_RULE_USERDATA: nft's comment record
  std::uint64_t fingerprint = 0;
};

// What rules name: they must exist before, and cannot go before.
struct References {
  std::vector<std::string> chains;
  std::vector<std::string> sets;
  void normalise();  // sorted, without duplicates
  friend bool operator==(const References&, const References&) = default;
};

// Adds what the rule names to `refs` (not normalised).
[[nodiscard]] EncodedRule encode(const Rule& rule, References& refs);

// Of a rule in the kernel's encoding.
[[nodiscard]] std::uint64_t fingerprint(ByteView exprs, ByteView userdata);
void collect_references(ByteView exprs, References& refs);

// NFTA_DATA_VERDICT content, for verdict map elements too.
void put_verdict(netlink::Writer& w, const Verdict& v);
// Register numbers as the kernel dumps them: NFT_REG_1..4 where they coincide.
[[nodiscard]] std::uint32_t register_number(Reg r);

}  // namespace margay::nft
