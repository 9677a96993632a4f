// SPDX-License-Identifier: Apache-2.0
// Hex text for messages in tests: "40 01 01 00", blanks and line ends ignored.
#pragma once

#include <string_view>

#include "bgp/wire/message.h"

namespace margay::bgp::wire {

inline Buffer hex(std::string_view text) {
  Buffer out;
  unsigned value = 0, digits = 0;
  for (const char c : text) {
    const std::string_view all = "0123456789abcdef";
    const auto n = all.find(c);
    if (n == all.npos) continue;
    value = value * 16 + static_cast<unsigned>(n);
    if (++digits % 2 == 0) {
      out.push_back(static_cast<std::uint8_t>(value));
      value = 0;
    }
  }
  return out;
}

// The body of an UPDATE from its three parts.
inline Buffer update_body(const Buffer& withdrawn, const Buffer& attributes, const Buffer& nlri) {
  Buffer out;
  put_u16(out, withdrawn.size());
  put_bytes(out, withdrawn);
  put_u16(out, attributes.size());
  put_bytes(out, attributes);
  put_bytes(out, nlri);
  return out;
}

inline std::vector<NlriEntry> entries(const Nlri& n) {
  std::vector<NlriEntry> out;
  n.for_each([&](const NlriEntry& e) { out.push_back(e); });
  return out;
}

}  // namespace margay::bgp::wire
