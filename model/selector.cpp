// SPDX-License-Identifier: Apache-2.0
#include "model/selector.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "model/selector_parser.h"

namespace margay::model {
namespace {

using Op = SelectorNode::Op;

void append_quoted(std::string& out, const std::string& text) {
  const char quote = text.find('"') == std::string::npos ? '"' : '\'';
  out += quote;
  out += text;
  out += quote;
}

void append_comparison(std::string& out, const SelectorNode& node, std::string_view op) {
  out += node.label;
  out += op;
  append_quoted(out, node.values.front());
}

void append_set(std::string& out, const SelectorNode& node, std::string_view op) {
  out += node.label;
  out += op;
  for (std::size_t i = 0; i < node.values.size(); ++i) {
    if (i != 0) out += ", ";
    append_quoted(out, node.values[i]);
  }
  out += '}';
}

void append_canonical(std::string& out, const SelectorNode& node);

void append_operands(std::string& out, const SelectorNode& node, std::string_view op) {
  out += '(';
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    if (i != 0) out += op;
    append_canonical(out, node.children[i]);
  }
  out += ')';
}

void append_canonical(std::string& out, const SelectorNode& node) {
  switch (node.op) {
    case Op::all:
      out += "all()";
      return;
    case Op::global:
      out += "global()";
      return;
    case Op::has:
      out += "has(" + node.label + ")";
      return;
    case Op::eq:
      return append_comparison(out, node, " == ");
    case Op::ne:
      return append_comparison(out, node, " != ");
    case Op::in:
      return append_set(out, node, " in {");
    case Op::not_in:
      return append_set(out, node, " not in {");
    case Op::contains:
      return append_comparison(out, node, " contains ");
    case Op::starts_with:
      return append_comparison(out, node, " starts with ");
    case Op::ends_with:
      return append_comparison(out, node, " ends with ");
    case Op::negation:
      out += '!';
      return append_canonical(out, node.children.front());
    case Op::conjunction:
      return append_operands(out, node, " && ");
    case Op::disjunction:
      return append_operands(out, node, " || ");
  }
}

bool contains_value(const SelectorNode& node, const std::string& value) {
  return std::binary_search(node.values.begin(), node.values.end(), value);
}

std::optional<std::vector<std::string>> intersect(
    const std::optional<std::vector<std::string>>& a,
    const std::optional<std::vector<std::string>>& b) {
  if (!a) return b;
  if (!b) return a;
  std::vector<std::string> out;
  std::set_intersection(a->begin(), a->end(), b->begin(), b->end(), std::back_inserter(out));
  return out;
}

void merge_all(LabelRestrictions& into, const LabelRestrictions& more) {
  for (const auto& [label, r] : more) {
    LabelRestriction& have = into[label];
    have.present |= r.present;
    have.absent |= r.absent;
    have.one_of = intersect(have.one_of, r.one_of);
  }
}

LabelRestriction either(const LabelRestriction& a, const LabelRestriction& b) {
  LabelRestriction out;
  out.present = a.present && b.present;
  out.absent = a.absent && b.absent;
  if (a.one_of && b.one_of) {
    out.one_of.emplace();
    std::set_union(a.one_of->begin(), a.one_of->end(), b.one_of->begin(), b.one_of->end(),
                   std::back_inserter(*out.one_of));
  }
  return out;
}

LabelRestrictions merge_any(const LabelRestrictions& a, const LabelRestrictions& b) {
  LabelRestrictions out;
  for (const auto& [label, r] : a) {
    const auto other = b.find(label);
    if (other == b.end()) continue;
    LabelRestriction both = either(r, other->second);
    if (both != LabelRestriction{}) out.emplace(label, std::move(both));
  }
  return out;
}

LabelRestrictions restrictions_of(const SelectorNode& node) {
  switch (node.op) {
    case Op::all:
    case Op::global:
    case Op::ne:
    case Op::not_in:
      return {};
    case Op::has:
    case Op::contains:
    case Op::starts_with:
    case Op::ends_with:
      return {{node.label, {true, false, std::nullopt}}};
    case Op::eq:
    case Op::in:
      return {{node.label, {true, false, node.values}}};
    case Op::negation:
      if (node.children.front().op != Op::has) return {};
      return {{node.children.front().label, {false, true, std::nullopt}}};
    case Op::conjunction: {
      LabelRestrictions out;
      for (const auto& child : node.children) merge_all(out, restrictions_of(child));
      return out;
    }
    case Op::disjunction: {
      LabelRestrictions out = restrictions_of(node.children.front());
      for (std::size_t i = 1; i < node.children.size() && !out.empty(); ++i) {
        out = merge_any(out, restrictions_of(node.children[i]));
      }
      return out;
    }
  }
  return {};
}

bool mentions(const SelectorNode& node, Op op) {
  return node.op == op || std::any_of(node.children.begin(), node.children.end(),
                                      [op](const SelectorNode& n) { return mentions(n, op); });
}

void prefix_labels(SelectorNode& node, std::string_view prefix) {
  if (!node.label.empty()) node.label.insert(0, prefix);
  for (auto& child : node.children) prefix_labels(child, prefix);
}

void mark_namespaced(SelectorNode& node) {
  for (auto& child : node.children) mark_namespaced(child);
  if (node.op != Op::all && node.op != Op::global) return;
  const bool global = node.op == Op::global;
  node.op = Op::has;
  node.label = kNamespaceLabel;
  if (global) node = SelectorNode{Op::negation, {}, {}, {SelectorNode(node)}};
}

std::string protocol_name(std::uint8_t number) {
  switch (number) {
    case 0:
      return "";
    case 6:
      return "tcp";
    case 17:
      return "udp";
    case 132:
      return "sctp";
    default:
      return std::to_string(number);
  }
}

}  // namespace

Selector::Selector() : Selector(SelectorNode{}) {}
Selector::Selector(SelectorNode root)
    : root_(std::make_shared<const SelectorNode>(std::move(root))) {}

Result<Selector> Selector::parse(std::string_view text) {
  MARGAY_TRY(SelectorNode root, parse_selector(text));
  return Selector(std::move(root));
}

Selector Selector::equals(std::string_view label, std::string_view value) {
  return Selector(SelectorNode{Op::eq, std::string(label), {std::string(value)}, {}});
}

Selector Selector::one_of(std::string_view label, std::vector<std::string> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return Selector(SelectorNode{Op::in, std::string(label), std::move(values), {}});
}

Selector Selector::has(std::string_view label) {
  return Selector(SelectorNode{Op::has, std::string(label), {}, {}});
}

Selector Selector::both(const Selector& a, const Selector& b) {
  return Selector(SelectorNode{Op::conjunction, {}, {}, {*a.root_, *b.root_}});
}

Selector Selector::negated(const Selector& a) {
  if (a.root_->op == Op::negation) return Selector(a.root_->children.front());
  return Selector(SelectorNode{Op::negation, {}, {}, {*a.root_}});
}

std::string Selector::canonical() const {
  std::string out;
  append_canonical(out, *root_);
  return out;
}

std::string Selector::id() const { return hashed_id("s", canonical()); }

bool Selector::matches(const Labels& labels) const {
  return matches_with([&](std::string_view label) { return find_label(labels, label); });
}

bool Selector::compare(const SelectorNode& node, const std::string* value) {
  switch (node.op) {
    case Op::has:
      return value != nullptr;
    case Op::eq:
      return value != nullptr && *value == node.values.front();
    case Op::ne:
      return value == nullptr || *value != node.values.front();
    case Op::in:
      return value != nullptr && contains_value(node, *value);
    case Op::not_in:
      return value == nullptr || !contains_value(node, *value);
    case Op::contains:
      return value != nullptr && value->find(node.values.front()) != std::string::npos;
    case Op::starts_with:
      return value != nullptr && value->starts_with(node.values.front());
    case Op::ends_with:
      return value != nullptr && value->ends_with(node.values.front());
    case Op::all:
    case Op::global:
    case Op::negation:
    case Op::conjunction:
    case Op::disjunction:
      break;
  }
  return false;
}

LabelRestrictions Selector::restrictions() const { return restrictions_of(*root_); }
bool Selector::mentions_global() const { return mentions(*root_, Op::global); }

Selector Selector::prefixed(std::string_view prefix) const {
  SelectorNode root = *root_;
  prefix_labels(root, prefix);
  return Selector(std::move(root));
}

Selector Selector::for_namespaces() const {
  SelectorNode root = *root_;
  prefix_labels(root, kNamespacePrefix);
  mark_namespaced(root);
  return Selector(std::move(root));
}

std::string hashed_id(std::string_view kind, std::string_view content) {
  std::string text(kind);
  text += ':';
  std::string out = text;
  text += content;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  const int done =
      EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha224(), nullptr);
  MARGAY_ASSERT(done == 1 && size == 28);
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  unsigned bits = 0;
  std::uint32_t buffer = 0;
  for (unsigned i = 0; i < size; ++i) {
    buffer = buffer << 8 | digest[i];
    for (bits += 8; bits >= 6; bits -= 6) out += kAlphabet[(buffer >> (bits - 6)) & 63];
  }
  if (bits != 0) out += kAlphabet[(buffer << (6 - bits)) & 63];
  return out;
}

std::string named_port_id(std::string_view selector_id, std::uint8_t protocol,
                          std::string_view port_name) {
  std::string content(selector_id);
  content += ',';
  content += protocol_name(protocol);
  content += ',';
  content += port_name;
  return hashed_id("n", content);
}

std::string service_id(std::string_view ns, std::string_view name, bool with_ports) {
  return hashed_id(with_ports ? "svc" : "svcnoport", std::string(ns) + "/" + std::string(name));
}

}  // namespace margay::model
