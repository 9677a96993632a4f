// SPDX-License-Identifier: Apache-2.0
#include "ctl/print.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/document.h"

namespace margay::ctl {
namespace {

using Rows = std::vector<std::vector<std::string>>;

// Characters, not bytes: UTF-8 continuation bytes take no room.
std::size_t width_of(std::string_view s) {
  return static_cast<std::size_t>(
      std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::vector<std::size_t> widths(const Rows& rows, std::size_t least) {
  std::vector<std::size_t> out;
  for (const auto& row : rows) {
    out.resize(std::max(out.size(), row.size()), least);
    for (std::size_t i = 0; i < row.size(); ++i) out[i] = std::max(out[i], width_of(row[i]));
  }
  return out;
}

std::string padded(const std::string& s, std::size_t width) {
  return s + std::string(width - width_of(s), ' ');
}

bool is_printed(const Column& c, const Output& output) {
  switch (output.format) {
    case Format::columns:
      return std::find(output.headings.begin(), output.headings.end(), c.heading) !=
             output.headings.end();
    case Format::wide:
      return c.width != Width::narrow;
    default:
      return c.width != Width::wide;
  }
}

Result<std::string> table_of(const Listed& list, const Output& output, bool with_namespace,
                             const ColumnContext& context) {
  const bool ns = with_namespace && model::info(list.kind).namespaced;
  std::vector<const Column*> chosen;
  for (const Column& c : columns(list.kind)) {
    if (is_printed(c, output)) chosen.push_back(&c);
  }
  if (output.format == Format::columns && chosen.size() != output.headings.size()) {
    std::string valid;
    for (const Column& c : columns(list.kind))
      valid += (valid.empty() ? "" : ", ") + std::string(c.heading);
    return make_error(Code::invalid, "unknown heading, valid values are: " + valid);
  }
  Rows rows(1);
  if (ns) rows[0].emplace_back("NAMESPACE");
  for (const Column* c : chosen) rows[0].emplace_back(c->heading);
  for (const Json& object : list.objects) {
    auto& row = rows.emplace_back();
    if (ns) row.push_back(object.value("/metadata/namespace"_json_pointer, std::string()));
    for (const Column* c : chosen) row.push_back(c->value(object, context));
  }
  return plain_table(rows);
}

// One object alone, several as a sequence, a list as <Kind>List.
Json document_of(const std::vector<Listed>& lists) {
  Json all = Json::array();
  for (const Listed& list : lists) {
    if (!list.is_list) {
      for (const Json& object : list.objects) all.push_back(object);
      continue;
    }
    const model::KindInfo& kind = model::info(list.kind);
    all.push_back({{"apiVersion", kind.api_version},
                   {"items", list.objects},
                   {"kind", std::string(kind.name) + "List"},
                   {"metadata", {{"resourceVersion", list.resource_version}}}});
  }
  return all.size() == 1 ? all[0] : all;
}

}  // namespace

Result<Output> parse_output(std::string_view text) {
  static constexpr std::string_view kCustom = "custom-columns";
  if (text.empty()) return Output{};
  if (text == "wide") return Output{Format::wide, {}};
  if (text == "yaml") return Output{Format::yaml, {}};
  if (text == "json") return Output{Format::json, {}};
  if (text == "name") return Output{Format::name, {}};
  if (!text.starts_with(kCustom)) {
    return make_error(Code::invalid, "unrecognized output format '" + std::string(text) + "'");
  }
  Output out{Format::columns, {}};
  std::string_view rest = text.substr(kCustom.size());
  if (rest.starts_with('=')) rest.remove_prefix(1);
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    std::string heading(rest.substr(0, comma));
    std::transform(heading.begin(), heading.end(), heading.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    out.headings.push_back(std::move(heading));
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
  }
  if (out.headings.empty()) return make_error(Code::invalid, "need to specify at least one column");
  return out;
}

std::string plain_table(const Rows& rows) {
  const auto width = widths(rows, 5);
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += padded(row[i], width[i]) + "   ";
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out + "\n";
}

std::string since(std::time_t then) {
  const std::time_t now = std::time(nullptr);
  std::tm a{}, b{};
  localtime_r(&then, &a);
  localtime_r(&now, &b);
  const bool today = a.tm_yday == b.tm_yday && a.tm_year == b.tm_year;
  std::string out(16, '\0');
  out.resize(std::strftime(out.data(), out.size(), today ? "%H:%M:%S" : "%Y-%m-%d", &a));
  return out;
}

std::string peer_address(const Json& peer) {
  const std::string address = peer.value("address", "");
  const int port = peer.value("port", 179);
  if (port == 179) return address;
  const bool v6 = address.find(':') != std::string::npos;
  return (v6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

std::string boxed_table(const Rows& rows) {
  const auto width = widths(rows, 0);
  std::string border = "+";
  for (const std::size_t w : width) border += std::string(w + 2, '-') + "+";
  border += "\n";
  std::string out = border;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    out += "|";
    for (std::size_t i = 0; i < width.size(); ++i) {
      std::string cell = i < rows[r].size() ? rows[r][i] : "";
      if (r == 0) cell.insert(0, (width[i] - cell.size()) / 2, ' ');
      out += " " + padded(cell, width[i]) + " |";
    }
    out += "\n";
    if (r == 0) out += border;
  }
  return out + border;
}

Result<std::string> print_objects(const std::vector<Listed>& lists, const Output& output,
                                  bool with_namespace, const ColumnContext& context) {
  if (output.format == Format::json) return document_of(lists).dump(2);
  if (output.format == Format::yaml) return model::to_yaml(document_of(lists).dump());
  std::string out;
  for (const Listed& list : lists) {
    if (output.format == Format::name) {
      for (const Json& object : list.objects) {
        out += std::string(model::info(list.kind).plural) + "/" +
               object.value("/metadata/name"_json_pointer, std::string()) + "\n";
      }
      continue;
    }
    MARGAY_TRY(const std::string table, table_of(list, output, with_namespace, context));
    out += table;
  }
  return out;
}

}  // namespace margay::ctl
