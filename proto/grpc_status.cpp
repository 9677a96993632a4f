// SPDX-License-Identifier: Apache-2.0
#include "proto/grpc_status.h"

#include <array>

namespace margay::transport {
namespace {

constexpr std::array kCodes{
    Code::internal,     // OK, where no end was expected
    Code::unavailable,  // CANCELLED
    Code::internal,     // UNKNOWN
    Code::invalid,      // INVALID_ARGUMENT
    Code::unavailable,  // DEADLINE_EXCEEDED
    Code::not_found,    // NOT_FOUND
    Code::exists,       // ALREADY_EXISTS
    Code::refused,      // PERMISSION_DENIED
    Code::unavailable,  // RESOURCE_EXHAUSTED
    Code::refused,      // FAILED_PRECONDITION
    Code::unavailable,  // ABORTED
    Code::invalid,      // OUT_OF_RANGE
    Code::refused,      // UNIMPLEMENTED
    Code::internal,     // INTERNAL
    Code::unavailable,  // UNAVAILABLE
    Code::internal,     // DATA_LOSS
    Code::refused,      // UNAUTHENTICATED
};

}  // namespace

Error error_of(int status, const std::string& text, const std::string& what) {
  const bool known = status >= 0 && static_cast<std::size_t>(status) < kCodes.size();
  return make_error(known ? kCodes.at(static_cast<std::size_t>(status)) : Code::internal,
                    what + ": " + text);
}

}  // namespace margay::transport
