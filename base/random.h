// SPDX-License-Identifier: Apache-2.0
// The system's randomness, for seeds. Code under test takes the seed instead.
#pragma once

#include <cstdint>

namespace margay {

[[nodiscard]] std::uint64_t random_seed();  // never 0

}  // namespace margay
