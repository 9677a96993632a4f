// SPDX-License-Identifier: Apache-2.0
#include "agent/show.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/show_state.h"
#include "base/wall_clock.h"

namespace margay::agent {
namespace {

using show::Json;
using show::state;

double age(Clock::time_point then, Clock::time_point now) {
  return static_cast<double>(
             std::chrono::duration_cast<std::chrono::milliseconds>(now - then).count()) /
         1000;
}

Json counts(const nft::Holding& h) {
  return {{"chains", h.chains}, {"rules", h.rules}, {"sets", h.sets}, {"elements", h.elements}};
}

}  // namespace

std::string show_policy(const managers::PolicyStatus& s,
                        const managers::PolicyPlane::Holdings& holdings, Clock::time_point now) {
  std::string error = s.last_error;
  if (error.empty() && !s.quarantined.empty()) error = s.quarantined.front();
  Json out = state(counts(holdings.want), counts(holdings.have), s.pending, std::move(error));
  out["inSync"] = s.in_sync;
  out["applied"] = s.applied;
  out["quarantined"] = s.quarantined;
  out["failsClosed"] = s.fails_closed;
  out["repairs"] = s.repairs;
  if (s.behind_since) out["behindSeconds"] = age(*s.behind_since, now);
  if (s.applied) out["lastApplySecondsAgo"] = age(s.last_apply, now);
  return out.dump();
}

std::string show_foreign(const managers::PolicyStatus& s) {
  Json dropping = Json::array(), others = Json::array();
  std::string error;
  for (const foreign::Drop& d : s.foreign) {
    Json chain{{"chain", foreign::describe(d)},
               {"hook", foreign::to_string(d.hook)},
               {"by", d.by},
               {"drops", d.drops},
               {"accepted", d.spared}};
    if (!d.remedy.empty()) chain["remedy"] = d.remedy;
    if (!d.error.empty()) chain["error"] = d.error;
    if (error.empty()) error = d.error;
    (d.drops.empty() ? others : dropping).push_back(std::move(chain));
  }
  Json out = state({{"droppingChains", 0}}, {{"droppingChains", dropping.size()}}, false, error);
  out["dropping"] = std::move(dropping);
  out["harmless"] = std::move(others);
  return out.dump();
}

std::string show_routes(const dataplane::RoutePlaneStatus& s,
                        const std::vector<dataplane::InterfaceState>& interfaces,
                        Clock::time_point now) {
  const auto side = [&s](std::size_t routes,
                         std::size_t dataplane::RoutePlaneStatus::Pair::*which) {
    return Json{{"routes", routes},
                {"tunnels", s.tunnels.*which},
                {"neighbours", s.neighbours.*which},
                {"fdb", s.fdb.*which},
                {"sysctls", s.sysctls.*which}};
  };
  std::string error = s.last_error;
  if (error.empty() && !s.failures.empty()) {
    error = s.failures.front().object + ": " + s.failures.front().reason;
  }
  Json out = state(side(s.routes_wanted, &dataplane::RoutePlaneStatus::Pair::want),
                   side(s.routes_installed, &dataplane::RoutePlaneStatus::Pair::have),
                   s.pending > 0, std::move(error));
  out["inSync"] = s.desired_in_sync;
  out["applied"] = s.applied;
  out["queued"] = s.pending;
  out["bgp"] = s.bgp_routes;
  out["bgpUnresolved"] = s.bgp_unresolved;
  out["repairs"] = s.repairs;
  out["resyncs"] = s.resyncs;
  out["failing"] = s.failing;
  if (s.behind_since) out["behindSeconds"] = age(*s.behind_since, now);
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
    out +=
        "; what was in force at " + wall_clock::utc_ago(now - *s.stale_since) + " stays in force";
  }
  if (!s.warning.empty()) out += (out.empty() ? "" : "; ") + s.warning;
  return out;
}

std::string store_detail(const std::optional<datastore::StoreFailing>& failing,
                         Clock::time_point now) {
  if (!failing) return {};
  return "no write possible since " + wall_clock::utc_ago(now - failing->since) + ": " +
         failing->error.message() + "; what was in force stays in force";
}

std::string show_store(const datastore::SqliteStats& s, Clock::time_point now) {
  Json out = state({{"writable", true}}, {{"writable", !s.failing}}, s.failing.has_value(),
                   s.failing ? s.failing->error.message() : std::string());
  out["revision"] = s.revision.value();
  out["oldest"] = s.oldest.value();
  out["writes"] = s.writes;
  out["commits"] = s.commits;
  out["failedCommits"] = s.failed_commits;
  out["detail"] = store_detail(s.failing, now);
  return out.dump();
}

namespace {
std::string_view view_of(const sync::Status& s) {
  if (!s.in_sync) return "none yet";
  return s.stale_since ? "older" : "newest";
}
}  // namespace

std::string show_sync(const sync::Status& s, Clock::time_point now) {
  const std::string server = s.connected ? s.endpoint : std::string();
  Json out = state({{"server", s.endpoint}, {"view", "newest"}},
                   {{"server", server}, {"view", view_of(s)}},
                   !s.connected || !s.in_sync || s.stale_since.has_value(), s.error);
  out["connected"] = s.connected;
  out["inSync"] = s.in_sync;
  out["sinceSecondsAgo"] = age(s.since, now);
  out["revision"] = s.revision.value();
  out["storeId"] = s.store_id;
  out["endpoint"] = s.endpoint;
  out["error"] = s.error;
  out["warning"] = s.warning;
  out["detail"] = sync_detail(s, s.in_sync, now);
  out["connects"] = s.connects;
  out["snapshots"] = s.snapshots;
  out["updates"] = s.updates;
  if (s.stale_since) {
    out["staleSince"] = wall_clock::utc_ago(now - *s.stale_since);
    out["staleSeconds"] = age(*s.stale_since, now);
  }
  return out.dump();
}

std::string show_calc(const calc::Counts& c, const Border& border,
                      const std::vector<bgp::Problem>& bgp_problems, bool pending) {
  std::string error = border.summary();
  if (error.empty() && !bgp_problems.empty()) {
    error = bgp_problems.front().object + ": " + bgp_problems.front().text;
  }
  Json out = state({{"invalidObjects", 0}, {"bgpProblems", 0}},
                   {{"invalidObjects", border.kept() + border.never_valid()},
                    {"bgpProblems", bgp_problems.size()}},
                   pending, std::move(error));
  out["policies"] = c.policies;
  out["activePolicies"] = c.active_policies;
  out["activeProfiles"] = c.active_profiles;
  out["tiers"] = c.tiers;
  out["endpoints"] = c.endpoints;
  out["localEndpoints"] = c.local_endpoints;
  out["activeSets"] = c.active_sets;
  out["setMembers"] = c.set_members;
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

std::string show_config(const config::Config& config) {
  const std::size_t waiting = config.waiting().size();
  const std::size_t all = static_cast<std::size_t>(std::ranges::count_if(
      config::parameters(), [](const auto& p) { return p.effect != config::Effect::refused; }));
  const auto wrong = std::ranges::find(config.problems(), false, &config::Problem::refused);
  Json out = state({{"parameters", all}}, {{"parameters", all - waiting}}, waiting > 0,
                   wrong == config.problems().end() ? std::string() : wrong->message);
  out["parameters"] = Json::array();
  out["problems"] = Json::array();
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
