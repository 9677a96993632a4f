// SPDX-License-Identifier: Apache-2.0
#include "agent/config/config.h"

#include <algorithm>
#include <charconv>

namespace margay::config {
namespace {

bool is_resource(Source source) {
  return source == Source::global_resource || source == Source::selected_resource ||
         source == Source::node_resource;
}

std::string_view trimmed(std::string_view s) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!s.empty() && blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && blank(s.back())) s.remove_suffix(1);
  return s;
}

}  // namespace

std::string_view to_string(Source source) {
  switch (source) {
    case Source::built_in:
      return "default";
    case Source::global_resource:
      return "FelixConfiguration default";
    case Source::selected_resource:
      return "FelixConfiguration by nodeSelector";
    case Source::node_resource:
      return "FelixConfiguration of this node";
    case Source::file:
      return "configuration file";
    case Source::environment:
      return "environment";
  }
  return "";
}

const Config::Value& Config::value(std::string_view name) const {
  const auto it = values_.find(name);
  MARGAY_ASSERT(it != values_.end());
  return it->second;
}

const std::string& Config::text(std::string_view name) const { return value(name).text; }

bool Config::boolean(std::string_view name) const {
  const std::string& t = text(name);
  return t == "true" || t == "Enabled";
}

std::uint32_t Config::number(std::string_view name) const {
  const std::string& t = text(name);
  std::uint32_t n = 0;
  std::from_chars(t.data(), t.data() + t.size(), n);
  return n;
}

Seconds Config::seconds(std::string_view name) const {
  const auto s = parse_seconds(text(name));
  MARGAY_ASSERT(s.ok());
  return *s;
}

void Config::hold(const Config& in_force) {
  waiting_.clear();
  for (const Parameter& p : parameters()) {
    if (p.effect != Effect::start) continue;
    Value& mine = values_.find(p.name)->second;
    const Value& standing = in_force.value(p.name);
    if (mine.text != standing.text) waiting_.push_back({std::string(p.name), mine.text});
    mine = standing;
  }
}

Source Config::source(std::string_view name) const { return value(name).source; }

void Layers::set(Source source, Texts texts) {
  layers_[static_cast<std::size_t>(source)] = std::move(texts);
}

Config Layers::resolve() const {
  Config out;
  for (const Parameter& p : parameters()) {
    if (p.effect == Effect::refused) continue;
    auto value = canonical(p, p.default_value);
    MARGAY_ASSERT(value.ok());
    out.values_[std::string(p.name)] = {std::move(value).value(), Source::built_in};
  }
  for (std::size_t i = 0; i < kSources; ++i) {
    const auto source = static_cast<Source>(i);
    const std::string where = " (" + std::string(to_string(source)) + ")";
    for (const auto& [name, text] : layers_[i]) {
      const Parameter* p = is_resource(source) ? find_by_field(name) : find_parameter(name);
      if (p == nullptr) {
        out.problems_.push_back({name + ": no such parameter" + where, false});
        continue;
      }
      if (p->effect == Effect::refused) {
        out.problems_.push_back(
            {std::string(p->name) + " has no effect: " + std::string(p->description) + where,
             true});
        continue;
      }
      auto value = canonical(*p, text);
      if (value.ok()) {
        out.values_[std::string(p->name)] = {std::move(value).value(), source};
      } else {
        out.problems_.push_back({value.error().message() + where, false});
      }
    }
  }
  return out;
}

Texts from_environment(const char* const* environment) {
  static constexpr std::string_view kPrefix = "FELIX_";
  Texts out;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    std::string_view entry = *environment;
    const auto equals = entry.find('=');
    if (equals == std::string_view::npos || entry.size() < kPrefix.size()) continue;
    std::string head(entry.substr(0, kPrefix.size()));
    std::transform(head.begin(), head.end(), head.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    if (head != kPrefix) continue;
    out[std::string(entry.substr(kPrefix.size(), equals - kPrefix.size()))] =
        entry.substr(equals + 1);
  }
  return out;
}

Result<Texts> parse_file(std::string_view path, std::string_view content) {
  Texts out;
  for (int number = 1; !content.empty(); ++number) {
    const auto newline = content.find('\n');
    const std::string_view line = trimmed(content.substr(0, newline));
    content.remove_prefix(newline == std::string_view::npos ? content.size() : newline + 1);
    if (line.empty() || line.front() == '#' || line.front() == ';' || line.front() == '[') continue;
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) {
      return make_error(Code::invalid, std::string(path) + ":" + std::to_string(number) +
                                           ": expected 'Name = value', found '" +
                                           std::string(line) + "'");
    }
    out[std::string(trimmed(line.substr(0, equals)))] = trimmed(line.substr(equals + 1));
  }
  return out;
}

}  // namespace margay::config
