// SPDX-License-Identifier: Apache-2.0
// The node's local API: HTTP over a unix socket, for margayctl and the CNI plugin, root only (by
// the peer's credentials). Subsystems register what they can show; an answer may come later from
// another thread. Read-only.
//   GET /v1/show            names of the subsystems
//   GET /v1/show/<name>     that subsystem's state, JSON; some take ?key=value&...
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/http/http.h"
#include "base/loop/event_loop.h"

namespace margay::local_api {

// Takes the JSON text; may be called from any thread, once.
using Answer = std::function<void(std::string json)>;
using Show = std::function<void(Answer)>;
using Question = std::map<std::string, std::string, std::less<>>;  // decoded
using Ask = std::function<void(const Question&, Answer)>;

class LocalApi {
 public:
  // `loop` is where requests are served and `show` functions called.
  explicit LocalApi(EventLoop& loop) : loop_(loop) {}
  void add(std::string_view subsystem, Show show);
  void add(std::string_view subsystem, Ask ask);
  // Creates the socket's directory (0755) when it is missing.
  Result<void> listen(std::string_view socket_path);

 private:
  void serve(const http::Request& request, const http::Respond& respond);

  EventLoop& loop_;
  std::map<std::string, Ask, std::less<>> shows_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace margay::local_api
