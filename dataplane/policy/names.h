// SPDX-License-Identifier: Apache-2.0
// Names of our nftables objects: readable, bounded, and the same after every restart,
// because they are made of what the object is for, or of a hash of what it holds. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/ip.h"
#include "model/desired.h"

namespace margay::policy {

// What nft allows is more; a chain's own further chains add a few characters to its name.
inline constexpr std::size_t kMaxName = 112;

// First `digits` hex digits of SHA-256 of `text`.
[[nodiscard]] std::string digest(std::string_view text, std::size_t digits = 16);

// prefix + text, with whatever nft's grammar has no place for replaced by '_'; when something was
// replaced or the name is too long, a hash of the text keeps it unique.
[[nodiscard]] std::string bounded_name(std::string_view prefix, std::string_view text);

// The kernel's sets of one model set: one for each family and prefix length ("s-abc-4-32"), one
// interval set for all lengths of a family ("s-abc-4-i"), or one of addresses with ports
// ("n-abc-4").
[[nodiscard]] std::string net_set_name(std::string_view id, Family f, unsigned length);
[[nodiscard]] std::string interval_set_name(std::string_view id, Family f);
[[nodiscard]] std::string port_set_name(std::string_view id, Family f);

}  // namespace margay::policy
