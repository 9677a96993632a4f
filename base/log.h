// SPDX-License-Identifier: Apache-2.0
// Structured log: one line per event, `log::warn("route_apply_failed", kv("prefix", p))`. Event
// names are stable and listed with cause and remedy in docs/log-events.md. Lines go to stderr as
// logfmt. Thread-safe. Must not know spdlog in this header.
#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

namespace margay::log {

enum class Level { trace, debug, info, warn, error };

struct Field {
  std::string_view key;
  std::string value;
};

template <typename T>
[[nodiscard]] Field kv(std::string_view key, const T& value) {
  if constexpr (std::same_as<T, bool>) {
    return {key, value ? "true" : "false"};
  } else if constexpr (std::convertible_to<T, std::string_view>) {
    return {key, std::string(std::string_view(value))};
  } else if constexpr (requires { value.to_string(); }) {
    return {key, value.to_string()};
  } else if constexpr (requires { value.message(); }) {
    return {key, value.message()};
  } else if constexpr (requires { std::to_string(value); }) {
    return {key, std::to_string(value)};
  } else {
    return {key, std::string(to_string(value))};
  }
}

void set_level(Level level);
// What this thread writes is judged by its own level from now on: a part with a parameter of its
// own for that, and a thread of its own.
void set_level_of_this_thread(Level level);
[[nodiscard]] Level level();  // in force for this thread
// "debug", "INFO", "Warning", "fatal" (as error) ...; nullopt-like: false when unknown.
[[nodiscard]] bool parse_level(std::string_view text, Level& out);
void write(Level level, std::string_view event, std::initializer_list<Field> fields);

template <typename... F>
void debug(std::string_view event, const F&... f) {
  if (level() <= Level::debug) write(Level::debug, event, {f...});
}
template <typename... F>
void info(std::string_view event, const F&... f) {
  write(Level::info, event, {f...});
}
template <typename... F>
void warn(std::string_view event, const F&... f) {
  write(Level::warn, event, {f...});
}
template <typename... F>
void error(std::string_view event, const F&... f) {
  write(Level::error, event, {f...});
}

}  // namespace margay::log

namespace margay {
using log::kv;
}
