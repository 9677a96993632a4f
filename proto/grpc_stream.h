// SPDX-License-Identifier: Apache-2.0
// The client's side of one gRPC call that is answered with a stream of messages (gRPC over HTTP/2:
// RFC 9113 and PROTOCOL-HTTP2 of gRPC's documentation), over bytes that somebody else carries: one
// connection, one call. gRPC's own client keeps a dozen threads and wakes several times a second to
// look at its timers; an agent that waits for news does nothing. Pure; one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace margay::transport {

class GrpcStream {
 public:
  struct Call {
    std::string scheme;     // "http" or "https"
    std::string authority;  // the server, as the caller knows it
    std::string path;       // "/package.Service/Method"
    std::string request;    // the message, serialized
  };
  struct End {
    int status = 0;  // gRPC's
    std::string text;
  };
  static constexpr std::size_t kMaxMessage = 4U << 20;  // bytes; a longer one ends the call
  static constexpr std::int32_t kWindow = 512 * 1024;   // bytes on their way to us, at most

  explicit GrpcStream(const Call& call);
  GrpcStream(GrpcStream&&) noexcept;
  GrpcStream& operator=(GrpcStream&&) noexcept;
  ~GrpcStream();

  // From the server. Code::invalid: that is no HTTP/2; the connection is of no more use.
  [[nodiscard]] Result<void> receive(std::string_view bytes);
  // What is to be sent to the server now.
  [[nodiscard]] std::string take_output();
  // The next whole message, valid until the next call of anything here. What has not been taken
  // fills the window, and the server stops: whoever wants no more messages does not ask.
  [[nodiscard]] std::optional<std::string_view> next();
  // Set once the call has ended. Messages from before that are still there for next().
  [[nodiscard]] const std::optional<End>& end() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace margay::transport
