// SPDX-License-Identifier: Apache-2.0
// Commands that ask the agent of this node over its local API: node status; and version.
#include <chrono>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/http/http.h"
#include "base/ip.h"
#include "ctl/agent.h"
#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/connection.h"
#include "ctl/print.h"
#include "ctl/version.h"

namespace margay::ctl {
namespace {

std::string peers_table(const Json& bgp, Family family) {
  std::vector<std::vector<std::string>> rows{
      {"PEER ADDRESS", "PEER TYPE", "STATE", "SINCE", "INFO"}};
  for (const Json& peer : bgp.value("peers", Json::array())) {
    const auto ip = Ip::parse(peer.value("address", ""));
    if (!ip.ok() || ip->family() != family || peer.value("type", "") == "local workload") continue;
    rows.push_back({peer_address(peer), peer.value("type", ""), peer.value("state", ""),
                    since(peer.value("since", std::time_t{0})), peer.value("info", "")});
  }
  const std::string name = family == Family::v4 ? "IPv4" : "IPv6";
  if (rows.size() == 1) return name + " BGP status\nNo " + name + " peers found.\n";
  return name + " BGP status\n" + boxed_table(rows);
}

// What other software's packet filters drop of this node's; nothing when there is nothing to say.
std::string foreign_warnings(const Json& foreign) {
  std::string out;
  for (const Json& d : foreign.value("dropping", Json::array())) {
    std::string what;
    for (const Json& w : d.value("drops", Json::array())) {
      what += (what.empty() ? "" : ", ") + w.get<std::string>();
    }
    out += "  " + d.value("chain", "") + " drops " + what + " (" + d.value("by", "") + ")\n";
    if (d.contains("error"))
      out += "    accepts could not be put there: " + d.value("error", "") + "\n";
    out += "    remedy: " + d.value("remedy", "") + "\n";
  }
  return out.empty() ? "" : "\nWARNING: other software drops packets of this node.\n" + out;
}

// An old view of the datastore, one that cannot be written, objects that are not in effect as they
// are stored.
std::string troubles(const Invocation& call) {
  std::string out;
  for (const char* subsystem : {"sync", "calc", "datastore"}) {
    const auto shown = ask_agent(call, std::string("/v1/show/") + subsystem);
    const std::string detail = shown.ok() ? shown->value("detail", "") : std::string();
    if (!detail.empty()) out += std::string("\nWARNING: ") + subsystem + ": " + detail + "\n";
  }
  return out;
}

}  // namespace

Result<Json> ask_agent(const Invocation& call, const std::string& target) {
  static constexpr std::chrono::seconds kTimeout{10};
  const std::string socket = call.value("socket", "/run/margay/agent.sock");
  MARGAY_TRY(const http::Response r, http::request_unix(socket, "GET", target, "", kTimeout));
  if (r.status != 200) return make_error(Code::refused, r.body.substr(0, r.body.find('\n')));
  Json answer = Json::parse(r.body, nullptr, false);
  if (answer.is_discarded()) return make_error(Code::invalid, socket + ": the answer is not JSON");
  return answer;
}

Result<void> run_node_status(const Invocation& call) {
  const auto bgp = ask_agent(call, "/v1/show/bgp");
  if (!bgp.ok() && bgp.error().code == Code::unavailable) {
    std::cout << "Calico process is not running.\n";
    return make_error(Code::unavailable, bgp.error().message());
  }
  std::cout << "Calico process is running.\n";
  const auto foreign = ask_agent(call, "/v1/show/foreign");
  if (foreign.ok()) std::cout << foreign_warnings(*foreign);
  std::cout << troubles(call);
  if (!bgp.ok()) {
    std::cout << "The BGP backend process (BIRD) is not running.\n";
    return {};
  }
  std::cout << "\n"
            << peers_table(*bgp, Family::v4) << "\n"
            << peers_table(*bgp, Family::v6) << "\n";
  return {};
}

Result<void> run_version(const Invocation& call) {
  std::cout << "Client Version:    " << kVersion << "\n";
  MARGAY_TRY(const auto connection, connect(call));
  Client client(*connection->store);
  const auto info = client.get({model::Kind::cluster_information, "", "default"});
  if (!info.ok()) {
    return make_error(Code::unavailable,
                      "unable to retrieve Cluster Version or Type: " + info.error().message());
  }
  const auto field = [&](const char* path) {
    return info->value(Json::json_pointer(path), std::string("unknown"));
  };
  std::cout << "Cluster Version:   " << field("/spec/calicoVersion") << "\n"
            << "Cluster Type:      " << field("/spec/clusterType") << "\n";
  return {};
}

}  // namespace margay::ctl
