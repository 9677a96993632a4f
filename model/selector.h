// SPDX-License-Identifier: Apache-2.0
// The selector language (spec policy-model.md 8): parsing with the position of an error, canonical
// text and the stable ids derived from it, evaluation against labels, and what a selector demands
// of any match (for indexing). A Selector is an immutable value; copying it is cheap. Pure: no
// policy semantics here beyond the rewriting of label names (prefixed); those are in
// model/selector_merge.h.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/resources.h"

namespace margay::model {

inline constexpr std::string_view kNamespaceLabel = "projectcalico.org/namespace";
inline constexpr std::string_view kOrchestratorLabel = "projectcalico.org/orchestrator";
inline constexpr std::string_view kServiceAccountLabel = "projectcalico.org/serviceaccount";
inline constexpr std::string_view kNamespacePrefix = "pcns.";
inline constexpr std::string_view kServiceAccountPrefix = "pcsa.";

struct SelectorNode {
  enum class Op : std::uint8_t {
    all,
    global,
    has,
    eq,
    ne,
    in,
    not_in,
    contains,
    starts_with,
    ends_with,
    negation,
    conjunction,
    disjunction,
  };
  Op op = Op::all;
  std::string label;                   // has and the comparisons
  std::vector<std::string> values;     // one for a comparison; in, not_in: sorted, unique
  std::vector<SelectorNode> children;  // negation: one; conjunction, disjunction: two or more
};

// What every match of a selector fulfils for one label.
struct LabelRestriction {
  bool present = false;
  bool absent = false;
  // Implies present. An empty list: nothing can match.
  std::optional<std::vector<std::string>> one_of;
  friend bool operator==(const LabelRestriction&, const LabelRestriction&) = default;
};
using LabelRestrictions = std::map<std::string, LabelRestriction, std::less<>>;

class Selector {
 public:
  Selector();  // all()
  explicit Selector(SelectorNode root);
  // Empty text is all(). The error's context says what was expected and at which offset.
  [[nodiscard]] static Result<Selector> parse(std::string_view text);

  [[nodiscard]] static Selector equals(std::string_view label, std::string_view value);
  [[nodiscard]] static Selector one_of(std::string_view label, std::vector<std::string> values);
  [[nodiscard]] static Selector has(std::string_view label);
  [[nodiscard]] static Selector both(const Selector& a, const Selector& b);  // (a && b)
  [[nodiscard]] static Selector negated(const Selector& a);

  [[nodiscard]] const SelectorNode& root() const { return *root_; }
  [[nodiscard]] std::string canonical() const;
  // Calico's id of the set of its matches: "s:" and a hash of the canonical text.
  [[nodiscard]] std::string id() const;

  [[nodiscard]] bool matches(const Labels& labels) const;
  // The same for labels held elsewhere: lookup(label) is a `const std::string*` or nullptr.
  template <typename Lookup>
  [[nodiscard]] bool matches_with(const Lookup& lookup) const {
    return evaluate(*root_, lookup);
  }

  [[nodiscard]] LabelRestrictions restrictions() const;
  [[nodiscard]] bool mentions_global() const;
  // Is it exactly global()?
  [[nodiscard]] bool is_global() const { return root_->op == SelectorNode::Op::global; }
  // Every label name with `prefix` in front.
  [[nodiscard]] Selector prefixed(std::string_view prefix) const;
  // prefixed("pcns."), where all() becomes has(<namespace label>) and global() its opposite.
  [[nodiscard]] Selector for_namespaces() const;

  friend bool operator==(const Selector& a, const Selector& b) {
    return a.root_ == b.root_ || a.canonical() == b.canonical();
  }

 private:
  template <typename Lookup>
  static bool evaluate(const SelectorNode& node, const Lookup& lookup);
  static bool compare(const SelectorNode& node, const std::string* value);

  std::shared_ptr<const SelectorNode> root_;
};

// "<kind>:" + base64url without padding of SHA-224("<kind>:" + content).
[[nodiscard]] std::string hashed_id(std::string_view kind, std::string_view content);
// Id of the (address, protocol, port) set of a named port; protocol 0: any.
[[nodiscard]] std::string named_port_id(std::string_view selector_id, std::uint8_t protocol,
                                        std::string_view port_name);
[[nodiscard]] std::string service_id(std::string_view ns, std::string_view name, bool with_ports);

template <typename Lookup>
bool Selector::evaluate(const SelectorNode& node, const Lookup& lookup) {
  switch (node.op) {
    case SelectorNode::Op::all:
    case SelectorNode::Op::global:
      return true;
    case SelectorNode::Op::negation:
      return !evaluate(node.children.front(), lookup);
    case SelectorNode::Op::conjunction:
      for (const auto& child : node.children) {
        if (!evaluate(child, lookup)) return false;
      }
      return true;
    case SelectorNode::Op::disjunction:
      for (const auto& child : node.children) {
        if (evaluate(child, lookup)) return true;
      }
      return false;
    case SelectorNode::Op::has:
    case SelectorNode::Op::eq:
    case SelectorNode::Op::ne:
    case SelectorNode::Op::in:
    case SelectorNode::Op::not_in:
    case SelectorNode::Op::contains:
    case SelectorNode::Op::starts_with:
    case SelectorNode::Op::ends_with:
      return compare(node, lookup(std::string_view(node.label)));
  }
  return false;
}

}  // namespace margay::model
