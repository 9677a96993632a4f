// SPDX-License-Identifier: Apache-2.0
// Decoding by field table, over simdjson's DOM (the whole text is checked before anything is read).
// Lenient reading stops at the first problem; strict reading collects them. Internal to
// model/codec: only the codec's own .cpp files pay for simdjson.
#pragma once

#include <simdjson.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/ip.h"
#include "base/result.h"
#include "base/types.h"
#include "model/codec/fields.h"
#include "model/resources.h"

namespace margay::model::codec {

using Element = simdjson::dom::element;

// Where we are in the document: a list on the stack, turned into text only for a message.
struct Path {
  const Path* parent = nullptr;
  std::string_view name;  // empty: an item of an array, by index
  std::size_t index = 0;
  [[nodiscard]] std::string to_string() const;  // "spec.ingress[3].source.nets[0]"
};

class Context {
 public:
  Context(Kind kind, bool strict) : kind_(kind), strict_(strict) {}
  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] bool strict() const { return strict_; }
  // Native kinds have far more fields than their tables: unknown ones are no mistake.
  [[nodiscard]] bool reports_unknown() const;
  [[nodiscard]] bool clean() const { return problems_.empty(); }

  // All return false.
  bool fail(const Path& path, Element value, std::string_view reason);
  bool fail(std::string_view path, std::string_view value, std::string_view reason);
  bool unknown(const Path& path);
  // The problems so far as one Error about the object `who`.
  [[nodiscard]] Error error(std::string_view who) const;

 private:
  void add(std::string problem);
  Kind kind_;
  bool strict_;
  std::vector<std::string> problems_;
  std::size_t dropped_ = 0;
};

// --- values ----------------------------------------------------------------------------------

bool read(Context& ctx, const Path& path, Element e, std::string& out);
bool read(Context& ctx, const Path& path, Element e, bool& out);
bool read(Context& ctx, const Path& path, Element e, int& out);
bool read(Context& ctx, const Path& path, Element e, std::uint8_t& out);
bool read(Context& ctx, const Path& path, Element e, std::uint16_t& out);
bool read(Context& ctx, const Path& path, Element e, double& out);
bool read(Context& ctx, const Path& path, Element e, Labels& out);
bool read(Context& ctx, const Path& path, Element e, std::map<std::string, int>& out);
bool read(Context& ctx, const Path& path, Element e, Ip& out);
bool read(Context& ctx, const Path& path, Element e, Prefix& out);  // host bits are masked
bool read(Context& ctx, const Path& path, Element e, InterfaceAddress& out);
bool read(Context& ctx, const Path& path, Element e, Mac& out);
bool read(Context& ctx, const Path& path, Element e, Asn& out);
bool read(Context& ctx, const Path& path, Element e, Protocol& out);
bool read(Context& ctx, const Path& path, Element e, PortRange& out);  // one number only
bool read(Context& ctx, const Path& path, Element e, Port& out);
bool check_type(Context& ctx, const Path& path, Element e, JsonType type);
// Case-insensitive equality of ASCII text.
bool same_word(std::string_view a, std::string_view b);

template <typename T>
concept HasFields = requires {
  fields(Tag<T>{});
};
template <typename T>
concept HasNames = requires {
  enum_names(Tag<T>{});
};

template <HasFields T>
bool read(Context& ctx, const Path& path, Element e, T& out);

template <typename T>
bool read(Context& ctx, const Path& path, Element e, std::optional<T>& out) {
  if (e.is_null()) return true;
  return read(ctx, path, e, out.emplace());
}

template <typename T>
bool read(Context& ctx, const Path& path, Element e, std::vector<T>& out) {
  simdjson::dom::array items;
  if (e.get(items) != simdjson::SUCCESS) return ctx.fail(path, e, "must be a list");
  out.clear();
  out.reserve(items.size());
  bool good = true;
  for (const Element item : items) {
    const Path at{&path, {}, out.size()};
    good &= read(ctx, at, item, out.emplace_back());
    if (!good && !ctx.strict()) return false;
  }
  return good;
}

template <HasNames E>
bool read(Context& ctx, const Path& path, Element e, E& out) {
  std::string_view text;
  if (e.get(text) == simdjson::SUCCESS) {
    for (const auto& n : enum_names(Tag<E>{})) {
      if (ctx.strict() ? n.text == text : same_word(n.text, text)) {
        out = n.value;
        return true;
      }
    }
  }
  std::string reason = "must be one of";
  std::optional<E> last;
  for (const auto& n : enum_names(Tag<E>{})) {
    if (last != n.value) reason.append(last ? ", " : " ").append(n.text);
    last = n.value;
  }
  return ctx.fail(path, e, reason);
}

// --- rules -----------------------------------------------------------------------------------

bool in_range(Context& ctx, const Path& path, Element e, Range rule);
bool in_list(Context& ctx, const Path& path, Element e, const std::string_view* values,
             std::size_t n);
bool obeys(Context& ctx, const Path& path, Element e, MaxItems rule);
bool obeys(Context& ctx, const Path& path, Element e, SelectorText rule);
bool obeys(Context& ctx, const Path& path, Element e, DurationText rule);
bool obeys(Context& ctx, const Path& path, Element e, CidrText rule);
bool obeys(Context& ctx, const Path& path, Element e, Name rule);
bool obeys(Context& ctx, const Path& path, Element e, Unique rule);
template <std::size_t N>
bool obeys(Context& ctx, const Path& path, Element e, const OneOf<N>& rule) {
  return in_list(ctx, path, e, rule.values.data(), N);
}
template <typename Rule>
bool obeys(Context&, const Path&, Element, const Rule&) {
  return true;  // Required, Always, ...: looked at elsewhere
}

template <typename M, typename Rule>
bool apply_rule(Context& ctx, const Path& path, Element e, const Rule& rule) {
  if constexpr (std::is_same_v<Rule, Range>) {
    return in_range(ctx, path, e, rule);
  } else {
    return !ctx.strict() || obeys(ctx, path, e, rule);
  }
}

template <typename Rules, typename Wanted>
inline constexpr bool kHasRule = false;
template <typename Wanted, typename... Rules>
inline constexpr bool kHasRule<std::tuple<Rules...>, Wanted> = (std::is_same_v<Rules, Wanted> ||
                                                                ...);
template <typename Rules>
struct ViaOf {
  using Type = void;
};
template <typename C, typename... Rest>
struct ViaOf<std::tuple<Via<C>, Rest...>> {
  using Type = C;
};
template <typename First, typename... Rest>
struct ViaOf<std::tuple<First, Rest...>> {
  using Type = typename ViaOf<std::tuple<Rest...>>::Type;
};

// --- structs ---------------------------------------------------------------------------------

template <typename T, typename M, typename... Rules>
bool read_entry(Context& ctx, const Path& path, Element e, T& out, const Field<T, M, Rules...>& f) {
  if constexpr (kHasRule<std::tuple<Rules...>, OnlyFor>) {
    if (ctx.strict() && !std::get<OnlyFor>(f.rules).allows(ctx.kind())) return ctx.unknown(path);
  }
  if (e.is_null()) return true;
  using C = typename ViaOf<std::tuple<Rules...>>::Type;
  bool good;
  if constexpr (std::is_void_v<C>) {
    good = read(ctx, path, e, out.*f.member);
  } else {
    good = C::read(ctx, path, e, out.*f.member);
  }
  if (!good) return false;
  return std::apply([&](const auto&... r) { return (apply_rule<M>(ctx, path, e, r) && ...); },
                    f.rules);
}
template <typename T>
bool read_entry(Context& ctx, const Path& path, Element e, T&, const Known& f) {
  return !ctx.strict() || e.is_null() || check_type(ctx, path, e, f.type);
}
template <typename T, typename R, typename W>
bool read_entry(Context& ctx, const Path& path, Element e, T& out, const Custom<R, W>& f) {
  return e.is_null() || f.read(ctx, path, e, out);
}

template <typename T, typename M, typename... Rules>
bool require_entry(Context& ctx, const Path& path, simdjson::dom::object object,
                   const Field<T, M, Rules...>& f) {
  if constexpr (kHasRule<std::tuple<Rules...>, Required>) {
    Element e;
    std::string_view text;
    const bool absent = object.at_key(f.name).get(e) != simdjson::SUCCESS || e.is_null() ||
                        (e.get(text) == simdjson::SUCCESS && text.empty());
    if (absent) return ctx.fail(Path{&path, f.name}.to_string(), "", "is required");
  }
  return true;
}
template <typename Other>
bool require_entry(Context&, const Path&, simdjson::dom::object, const Other&) {
  return true;
}

template <HasFields T>
bool read(Context& ctx, const Path& path, Element e, T& out) {
  static constexpr auto kTable = fields(Tag<T>{});
  simdjson::dom::object object;
  if (e.get(object) != simdjson::SUCCESS) return ctx.fail(path, e, "must be an object");
  bool good = true;
  for (const auto [key, value] : object) {
    const Path at{&path, key};
    const auto entry = [&, k = key, v = value](const auto& f) {
      if (k != f.name) return false;
      good &= read_entry(ctx, at, v, out, f);
      return true;
    };
    const bool found = std::apply([&](const auto&... f) { return (entry(f) || ...); }, kTable);
    if (!found && ctx.reports_unknown()) good = ctx.unknown(at);
    if (!good && !ctx.strict()) return false;
  }
  if (ctx.strict()) {
    std::apply([&](const auto&... f) { ((good &= require_entry(ctx, path, object, f)), ...); },
               kTable);
  }
  return good;
}

}  // namespace margay::model::codec
