// SPDX-License-Identifier: Apache-2.0
// The peers of this node (spec bgp.md 4) and their parameters (5): the mesh, explicit peers, and
// the peerings that others' BGPPeers imply for us.
#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "bgp/intent/inputs.h"
#include "model/duration.h"
#include "model/selector.h"

namespace margay::bgp {
namespace {

using namespace std::chrono_literals;

std::string object_of(const model::BgpPeer& p) { return "BGPPeer(" + p.metadata.name + ")"; }

std::string in_name(const Ip& ip) {
  std::string s = ip.to_string();
  for (char& c : s) {
    if (c == '.' || c == ':') c = '_';
  }
  return s;
}

struct Target {
  Ip address;
  std::optional<std::uint16_t> port;
};

// "ip", "v4:port", "[v6]:port".
Result<Target> parse_target(std::string_view text) {
  std::string_view host = text, port;
  if (text.starts_with('[')) {
    const auto end = text.find("]:");
    if (end == text.npos) return make_error(Code::invalid, "'" + std::string(text) + "'");
    host = text.substr(1, end - 1);
    port = text.substr(end + 2);
  } else if (const auto colon = text.find(':');
             colon != text.npos && text.find(':', colon + 1) == text.npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  Target t;
  MARGAY_TRY(t.address, Ip::parse(host));
  if (port.empty()) return t;
  std::uint16_t n = 0;
  const auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), n);
  if (ec != std::errc{} || end != port.data() + port.size() || n == 0) {
    return make_error(Code::invalid, "'" + std::string(text) + "': port must be 1 to 65535");
  }
  t.port = n;
  return t;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::vector<unsigned char> out(text.size() / 4 * 3 + 1);
  const int n = EVP_DecodeBlock(
      out.data(), static_cast<const unsigned char*>(static_cast<const void*>(text.data())),
      static_cast<int>(text.size()));
  if (n < 0) return std::nullopt;
  std::size_t size = static_cast<std::size_t>(n);
  for (std::size_t i = text.size(); i > 0 && text[i - 1] == '=' && size > 0; --i) --size;
  return std::string(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(size));
}

class PeerMaker {
 public:
  PeerMaker(const Inputs& in, Problems& problems)
      : in_(in), problems_(problems), local_(*in.local()), local_as_(in.as_of(local_)) {}

  WorkloadGateways take_gateways() { return std::move(gateways_); }

  std::vector<PeerConfig> run() {
    for (const auto& [name, filter] : in_.filters) filters_[name] = make_filter(filter, problems_);
    // Which peer a key goes to: global ones first, then those of nodes, then reverse ones. A node
    // that a BGPPeer names is no mesh peer as well: two sessions between two addresses collide.
    for (const auto& [name, peer] : in_.peers) {
      if (is_global(peer.spec)) explicit_peer(peer, PeerType::global);
    }
    for (const auto& [name, peer] : in_.peers) {
      if (!is_global(peer.spec) && selects(peer.spec, local_)) explicit_peer(peer, PeerType::node);
    }
    for (const auto& [name, peer] : in_.peers) reverse(peer);
    mesh();
    const auto rank = [](const PeerConfig& p) { return p.type == PeerType::mesh ? 0 : 1; };
    std::stable_sort(out_.begin(), out_.end(),
                     [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
    return std::move(out_);
  }

 private:
  [[nodiscard]] std::optional<Ip> own(Family f) const {
    const auto a = address_of(local_, f);
    return a ? std::optional(a->addr) : std::nullopt;
  }
  static bool is_global(const model::BgpPeerSpec& s) {
    return s.node.empty() && s.node_selector.empty();
  }

  [[nodiscard]] bool matches(const std::string& selector, const model::Labels& labels,
                             const std::string& object) {
    auto parsed = model::Selector::parse(selector);
    if (!parsed) {
      problems_.add(object, "selector '" + selector + "': " + parsed.error().message());
      return false;
    }
    return parsed->matches(labels);
  }
  // The nodes that a BGPPeer configures: all of them when it names none.
  [[nodiscard]] bool selects(const model::BgpPeerSpec& s, const model::Node& node) {
    if (!s.node.empty()) return s.node == node.metadata.name;
    if (s.node_selector.empty()) return true;
    return matches(s.node_selector, node.metadata.labels, "nodeSelector");
  }
  [[nodiscard]] const model::Node* node_with(const Ip& address) const {
    for (const auto& [name, node] : in_.nodes) {
      const auto a = address_of(node, address.family());
      if (a && a->addr == address) return &node;
    }
    return nullptr;
  }

  // --- the mesh (4.1) ---

  void mesh() {
    const auto& global = in_.global();
    if (!global.node_to_node_mesh_enabled.value_or(true) || !cluster_id_of(local_).empty()) return;
    for (const auto& [name, node] : in_.nodes) {
      if (&node == &local_ || !cluster_id_of(node).empty()) continue;
      for (const Family f : kFamilies) {
        const auto mine = own(f);
        const auto theirs = address_of(node, f);
        if (!mine || !theirs || theirs->addr == *mine) continue;
        mesh_peer(node, *mine, theirs->addr);
      }
    }
  }

  void mesh_peer(const model::Node& node, const Ip& mine, const Ip& theirs) {
    PeerConfig p;
    p.name = "Mesh_" + in_name(theirs);
    p.type = PeerType::mesh;
    SessionConfig& s = p.session;
    s.address = theirs;
    s.port = in_.listen_port(node.metadata.name);
    s.local_as = local_as_;
    // Not the cluster's: a node without a number is taken to be in our own AS.
    s.remote_as = node.spec.bgp->as_number.value_or(local_as_);
    s.source = mine;
    // Exactly one side dials; Calico compares the texts, and so both kinds of node agree.
    s.passive = theirs.to_string() > mine.to_string();
    const auto& global = in_.global();
    s.timers = timers(global.node_mesh_max_restart_time, {}, {}, "BGPConfiguration(default)");
    if (global.node_mesh_password) password(*global.node_mesh_password, s);
    add(std::move(p), {theirs, s.port}, "Node(" + node.metadata.name + ")");
  }

  // --- explicit peers (4.2) ---

  void explicit_peer(const model::BgpPeer& peer, PeerType type) {
    const auto& spec = peer.spec;
    if (!spec.local_workload_selector.empty()) {
      workload_peers(peer);
    } else if (!spec.peer_selector.empty()) {
      for (const auto& [name, node] : in_.nodes) {
        if (&node == &local_) continue;
        if (!matches(spec.peer_selector, node.metadata.labels, object_of(peer))) continue;
        for (const Family f : transports(peer.spec, node)) {
          peer_with(peer, type, node, f, std::nullopt, in_.as_of(node));
        }
      }
    } else if (!spec.peer_ip.empty()) {
      address_peer(peer, type);
    }
  }

  void address_peer(const model::BgpPeer& peer, PeerType type) {
    const auto target = parse_target(peer.spec.peer_ip);
    if (!target) {
      problems_.add(object_of(peer), "spec.peerIP: " + target.error().message());
      return;
    }
    const auto mine = own(target->address.family());
    if (!mine || *mine == target->address) return;
    PeerConfig p = with_parameters(peer, type, target->address);
    const Asn remote = remote_as(peer.spec);
    p.session.remote_as = remote;
    const model::Node* node = node_with(target->address);
    std::uint16_t port = target->port.value_or(kBgpPort);
    if (!target->port && node != nullptr && in_.as_of(*node) == remote) {
      port = in_.listen_port(node->metadata.name);
    }
    p.session.port = port;
    if (node != nullptr && type == PeerType::global) {
      p.session.passive = target->address.to_string() > mine->to_string();
    }
    reflect(p, node);
    add(std::move(p), {target->address, port}, object_of(peer));
  }

  [[nodiscard]] Asn remote_as(const model::BgpPeerSpec& s) const {
    return s.as_number && s.as_number->value() != 0 ? *s.as_number : in_.cluster_as();
  }

  // Over which of the families that are possible there is a session: all of them, or with
  // addressFamilies the first of these alone, which then carries all that are named.
  template <typename Possible>
  [[nodiscard]] static std::vector<Family> transports_if(const model::BgpPeerSpec& s,
                                                         Possible possible) {
    std::vector<Family> out = families(s);
    if (out.empty()) out.assign(kFamilies.begin(), kFamilies.end());
    std::erase_if(out, [&](Family f) { return !possible(f); });
    if (!s.address_families.empty() && out.size() > 1) out.resize(1);
    return out;
  }
  [[nodiscard]] std::vector<Family> transports(const model::BgpPeerSpec& s,
                                               const model::Node& node) const {
    return transports_if(s, [&](Family f) { return own(f) && address_of(node, f); });
  }
  [[nodiscard]] static std::vector<Family> families(const model::BgpPeerSpec& s) {
    std::vector<Family> out;
    for (const auto& name : s.address_families) {
      out.push_back(name == "IPv4" ? Family::v4 : Family::v6);
    }
    return out;
  }

  void peer_with(const model::BgpPeer& peer, PeerType type, const model::Node& node, Family f,
                 std::optional<std::uint16_t> port, Asn remote) {
    const auto mine = own(f);
    const auto theirs = address_of(node, f);
    if (!mine || !theirs || theirs->addr == *mine) return;
    PeerConfig p = with_parameters(peer, type, theirs->addr);
    p.session.port = port.value_or(in_.listen_port(node.metadata.name));
    p.session.remote_as = remote;
    reflect(p, &node);
    const std::uint16_t used = p.session.port;
    add(std::move(p), {theirs->addr, used}, object_of(peer));
  }

  void workload_peers(const model::BgpPeer& peer) {  // 4.4
    for (const auto& [key, workload] : in_.local_workloads) {
      if (!matches(peer.spec.local_workload_selector, workload.metadata.labels, object_of(peer))) {
        continue;
      }
      const auto& networks = workload.spec.ip_networks;
      const auto first = [&](Family f) {
        return std::ranges::find(networks, f, [](const Prefix& p) { return p.family(); });
      };
      for (const Family f :
           transports_if(peer.spec, [&](Family x) { return first(x) != networks.end(); })) {
        const Ip address = first(f)->addr();
        PeerConfig p = with_parameters(peer, PeerType::local_workload, address);
        p.session.remote_as = remote_as(peer.spec);
        p.session.source.reset();
        p.session.passive = true;
        p.session.password.clear();
        p.session.ttl_security.reset();
        if (add(std::move(p), {address, kBgpPort}, object_of(peer))) meet(workload, f);
      }
    }
  }

  // Where the workload finds us.
  void meet(const model::WorkloadEndpoint& workload, Family f) {
    const auto& g = in_.global();
    const auto& gateway =
        f == Family::v4 ? g.local_workload_peering_ipv4 : g.local_workload_peering_ipv6;
    if (!gateway) return;
    gateways_[workload.spec.interface_name].insert(*gateway);
    if (g.bind_mode != "NodeIP") return;
    problems_.add("BGPConfiguration(default)", std::string("spec.localWorkloadPeeringIPV") +
                                                   (f == Family::v4 ? "4" : "6") +
                                                   ": with bindMode NodeIP nobody listens there");
  }

  // --- reverse peerings (4.3) ---

  void reverse(const model::BgpPeer& peer) {
    const auto& spec = peer.spec;
    if (spec.reverse_peering == "Manual" || !spec.local_workload_selector.empty()) return;
    std::optional<Family> only;
    if (!spec.peer_selector.empty()) {
      if (!matches(spec.peer_selector, local_.metadata.labels, object_of(peer))) return;
    } else {
      const auto target = parse_target(spec.peer_ip);
      if (!target) return;
      only = target->address.family();
      if (own(*only) != target->address || remote_as(spec) != local_as_) return;
      if (target->port && *target->port != in_.listen_port(local_.metadata.name)) return;
    }
    for (const auto& [name, node] : in_.nodes) {
      if (&node == &local_ || !selects(spec, node)) continue;
      // With localASNumber the other side speaks as that AS, so it is the one to expect.
      const Asn remote = spec.local_as_number.value_or(in_.as_of(node));
      for (const Family f : only ? std::vector{*only} : transports(spec, node)) {
        peer_with(without_local_as(peer), PeerType::node, node, f, std::nullopt, remote);
      }
    }
  }

  static model::BgpPeer without_local_as(model::BgpPeer peer) {
    peer.spec.local_as_number.reset();
    return peer;
  }

  // --- parameters (5) ---

  PeerConfig with_parameters(const model::BgpPeer& peer, PeerType type, const Ip& address) {
    const auto& spec = peer.spec;
    PeerConfig p;
    p.type = type;
    SessionConfig& s = p.session;
    s.address = address;
    s.local_as = spec.local_as_number.value_or(local_as_);
    if (spec.source_address != "None") s.source = own(address.family());
    if (spec.ttl_security && *spec.ttl_security > 0) {
      s.ttl_security = static_cast<unsigned>(*spec.ttl_security);
    }
    s.timers = timers(spec.max_restart_time, spec.hold_time, spec.keepalive_time, object_of(peer));
    s.timers.graceful_notification = spec.graceful_notification == "Enabled";
    if (spec.password) password(*spec.password, s);
    carry(spec, s, object_of(peer));
    p.prefix_limit = prefix_limit(spec, object_of(peer));
    p.allowed_local_as =
        static_cast<unsigned>(std::max(0, spec.num_allowed_local_as_numbers.value_or(0)));
    if (spec.next_hop_mode == "Self") {
      p.next_hop = NextHopMode::self;
    } else if (spec.next_hop_mode == "Keep") {
      p.next_hop = NextHopMode::keep;
    } else if (spec.keep_original_next_hop) {
      p.next_hop = NextHopMode::keep_external;
    }
    for (const auto& name : spec.filters) {
      // A filter that does not exist (yet) is skipped, as Calico does.
      if (const auto it = filters_.find(name); it != filters_.end())
        p.filters.push_back(it->second);
    }
    if (!spec.reachable_by.empty()) {
      auto gateway = Ip::parse(spec.reachable_by);
      if (gateway && gateway->family() == address.family()) {
        p.reachable_by = *gateway;
      } else {
        problems_.add(object_of(peer), "spec.reachableBy: '" + spec.reachable_by +
                                           "' must be an address of the peer's family");
      }
    }
    return p;
  }

  // What has no next hop is not carried: the other side could not reach it.
  void carry(const model::BgpPeerSpec& spec, SessionConfig& s, const std::string& object) {
    const Family over = s.address.family();
    const Family other = over == Family::v4 ? Family::v6 : Family::v4;
    s.families = families(spec);
    if (std::find(s.families.begin(), s.families.end(), other) == s.families.end()) return;
    s.other_next_hop = own(other);
    if (s.other_next_hop || other == Family::v4) return;
    std::erase(s.families, other);
    const std::string why =
        "no IPv6 routes with " + s.address.to_string() + ", as this node has no IPv6 address";
    problems_.add(object, "spec.addressFamilies: " + why);
    if (s.families.empty()) s.down_reason = why;
  }

  PrefixLimit prefix_limit(const model::BgpPeerSpec& spec, const std::string& object) {
    PrefixLimit out;
    out.count = static_cast<std::uint32_t>(std::max(0, spec.max_prefixes.value_or(0)));
    const std::string& restart = spec.max_prefixes_restart_time;
    if (restart.empty()) return out;
    out.restart = std::max(1s, seconds(restart, 1s, object, "maxPrefixesRestartTime"));
    return out;
  }

  void reflect(PeerConfig& p, const model::Node* remote) const {
    const std::string mine = cluster_id_of(local_);
    if (mine.empty() || p.session.remote_as != p.session.local_as) return;
    p.session.route_reflector_client = remote == nullptr || cluster_id_of(*remote) != mine;
  }

  std::chrono::seconds seconds(const std::string& text, std::chrono::seconds fallback,
                               const std::string& object, const char* field) {
    if (text.empty()) return fallback;
    const auto d = model::parse_duration(text);
    if (!d || *d < 0s) {
      problems_.add(object, std::string("spec.") + field + ": '" + text +
                                "' is not a duration like 120s or 2m");
      return fallback;
    }
    return std::chrono::round<std::chrono::seconds>(*d);
  }

  PeerTimers timers(const std::string& restart, const std::string& hold,
                    const std::string& keepalive, const std::string& object) {
    const auto& global = in_.global();
    const auto* node = in_.of_node(local_.metadata.name);
    const auto pick = [&](const std::string& own_value,
                          std::string model::BgpConfigurationSpec::*m) {
      if (!own_value.empty()) return own_value;
      return node != nullptr && !(node->*m).empty() ? node->*m : global.*m;
    };
    PeerTimers t;
    t.restart = seconds(restart, t.restart, object, "maxRestartTime");
    t.hold =
        seconds(pick(hold, &model::BgpConfigurationSpec::hold_time), t.hold, object, "holdTime");
    if (t.hold == 1s || t.hold == 2s || t.hold > 65535s) {
      problems_.add(object, "spec.holdTime: must be 0, or 3s to 65535s");
      t.hold = PeerTimers{}.hold;
    }
    t.keepalive = seconds(pick(keepalive, &model::BgpConfigurationSpec::keepalive_time),
                          t.keepalive, object, "keepaliveTime");
    return t;
  }

  // A session must not come up without the protection it should have.
  void password(const model::BgpPassword& p, SessionConfig& s) {
    if (!p.secret_key_ref) return;
    const auto& ref = *p.secret_key_ref;
    if (const auto file = in_.passwords.find({ref.name, ref.key}); file != in_.passwords.end()) {
      s.password = file->second;
      return;
    }
    const auto secret = in_.secrets.find(ref.name);
    if (secret != in_.secrets.end()) {
      if (const auto* plain = model::find_label(secret->second.string_data, ref.key)) {
        s.password = *plain;
      } else if (const auto* coded = model::find_label(secret->second.data, ref.key)) {
        s.password = from_base64(*coded).value_or("");
      }
    }
    if (s.password.empty()) {
      s.down_reason = "Password not available: Secret " + in_.options.secrets_namespace + "/" +
                      ref.name + " key " + ref.key;
      if (!in_.options.password_directory.empty()) {
        s.down_reason +=
            ", nor file " + in_.options.password_directory + "/" + ref.name + "/" + ref.key;
      }
    }
  }

  bool add(PeerConfig p, std::pair<Ip, std::uint16_t> key, const std::string& object) {
    if (p.name.empty()) {
      static constexpr std::pair<PeerType, const char*> kClasses[] = {
          {PeerType::node, "Node_"},
          {PeerType::global, "Global_"},
          {PeerType::local_workload, "Local_Workload_"}};
      for (const auto& [type, word] : kClasses) {
        if (type == p.type) p.name = word + in_name(key.first);
      }
      if (key.second != kBgpPort) p.name += "_port_" + std::to_string(key.second);
    }
    const auto [it, added] = taken_.emplace(key, object);
    if (!added) {
      if (it->second != object && p.type != PeerType::mesh) {
        problems_.add(object,
                      "peer " + key.first.to_string() + " is already defined by " + it->second);
      }
      return false;
    }
    if (p.session.remote_as.value() == 0) {
      problems_.add(object, "the AS number of the peer is 0");
      return false;
    }
    out_.push_back(std::move(p));
    return true;
  }

  const Inputs& in_;
  Problems& problems_;
  const model::Node& local_;
  Asn local_as_;
  std::map<std::string, std::shared_ptr<const Filter>> filters_;
  std::map<std::pair<Ip, std::uint16_t>, std::string> taken_;
  std::vector<PeerConfig> out_;
  WorkloadGateways gateways_;
};

}  // namespace

void make_peers(const Inputs& in, SpeakerConfig& out, Problems& problems) {
  PeerMaker maker(in, problems);
  out.peers = maker.run();
  out.workload_gateways = maker.take_gateways();
}

}  // namespace margay::bgp
