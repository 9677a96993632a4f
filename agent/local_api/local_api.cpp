// SPDX-License-Identifier: Apache-2.0
#include "agent/local_api/local_api.h"

#include <algorithm>
#include <filesystem>

namespace margay::local_api {
namespace {

constexpr std::string_view kShow = "/v1/show";

http::Response json(std::string body) { return {200, "application/json", std::move(body)}; }
http::Response failure(unsigned status, std::string_view message) {
  return {status, "text/plain; charset=utf-8", std::string(message) + "\n"};
}

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// RFC 3986 2.1; what is no escape stays as it is.
std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape =
        text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0;
    if (!escape) {
      out += text[i];
      continue;
    }
    out += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
    i += 2;
  }
  return out;
}

Question parsed(std::string_view query) {
  Question out;
  while (!query.empty()) {
    const auto item = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), item.size() + 1));
    const auto equals = item.find('=');
    if (equals == std::string_view::npos) {
      out[decoded(item)] = "";
    } else {
      out[decoded(item.substr(0, equals))] = decoded(item.substr(equals + 1));
    }
  }
  return out;
}

}  // namespace

void LocalApi::add(std::string_view subsystem, Show show) {
  add(subsystem,
      [show = std::move(show)](const Question&, Answer answer) { show(std::move(answer)); });
}
void LocalApi::add(std::string_view subsystem, Ask ask) {
  shows_[std::string(subsystem)] = std::move(ask);
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
  it->second(parsed(request.query), [this, respond](std::string text) {
    loop_.post([respond, text = std::move(text)]() mutable { respond(json(std::move(text))); });
  });
}

}  // namespace margay::local_api
