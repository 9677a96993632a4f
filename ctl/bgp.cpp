// SPDX-License-Identifier: Apache-2.0
// `bgp neighbors` and `bgp routes`: what the speaker of this node's agent knows, and why.
#include "ctl/bgp.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "ctl/agent.h"
#include "ctl/commands.h"
#include "ctl/print.h"

namespace margay::ctl {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string number(const Json& object, const char* key) {
  return std::to_string(object.value(key, std::uint64_t{0}));
}

std::string or_dash(std::string text) { return text.empty() ? "-" : text; }

std::string text_of(const Json& object, const char* key) {
  return or_dash(object.value(key, std::string()));
}

std::string joined(const Json& list) {
  std::string out;
  for (const Json& item : list) out += (out.empty() ? "" : " ") + item.get<std::string>();
  return or_dash(std::move(out));
}

// As in `show ip bgp`: what is used, and what else there is.
std::string mark(const Json& route) {
  std::string out = route.value("best", false) ? "*" : route.value("multipath", false) ? "=" : " ";
  return out + (route.value("stale", false) ? "S" : "");
}

std::vector<std::string> row(const Json& route) {
  std::string from = route.value("peer", std::string());
  if (from.empty()) from = "this node";
  return {mark(route) + " " + route.value("prefix", std::string()),
          text_of(route, "nextHop"),
          std::move(from),
          number(route, "localPref"),
          number(route, "med"),
          text_of(route, "asPath"),
          joined(route.value("communities", Json::array())),
          text_of(route, "why")};
}

const std::vector<std::string> kRouteHeader = {"  PREFIX", "NEXT HOP", "FROM",        "LOCALPREF",
                                               "MED",      "AS PATH",  "COMMUNITIES", "WHY NOT"};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_';
    static constexpr std::string_view kDigits = "0123456789ABCDEF";
    const auto byte = static_cast<unsigned char>(c);
    if (plain) {
      out += c;
    } else {
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

Result<bool> wants_json(const Invocation& call) {
  const std::string output = call.value("output");
  if (output.empty() || output == "json") return output == "json";
  return make_error(Code::invalid, "unrecognized output format '" + output + "'");
}

Result<void> no_more_than_one_word(const Invocation& call) {
  if (call.words.size() <= 1) return {};
  return make_error(Code::invalid, "unexpected argument '" + call.words[1] + "'");
}

Result<void> explain(const Invocation& call, bool json) {
  if (call.words.empty()) {
    return make_error(Code::invalid, "--explain: an address or prefix must be given");
  }
  MARGAY_TRY(const Json answer,
             ask_agent(call, "/v1/show/bgp-routes?explain=" + escaped(call.words[0])));
  if (answer.empty()) return make_error(Code::not_found, call.words[0] + ": not known to BGP");
  std::cout << (json ? answer.dump(2) + "\n" : explanation_text(answer));
  return {};
}

}  // namespace

std::string neighbors_table(const Json& bgp, const std::string& only) {
  Rows rows{{"NEIGHBOR", "TYPE", "AS", "STATE", "SINCE", "RECEIVED", "ACCEPTED", "ADVERTISED",
             "MESSAGES", "INFO"}};
  for (const Json& p : bgp.value("peers", Json::array())) {
    const std::string address = peer_address(p);
    if (!only.empty() && only != address && only != p.value("address", "") &&
        only != p.value("name", "")) {
      continue;
    }
    rows.push_back({address, p.value("type", ""), number(p, "remoteAs"), p.value("state", ""),
                    since(p.value("since", std::time_t{0})), number(p, "prefixesIn"),
                    number(p, "prefixesAccepted"), number(p, "prefixesOut"),
                    number(p, "messagesIn") + "/" + number(p, "messagesOut"), p.value("info", "")});
  }
  return plain_table(rows);
}

std::string routes_table(const Json& routes) {
  Rows rows{kRouteHeader};
  for (const Json& r : routes) rows.push_back(row(r));
  return plain_table(rows);
}

std::string explanation_text(const Json& e) {
  const auto array = [](const Json& object, const char* key) {
    return object.value(key, Json::array());
  };
  std::string out = routes_table(array(e, "paths"));
  const Json kernel = e.value("kernel", Json::object());
  const Json hops = array(kernel, "nextHops");
  out +=
      "Kernel: " + (hops.empty() ? "none, " + kernel.value("why", std::string()) : joined(hops)) +
      "\n\n";
  Rows rows{{"PEER", "IS TOLD", "AS PATH", "WHY NOT"}};
  for (const Json& peer : array(e, "peers")) {
    const std::string name = peer.value("peer", std::string());
    const Json told = array(peer, "told");
    if (told.empty()) rows.push_back({name, "nothing", "-", peer.value("why", std::string())});
    for (const Json& r : told) {
      rows.push_back({name, "via " + r.value("nextHop", std::string()), text_of(r, "asPath"), "-"});
    }
  }
  return out + plain_table(rows);
}

Result<void> run_bgp_neighbors(const Invocation& call) {
  MARGAY_TRY(const bool json, wants_json(call));
  MARGAY_CHECK(no_more_than_one_word(call));
  MARGAY_TRY(Json bgp, ask_agent(call, "/v1/show/bgp"));
  const std::string only = call.words.empty() ? "" : call.words[0];
  if (!json) {
    std::cout << neighbors_table(bgp, only);
    return {};
  }
  Json peers = Json::array();
  for (const Json& p : bgp.value("peers", Json::array())) {
    if (only.empty() || only == p.value("name", "") || only == p.value("address", "")) {
      peers.push_back(p);
    }
  }
  std::cout << peers.dump(2) << "\n";
  return {};
}

Result<void> run_bgp_routes(const Invocation& call) {
  MARGAY_TRY(const bool json, wants_json(call));
  MARGAY_CHECK(no_more_than_one_word(call));
  if (call.has("received") && call.has("advertised")) {
    return make_error(Code::invalid, "--received and --advertised exclude each other");
  }
  if (call.has("explain")) return explain(call, json);
  std::string target = "/v1/show/bgp-routes?";
  for (const char* view : {"received", "advertised"}) {
    if (!call.has(view)) continue;
    target += std::string("view=") + view + "&peer=" + escaped(call.value(view)) + "&";
  }
  if (!call.words.empty()) target += "prefix=" + escaped(call.words[0]);
  MARGAY_TRY(const Json answer, ask_agent(call, target));
  const Json routes = answer.value("routes", Json::array());
  std::cout << (json ? routes.dump(2) + "\n" : routes_table(routes));
  return {};
}

}  // namespace margay::ctl
