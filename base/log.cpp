// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <memory>
#include <optional>

namespace margay::log {
namespace {

std::atomic<Level> threshold{Level::info};
thread_local std::optional<Level> threshold_here;

spdlog::logger& sink() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto l = std::make_shared<spdlog::logger>("margay",
                                              std::make_shared<spdlog::sinks::stderr_sink_mt>());
    l->set_pattern("ts=%Y-%m-%dT%H:%M:%S.%f%z level=%l %v");
    l->set_level(spdlog::level::trace);
    l->flush_on(spdlog::level::trace);
    return l;
  }();
  return *logger;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::trace:
      return spdlog::level::trace;
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warn:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

bool is_plain(char c) { return c > ' ' && c != '"' && c != '=' && c != '\\' && c != 0x7f; }

void append_value(std::string& line, std::string_view value) {
  if (!value.empty() && std::all_of(value.begin(), value.end(), is_plain)) {
    line += value;
    return;
  }
  line += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') line += '\\';
    if (c == '\n') {
      line += "\\n";
    } else if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) {
      line += '?';
    } else {
      line += c;
    }
  }
  line += '"';
}

}  // namespace

void set_level(Level level) { threshold = level; }
void set_level_of_this_thread(Level level) { threshold_here = level; }
Level level() { return threshold_here.value_or(threshold); }

bool parse_level(std::string_view text, Level& out) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  struct Name {
    std::string_view text;
    Level level;
  };
  static constexpr Name kNames[] = {{"trace", Level::trace},  {"debug", Level::debug},
                                    {"info", Level::info},    {"warn", Level::warn},
                                    {"warning", Level::warn}, {"error", Level::error},
                                    {"fatal", Level::error}};
  const auto* it = std::find_if(std::begin(kNames), std::end(kNames),
                                [&](const Name& n) { return n.text == lower; });
  if (it == std::end(kNames)) return false;
  out = it->level;
  return true;
}

void write(Level at, std::string_view event, std::initializer_list<Field> fields) {
  if (at < level()) return;
  std::string line = "event=";
  line += event;
  for (const Field& f : fields) {
    line += ' ';
    line += f.key;
    line += '=';
    append_value(line, f.value);
  }
  sink().log(to_spdlog(at), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace margay::log
