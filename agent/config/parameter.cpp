// SPDX-License-Identifier: Apache-2.0
#include "agent/config/parameter.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <optional>
#include <vector>

#include "agent/config/values.h"
#include "base/ip.h"
#include "base/log.h"

namespace margay::config {
namespace {

constexpr Parameter kParameters[] = {
#include "agent/config/parameters.inc"
};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

using Canonical = std::optional<std::string>;

Canonical one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  for (const auto w : words) {
    if (equal_ignoring_case(text, w)) return std::string(w);
  }
  return std::nullopt;
}

Canonical boolean(std::string_view text) {
  if (one_of(text, {"true", "1", "yes", "y", "t"})) return "true";
  if (one_of(text, {"false", "0", "no", "n", "f"})) return "false";
  return std::nullopt;
}

Canonical whole(std::string_view text, std::int64_t low, std::int64_t high) {
  std::int64_t n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc{} || end != text.data() + text.size() || n < low || n > high) {
    return std::nullopt;
  }
  return std::to_string(n);
}

Canonical address(std::string_view text, Family family) {
  const auto ip = Ip::parse(text);
  if (!ip.ok() || ip->family() != family) return std::nullopt;
  return ip->to_string();
}

Canonical cidrs(std::string_view text) {
  std::string out;
  for (const auto item : split_list(text)) {
    const auto p = Prefix::parse_containing(item);
    if (!p.ok()) return std::nullopt;
    out += (out.empty() ? "" : ",") + p->to_string();
  }
  return out;
}

Canonical prefixes(std::string_view text) {
  const auto items = split_list(text);
  const auto good = [](std::string_view p) {
    return !p.empty() && p.size() <= 15 && std::all_of(p.begin(), p.end(), [](unsigned char c) {
      return std::isalnum(c) || c == '_' || c == '-';
    });
  };
  if (items.empty() || !std::all_of(items.begin(), items.end(), good)) return std::nullopt;
  return std::string(text);
}

Canonical mark_mask(std::string_view text) {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  const std::string_view digits = hex ? text.substr(2) : text;
  std::uint32_t n = 0;
  const auto [end, ec] =
      std::from_chars(digits.data(), digits.data() + digits.size(), n, hex ? 16 : 10);
  const bool overlaps_kube_proxy = (n & 0xc000U) != 0;
  if (ec != std::errc{} || end != digits.data() + digits.size() || overlaps_kube_proxy ||
      std::popcount(n) < 2) {
    return std::nullopt;
  }
  return std::to_string(n);
}

Canonical canonical_value(Type type, std::string_view text) {
  switch (type) {
    case Type::boolean:
      return boolean(text);
    case Type::deny_action:
      return one_of(text, {"DROP", "REJECT"});
    case Type::enabled:
      return one_of(text, {"Enabled", "Disabled"});
    case Type::endpoint_action:
      return one_of(text, {"DROP", "RETURN", "ACCEPT"});
    case Type::existing_connections:
      return one_of(text, {"Keep", "Cut"});
    case Type::exclusions:
      return one_of(text, {"IPPoolsOnly", "IPPoolsAndHostIPs"});
    case Type::failsafes:
      return parse_failsafes(text).ok() ? Canonical(std::string(text)) : std::nullopt;
    case Type::foreign_drop:
      return one_of(text, {"Report", "Accept"});
    case Type::cidrs:
      return cidrs(text);
    case Type::integer:
      return whole(text, 0, 255);
    case Type::ipv4:
      return address(text, Family::v4);
    case Type::ipv6:
      return address(text, Family::v6);
    case Type::loop_prevention:
      return one_of(text, {"Drop", "Reject", "Disabled"});
    case Type::mark_mask:
      return mark_mask(text);
    case Type::metric:
      return whole(text, 1, 2147483646);
    case Type::mtu:
      return whole(text, 0, 65535);
    case Type::path: {
      std::error_code ec;
      return std::filesystem::exists(text, ec) ? Canonical(std::string(text)) : std::nullopt;
    }
    case Type::port:
      return whole(text, 0, 65535);
    case Type::ports:
      return parse_port_range(text).ok() ? Canonical(std::string(text)) : std::nullopt;
    case Type::prefixes:
      return prefixes(text);
    case Type::program_routes:
      return one_of(text, {"Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly", "Enabled"});
    case Type::route_source:
      return one_of(text, {"CalicoIPAM", "WorkloadIPs"});
    case Type::seconds: {
      const auto d = parse_seconds(text);
      if (!d.ok()) return std::nullopt;
      std::array<char, 32> digits{};  // the shortest that reads back the same
      const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), d->count(),
                                     std::chars_format::fixed);
      return std::string(digits.data(), end.ptr);
    }
    case Type::severity: {
      log::Level level{};
      return log::parse_level(text, level) ? Canonical(std::string(text)) : std::nullopt;
    }
    case Type::spoofing:
      return one_of(text, {"Disabled", "Any"});
    case Type::text:
      return std::string(text);
    case Type::vni:
      return whole(text, 1, 16777215);
  }
  return std::nullopt;
}

}  // namespace

std::span<const Parameter> parameters() { return kParameters; }

const Parameter* find_parameter(std::string_view name) {
  const auto* it =
      std::find_if(std::begin(kParameters), std::end(kParameters),
                   [&](const Parameter& p) { return equal_ignoring_case(p.name, name); });
  return it == std::end(kParameters) ? nullptr : it;
}

const Parameter* find_by_field(std::string_view field) {
  const auto* it = std::find_if(std::begin(kParameters), std::end(kParameters),
                                [&](const Parameter& p) { return p.field == field; });
  return it == std::end(kParameters) || field.empty() ? nullptr : it;
}

std::string_view legal_values(Type type) {
  switch (type) {
    case Type::boolean:
      return "true or false";
    case Type::deny_action:
      return "DROP or REJECT";
    case Type::enabled:
      return "Enabled or Disabled";
    case Type::endpoint_action:
      return "DROP, RETURN or ACCEPT";
    case Type::existing_connections:
      return "Keep or Cut";
    case Type::exclusions:
      return "IPPoolsOnly or IPPoolsAndHostIPs";
    case Type::failsafes:
      return "none, or a list of [tcp|udp|sctp:[cidr:]]port";
    case Type::foreign_drop:
      return "Report or Accept";
    case Type::cidrs:
      return "a list of CIDRs";
    case Type::integer:
      return "0 to 255";
    case Type::ipv4:
      return "an IPv4 address";
    case Type::ipv6:
      return "an IPv6 address";
    case Type::loop_prevention:
      return "Drop, Reject or Disabled";
    case Type::mark_mask:
      return "a 32-bit mask of at least two bits, none of 0xc000";
    case Type::metric:
      return "1 to 2147483646";
    case Type::mtu:
      return "0 to 65535";
    case Type::path:
      return "the path of a file that exists";
    case Type::port:
      return "0 to 65535";
    case Type::ports:
      return "a port, first:last, or 0 for none";
    case Type::prefixes:
      return "a list of interface name prefixes of 1 to 15 characters";
    case Type::program_routes:
      return "Disabled, EnabledIPIPOnly, EnabledNoEncapOnly or Enabled";
    case Type::route_source:
      return "CalicoIPAM or WorkloadIPs";
    case Type::seconds:
      return "seconds, or a duration such as 1m30s";
    case Type::severity:
      return "DEBUG, INFO, WARNING, ERROR, FATAL or TRACE";
    case Type::spoofing:
      return "Disabled or Any";
    case Type::text:
      return "text";
    case Type::vni:
      return "1 to 16777215";
  }
  return "";
}

Result<std::string> canonical(const Parameter& parameter, std::string_view text) {
  if (text.empty() && parameter.default_value.empty()) return std::string();
  if (auto value = canonical_value(parameter.type, text)) return std::move(*value);
  return make_error(Code::invalid, std::string(parameter.name) + ": '" + std::string(text) +
                                       "' is not " + std::string(legal_values(parameter.type)));
}

std::string reference_markdown() {
  std::string out =
      "# Configuration parameters\n\n"
      "Generated by `margay-agent --config-reference` from the one table in "
      "`agent/config/parameters.inc`.\n\n"
      "A parameter comes from, highest first: the environment (`FELIX_<Name>`, any case), the file "
      "given\n"
      "with `--config` (`Name = value` lines), the FelixConfiguration `node.<name>`, the one "
      "whose\n"
      "nodeSelector selects the node, the one named `default`, and the default below. A value that "
      "does\n"
      "not parse is reported and the next source is used.\n\n"
      "- **live**: a change takes effect at once; of the file with SIGHUP.\n"
      "- **start**: read at start. A change is reported (log event `config_restart_needed`, "
      "readiness\n"
      "  detail, `margayctl show config`) and in force after a restart.\n"
      "- **refused**: known from Calico, without effect here; setting it is reported in the "
      "log.\n\n"
      "| Name | Effect | Default | Legal values | Meaning; if refused, why "
      "|\n|---|---|---|---|---|\n";
  constexpr std::array kEffects{"live", "start", "refused"};
  for (const Parameter& p : kParameters) {
    const bool refused = p.effect == Effect::refused;
    out += "| " + std::string(p.name) + " | " + kEffects[static_cast<std::size_t>(p.effect)] +
           " | " + std::string(p.default_value) + " | " +
           (refused ? "" : std::string(legal_values(p.type))) + " | " + std::string(p.description) +
           " |\n";
  }
  out +=
      "\nBeside them, from the environment alone and so for the life of the process, as "
      "calico/node "
      "has\n"
      "them: `NODENAME` (FelixHostname wins), `CALICO_NETWORKING_BACKEND` (bird: this agent speaks "
      "BGP;\n"
      "vxlan or none: it does not), `CALICO_ROUTER_ID` (an address, or `hash`), `NAMESPACE` (of "
      "Secrets\n"
      "with BGP passwords), `CALICO_K8S_NODE_REF` (what EndpointSlices call this node, if not its "
      "name),\n"
      "`CALICO_ADVERTISE_CLUSTER_IPS` (a CIDR, instead of serviceClusterIPs),\n"
      "`BGP_LOGSEVERITYSCREEN` (the level of what BGP logs, instead of "
      "BGPConfiguration's).\n";
  return out;
}

}  // namespace margay::config
