// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1: a small server on an EventLoop (health, metrics, local API) and a blocking client for
// short-lived programs. Beast parses and prints; it is hidden in the .cpp files. Requests are
// bounded in size and time, so that a stuck or hostile client costs nothing but its own connection.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/loop/event_loop.h"
#include "base/result.h"

namespace margay::http {

struct Request {
  std::string method;
  std::string path;   // without the query
  std::string query;  // after '?', undecoded
  std::string body;
  std::optional<std::uint32_t> peer_uid;  // unix sockets only
};

struct Response {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Called on the server's loop. `respond` may be called later, once, from that loop; a respond that
// is dropped uncalled ends the connection.
using Respond = std::function<void(Response)>;
using Handler = std::function<void(const Request&, Respond)>;

class Server {
 public:
  virtual ~Server() = default;                           // closes the listener and all connections
  [[nodiscard]] virtual std::uint16_t port() const = 0;  // 0 for a unix socket
};

// `host` is an address, "localhost", or "" for all addresses. `port` 0 lets the kernel choose.
[[nodiscard]] Result<std::unique_ptr<Server>> listen_tcp(EventLoop& loop, std::string_view host,
                                                         std::uint16_t port, Handler handler);
// Replaces a stale socket file; refuses when another process listens there. The file gets `mode`.
[[nodiscard]] Result<std::unique_ptr<Server>> listen_unix(EventLoop& loop, std::string_view path,
                                                          unsigned mode, Handler handler);

// One request over a unix socket; blocks up to `timeout`.
[[nodiscard]] Result<Response> request_unix(std::string_view socket_path, std::string_view method,
                                            std::string_view target, std::string_view body,
                                            std::chrono::milliseconds timeout);

}  // namespace margay::http
