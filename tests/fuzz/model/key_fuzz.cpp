// SPDX-License-Identifier: Apache-2.0
// Keys: a path that parses is the path of its key, unless it writes a CIDR in an unusual form.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "model/key.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace margay::model;
  const std::string text(data, data + size);
  (void)kind_by_alias(text);
  const auto key = parse_key(text);
  if (!key.ok()) return 0;
  if (path(*key) != text) std::abort();
  const auto again = parse_key(path(*key));
  if (!again.ok() || *again != *key) std::abort();
  return 0;
}
