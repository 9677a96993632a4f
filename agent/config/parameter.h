// SPDX-License-Identifier: Apache-2.0
// The one table of parameters (names and meanings: spec config-params.csv) and the parsing of their
// values. Everything that lists, checks or documents parameters goes through it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace margay::config {

enum class Type {
  boolean,
  deny_action,           // DROP or REJECT
  enabled,               // Enabled or Disabled
  endpoint_action,       // DROP, RETURN or ACCEPT
  existing_connections,  // Keep or Cut
  exclusions,            // IPPoolsOnly or IPPoolsAndHostIPs
  failsafes,             // none, or list of [proto:[cidr:]]port
  foreign_drop,          // Report or Accept
  cidrs,
  integer,
  ipv4,
  ipv6,
  loop_prevention,  // Drop, Reject or Disabled
  mark_mask,
  metric,
  mtu,
  path,  // of a file that exists
  port,
  ports,           // port or first:last; 0 for none
  prefixes,        // list of interface name prefixes
  program_routes,  // Disabled, EnabledIPIPOnly, EnabledNoEncapOnly or Enabled
  route_source,    // CalicoIPAM or WorkloadIPs
  seconds,         // number of seconds, or a Go duration ("90s", "1m30s")
  severity,
  spoofing,  // Disabled or Any
  text,
  vni,
};

enum class Effect {
  live,     // a change takes effect at once
  start,    // read at start only
  refused,  // known, has no effect; the log names it when it is set
};

struct Parameter {
  std::string_view name;   // of the file and, after FELIX_, of the environment (any case)
  std::string_view field;  // of FelixConfiguration.spec; empty: not settable there
  Type type;
  std::string_view default_value;  // canonical
  Effect effect;
  std::string_view description;  // refused ones: why
};

[[nodiscard]] std::span<const Parameter> parameters();
[[nodiscard]] const Parameter* find_parameter(std::string_view name);  // any case
[[nodiscard]] const Parameter* find_by_field(std::string_view field);  // exact
[[nodiscard]] std::string_view legal_values(Type type);                // for people
// The canonical form of `text` (e.g. "yes" -> "true", "1m" -> "60"), or what is wrong with it.
[[nodiscard]] Result<std::string> canonical(const Parameter& parameter, std::string_view text);
// docs/config-reference.md
[[nodiscard]] std::string reference_markdown();

}  // namespace margay::config
