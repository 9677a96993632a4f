// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace margay {

std::string_view to_string(Code code) {
  switch (code) {
    case Code::invalid:
      return "invalid";
    case Code::not_found:
      return "not found";
    case Code::exists:
      return "exists";
    case Code::conflict:
      return "conflict";
    case Code::unavailable:
      return "unavailable";
    case Code::refused:
      return "refused";
    case Code::compacted:
      return "compacted";
    case Code::overrun:
      return "overrun";
    case Code::system:
      return "system";
    case Code::internal:
      return "internal";
  }
  return "unknown";
}

std::string Error::message() const {
  if (sys_errno == 0) return context.empty() ? std::string(to_string(code)) : context;
  return context + ": " + std::strerror(sys_errno);
}

Error sys_error(int err, std::string context) {
  return Error{Code::system, err, std::move(context)};
}

void assertion_failed(const char* expr, const char* file, int line) {
  std::fprintf(stderr, "assertion failed: %s (%s:%d)\n", expr, file, line);
  std::abort();
}

}  // namespace margay
