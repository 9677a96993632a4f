// SPDX-License-Identifier: Apache-2.0
// Vocabulary of the field tables: `constexpr auto fields(Tag<T>)` returns a tuple that names each
// JSON field of T once, with its member and its rules; decoder, encoder and strict validation all
// follow it. Internal to model/codec.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <tuple>

#include "model/key.h"

namespace margay::model::codec {

template <typename T>
struct Tag {};

// --- rules -----------------------------------------------------------------------------------
// Range holds in every decoding (a value that exists is in range); the rest are for validate only.

struct Range {
  std::int64_t min, max;
};
struct Required {};
template <std::size_t N>
struct OneOf {
  std::array<std::string_view, N> values;
};
template <typename... S>
constexpr auto one_of(S... values) {
  return OneOf<sizeof...(S)>{{std::string_view(values)...}};
}
struct MaxItems {
  std::size_t n;
};
struct SelectorText {
  bool may_be_global = false;  // global() as the whole text
};
struct DurationText {};  // Go's "1m30s"
struct CidrText {};      // with a length, and without host bits
struct Name {};          // RFC 1123 subdomain
struct Unique {};        // no item twice
class OnlyFor {          // the field exists in these kinds only
 public:
  constexpr OnlyFor(std::initializer_list<Kind> kinds) {
    for (const Kind k : kinds) bits_ |= std::uint64_t{1} << static_cast<unsigned>(k);
  }
  [[nodiscard]] constexpr bool allows(Kind k) const {
    return (bits_ >> static_cast<unsigned>(k) & 1) != 0;
  }

 private:
  std::uint64_t bits_ = 0;
};
static_assert(kKindCount <= 64);
struct Always {};  // encode it also when it has its default value
// C::read(Context&, const Path&, Element, M&) and C::write(std::string&, const M&) in place of the
// member type's own.
template <typename C>
struct Via {};

// --- entries of a table ----------------------------------------------------------------------

template <typename T, typename M, typename... Rules>
struct Field {
  std::string_view name;
  M T::*member;
  std::tuple<Rules...> rules;
};
template <typename T, typename M, typename... Rules>
constexpr auto field(std::string_view name, M T::*member, Rules... rules) {
  return Field<T, M, Rules...>{name, member, {rules...}};
}

enum class JsonType { any, string, strings, number, boolean, array, object };
// A field that Calico has and nothing here reads: it stays in the Store's text only.
struct Known {
  std::string_view name;
  JsonType type;
};
constexpr Known known(std::string_view name, JsonType type) { return {name, type}; }

// A field that maps onto several members: R and W are functions
// bool(Context&, const Path&, Element, T&), void(std::string& out, const T&).
template <typename R, typename W>
struct Custom {
  std::string_view name;
  R read;
  W write;
};
template <typename R, typename W>
constexpr auto custom(std::string_view name, R read, W write) {
  return Custom<R, W>{name, read, write};
}

// --- enumerations ----------------------------------------------------------------------------
// enum_names(Tag<E>) returns an array of these; the first spelling of a value is the one written
// and, in strict validation, the only one accepted.
template <typename E>
struct EnumName {
  std::string_view text;
  E value;
};

}  // namespace margay::model::codec
