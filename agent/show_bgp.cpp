// SPDX-License-Identifier: Apache-2.0
// What BGP shows: peers, routes, why they are as they are, and metrics by peer.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/show.h"
#include "agent/show_state.h"

namespace margay::agent {
namespace {

using show::Json;
using show::state;

std::string_view name_of(bgp::PeerType type) {
  switch (type) {
    case bgp::PeerType::mesh:
      return "node-to-node mesh";
    case bgp::PeerType::node:
      return "node specific";
    case bgp::PeerType::global:
      return "global";
    case bgp::PeerType::local_workload:
      return "local workload";
  }
  return "";
}

// As RFC 4273 numbers them (bgpPeerState).
int number_of(std::string_view fsm) {
  static constexpr std::pair<std::string_view, int> kStates[] = {
      {"Idle", 1},     {"Connect", 2},     {"Active", 3},     {"Passive", 3},
      {"OpenSent", 4}, {"OpenConfirm", 5}, {"Established", 6}};
  const auto* it = std::ranges::find(kStates, fsm, [](const auto& s) { return s.first; });
  return it == std::end(kStates) ? 0 : it->second;
}

Json json_of(const bgp::RouteStatus& r) {
  return {{"prefix", r.prefix.to_string()},
          {"nextHop", r.next_hop.is_any() ? std::string() : r.next_hop.to_string()},
          {"peer", r.peer},
          {"best", r.best},
          {"multipath", r.multipath},
          {"stale", r.stale},
          {"asPath", r.as_path},
          {"localPref", r.local_pref},
          {"med", r.med},
          {"communities", r.communities},
          {"pathId", r.path_id},
          {"why", r.why}};
}

Json json_of(const std::vector<bgp::RouteStatus>& routes) {
  Json out = Json::array();
  for (const auto& r : routes) out.push_back(json_of(r));
  return out;
}

class Page {
 public:
  void begin(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_ += "# HELP " + name_ + " " + std::string(help) + "\n# TYPE " + name_ + " " +
             std::string(type) + "\n";
  }
  void add(const bgp::PeerStatus& peer, std::uint64_t value, std::string_view more = {}) {
    text_ += name_ + "{peer=\"" + peer.name + "\"" + std::string(more) + "} " +
             std::to_string(value) + "\n";
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string name_, text_;
};

std::string label_value(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

}  // namespace

std::string show_bgp(const bgp::SpeakerStatus& s) {
  std::size_t up = 0;
  std::string error = s.listen_error;
  for (const auto& p : s.peers) {
    const bool is_up = p.state == "up";
    up += is_up ? 1U : 0U;
    if (!is_up && error.empty()) error = p.name + ": " + p.info;
  }
  const std::size_t all = s.peers.size();
  Json out = state({{"establishedPeers", all}, {"listeners", 1}},
                   {{"establishedPeers", up}, {"listeners", s.listening ? 1 : 0}},
                   up < all || !s.listening || !s.initial_sync, std::move(error));
  out["routerId"] = to_string(s.router_id);
  out["localAs"] = s.local_as.value();
  out["listening"] = s.listening;
  out["listenError"] = s.listen_error;
  out["initialSync"] = s.initial_sync;
  out["prefixes"] = s.prefixes;
  out["peers"] = Json::array();
  for (const auto& p : s.peers) {
    Json families = Json::array();
    for (const Family f : p.families) families.push_back(f == Family::v4 ? "IPv4" : "IPv6");
    out["peers"].push_back({{"name", p.name},
                            {"type", name_of(p.type)},
                            {"address", p.address.to_string()},
                            {"port", p.port},
                            {"remoteAs", p.remote_as.value()},
                            {"state", p.state},
                            {"since", std::chrono::system_clock::to_time_t(p.since)},
                            {"info", p.info},
                            {"fsm", p.fsm},
                            {"lastError", p.last_error},
                            {"families", std::move(families)},
                            {"holdTime", p.hold.count()},
                            {"gracefulRestart", p.graceful},
                            {"gracefulNotification", p.graceful_notification},
                            {"established", p.counters.established},
                            {"lost", p.counters.lost},
                            {"messagesIn", p.counters.messages_in},
                            {"messagesOut", p.counters.messages_out},
                            {"updatesIn", p.counters.updates_in},
                            {"updatesOut", p.counters.updates_out},
                            {"prefixesIn", p.counters.prefixes_in},
                            {"prefixesAccepted", p.counters.prefixes_accepted},
                            {"prefixesOut", p.counters.prefixes_out}});
  }
  return out.dump();
}

std::string show_bgp_routes(const bgp::SpeakerStatus& s,
                            const std::vector<bgp::RouteStatus>& routes) {
  const auto best = std::ranges::count_if(routes, [](const auto& r) { return r.best; });
  // A destination without a best path has none that may be used.
  Json out = state({{"destinations", s.prefixes}}, {{"destinations", best}}, !s.initial_sync, "");
  out["routes"] = json_of(routes);
  return out.dump();
}

std::string show_bgp_explanation(const std::optional<bgp::RouteExplanation>& e) {
  if (!e) return "{}";
  Json out;
  out["prefix"] = e->prefix.to_string();
  out["paths"] = json_of(e->paths);
  Json hops = Json::array();
  for (const Ip& hop : e->kernel) hops.push_back(hop.to_string());
  out["kernel"] = {{"nextHops", std::move(hops)}, {"why", e->kernel_why}};
  out["peers"] = Json::array();
  for (const auto& t : e->peers) {
    out["peers"].push_back({{"peer", t.peer}, {"told", json_of(t.paths)}, {"why", t.why}});
  }
  return out.dump();
}

std::string bgp_peer_metrics(const bgp::SpeakerStatus& s) {
  Page page;
  const auto each = [&](std::string_view name, std::string_view type, std::string_view help,
                        auto&& add) {
    page.begin(name, type, help);
    for (const auto& p : s.peers) add(p);
  };
  using Peer = bgp::PeerStatus;
  each("margay_bgp_peer_up", "gauge", "1 while the session is established.",
       [&](const Peer& p) { page.add(p, p.state == "up" ? 1 : 0); });
  each("margay_bgp_peer_state", "gauge",
       "State of the session: 1 idle, 2 connect, 3 active, 4 open sent, 5 open confirm, 6 "
       "established.",
       [&](const Peer& p) { page.add(p, static_cast<std::uint64_t>(number_of(p.fsm))); });
  each("margay_bgp_peer_prefixes", "gauge",
       "Prefixes held: received, of these accepted, and advertised.", [&](const Peer& p) {
         page.add(p, p.counters.prefixes_in, ",kind=\"received\"");
         page.add(p, p.counters.prefixes_accepted, ",kind=\"accepted\"");
         page.add(p, p.counters.prefixes_out, ",kind=\"advertised\"");
       });
  each("margay_bgp_peer_messages_total", "counter", "Messages.", [&](const Peer& p) {
    page.add(p, p.counters.messages_in, ",direction=\"in\"");
    page.add(p, p.counters.messages_out, ",direction=\"out\"");
  });
  each("margay_bgp_peer_established_total", "counter", "How often the session came up.",
       [&](const Peer& p) { page.add(p, p.counters.established); });
  each("margay_bgp_peer_lost_total", "counter", "How often the session ended.",
       [&](const Peer& p) { page.add(p, p.counters.lost); });
  each("margay_bgp_peer_last_error", "gauge", "1, with what the session last failed of.",
       [&](const Peer& p) {
         if (!p.last_error.empty()) page.add(p, 1, ",error=\"" + label_value(p.last_error) + "\"");
       });
  return page.take();
}

}  // namespace margay::agent
