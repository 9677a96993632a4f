// SPDX-License-Identifier: Apache-2.0
#include "model/duration.h"

#include <charconv>
#include <string>

namespace margay::model {
namespace {

struct Unit {
  std::string_view name;
  double nanoseconds;
};
// Longer names first: "ms" must not be taken for "m".
constexpr Unit kUnits[] = {{"ns", 1},  {"us", 1e3}, {"\xc2\xb5s", 1e3}, {"ms", 1e6},
                           {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};

const Unit* take_unit(std::string_view& rest) {
  for (const Unit& u : kUnits) {
    if (!rest.starts_with(u.name)) continue;
    rest.remove_prefix(u.name.size());
    return &u;
  }
  return nullptr;
}

}  // namespace

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  const auto bad = [&] {
    return make_error(Code::invalid,
                      "'" + std::string(text) + "' is not a duration such as 90s or 1m30s");
  };
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest == "0") return std::chrono::nanoseconds{0};
  if (rest.empty()) return bad();
  double total = 0;
  while (!rest.empty()) {
    double n = 0;
    const char* end = rest.data() + rest.size();
    if (rest.front() == '-' || rest.front() == '+') return bad();
    const auto [stop, ec] = std::from_chars(rest.data(), end, n, std::chars_format::fixed);
    if (ec != std::errc{}) return bad();
    rest.remove_prefix(static_cast<std::size_t>(stop - rest.data()));
    const Unit* unit = take_unit(rest);
    if (unit == nullptr) return bad();
    total += n * unit->nanoseconds;
  }
  if (!(total <= 9.2e18)) return bad();  // also "inf" and "nan", which from_chars takes
  const auto whole = static_cast<std::int64_t>(total + 0.5);
  return std::chrono::nanoseconds{negative ? -whole : whole};
}

}  // namespace margay::model
