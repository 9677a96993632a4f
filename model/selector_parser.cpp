// SPDX-License-Identifier: Apache-2.0
#include "model/selector_parser.h"

#include <algorithm>

namespace margay::model {
namespace {

using Op = SelectorNode::Op;

constexpr unsigned kMaxDepth = 200;
constexpr std::size_t kMaxLabel = 512;

bool is_label_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '/' || c == '-';
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<SelectorNode> whole() {
    skip_blanks();
    if (at_end()) return SelectorNode{};
    MARGAY_TRY(SelectorNode root, disjunction());
    skip_blanks();
    if (!at_end()) return expected("'&&', '||' or the end");
    return root;
  }

 private:
  [[nodiscard]] bool at_end() const { return pos_ == text_.size(); }
  [[nodiscard]] std::string_view rest() const { return text_.substr(pos_); }

  void skip_blanks() {
    while (!at_end() && (text_[pos_] == ' ' || text_[pos_] == '\t')) ++pos_;
  }

  bool take(std::string_view token) {
    if (!rest().starts_with(token)) return false;
    pos_ += token.size();
    return true;
  }

  // `first`, blanks, `second` (which may be empty), then no further label character.
  bool take_words(std::string_view first, std::string_view second) {
    const std::size_t start = pos_;
    if (take(first)) {
      if (!second.empty()) skip_blanks();
      if (take(second) && (at_end() || !is_label_char(text_[pos_]))) return true;
    }
    pos_ = start;
    return false;
  }

  [[nodiscard]] Error expected(std::string_view what) const {
    std::string message =
        "selector: expected " + std::string(what) + " at offset " + std::to_string(pos_);
    if (at_end()) {
      message += ", found the end";
    } else {
      message += ", found '" + std::string(rest().substr(0, 16)) + "'";
    }
    return make_error(Code::invalid, std::move(message));
  }

  template <typename Operand>
  Result<SelectorNode> joined(std::string_view token, Op op, Operand operand) {
    MARGAY_TRY(SelectorNode first, operand());
    skip_blanks();
    if (!rest().starts_with(token)) return first;
    SelectorNode node{op, {}, {}, {}};
    node.children.push_back(std::move(first));
    while (take(token)) {
      MARGAY_TRY(SelectorNode next, operand());
      node.children.push_back(std::move(next));
      skip_blanks();
    }
    return node;
  }

  Result<SelectorNode> disjunction() {
    return joined("||", Op::disjunction, [this] { return conjunction(); });
  }
  Result<SelectorNode> conjunction() {
    return joined("&&", Op::conjunction, [this] { return unary(); });
  }

  Result<SelectorNode> unary() {
    bool negate = false;
    for (skip_blanks(); take("!"); skip_blanks()) negate = !negate;
    MARGAY_TRY(SelectorNode operand, primary());
    if (!negate) return operand;
    // "!(!a)" is a double negation too, or the canonical text "!!a" would not parse to itself.
    if (operand.op == Op::negation) return SelectorNode(std::move(operand.children.front()));
    SelectorNode node{Op::negation, {}, {}, {}};
    node.children.push_back(std::move(operand));
    return node;
  }

  Result<SelectorNode> primary() {
    if (take("(")) return parenthesised();
    if (take("all(")) return closed(SelectorNode{});
    if (take("global(")) return closed(SelectorNode{Op::global, {}, {}, {}});
    if (take("has(")) {
      skip_blanks();
      MARGAY_TRY(std::string name, label("a label name"));
      return closed(SelectorNode{Op::has, std::move(name), {}, {}});
    }
    MARGAY_TRY(std::string name, label("'(', '!', all(), global(), has() or a label name"));
    return comparison(std::move(name));
  }

  Result<SelectorNode> parenthesised() {
    if (++depth_ > kMaxDepth) {
      return make_error(Code::invalid, "selector: more than " + std::to_string(kMaxDepth) +
                                           " nested parentheses at offset " + std::to_string(pos_));
    }
    MARGAY_TRY(SelectorNode inner, disjunction());
    --depth_;
    return closed(std::move(inner));
  }

  Result<SelectorNode> closed(SelectorNode node) {
    skip_blanks();
    if (!take(")")) return expected("')'");
    return node;
  }

  Result<std::string> label(std::string_view what) {
    const std::size_t start = pos_;
    while (!at_end() && is_label_char(text_[pos_])) ++pos_;
    if (pos_ == start) return expected(what);
    if (pos_ - start > kMaxLabel) {
      pos_ = start;
      return expected("a label name of at most 512 characters");
    }
    return std::string(text_.substr(start, pos_ - start));
  }

  Result<SelectorNode> comparison(std::string name) {
    skip_blanks();
    if (take("==")) return with_value(Op::eq, std::move(name));
    if (take("!=")) return with_value(Op::ne, std::move(name));
    if (take_words("contains", "")) return with_value(Op::contains, std::move(name));
    if (take_words("starts", "with")) return with_value(Op::starts_with, std::move(name));
    if (take_words("ends", "with")) return with_value(Op::ends_with, std::move(name));
    if (take_words("not", "in")) return with_set(Op::not_in, std::move(name));
    if (take_words("in", "")) return with_set(Op::in, std::move(name));
    return expected("==, !=, in, not in, contains, starts with or ends with");
  }

  Result<SelectorNode> with_value(Op op, std::string name) {
    skip_blanks();
    MARGAY_TRY(std::string value, string());
    return SelectorNode{op, std::move(name), {std::move(value)}, {}};
  }

  Result<SelectorNode> with_set(Op op, std::string name) {
    skip_blanks();
    if (!take("{")) return expected("'{'");
    SelectorNode node{op, std::move(name), {}, {}};
    for (skip_blanks(); !take("}"); skip_blanks()) {
      MARGAY_TRY(std::string value, string());
      node.values.push_back(std::move(value));
      skip_blanks();
      if (!take(",") && !rest().starts_with("}")) return expected("',' or '}'");
    }
    std::sort(node.values.begin(), node.values.end());
    node.values.erase(std::unique(node.values.begin(), node.values.end()), node.values.end());
    return node;
  }

  Result<std::string> string() {
    if (at_end() || (text_[pos_] != '"' && text_[pos_] != '\'')) return expected("a string");
    const std::size_t end = text_.find(text_[pos_], pos_ + 1);
    if (end == std::string_view::npos) return expected("a string with an end");
    std::string value(text_.substr(pos_ + 1, end - pos_ - 1));
    pos_ = end + 1;
    return value;
  }

  std::string_view text_;
  std::size_t pos_ = 0;
  unsigned depth_ = 0;
};

}  // namespace

Result<SelectorNode> parse_selector(std::string_view text) { return Parser(text).whole(); }

}  // namespace margay::model
