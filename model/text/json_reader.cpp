// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "model/text/dom.h"

namespace margay::model::text {
namespace {

std::size_t line_at(std::string_view text, std::size_t offset) {
  const auto* end = text.begin() + static_cast<std::ptrdiff_t>(std::min(offset, text.size()));
  return 1 + static_cast<std::size_t>(std::count(text.begin(), end, '\n'));
}

// Feeds a TreeBuilder. nlohmann gives no positions with its events, so a line is found only for
// the beginnings of objects, by what the input iterator has consumed, and for errors.
class Handler : public nlohmann::json_sax<Dom> {
 public:
  explicit Handler(std::string_view text) : text_(text) {}

  bool null() override { return builder_.value(Dom(), line_); }
  bool boolean(bool v) override { return builder_.value(Dom(v), line_); }
  bool number_integer(number_integer_t v) override { return builder_.value(Dom(v), line_); }
  bool number_unsigned(number_unsigned_t v) override { return builder_.value(Dom(v), line_); }
  bool number_float(number_float_t v, const string_t&) override {
    return builder_.value(Dom(v), line_);
  }
  bool string(string_t& v) override { return builder_.value(Dom(std::move(v)), line_); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return builder_.begin_object(line_); }
  bool key(string_t& v) override { return builder_.key(std::move(v), line_); }
  bool end_object() override { return builder_.end(line_); }
  bool start_array(std::size_t) override { return builder_.begin_list(line_); }
  bool end_array() override { return builder_.end(line_); }
  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception&) override {
    const bool at_end = position > text_.size() || token.empty();
    return builder_.fail(line_at(text_, position),
                         at_end ? "malformed JSON: it ends too early"
                                : "malformed JSON near '" + token.substr(0, 40) + "'");
  }

  TreeBuilder& builder() { return builder_; }
  std::size_t line_ = 1;

 private:
  std::string_view text_;
  TreeBuilder builder_;
};

// Hands out characters and counts lines for the handler.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  CountingIterator(const char* p, std::size_t* line) : p_(p), line_(line) {}
  reference operator*() const { return *p_; }
  CountingIterator& operator++() {
    if (*p_ == '\n') ++*line_;
    ++p_;
    return *this;
  }
  bool operator==(const CountingIterator& other) const { return p_ == other.p_; }
  bool operator!=(const CountingIterator& other) const { return p_ != other.p_; }

 private:
  const char* p_;
  std::size_t* line_;
};

Result<Tree> read_one(std::string_view text, std::string_view source) {
  Handler handler(text);
  const CountingIterator begin(text.data(), &handler.line_);
  const CountingIterator end(text.data() + text.size(), &handler.line_);
  const bool good = Dom::sax_parse(begin, end, &handler);
  if (good && handler.builder().error().empty()) return handler.builder().take();
  std::string message(source);
  message += ":" + std::to_string(handler.builder().error_line()) + ": ";
  return make_error(Code::invalid, message + handler.builder().error());
}

}  // namespace

Result<std::vector<Tree>> read_json(std::string_view text, std::string_view source) {
  MARGAY_TRY(Tree tree, read_one(text, source));
  std::vector<Tree> out;
  out.push_back(std::move(tree));
  return out;
}

Result<Dom> parse_json(std::string_view text) {
  if (text.size() > kMaxText) return make_error(Code::invalid, "larger than 64 MiB");
  MARGAY_TRY(Tree tree, read_one(text, "JSON"));
  return std::move(tree.root);
}

}  // namespace margay::model::text
