// SPDX-License-Identifier: Apache-2.0
#include "model/codec/read.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <set>

#include "model/duration.h"
#include "model/names.h"
#include "model/selector.h"

namespace margay::model::codec {
namespace {

constexpr std::size_t kMaxProblems = 20;
constexpr std::size_t kMaxQuoted = 80;
constexpr std::size_t kMaxSelector = 1024;

std::string shortened(std::string text) {
  if (text.size() <= kMaxQuoted) return text;
  std::size_t end = kMaxQuoted;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // UTF-8
  text.resize(end);
  return text += "...";
}

std::string quoted(Element e) {
  std::string_view text;
  if (e.get(text) == simdjson::SUCCESS) return shortened(std::string(text));
  return shortened(simdjson::minify(e));
}

template <typename T>
bool read_whole(Context& ctx, const Path& path, Element e, T& out) {
  using Limits = std::numeric_limits<T>;
  std::int64_t n = 0;
  double d = 0;
  if (e.get(n) != simdjson::SUCCESS) {
    // 80.0 is a whole number too, as in Go's JSON.
    if (!e.is_double() || e.get(d) != simdjson::SUCCESS || d != std::floor(d) ||
        std::fabs(d) > 1e15) {
      return ctx.fail(path, e, "must be a whole number");
    }
    n = static_cast<std::int64_t>(d);
  }
  if (n < Limits::min() || n > Limits::max()) {
    return ctx.fail(path, e,
                    "must be a number from " + std::to_string(Limits::min()) + " to " +
                        std::to_string(Limits::max()));
  }
  out = static_cast<T>(n);
  return true;
}

template <typename T, typename Parse>
bool read_text(Context& ctx, const Path& path, Element e, T& out, Parse parse,
               std::string_view reason) {
  std::string_view text;
  if (e.get(text) != simdjson::SUCCESS) return ctx.fail(path, e, reason);
  auto parsed = parse(text);
  if (!parsed.ok()) return ctx.fail(path, e, reason);
  out = *parsed;
  return true;
}

struct ProtocolName {
  std::string_view text;
  std::uint8_t number;
};
constexpr ProtocolName kProtocols[] = {{"TCP", 6},     {"UDP", 17},   {"ICMP", 1},
                                       {"ICMPv6", 58}, {"SCTP", 132}, {"UDPLite", 136}};

std::optional<std::uint16_t> port_number(std::string_view text) {
  std::uint16_t n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_port_name(std::string_view text) {
  return !text.empty() && text.size() <= 128 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '.' || c == '-';
  });
}

bool parse_port(std::string_view text, Port& out) {
  const auto colon = text.find(':');
  if (colon != std::string_view::npos) {
    const auto first = port_number(text.substr(0, colon));
    const auto last = port_number(text.substr(colon + 1));
    if (!first || !last || *first > *last) return false;
    out = PortRange{*first, *last};
    return true;
  }
  if (all_digits(text)) {
    const auto n = port_number(text);
    if (n) out = PortRange{*n, *n};
    return n.has_value();
  }
  if (!is_port_name(text)) return false;
  out = std::string(text);
  return true;
}

// Runs `check` on a text, or on each text of a list.
template <typename Check>
bool each_text(const Path& path, Element e, Check check) {
  std::string_view text;
  if (e.get(text) == simdjson::SUCCESS) return check(path, e, text);
  simdjson::dom::array items;
  if (e.get(items) != simdjson::SUCCESS) return true;
  bool good = true;
  std::size_t i = 0;
  for (const Element item : items) {
    const Path at{&path, {}, i++};
    if (item.get(text) == simdjson::SUCCESS) good &= check(at, item, text);
  }
  return good;
}

}  // namespace

std::string Path::to_string() const {
  std::string out = parent == nullptr ? std::string() : parent->to_string();
  if (name.empty()) {
    if (parent != nullptr) out += "[" + std::to_string(index) + "]";
    return out;
  }
  if (!out.empty()) out += '.';
  out += name;
  return out;
}

bool Context::reports_unknown() const {
  if (!strict_) return false;
  const auto version = info(kind_).api_version;
  return version.empty() || version == "projectcalico.org/v3" ||
         kind_ == Kind::kubernetes_network_policy || kind_ == Kind::cluster_network_policy;
}

void Context::add(std::string problem) {
  if (problems_.size() < kMaxProblems) {
    problems_.push_back(std::move(problem));
  } else {
    ++dropped_;
  }
}

bool Context::fail(std::string_view path, std::string_view value, std::string_view reason) {
  std::string text = "error with field ";
  text.append(path.empty() ? "(the whole object)" : path);
  if (kind_ != Kind::secret) text += " = '" + shortened(std::string(value)) + "'";
  text.append(" (").append(reason).append(")");
  add(std::move(text));
  return false;
}

bool Context::fail(const Path& path, Element value, std::string_view reason) {
  return fail(path.to_string(), quoted(value), reason);
}

bool Context::unknown(const Path& path) {
  std::string text = "field in document is not recognized or is in the wrong location: ";
  text.append(path.name).append(" (at ").append(path.to_string()).append(")");
  add(std::move(text));
  return false;
}

Error Context::error(std::string_view who) const {
  std::string text(who);
  text += ": ";
  for (std::size_t i = 0; i < problems_.size(); ++i) {
    if (i > 0) text += "; ";
    text += problems_[i];
  }
  if (dropped_ > 0) text += "; and " + std::to_string(dropped_) + " more";
  return make_error(Code::invalid, std::move(text));
}

bool same_word(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : int{c}; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

// --- values ----------------------------------------------------------------------------------

bool read(Context& ctx, const Path& path, Element e, std::string& out) {
  std::string_view text;
  if (e.get(text) == simdjson::SUCCESS) {
    out.assign(text);
    return true;
  }
  return ctx.fail(
      path, e,
      e.is_bool() || e.is_number() ? "must be a text: put it in quotes" : "must be a text");
}

bool read(Context& ctx, const Path& path, Element e, bool& out) {
  if (e.get(out) == simdjson::SUCCESS) return true;
  return ctx.fail(path, e, "must be true or false");
}

bool read(Context& ctx, const Path& path, Element e, int& out) {
  return read_whole(ctx, path, e, out);
}
bool read(Context& ctx, const Path& path, Element e, std::uint8_t& out) {
  return read_whole(ctx, path, e, out);
}
bool read(Context& ctx, const Path& path, Element e, std::uint16_t& out) {
  return read_whole(ctx, path, e, out);
}

bool read(Context& ctx, const Path& path, Element e, double& out) {
  if (e.is_number() && e.get(out) == simdjson::SUCCESS) return true;
  return ctx.fail(path, e, "must be a number");
}

bool read(Context& ctx, const Path& path, Element e, Labels& out) {
  simdjson::dom::object object;
  if (e.get(object) != simdjson::SUCCESS) return ctx.fail(path, e, "must be a map of texts");
  out.clear();
  bool good = true;
  for (const auto [key, value] : object) {
    std::string text;
    if (!value.is_null()) good &= read(ctx, Path{&path, key}, value, text);
    if (!good && !ctx.strict()) return false;
    out.emplace_back(std::string(key), std::move(text));
  }
  // A key given twice: the last one counts, as everywhere in JSON.
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto kept = std::unique(out.rbegin(), out.rend(),
                                [](const auto& a, const auto& b) { return a.first == b.first; });
  out.erase(out.begin(), kept.base());
  return good;
}

bool read(Context& ctx, const Path& path, Element e, std::map<std::string, int>& out) {
  simdjson::dom::object object;
  if (e.get(object) != simdjson::SUCCESS) return ctx.fail(path, e, "must be a map of numbers");
  bool good = true;
  for (const auto [key, value] : object) {
    good &= read(ctx, Path{&path, key}, value, out[std::string(key)]);
    if (!good && !ctx.strict()) return false;
  }
  return good;
}

bool read(Context& ctx, const Path& path, Element e, Ip& out) {
  return read_text(ctx, path, e, out, Ip::parse, "must be an IP address");
}
bool read(Context& ctx, const Path& path, Element e, Prefix& out) {
  return read_text(ctx, path, e, out, Prefix::parse_containing,
                   "must be a CIDR such as 10.0.0.0/8 or fd00::/8, or an IP address");
}
bool read(Context& ctx, const Path& path, Element e, InterfaceAddress& out) {
  return read_text(ctx, path, e, out, InterfaceAddress::parse,
                   "must be an IP address with the length of its subnet, such as 10.0.0.5/24");
}
bool read(Context& ctx, const Path& path, Element e, Mac& out) {
  return read_text(ctx, path, e, out, Mac::parse,
                   "must be a MAC address such as 66:2d:bf:44:a6:8b");
}

bool read(Context& ctx, const Path& path, Element e, Asn& out) {
  constexpr std::string_view kReason =
      "must be an AS number: 0 to 4294967295, or a text such as \"64512\" or \"1.10\"";
  std::uint64_t n = 0;
  if (e.get(n) == simdjson::SUCCESS) {
    if (n > std::numeric_limits<std::uint32_t>::max()) return ctx.fail(path, e, kReason);
    out = Asn(static_cast<std::uint32_t>(n));
    return true;
  }
  return read_text(ctx, path, e, out, parse_asn, kReason);
}

bool read(Context& ctx, const Path& path, Element e, Protocol& out) {
  constexpr std::string_view kReason =
      "must be TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite, or a number from 1 to 255";
  std::int64_t n = 0;
  std::string_view text;
  if (e.get(text) == simdjson::SUCCESS) {
    for (const auto& p : kProtocols) {
      if (!same_word(p.text, text)) continue;
      out.number = p.number;
      return true;
    }
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (ec != std::errc{} || end != text.data() + text.size()) n = 0;
  } else if (e.get(n) != simdjson::SUCCESS) {
    n = 0;
  }
  if (n < 1 || n > 255) return ctx.fail(path, e, kReason);
  out.number = static_cast<std::uint8_t>(n);
  return true;
}

bool read(Context& ctx, const Path& path, Element e, PortRange& out) {
  std::uint16_t n = 0;
  if (!read(ctx, path, e, n)) return false;
  out = {n, n};
  return true;
}

bool read(Context& ctx, const Path& path, Element e, Port& out) {
  std::uint64_t n = 0;
  std::string_view text;
  if (e.get(n) == simdjson::SUCCESS && n <= 65535) {
    out = PortRange{static_cast<std::uint16_t>(n), static_cast<std::uint16_t>(n)};
    return true;
  }
  if (e.get(text) == simdjson::SUCCESS && parse_port(text, out)) return true;
  return ctx.fail(
      path, e, "must be a port from 0 to 65535, a range such as \"8000:8080\", or a port's name");
}

bool check_type(Context& ctx, const Path& path, Element e, JsonType type) {
  switch (type) {
    case JsonType::any:
      return true;
    case JsonType::string:
      return e.is_string() || ctx.fail(path, e, "must be a text");
    case JsonType::number:
      return e.is_number() || ctx.fail(path, e, "must be a number");
    case JsonType::boolean:
      return e.is_bool() || ctx.fail(path, e, "must be true or false");
    case JsonType::object:
      return e.is_object() || ctx.fail(path, e, "must be an object");
    case JsonType::array:
      return e.is_array() || ctx.fail(path, e, "must be a list");
    case JsonType::strings: {
      std::vector<std::string> ignored;
      return read(ctx, path, e, ignored);
    }
  }
  return true;
}

// --- rules -----------------------------------------------------------------------------------

bool in_range(Context& ctx, const Path& path, Element e, Range rule) {
  double d = 0;
  if (!e.is_number() || e.get(d) != simdjson::SUCCESS) return true;
  if (d >= static_cast<double>(rule.min) && d <= static_cast<double>(rule.max)) return true;
  return ctx.fail(path, e,
                  "must be from " + std::to_string(rule.min) + " to " + std::to_string(rule.max));
}

bool in_list(Context& ctx, const Path& path, Element e, const std::string_view* values,
             std::size_t n) {
  return each_text(path, e, [&](const Path& at, Element item, std::string_view text) {
    if (text.empty() || std::find(values, values + n, text) != values + n) return true;
    std::string reason = n == 1 ? "must be" : "must be one of";
    for (std::size_t i = 0; i < n; ++i) reason.append(i == 0 ? " " : ", ").append(values[i]);
    return ctx.fail(at, item, reason);
  });
}

bool obeys(Context& ctx, const Path& path, Element e, MaxItems rule) {
  simdjson::dom::array items;
  if (e.get(items) != simdjson::SUCCESS || items.size() <= rule.n) return true;
  return ctx.fail(path.to_string(), std::to_string(items.size()) + " items",
                  "must have at most " + std::to_string(rule.n) + " items");
}

bool obeys(Context& ctx, const Path& path, Element e, SelectorText rule) {
  std::string_view text;
  if (e.get(text) != simdjson::SUCCESS) return true;
  if (text.size() > kMaxSelector) return ctx.fail(path, e, "must be at most 1024 characters long");
  const auto selector = Selector::parse(text);
  if (!selector.ok()) return ctx.fail(path, e, selector.error().context);
  if (!selector->mentions_global() || (rule.may_be_global && selector->is_global())) return true;
  return ctx.fail(
      path, e, rule.may_be_global ? "global() must stand alone" : "global() is not allowed here");
}

bool obeys(Context& ctx, const Path& path, Element e, DurationText) {
  std::string_view text;
  if (e.get(text) != simdjson::SUCCESS || text.empty() || parse_duration(text).ok()) return true;
  return ctx.fail(path, e, "must be a duration such as 90s or 1m30s");
}

bool obeys(Context& ctx, const Path& path, Element e, CidrText) {
  return each_text(path, e, [&](const Path& at, Element item, std::string_view text) {
    if (text.find('/') == std::string_view::npos) {
      return ctx.fail(at, item, "must be a CIDR: an address and a length, such as 10.0.0.0/16");
    }
    const auto prefix = Prefix::parse_containing(text);
    if (!prefix.ok() || Prefix::parse(text).ok()) return true;
    return ctx.fail(
        at, item,
        "must not have bits set behind the length; did you mean " + prefix->to_string() + "?");
  });
}

bool obeys(Context& ctx, const Path& path, Element e, Name) {
  return each_text(path, e, [&](const Path& at, Element item, std::string_view text) {
    return text.empty() || is_subdomain(text) || ctx.fail(at, item, kSubdomainRule);
  });
}

bool obeys(Context& ctx, const Path& path, Element e, Unique) {
  std::set<std::string_view> seen;
  return each_text(path, e, [&](const Path& at, Element item, std::string_view text) {
    return seen.insert(text).second || ctx.fail(at, item, "must not be given twice");
  });
}

}  // namespace margay::model::codec
