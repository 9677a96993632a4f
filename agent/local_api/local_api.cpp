// SPDX-License-Identifier: Apache-2.0
#include "agent/local_api/local_api.h"

#include <filesystem>

namespace margay::local_api {
namespace {

constexpr std::string_view kShow = "/v1/show";

http::Response json(std::string body) { return {200, "application/json", std::move(body)}; }
http::Response failure(unsigned status, std::string_view message) {
  return {status, "text/plain; charset=utf-8", std::string(message) + "\n"};
}

}  // namespace

void LocalApi::add(std::string_view subsystem, Show show) {
  shows_[std::string(subsystem)] = std::move(show);
}

Result<void> LocalApi::listen(std::string_view socket_path) {
  std::error_code ec;
  std::filesystem::create_directories(std::filesystem::path(socket_path).parent_path(), ec);
  if (ec) return sys_error(ec.value(), "create the directory of " + std::string(socket_path));
  MARGAY_TRY(server_, http::listen_unix(
                          loop_, socket_path, 0600,
                          [this](const http::Request& q, const http::Respond& r) { serve(q, r); }));
  return {};
}

void LocalApi::serve(const http::Request& request, const http::Respond& respond) {
  if (request.peer_uid != 0U) return respond(failure(403, "only root may ask"));
  if (request.method != "GET") return respond(failure(405, "only GET is served"));
  if (request.path == kShow) {
    std::string names = "[";
    for (const auto& [name, show] : shows_)
      names += (names.size() > 1 ? ",\"" : "\"") + name + "\"";
    return respond(json(names + "]"));
  }
  const bool below = request.path.starts_with(std::string(kShow) + "/");
  const auto it =
      below ? shows_.find(std::string_view(request.path).substr(kShow.size() + 1)) : shows_.end();
  if (it == shows_.end()) {
    return respond(
        failure(404, request.path + ": no such thing; GET /v1/show lists what there is"));
  }
  it->second([this, respond](std::string text) {
    loop_.post([respond, text = std::move(text)]() mutable { respond(json(std::move(text))); });
  });
}

}  // namespace margay::local_api
