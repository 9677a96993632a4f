// SPDX-License-Identifier: Apache-2.0
#include "base/types.h"

#include <charconv>
#include <optional>

#include "base/ip.h"

namespace margay {
namespace {

std::optional<std::uint32_t> whole_number(std::string_view text) {
  std::uint32_t n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

}  // namespace

Result<Asn> parse_asn(std::string_view text) {
  const auto dot = text.find('.');
  if (dot == std::string_view::npos) {
    if (const auto n = whole_number(text)) return Asn(*n);
  } else {
    const auto high = whole_number(text.substr(0, dot));
    const auto low = whole_number(text.substr(dot + 1));
    if (high && low && *high <= 0xffff && *low <= 0xffff) return Asn(*high << 16 | *low);
  }
  return make_error(Code::invalid, "'" + std::string(text) +
                                       "' is not an AS number (0 to 4294967295, or high.low)");
}

Result<RouterId> parse_router_id(std::string_view text) {
  MARGAY_TRY(const Ip ip, Ip::parse(text));
  if (!ip.is_v4() || ip.is_any()) {
    return make_error(Code::invalid, "'" + std::string(text) + "' is not a router id (a.b.c.d)");
  }
  return RouterId(ip.v4_host_order());
}

std::string to_string(Asn asn) { return std::to_string(asn.value()); }
std::string to_string(RouterId id) { return Ip::v4(id.value()).to_string(); }

}  // namespace margay
