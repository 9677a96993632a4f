// SPDX-License-Identifier: Apache-2.0
// What the status that ends a gRPC call means to us. The numbers are gRPC's (statuscodes.md of its
// documentation); no gRPC in this header.
#pragma once

#include <string>

#include "base/result.h"

namespace margay::transport {

namespace grpc_status {
inline constexpr int kOk = 0, kUnknown = 2, kResourceExhausted = 8, kUnimplemented = 12,
                     kInternal = 13, kUnavailable = 14, kUnauthenticated = 16,
                     kPermissionDenied = 7;
}

// UNAVAILABLE, DEADLINE_EXCEEDED and their like become Code::unavailable, and so on. `what`: the
// server.
[[nodiscard]] Error error_of(int status, const std::string& text, const std::string& what);

}  // namespace margay::transport
