// SPDX-License-Identifier: Apache-2.0
// decode, encode and strict validation of one kind, as templates over its field table; codec_*.cpp
// instantiate them after their tables. Internal to model/codec.
#pragma once

#include "model/codec.h"
#include "model/codec/check.h"
#include "model/codec/read.h"
#include "model/codec/tables.h"
#include "model/codec/write.h"

namespace margay::model::codec {

// One document at a time; simdjson's buffers live as long as this. Small, so made per call.
class Text {
 public:
  // The error says where the text is malformed.
  Result<Element> parse(std::string_view json);

 private:
  simdjson::dom::parser parser_;
};

// "BGPPeer(rack1)" as the document itself says.
std::string name_in(Kind kind, Element document);
// kind, apiVersion and metadata agree with the key and the syntax of names; labels are labels.
void check_identity(Context& ctx, const Key& key, Element document, const Metadata* metadata);

template <typename T>
concept WithMetadata = requires(T v) {
  v.metadata;
};

template <typename T>
Result<void> KindCodec<T>::validate(const Key& key, std::string_view json) {
  Text text;
  auto document = text.parse(json);
  if (!document.ok()) {
    return make_error(Code::invalid, describe(key) + ": " + document.error().context);
  }
  Context ctx(key.kind, true);
  T value;
  read(ctx, Path{}, *document, value);
  if constexpr (WithMetadata<T>) {
    check_identity(ctx, key, *document, &value.metadata);
  } else {
    check_identity(ctx, key, *document, nullptr);
  }
  // What did not parse has been reported; the rest is not judged on top of it.
  if constexpr (requires { check(ctx, value); }) {
    if (ctx.clean()) check(ctx, value);
  }
  if (ctx.clean()) return {};
  return ctx.error(describe(key));
}

template <typename T>
Result<void> KindCodec<T>::judge(const Key& key, const T& value) {
  Context ctx(key.kind, true);
  if constexpr (requires { check(ctx, value); }) check(ctx, value);
  if (ctx.clean()) return {};
  return ctx.error(describe(key));
}

template <typename T>
Result<T> KindCodec<T>::decode(std::string_view json) {
  constexpr Kind kKind = kKindOf<T>;
  Text text;
  // Affinities of the oldest form are keys without a value.
  auto document = text.parse(kKind == Kind::block_affinity && json.empty() ? "{}" : json);
  if (!document.ok()) {
    return make_error(Code::invalid,
                      std::string(info(kKind).name) + ": " + document.error().context);
  }
  Context ctx(kKind, false);
  T value;
  if (read(ctx, Path{}, *document, value)) return value;
  return ctx.error(name_in(kKind, *document));
}

template <typename T>
std::string KindCodec<T>::encode(const T& value) {
  constexpr Kind kKind = kKindOf<T>;
  std::string out = "{";
  if constexpr (WithMetadata<T>) {
    write_name(out, "kind");
    write(out, info(kKind).name);
    write_name(out, "apiVersion");
    write(out, info(kKind).api_version);
  }
  write_fields(out, value);
  out += '}';
  return out;
}

}  // namespace margay::model::codec
