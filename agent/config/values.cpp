// SPDX-License-Identifier: Apache-2.0
#include "agent/config/values.h"

#include <charconv>

namespace margay::config {
namespace {

Error bad(std::string_view text, std::string_view wanted) {
  return make_error(Code::invalid, "'" + std::string(text) + "' is not " + std::string(wanted));
}

std::optional<std::uint16_t> port_number(std::string_view text) {
  std::uint16_t n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

Result<FailsafePort> parse_failsafe(std::string_view item) {
  FailsafePort out;
  const auto last_colon = item.rfind(':');
  const auto port =
      port_number(last_colon == std::string_view::npos ? item : item.substr(last_colon + 1));
  if (!port || *port == 0) return bad(item, "[proto:[cidr:]]port");
  out.port = *port;
  if (last_colon == std::string_view::npos) return out;
  std::string_view head = item.substr(0, last_colon);
  const auto colon = head.find(':');
  const std::string_view protocol = head.substr(0, colon);
  if (protocol == "tcp" || protocol == "TCP") {
    out.protocol = 6;
  } else if (protocol == "udp" || protocol == "UDP") {
    out.protocol = 17;
  } else if (protocol == "sctp" || protocol == "SCTP") {
    out.protocol = 132;
  } else {
    return bad(item, "[proto:[cidr:]]port with proto tcp, udp or sctp");
  }
  if (colon != std::string_view::npos) {
    std::string_view net = head.substr(colon + 1);
    if (net.starts_with('[') && net.ends_with(']')) net = net.substr(1, net.size() - 2);
    MARGAY_TRY(out.net, Prefix::parse_containing(net));
  }
  return out;
}

}  // namespace

std::vector<std::string_view> split_list(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const auto comma = text.find(',');
    std::string_view item = text.substr(0, comma);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
    if (!item.empty()) out.push_back(item);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return out;
}

Result<std::vector<FailsafePort>> parse_failsafes(std::string_view text) {
  std::vector<FailsafePort> out;
  if (text == "none") return out;
  for (const auto item : split_list(text)) {
    MARGAY_TRY(auto port, parse_failsafe(item));
    out.push_back(port);
  }
  return out;
}

Result<PortSpan> parse_port_range(std::string_view text) {
  const auto colon = text.find(':');
  const auto first = port_number(text.substr(0, colon));
  const auto last = colon == std::string_view::npos ? first : port_number(text.substr(colon + 1));
  if (!first || !last || *first > *last) return bad(text, "a port or first:last");
  return PortSpan{*first, *last};
}

Result<Seconds> parse_seconds(std::string_view text) {
  struct Unit {
    std::string_view name;
    double seconds;
  };
  static constexpr Unit kUnits[] = {{"h", 3600},  {"ms", 1e-3}, {"us", 1e-6},
                                    {"ns", 1e-9}, {"m", 60},    {"s", 1}};
  double total = 0;
  std::string_view rest = text;
  if (rest.empty()) return bad(text, "a duration");
  while (!rest.empty()) {
    double n = 0;
    const auto [end, ec] = std::from_chars(rest.data(), rest.data() + rest.size(), n);
    if (ec != std::errc{} || n < 0) return bad(text, "a duration");
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    if (rest.empty()) return Seconds(total + n);  // a bare number is in seconds
    const Unit* unit = nullptr;
    for (const Unit& u : kUnits) {
      if (rest.starts_with(u.name)) {
        unit = &u;
        break;
      }
    }
    if (unit == nullptr) return bad(text, "a duration");
    total += n * unit->seconds;
    rest.remove_prefix(unit->name.size());
  }
  return Seconds(total);
}

}  // namespace margay::config
