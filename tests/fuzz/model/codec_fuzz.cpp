// SPDX-License-Identifier: Apache-2.0
// Codec: any text, as any kind, ends in a value or an error; what decodes also encodes to the same
// text twice over; what strict validation accepts, lenient decoding accepts too. The first byte
// chooses the kind.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "model/codec.h"

namespace margay::model {
namespace {

template <typename T>
void try_kind(std::string_view json) {
  const bool strict = validate_strict({kKindOf<T>, "ns", "x"}, json).ok();
  const auto value = decode<T>(json);
  if (strict && !value.ok()) std::abort();
  if (!value.ok()) return;
  const std::string once = encode(*value);
  const auto again = decode<T>(once);
  if (!again.ok() || encode(*again) != once) std::abort();
}

template <std::size_t... I>
void try_chosen(std::size_t chosen, std::string_view json, std::index_sequence<I...>) {
  (void)((chosen == I ? (try_kind<typename std::tuple_element_t<I, KindTypes>::Type>(json), true)
                      : false) ||
         ...);
}

}  // namespace
}  // namespace margay::model

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace margay::model;
  if (size == 0) return 0;
  const std::string text(data + 1, data + size);
  try_chosen(data[0] % kKindCount, text, std::make_index_sequence<kKindCount>{});
  return 0;
}
