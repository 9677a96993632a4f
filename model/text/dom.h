// SPDX-License-Identifier: Apache-2.0
// Documents as trees, built event by event within limits, so that neither deep nesting nor aliases
// of aliases can hurt. Internal to model/text.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/result.h"

namespace margay::model::text {

using Dom = nlohmann::ordered_json;  // object members in the order of the text

inline constexpr std::size_t kMaxDepth = 100;
inline constexpr std::size_t kMaxText = 64U << 20U;
// About the memory that a tree takes: so much for each value, and its texts and keys.
inline constexpr std::size_t kValueWeight = 64;
inline constexpr std::size_t kMaxWeight = 256U << 20U;

struct Tree {
  Dom root;
  std::size_t line = 0;                 // where it begins
  std::vector<std::size_t> item_lines;  // of the objects in a list at its top, or one level below
};

// Feed it the events of one document. Each returns false once something is wrong; error() says
// what.
class TreeBuilder {
 public:
  using Anchor = std::size_t;  // 0: none

  bool begin_object(std::size_t line, Anchor anchor = 0);
  bool begin_list(std::size_t line, Anchor anchor = 0);
  bool end(std::size_t line);
  bool key(std::string name, std::size_t line);
  bool merge_key(std::size_t line);  // YAML's "<<"
  bool value(Dom v, std::size_t line, Anchor anchor = 0);
  bool alias(Anchor anchor, std::size_t line);
  // The next event is a key of an object, not a value.
  [[nodiscard]] bool wants_key() const;
  bool fail(std::size_t line, std::string message);

  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] std::size_t error_line() const { return error_line_; }
  [[nodiscard]] Tree take();

 private:
  struct Frame {
    Dom value;
    std::size_t weight = kValueWeight;
    std::size_t height = 1;  // levels from here down
    Anchor anchor = 0;
    bool merging = false;            // the value that comes next is that of a "<<"
    std::optional<std::string> key;  // the member whose value comes next
    std::unordered_set<std::string> keys;
    std::vector<Dom> merged;  // values of "<<"
  };
  struct Anchored {
    Dom value;
    std::size_t weight = 0;
    std::size_t height = 0;
  };
  bool begin(Dom empty, std::size_t line, Anchor anchor);
  bool attach(Anchored child, std::size_t line);
  bool merge(Frame& frame, std::size_t line);
  bool charge(std::size_t weight, std::size_t line);

  std::vector<Frame> open_;
  std::map<Anchor, Anchored> anchors_;
  Tree tree_;
  std::size_t weight_ = 0;
  std::string error_;
  std::size_t error_line_ = 0;
};

// Readers: every document of a text that is not empty. Errors are "line: message" with the source.
[[nodiscard]] Result<std::vector<Tree>> read_json(std::string_view text, std::string_view source);
[[nodiscard]] Result<std::vector<Tree>> read_yaml(std::string_view text, std::string_view source);
// One JSON value, for texts of our own.
[[nodiscard]] Result<Dom> parse_json(std::string_view text);

// What a plain (unquoted) YAML scalar means, as Kubernetes reads it. nullopt: not a JSON value.
[[nodiscard]] std::optional<Dom> resolve_plain(const std::string& text);

[[nodiscard]] std::string compact(const Dom& dom);

}  // namespace margay::model::text
