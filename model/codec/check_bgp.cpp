// SPDX-License-Identifier: Apache-2.0
// Semantic checks of the BGP kinds (spec bgp.md 2 and 3).
#include <charconv>

#include "model/codec/check.h"
#include "model/duration.h"

namespace margay::model::codec {
namespace {

// "aa:nn" with 16 bits each, or "aa:nn:mm" with 32 bits each; canonical decimal.
bool is_community(std::string_view text) {
  const auto colons = std::count(text.begin(), text.end(), ':');
  if (colons != 1 && colons != 2) return false;
  const std::uint32_t max = colons == 1 ? 0xffff : 0xffffffff;
  for (;;) {
    const auto colon = text.find(':');
    const auto part = text.substr(0, colon);
    std::uint32_t n = 0;
    const auto [end, ec] = std::from_chars(part.data(), part.data() + part.size(), n);
    if (ec != std::errc{} || end != part.data() + part.size() || n > max) return false;
    if (part.size() > 1 && part.front() == '0') return false;
    if (colon == std::string_view::npos) return true;
    text.remove_prefix(colon + 1);
  }
}
constexpr std::string_view kCommunityRule =
    "must be a community: aa:nn (0 to 65535 each) or aa:nn:mm (0 to 4294967295 each)";

void check_password(Context& ctx, std::string_view path, const std::optional<BgpPassword>& p) {
  if (p && !p->secret_key_ref) {
    ctx.fail(std::string(path) + ".secretKeyRef", "", "is required");
  }
}

void check_communities(Context& ctx, const BgpConfigurationSpec& spec) {
  for (std::size_t i = 0; i < spec.communities.size(); ++i) {
    const auto& c = spec.communities[i];
    const std::string at = indexed("spec.communities", i);
    if (!is_community(c.value)) ctx.fail(at + ".value", c.value, kCommunityRule);
    if (c.name.size() > 253) ctx.fail(at + ".name", c.name, "must have at most 253 characters");
  }
  if (!spec.communities.empty() && spec.prefix_advertisements.empty()) {
    ctx.fail("spec.communities", "", "are of no use without prefixAdvertisements");
  }
  const auto defined = [&](const std::string& name) {
    return std::any_of(spec.communities.begin(), spec.communities.end(),
                       [&](const NamedCommunity& c) { return c.name == name; });
  };
  for (std::size_t i = 0; i < spec.prefix_advertisements.size(); ++i) {
    const auto& names = spec.prefix_advertisements[i].communities;
    for (std::size_t k = 0; k < names.size(); ++k) {
      if (is_community(names[k]) || defined(names[k])) continue;
      ctx.fail(indexed(indexed("spec.prefixAdvertisements", i) + ".communities", k), names[k],
               "must be a community, or the name of one in spec.communities");
    }
  }
}

// "ip", "v4:port" or "[v6]:port".
std::optional<Ip> peer_address(std::string_view text) {
  std::string_view host = text, port;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos || text.substr(close + 1, 1) != ":") return std::nullopt;
    host = text.substr(1, close - 1);
    port = text.substr(close + 2);
    if (port.empty() || host.find(':') == std::string_view::npos) return std::nullopt;
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    host = text.substr(0, text.find(':'));
    port = text.substr(text.find(':') + 1);
    if (port.empty()) return std::nullopt;
  }
  if (!port.empty()) {
    std::uint16_t n = 0;
    const auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), n);
    if (ec != std::errc{} || end != port.data() + port.size() || n == 0) return std::nullopt;
  }
  const auto ip = Ip::parse(host);
  return ip.ok() ? std::optional<Ip>(*ip) : std::nullopt;
}

void check_remote(Context& ctx, const BgpPeerSpec& s) {
  std::optional<Ip> address;
  if (!s.peer_ip.empty()) {
    address = peer_address(s.peer_ip);
    if (!address) {
      ctx.fail("spec.peerIP", s.peer_ip,
               "must be an IP address, or IPv4:port or [IPv6]:port; a zone is not possible");
    }
    if (!s.peer_selector.empty()) ctx.fail("spec.peerIP", s.peer_ip, "excludes peerSelector");
  }
  if (!s.reachable_by.empty()) {
    const auto gateway = Ip::parse(s.reachable_by);
    if (!gateway.ok()) {
      ctx.fail("spec.reachableBy", s.reachable_by, "must be an IP address");
    } else if (!address || address->family() != gateway->family()) {
      ctx.fail("spec.reachableBy", s.reachable_by, "needs a peerIP of the same IP version");
    }
  }
  const bool has_as = s.as_number && s.as_number->value() != 0;
  if (!s.peer_selector.empty() && has_as) {
    ctx.fail("spec.asNumber", to_string(*s.as_number),
             "must be absent with peerSelector: the peers' own is used");
  }
  if (s.local_workload_selector.empty()) return;
  if (!s.peer_ip.empty() || !s.peer_selector.empty()) {
    ctx.fail("spec.localWorkloadSelector", s.local_workload_selector,
             "excludes peerIP and peerSelector");
  }
  if (!has_as) ctx.fail("spec.asNumber", "", "is required with localWorkloadSelector");
}

bool is_shorter(const std::string& duration, std::chrono::nanoseconds than) {
  const auto d = parse_duration(duration);
  return !duration.empty() && d.ok() && *d < than;
}

void check_ours(Context& ctx, const BgpPeerSpec& s) {
  using namespace std::chrono_literals;
  const std::string& restart = s.max_prefixes_restart_time;
  if (!restart.empty() && s.max_prefixes.value_or(0) == 0) {
    ctx.fail("spec.maxPrefixesRestartTime", restart, "needs maxPrefixes");
  }
  if (is_shorter(restart, 1s)) {
    ctx.fail("spec.maxPrefixesRestartTime", restart, "must be at least 1s");
  }
  if (s.graceful_notification == "Enabled" && is_shorter(s.max_restart_time, 500ms)) {
    ctx.fail("spec.gracefulNotification", s.graceful_notification,
             "is of no use without graceful restart: maxRestartTime is 0");
  }
}

// --- filters ---------------------------------------------------------------------------------

void check_operations(Context& ctx, const std::string& path, const BgpFilterRule& rule) {
  if (!rule.operations.empty() && rule.action != "Accept") {
    ctx.fail(path + ".operations", "", "are possible with action Accept only");
  }
  for (std::size_t i = 0; i < rule.operations.size(); ++i) {
    const auto& op = rule.operations[i];
    const std::string at = indexed(path + ".operations", i);
    const int set = int{op.add_community.has_value()} + int{op.prepend_as_path.has_value()} +
                    int{op.set_priority.has_value()};
    if (set != 1) {
      ctx.fail(at, "", "must have exactly one of addCommunity, prependASPath and setPriority");
    }
    if (op.add_community && !is_community(op.add_community->value)) {
      ctx.fail(at + ".addCommunity.value", op.add_community->value, kCommunityRule);
    }
    if (op.prepend_as_path && op.prepend_as_path->prefix.empty()) {
      ctx.fail(at + ".prependASPath.prefix", "", "must have 1 to 10 AS numbers");
    }
  }
}

void check_prefix_match(Context& ctx, const std::string& path, const BgpFilterRule& rule,
                        Family family) {
  if (rule.cidr.has_value() == rule.match_operator.empty()) {
    ctx.fail(path + ".matchOperator", rule.match_operator,
             "cidr and matchOperator must be given together");
  }
  if (rule.cidr && rule.cidr->family() != family) {
    ctx.fail(path + ".cidr", rule.cidr->to_string(),
             family == Family::v4 ? "must be IPv4" : "must be IPv6");
  }
  if (!rule.prefix_length) return;
  if (!rule.cidr) ctx.fail(path + ".prefixLength", "", "needs a cidr");
  const int max = static_cast<int>(max_prefix_length(family));
  const auto bound = [&](const std::optional<int>& v, const char* name) {
    if (v && *v > max) {
      ctx.fail(path + ".prefixLength." + name, std::to_string(*v),
               "must be from 0 to " + std::to_string(max));
    }
  };
  bound(rule.prefix_length->min, "min");
  bound(rule.prefix_length->max, "max");
}

void check_filter(Context& ctx, const std::string& path, const std::vector<BgpFilterRule>& rules,
                  Family family) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const auto& rule = rules[i];
    const std::string at = indexed(path, i);
    check_prefix_match(ctx, at, rule, family);
    check_operations(ctx, at, rule);
    if (!rule.interface.empty() && !is_interface_name(rule.interface)) {
      ctx.fail(at + ".interface", rule.interface,
               "must be an interface's name (1 to 15 characters), '*' standing for any text");
    }
    if (!rule.communities) continue;
    const auto& values = rule.communities->values;
    if (values.size() != 1 || !is_community(values[0])) {
      ctx.fail(at + ".communities.values", values.empty() ? "" : values[0],
               "must be exactly one; it " + std::string(kCommunityRule));
    }
  }
}

}  // namespace

void check(Context& ctx, const BgpConfiguration& v) {
  const auto& s = v.spec;
  check_communities(ctx, s);
  check_password(ctx, "spec.nodeMeshPassword", s.node_mesh_password);
  if (s.node_to_node_mesh_enabled == false) {
    constexpr std::string_view kReason = "needs nodeToNodeMeshEnabled";
    if (s.node_mesh_password) ctx.fail("spec.nodeMeshPassword", "", kReason);
    if (!s.node_mesh_max_restart_time.empty()) {
      ctx.fail("spec.nodeMeshMaxRestartTime", s.node_mesh_max_restart_time, kReason);
    }
  }
  if (s.as_number && s.as_number->value() == 0) {
    ctx.fail("spec.asNumber", "0", "must be from 1 to 4294967295");
  }
  check_family(ctx, "spec.localWorkloadPeeringIPV4", s.local_workload_peering_ipv4, Family::v4);
  check_family(ctx, "spec.localWorkloadPeeringIPV6", s.local_workload_peering_ipv6, Family::v6);
  for (std::size_t i = 0; i < s.ignored_interfaces.size(); ++i) {
    const std::string& name = s.ignored_interfaces[i];
    if (name != "*" && is_interface_name(name)) continue;
    ctx.fail(indexed("spec.ignoredInterfaces", i), name,
             "must be an interface's name or a pattern, but not '*' alone");
  }
}

void check(Context& ctx, const BgpPeer& v) {
  const auto& s = v.spec;
  if (!s.node.empty() && !s.node_selector.empty()) {
    ctx.fail("spec.node", s.node, "node and nodeSelector cannot both be set");
  }
  if (s.keep_original_next_hop && !s.next_hop_mode.empty()) {
    ctx.fail("spec.keepOriginalNextHop", "true", "excludes nextHopMode");
  }
  if (s.local_as_number && s.local_as_number->value() == 0) {
    ctx.fail("spec.localASNumber", "0", "must be from 1 to 4294967295");
  }
  check_remote(ctx, s);
  check_ours(ctx, s);
  check_password(ctx, "spec.password", s.password);
}

void check(Context& ctx, const BgpFilter& v) {
  check_filter(ctx, "spec.exportV4", v.spec.export_v4, Family::v4);
  check_filter(ctx, "spec.importV4", v.spec.import_v4, Family::v4);
  check_filter(ctx, "spec.exportV6", v.spec.export_v6, Family::v6);
  check_filter(ctx, "spec.importV6", v.spec.import_v6, Family::v6);
}

}  // namespace margay::model::codec
