// SPDX-License-Identifier: Apache-2.0
// YAML in the style of Go's encoder, which calicoctl and kubectl print with: block style, lists not
// indented below their key, keys sorted, plain scalars wherever they read back as the same text.
#include <algorithm>
#include <array>

#include "model/document.h"
#include "model/text/dom.h"

namespace margay::model {
namespace {

using text::Dom;

bool plain_start(std::string_view s) {
  constexpr std::string_view kIndicators = ",[]{}#&*!|>'\"%@`";
  if (kIndicators.find(s.front()) != std::string_view::npos) return false;
  const bool alone = s.size() == 1 || s[1] == ' ';
  if ((s.front() == '-' || s.front() == '?' || s.front() == ':') && alone) return false;
  return !s.starts_with("---") && !s.starts_with("...") && s.front() != ' ';
}

bool printable(std::string_view s) {
  return std::none_of(s.begin(), s.end(), [](char c) {
    const auto b = static_cast<unsigned char>(c);
    return b < 0x20 || b == 0x7f;
  });
}

bool may_be_plain(std::string_view s) {
  return !s.empty() && plain_start(s) && s.back() != ' ' && s.back() != ':' &&
         s.find(": ") == std::string_view::npos && s.find(" #") == std::string_view::npos;
}

// "2026-01-01..." would be read as a time.
bool looks_like_time(std::string_view s) {
  return s.size() >= 10 && s[4] == '-' && s[7] == '-' &&
         std::all_of(s.begin(), s.begin() + 4, [](char c) { return c >= '0' && c <= '9'; });
}

void write_double_quoted(std::string& out, std::string_view s) {
  out += Dom(s).dump(-1, ' ', false, Dom::error_handler_t::replace);
}
void write_single_quoted(std::string& out, std::string_view s) {
  out += '\'';
  for (const char c : s) {
    out += c;
    if (c == '\'') out += c;
  }
  out += '\'';
}

void write_block(std::string& out, std::string_view s, std::size_t indent) {
  const bool ends = s.back() == '\n';
  if (ends) s.remove_suffix(1);
  out += ends ? (s.ends_with('\n') ? "|+" : "|") : "|-";
  for (;;) {
    const auto stop = s.find('\n');
    const auto line = s.substr(0, stop);
    out += '\n';
    if (!line.empty()) out.append(indent, ' ').append(line);
    if (stop == std::string_view::npos) return;
    s.remove_prefix(stop + 1);
  }
}

bool fits_block(std::string_view s) {
  std::string rest(s);
  std::erase(rest, '\n');
  return s.find('\n') != std::string_view::npos && s.front() != ' ' && s.front() != '\n' &&
         printable(rest);
}

void write_text(std::string& out, const std::string& s, std::size_t indent, bool key) {
  if (!key && !s.empty() && fits_block(s)) return write_block(out, s, indent);
  if (!printable(s)) return write_double_quoted(out, s);
  const auto meaning = text::resolve_plain(s);
  const bool same = meaning && meaning->is_string() && !looks_like_time(s);
  if (!same || s == "y" || s == "n" || s == "Y" || s == "N" || s == "<<" || s == "=") {
    return write_double_quoted(out, s);
  }
  if (may_be_plain(s)) {
    out += s;
  } else {
    write_single_quoted(out, s);
  }
}

void write_scalar(std::string& out, const Dom& v, std::size_t indent) {
  if (v.is_string()) return write_text(out, v.get_ref<const std::string&>(), indent, false);
  if (v.is_object()) {
    out += "{}";
  } else if (v.is_array()) {
    out += "[]";
  } else {
    out += v.dump();
  }
}

bool nests(const Dom& v) { return v.is_structured() && !v.empty(); }

// `out` stands where the value begins; `indent` is that column.
void write_value(std::string& out, const Dom& v, std::size_t indent);

void write_map(std::string& out, const Dom& v, std::size_t indent) {
  std::vector<const std::pair<const std::string, Dom>*> members;
  for (const auto& m : v.get_ref<const Dom::object_t&>()) members.push_back(&m);
  std::sort(members.begin(), members.end(),
            [](const auto* a, const auto* b) { return a->first < b->first; });
  bool first = true;
  for (const auto* m : members) {
    if (!first) out.append(indent, ' ');
    first = false;
    write_text(out, m->first, indent, true);
    out += ':';
    if (!nests(m->second)) {
      out += ' ';
      write_scalar(out, m->second, indent + 2);
      out += '\n';
      continue;
    }
    out += '\n';
    const std::size_t inner = m->second.is_array() ? indent : indent + 2;
    out.append(inner, ' ');
    write_value(out, m->second, inner);
  }
}

void write_value(std::string& out, const Dom& v, std::size_t indent) {
  if (v.is_object() && !v.empty()) return write_map(out, v, indent);
  if (!nests(v)) {
    write_scalar(out, v, indent);
    out += '\n';
    return;
  }
  bool first = true;
  for (const Dom& item : v) {
    if (!first) out.append(indent, ' ');
    first = false;
    out += "- ";
    write_value(out, item, indent + 2);
  }
}

}  // namespace

Result<std::string> to_yaml(std::string_view json) {
  MARGAY_TRY(const Dom dom, text::parse_json(json));
  std::string out;
  write_value(out, dom, 0);
  return out;
}

Result<std::string> to_pretty_json(std::string_view json) {
  MARGAY_TRY(const Dom dom, text::parse_json(json));
  return dom.dump(2, ' ', false, Dom::error_handler_t::replace);
}

}  // namespace margay::model
