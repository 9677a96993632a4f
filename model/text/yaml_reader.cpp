// SPDX-License-Identifier: Apache-2.0
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <sstream>

#include "model/text/dom.h"

namespace margay::model::text {
namespace {

constexpr std::string_view kYamlTag = "tag:yaml.org,2002:";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

template <std::size_t N>
bool among(const std::array<std::string_view, N>& words, std::string_view text) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// YAML 1.1 integers: 12, -3, 0x1f, 0b101, 017 and 0o17 (octal), 1_000.
std::optional<Dom> resolve_integer(std::string_view text) {
  std::string digits;
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  int base = 10;
  if (text.size() > 1 && text[0] == '0') {
    const char c = text[1];
    base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
    text.remove_prefix(c == 'x' || c == 'b' || c == 'o' ? 2 : 1);
  }
  if (text.empty() || text.front() == '_') return std::nullopt;
  for (const char c : text) {
    if (c != '_') digits += c;
  }
  std::uint64_t n = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, ec] = std::from_chars(digits.data(), end, n, base);
  if (ec != std::errc{} || stop != end) return std::nullopt;
  constexpr std::uint64_t kMost = std::uint64_t{1} << 63U;
  if (!negative) return Dom(n);
  if (n > kMost) return std::nullopt;
  return Dom(n == kMost ? std::numeric_limits<std::int64_t>::min() : -static_cast<std::int64_t>(n));
}

// [-+]? (digits [. digits*] | . digits) ([eE] [-+]? digits)?
bool looks_like_float(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  std::size_t i = 0, digits = 0;
  const auto run = [&] {
    const std::size_t from = i;
    while (i < text.size() && is_digit(text[i])) ++i;
    return i - from;
  };
  digits = run();
  if (i < text.size() && text[i] == '.') {
    ++i;
    digits += run();
  }
  if (digits == 0) return false;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
    if (run() == 0) return false;
  }
  return i == text.size();
}

// Thrown through yaml-cpp's parser to stop it; never leaves this file.
struct Stop {};

class Handler : public YAML::EventHandler {
 public:
  std::vector<Tree> trees;
  std::string error;
  std::size_t error_line = 0;

  void OnDocumentStart(const YAML::Mark& mark) override {
    // yaml-cpp 0.7 takes a token that fits nowhere, such as a lone ",", for an empty document, and
    // never gets beyond it.
    if (mark.pos == document_start_) must(builder_.fail(line(mark), "malformed YAML: stray text"));
    document_start_ = mark.pos;
    builder_ = TreeBuilder();
  }
  void OnDocumentEnd() override {
    Tree tree = builder_.take();
    if (!tree.root.is_null()) trees.push_back(std::move(tree));
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (builder_.wants_key()) {
      must(builder_.key("null", line(mark)));
    } else {
      must(builder_.value(Dom(), line(mark), anchor));
    }
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    must(builder_.alias(anchor, line(mark)));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    if (builder_.wants_key()) {
      if (anchor != 0) must(builder_.fail(line(mark), "an anchor on a key"));
      const bool plain = tag == "?" || tag.empty();
      must(plain && text == "<<" ? builder_.merge_key(line(mark)) : builder_.key(text, line(mark)));
      return;
    }
    must(builder_.value(scalar(mark, tag, text), line(mark), anchor));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    must(builder_.begin_list(line(mark), anchor));
  }
  void OnSequenceEnd() override { must(builder_.end(last_line_)); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    must(builder_.begin_object(line(mark), anchor));
  }
  void OnMapEnd() override { must(builder_.end(last_line_)); }

 private:
  std::size_t line(const YAML::Mark& mark) {
    last_line_ = mark.line < 0 ? 1 : static_cast<std::size_t>(mark.line) + 1;
    return last_line_;
  }
  void must(bool good) {
    if (good) return;
    error = builder_.error();
    error_line = builder_.error_line();
    throw Stop{};
  }
  Dom scalar(const YAML::Mark& mark, std::string_view tag, const std::string& text) {
    if (tag == "!" || tag == std::string(kYamlTag) + "str") return Dom(text);
    if (tag.starts_with(kYamlTag)) tag.remove_prefix(kYamlTag.size());
    if (tag.empty() || tag == "?" || among<5>({"int", "float", "bool", "null", "timestamp"}, tag)) {
      if (auto v = resolve_plain(text)) return std::move(*v);
      must(builder_.fail(line(mark), "'" + text + "' is not a value that JSON has"));
    }
    must(builder_.fail(line(mark), "unknown tag '" + std::string(tag) + "'"));
    return {};
  }

  TreeBuilder builder_;
  std::size_t last_line_ = 1;
  int document_start_ = -1;
};

}  // namespace

std::optional<Dom> resolve_plain(const std::string& text) {
  if (text.empty() || among<4>({"~", "null", "Null", "NULL"}, text)) return Dom();
  if (among<9>({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"}, text)) {
    return Dom(true);
  }
  if (among<9>({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"}, text)) {
    return Dom(false);
  }
  if (among<11>({".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
                 ".nan", ".NaN"},
                text)) {
    return std::nullopt;
  }
  const char c = text.front();
  if (!is_digit(c) && c != '-' && c != '+' && c != '.') return Dom(text);
  if (auto n = resolve_integer(text)) return n;
  if (!looks_like_float(text)) return Dom(text);
  const char* begin = text.data() + (c == '+' ? 1 : 0);
  double d = 0;
  const auto [end, ec] = std::from_chars(begin, text.data() + text.size(), d);
  if (ec != std::errc{} || !std::isfinite(d)) return std::nullopt;
  return Dom(d);
}

Result<std::vector<Tree>> read_yaml(std::string_view text, std::string_view source) {
  const auto bad = [&](std::size_t line, const std::string& what) {
    return make_error(Code::invalid,
                      std::string(source) + ":" + std::to_string(line) + ": " + what);
  };
  Handler handler;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(handler)) {
    }
  } catch (const Stop&) {
    return bad(handler.error_line, handler.error);
  } catch (const YAML::Exception& e) {
    const auto line = e.mark.line < 0 ? 1 : static_cast<std::size_t>(e.mark.line) + 1;
    return bad(line, "malformed YAML: " + e.msg);
  } catch (const std::exception& e) {
    return bad(1, std::string("malformed YAML: ") + e.what());
  }
  return std::move(handler.trees);
}

}  // namespace margay::model::text
