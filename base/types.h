// SPDX-License-Identifier: Apache-2.0
// Strong types for the numbers and names that pass between modules; a raw integer never means a
// domain thing in an interface.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace margay {

template <typename Tag, typename Rep = std::uint32_t>
class StrongNumber {
 public:
  constexpr StrongNumber() = default;
  constexpr explicit StrongNumber(Rep v) : v_(v) {}
  [[nodiscard]] constexpr Rep value() const { return v_; }
  friend constexpr auto operator<=>(StrongNumber, StrongNumber) = default;

 private:
  Rep v_{};
};

using Asn = StrongNumber<struct AsnTag>;
using RouterId = StrongNumber<struct RouterIdTag>;  // host byte order
using TableId = StrongNumber<struct TableIdTag>;
using IfIndex = StrongNumber<struct IfIndexTag>;  // 0: none
using Mark = StrongNumber<struct MarkTag>;
using Vni = StrongNumber<struct VniTag>;
using Revision = StrongNumber<struct RevisionTag, std::uint64_t>;  // of a Store; 0: none

inline constexpr TableId kMainTable{254};

// "64512", or dotted "1.10" (RFC 5396 asdot+).
[[nodiscard]] Result<Asn> parse_asn(std::string_view text);
[[nodiscard]] Result<RouterId> parse_router_id(std::string_view text);  // "10.0.0.1"
[[nodiscard]] std::string to_string(Asn asn);
[[nodiscard]] std::string to_string(RouterId id);

}  // namespace margay

template <typename Tag, typename Rep>
struct std::hash<margay::StrongNumber<Tag, Rep>> {
  std::size_t operator()(margay::StrongNumber<Tag, Rep> n) const noexcept {
    return std::hash<Rep>{}(n.value());
  }
};
