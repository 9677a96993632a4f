// SPDX-License-Identifier: Apache-2.0
// `show`: what the agent of this node holds, as tables or JSON.
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "ctl/agent.h"
#include "ctl/commands.h"
#include "ctl/print.h"

namespace margay::ctl {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (!value.is_array()) return value.dump();
  std::string out;
  for (const Json& item : value) out += (out.empty() ? "" : ",") + text(item);
  return out;
}

std::string text(const std::string& key, const Json& value) {
  return key == "since" && value.is_number() ? since(value.get<std::time_t>()) : text(value);
}

std::string or_dash(const std::string& s) { return s.empty() ? "-" : s; }

// A row for each key of `want`, beside what there is of it.
void print_sides(const Json& want, const Json& have) {
  Rows rows{{"OBJECT", "WANT", "HAVE"}};
  for (const auto& [key, value] : want.items()) {
    rows.push_back({key, or_dash(text(value)), or_dash(text(have.value(key, Json())))});
  }
  std::cout << plain_table(rows);
}

void print_list(const std::string& name, const Json& list) {
  std::cout << name << ":\n";
  if (!list.front().is_object()) {
    for (const Json& item : list) std::cout << text(item) << "\n";
    return;
  }
  std::vector<std::string> keys;
  std::set<std::string> known;
  for (const Json& item : list) {
    for (const auto& [key, value] : item.items()) {
      if (known.insert(key).second) keys.push_back(key);
    }
  }
  Rows rows(1);
  for (std::string key : keys) {
    for (char& c : key) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    rows[0].push_back(std::move(key));
  }
  for (const Json& item : list) {
    auto& row = rows.emplace_back();
    for (const std::string& key : keys)
      row.push_back(or_dash(text(key, item.value(key, Json("")))));
  }
  std::cout << plain_table(rows);
}

void print_subsystem(const Json& shown) {
  print_sides(shown.at("want"), shown.at("have"));
  Rows rows;
  for (const auto& [key, value] : shown.items()) {
    if (key == "want" || key == "have" || value.is_array()) continue;
    rows.push_back({key, or_dash(text(value))});
  }
  std::cout << plain_table(rows);
  for (const auto& [key, value] : shown.items()) {
    if (value.is_array() && !value.empty()) print_list(key, value);
  }
}

}  // namespace

Result<void> run_show(const Invocation& call) {
  const std::string output = call.value("output");
  if (!output.empty() && output != "json") {
    return make_error(Code::invalid, "unrecognized output format '" + output + "'");
  }
  const std::string all = "/v1/show";
  MARGAY_TRY(const Json answer,
             ask_agent(call, call.words.empty() ? all : all + "/" + call.words[0]));
  if (output == "json") {
    std::cout << answer.dump(2) << "\n";
    return {};
  }
  if (!call.words.empty()) {
    print_subsystem(answer);
    return {};
  }
  Rows rows{{"SUBSYSTEM", "PENDING", "LASTERROR"}};
  for (const Json& name : answer) {
    MARGAY_TRY(const Json shown, ask_agent(call, all + "/" + text(name)));
    rows.push_back({text(name), text(shown.at("pending")), or_dash(text(shown.at("lastError")))});
  }
  std::cout << plain_table(rows);
  return {};
}

}  // namespace margay::ctl
