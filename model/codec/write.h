// SPDX-License-Identifier: Apache-2.0
// Encoding by field table. What equals the value of a default-made struct is left out, so decode of
// the text gives the same struct. Internal to model/codec.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "model/codec/read.h"

namespace margay::model::codec {

void write(std::string& out, std::string_view text);  // quoted and escaped
void write(std::string& out, bool v);
void write(std::string& out, double v);
void write(std::string& out, const Labels& v);
void write(std::string& out, const std::map<std::string, int>& v);
void write(std::string& out, Protocol v);
void write(std::string& out, const PortRange& v);
void write(std::string& out, const Port& v);
inline void write(std::string& out, const std::string& v) { write(out, std::string_view(v)); }
inline void write(std::string& out, int v) { out += std::to_string(v); }
inline void write(std::string& out, std::uint8_t v) { out += std::to_string(v); }
inline void write(std::string& out, std::uint16_t v) { out += std::to_string(v); }
inline void write(std::string& out, Asn v) { out += std::to_string(v.value()); }
template <typename T>
requires requires(const T& v) { v.to_string(); }
void write(std::string& out, const T& v) { write(out, std::string_view(v.to_string())); }
template <HasNames E>
void write(std::string& out, E v) {
  for (const auto& n : enum_names(Tag<E>{})) {
    if (n.value == v) return write(out, n.text);
  }
}
// ,"name": with the comma only where one is due.
void write_name(std::string& out, std::string_view name);

template <HasFields T>
void write(std::string& out, const T& v);
template <typename T>
void write(std::string& out, const std::vector<T>& v);

template <typename T>
void write(std::string& out, const std::optional<T>& v) {
  if (v) {
    write(out, *v);
  } else {
    out += "null";  // only inside lists: absent fields are left out
  }
}
template <typename T>
void write(std::string& out, const std::vector<T>& v) {
  out += '[';
  for (const auto& item : v) {
    if (out.back() != '[') out += ',';
    write(out, item);
  }
  out += ']';
}

template <typename M>
concept Sized = requires(const M& v) {
  v.empty();
};

template <HasFields T>
bool all_default(const T& v);

// `preset` is what a default-made struct holds.
template <typename M>
bool is_default(const M& v, const M& preset) {
  if constexpr (std::is_same_v<M, Prefix>) {
    return false;  // 0.0.0.0/0 is as good as any
  } else if constexpr (HasFields<M>) {
    return all_default(v);
  } else if constexpr (std::is_same_v<M, std::string>) {
    return v == preset;
  } else if constexpr (Sized<M>) {
    return v.empty();
  } else if constexpr (requires { v.has_value(); }) {
    return !v.has_value();
  } else if constexpr (std::is_same_v<M, Ip>) {
    return v.is_any();
  } else {
    return v == preset;
  }
}

template <typename T>
const T& preset_of() {
  static const T preset{};
  return preset;
}

template <typename T, typename M, typename... Rules>
bool skips(const T& v, const Field<T, M, Rules...>& f) {
  if constexpr (kHasRule<std::tuple<Rules...>, Always>) {
    return false;
  } else {
    return is_default(v.*f.member, preset_of<T>().*f.member);
  }
}
template <typename T, typename M, typename... Rules>
void write_entry(std::string& out, const T& v, const Field<T, M, Rules...>& f) {
  if (skips(v, f)) return;
  write_name(out, f.name);
  using C = typename ViaOf<std::tuple<Rules...>>::Type;
  if constexpr (std::is_void_v<C>) {
    write(out, v.*f.member);
  } else {
    C::write(out, v.*f.member);
  }
}
template <typename T>
void write_entry(std::string&, const T&, const Known&) {}
template <typename T, typename R, typename W>
void write_entry(std::string& out, const T& v, const Custom<R, W>& f) {
  write_name(out, f.name);
  f.write(out, v);
}

template <typename T, typename M, typename... Rules>
bool entry_is_default(const T& v, const Field<T, M, Rules...>& f) {
  return is_default(v.*f.member, preset_of<T>().*f.member);
}
template <typename T, typename Other>
bool entry_is_default(const T&, const Other&) {
  return true;
}
template <HasFields T>
bool all_default(const T& v) {
  return std::apply([&](const auto&... f) { return (entry_is_default(v, f) && ...); },
                    fields(Tag<T>{}));
}

// The fields of `v` into an object that `out` has opened.
template <HasFields T>
void write_fields(std::string& out, const T& v) {
  std::apply([&](const auto&... f) { (write_entry(out, v, f), ...); }, fields(Tag<T>{}));
}
template <HasFields T>
void write(std::string& out, const T& v) {
  out += '{';
  write_fields(out, v);
  out += '}';
}

}  // namespace margay::model::codec
