// SPDX-License-Identifier: Apache-2.0
// The configuration in force: layers of (parameter -> text) resolved by precedence into validated
// values, each with its source. Pure: the shell reads the environment, the file and the resources.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/parameter.h"
#include "agent/config/values.h"

namespace margay::config {

// Lowest precedence first.
enum class Source {
  built_in,
  global_resource,
  selected_resource,
  node_resource,
  file,
  environment
};
inline constexpr std::size_t kSources = 6;
[[nodiscard]] std::string_view to_string(Source source);

using Texts = std::map<std::string, std::string, std::less<>>;  // parameter name -> text

struct Problem {
  std::string message;   // names parameter, value, source and what is allowed
  bool refused = false;  // set, but without effect
  friend bool operator==(const Problem&, const Problem&) = default;
};

// A parameter that is read at start only and was changed since.
struct Waiting {
  std::string name;
  std::string configured;  // in force after a restart
  friend bool operator==(const Waiting&, const Waiting&) = default;
};

class Config {
 public:
  // Values by the parameter's exact name, which must be in the table and not refused (asserted).
  [[nodiscard]] const std::string& text(std::string_view name) const;
  [[nodiscard]] bool boolean(std::string_view name) const;  // boolean or enabled
  [[nodiscard]] std::uint32_t number(std::string_view name) const;
  [[nodiscard]] Seconds seconds(std::string_view name) const;
  [[nodiscard]] Source source(std::string_view name) const;
  [[nodiscard]] const std::vector<Problem>& problems() const { return problems_; }
  // Parameters that only a restart changes keep the value that `in_force` has; waiting() names
  // them.
  void hold(const Config& in_force);
  [[nodiscard]] const std::vector<Waiting>& waiting() const { return waiting_; }
  friend bool operator==(const Config&, const Config&) = default;

 private:
  friend class Layers;
  struct Value {
    std::string text;
    Source source = Source::built_in;
    friend bool operator==(const Value&, const Value&) = default;
  };
  [[nodiscard]] const Value& value(std::string_view name) const;
  std::map<std::string, Value, std::less<>> values_;
  std::vector<Problem> problems_;
  std::vector<Waiting> waiting_;
};

class Layers {
 public:
  // Replaces one layer. Names in any case, or FelixConfiguration fields for the resource layers.
  void set(Source source, Texts texts);
  [[nodiscard]] Config resolve() const;

 private:
  std::array<Texts, kSources> layers_;
};

// FELIX_* variables of an environment block (NAME=value strings).
[[nodiscard]] Texts from_environment(const char* const* environment);
// "Name = value" lines, '#' and ';' comments, [section] lines ignored. Errors name file and line.
[[nodiscard]] Result<Texts> parse_file(std::string_view path, std::string_view content);

}  // namespace margay::config
