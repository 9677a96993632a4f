// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <sys/random.h>

#include <array>
#include <cstring>

namespace margay {

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  // Small requests are not cut short once the pool is initialised; before that any value will do.
  std::array<unsigned char, sizeof seed> bytes{};
  if (getrandom(bytes.data(), bytes.size(), GRND_NONBLOCK) > 0) {
    std::memcpy(&seed, bytes.data(), bytes.size());
  }
  return seed == 0 ? 1 : seed;
}

}  // namespace margay
