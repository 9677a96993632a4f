// SPDX-License-Identifier: Apache-2.0
#include "agent/show.h"

#include <ctime>
#include <nlohmann/json.hpp>

namespace margay::agent {
namespace {

using Json = nlohmann::ordered_json;

double age(Clock::time_point then, Clock::time_point now) {
  return std::chrono::duration<double>(now - then).count();
}

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

}  // namespace

std::string show_policy(const managers::PolicyStatus& s, Clock::time_point now) {
  Json out{{"inSync", s.in_sync},
           {"applied", s.applied},
           {"pending", s.pending},
           {"lastError", s.last_error},
           {"quarantined", s.quarantined},
           {"failsClosed", s.fails_closed},
           {"chains", s.chains},
           {"rules", s.rules},
           {"sets", s.sets},
           {"elements", s.elements},
           {"repairs", s.repairs}};
  if (s.applied) out["lastApplySecondsAgo"] = age(s.last_apply, now);
  return out.dump();
}

std::string show_foreign(const managers::PolicyStatus& s) {
  Json dropping = Json::array(), others = Json::array();
  for (const foreign::Drop& d : s.foreign) {
    Json chain{{"chain", foreign::describe(d)},
               {"hook", foreign::to_string(d.hook)},
               {"by", d.by},
               {"drops", d.drops},
               {"accepted", d.spared}};
    if (!d.remedy.empty()) chain["remedy"] = d.remedy;
    if (!d.error.empty()) chain["error"] = d.error;
    (d.drops.empty() ? others : dropping).push_back(std::move(chain));
  }
  return Json{{"dropping", dropping}, {"harmless", others}}.dump();
}

std::string show_routes(const dataplane::RoutePlaneStatus& s,
                        const std::vector<dataplane::InterfaceState>& interfaces,
                        Clock::time_point now) {
  Json out{{"inSync", s.desired_in_sync},
           {"applied", s.applied},
           {"pending", s.pending},
           {"wanted", s.routes_wanted},
           {"installed", s.routes_installed},
           {"bgp", s.bgp_routes},
           {"bgpUnresolved", s.bgp_unresolved},
           {"neighbours", s.neighbours},
           {"fdb", s.fdb_entries},
           {"repairs", s.repairs},
           {"resyncs", s.resyncs},
           {"failing", s.failing}};
  if (s.last_apply) out["lastApplySecondsAgo"] = age(*s.last_apply, now);
  out["failures"] = Json::array();
  for (const auto& f : s.failures) {
    out["failures"].push_back({{"object", f.object},
                               {"errno", f.sys_errno},
                               {"reason", f.reason},
                               {"attempts", f.attempts}});
  }
  out["interfaces"] = Json::array();
  for (const auto& i : interfaces) {
    Json addresses = Json::array();
    for (const auto& a : i.addresses) addresses.push_back(a.to_string());
    out["interfaces"].push_back({{"name", i.name},
                                 {"up", i.up},
                                 {"running", i.running},
                                 {"mtu", i.mtu},
                                 {"addresses", addresses}});
  }
  return out.dump();
}

std::chrono::system_clock::time_point wall_time(Clock::time_point then, Clock::time_point now) {
  return std::chrono::system_clock::now() -
         std::chrono::duration_cast<std::chrono::system_clock::duration>(now - then);
}

std::string utc(std::chrono::system_clock::time_point when) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::string out(32, '\0');
  out.resize(std::strftime(out.data(), out.size(), "%Y-%m-%dT%H:%M:%SZ", &parts));
  return out;
}

std::string sync_detail(const sync::Status& s, bool in_sync_once, Clock::time_point now) {
  std::string out;
  if (!s.connected) {
    out = s.endpoint + ": not connected" + (s.error.empty() ? "" : ": " + s.error);
  } else if (!in_sync_once) {
    out = s.endpoint + ": receiving the first view";
  } else if (s.stale_since) {
    out = s.endpoint + ": " +
          (s.behind.empty() ? "receiving what was missed" : "cut off: " + s.behind);
  }
  if (in_sync_once && s.stale_since) {
    out += "; what was in force at " + utc(wall_time(*s.stale_since, now)) + " stays in force";
  }
  if (!s.warning.empty()) out += (out.empty() ? "" : "; ") + s.warning;
  return out;
}

std::string store_detail(const std::optional<datastore::StoreFailing>& failing,
                         Clock::time_point now) {
  if (!failing) return {};
  return "no write possible since " + utc(wall_time(failing->since, now)) + ": " +
         failing->error.message() + "; what was in force stays in force";
}

std::string show_store(const datastore::SqliteStats& s, Clock::time_point now) {
  return Json{{"revision", s.revision.value()},
              {"oldest", s.oldest.value()},
              {"writes", s.writes},
              {"commits", s.commits},
              {"failedCommits", s.failed_commits},
              {"lastError", s.failing ? s.failing->error.message() : std::string()},
              {"detail", store_detail(s.failing, now)}}
      .dump();
}

std::string show_sync(const sync::Status& s, Clock::time_point now) {
  Json out{{"connected", s.connected},
           {"inSync", s.in_sync},
           {"sinceSecondsAgo", age(s.since, now)},
           {"revision", s.revision.value()},
           {"storeId", s.store_id},
           {"endpoint", s.endpoint},
           {"error", s.error},
           {"warning", s.warning},
           {"detail", sync_detail(s, s.in_sync, now)},
           {"connects", s.connects},
           {"snapshots", s.snapshots},
           {"updates", s.updates}};
  if (s.stale_since) {
    out["staleSince"] = utc(wall_time(*s.stale_since, now));
    out["staleSeconds"] = age(*s.stale_since, now);
  }
  return out.dump();
}

std::string show_calc(const calc::Counts& c, const Border& border,
                      const std::vector<bgp::Problem>& bgp_problems) {
  Json out{{"policies", c.policies},
           {"activePolicies", c.active_policies},
           {"activeProfiles", c.active_profiles},
           {"tiers", c.tiers},
           {"endpoints", c.endpoints},
           {"localEndpoints", c.local_endpoints},
           {"activeSets", c.active_sets},
           {"setMembers", c.set_members}};
  out["detail"] = border.summary();
  out["invalid"] = Json::array();
  for (const auto& [key, invalid] : border.invalid()) {
    out["invalid"].push_back({{"object", model::describe(key)},
                              {"inForce", to_string(invalid.effect)},
                              {"reason", invalid.reason}});
  }
  out["bgpProblems"] = Json::array();
  for (const auto& p : bgp_problems) {
    out["bgpProblems"].push_back({{"object", p.object}, {"reason", p.text}});
  }
  return out.dump();
}

std::string show_bgp(const bgp::SpeakerStatus& s) {
  Json out{{"routerId", to_string(s.router_id)}, {"localAs", s.local_as.value()},
           {"listening", s.listening},           {"listenError", s.listen_error},
           {"initialSync", s.initial_sync},      {"prefixes", s.prefixes}};
  out["peers"] = Json::array();
  for (const auto& p : s.peers) {
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
                            {"established", p.counters.established},
                            {"messagesIn", p.counters.messages_in},
                            {"messagesOut", p.counters.messages_out},
                            {"prefixesIn", p.counters.prefixes_in},
                            {"prefixesAccepted", p.counters.prefixes_accepted},
                            {"prefixesOut", p.counters.prefixes_out}});
  }
  return out.dump();
}

std::string show_bgp_routes(const std::vector<bgp::RouteStatus>& routes) {
  Json out = Json::array();
  for (const auto& r : routes) {
    out.push_back({{"prefix", r.prefix.to_string()},
                   {"nextHop", r.next_hop.to_string()},
                   {"peer", r.peer},
                   {"best", r.best},
                   {"stale", r.stale},
                   {"asPath", r.as_path},
                   {"localPref", r.local_pref},
                   {"med", r.med},
                   {"communities", r.communities}});
  }
  return out.dump();
}

std::string show_config(const config::Config& config) {
  Json out{{"parameters", Json::array()}, {"problems", Json::array()}};
  for (const config::Parameter& p : config::parameters()) {
    if (p.effect == config::Effect::refused) continue;
    out["parameters"].push_back({{"name", p.name},
                                 {"value", config.text(p.name)},
                                 {"source", config::to_string(config.source(p.name))}});
  }
  for (const config::Problem& p : config.problems()) out["problems"].push_back(p.message);
  out["restartNeeded"] = Json::array();
  for (const config::Waiting& w : config.waiting()) {
    out["restartNeeded"].push_back(
        {{"name", w.name}, {"value", config.text(w.name)}, {"configured", w.configured}});
  }
  return out.dump();
}

}  // namespace margay::agent
