// SPDX-License-Identifier: Apache-2.0
#include "model/codec.h"

#include <array>

namespace margay::model {
namespace {

using Validate = Result<void> (*)(const Key&, std::string_view);

template <std::size_t... I>
constexpr std::array<Validate, kKindCount> validators(std::index_sequence<I...>) {
  static_assert(((std::tuple_element_t<I, KindTypes>::kind == static_cast<Kind>(I)) && ...));
  return {&codec::KindCodec<typename std::tuple_element_t<I, KindTypes>::Type>::validate...};
}
constexpr auto kValidators = validators(std::make_index_sequence<kKindCount>{});

}  // namespace

Result<void> validate_strict(const Key& key, std::string_view json) {
  return kValidators.at(static_cast<std::size_t>(key.kind))(key, json);
}

}  // namespace margay::model
