// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "base/http/http.h"

namespace margay::http {
namespace {

namespace beast_http = boost::beast::http;
using Deadline = Clock::time_point;

Result<void> wait_for(int fd, short events, Deadline deadline, const std::string& what) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd p{fd, events, 0};
    const int n = poll(&p, 1, left > 0 ? static_cast<int>(left) : 0);
    if (n > 0) return {};
    if (n == 0) return make_error(Code::unavailable, what + ": no answer in time");
    if (errno != EINTR) return sys_error(errno, what);
  }
}

Result<void> send_all(int fd, std::string_view data, Deadline deadline, const std::string& what) {
  while (!data.empty()) {
    const ssize_t n = send(fd, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      data.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      MARGAY_CHECK(wait_for(fd, POLLOUT, deadline, what));
    } else if (errno != EINTR) {
      return sys_error(errno, what);
    }
  }
  return {};
}

}  // namespace

Result<Response> request_unix(std::string_view socket_path, std::string_view method,
                              std::string_view target, std::string_view body,
                              std::chrono::milliseconds timeout) {
  const Deadline deadline = Clock::now() + timeout;
  const std::string what(socket_path);
  sockaddr_un addr{};
  addr.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof addr.sun_path) {
    return make_error(Code::invalid, what + ": a socket path has at most 107 characters");
  }
  std::memcpy(addr.sun_path, socket_path.data(), socket_path.size());
  const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return sys_error(errno, what + ": socket");
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&addr), sizeof addr) != 0) {
    Error e = sys_error(errno, what);
    e.code = Code::unavailable;
    return e;
  }
  std::string request;
  request.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: localhost\r\n");
  request += "Connection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  request += body;
  MARGAY_CHECK(send_all(fd.get(), request, deadline, what));

  beast_http::response_parser<beast_http::string_body> parser;
  parser.body_limit(boost::none);
  parser.eager(true);
  std::string input;
  std::array<char, 64 * 1024> buf;
  while (!parser.is_done()) {
    MARGAY_CHECK(wait_for(fd.get(), POLLIN, deadline, what));
    const ssize_t n = recv(fd.get(), buf.data(), buf.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_error(errno, what);
    boost::system::error_code ec;
    if (n == 0) {
      if (parser.got_some()) parser.put_eof(ec);
      if (ec || !parser.is_done())
        return make_error(Code::unavailable, what + ": answer cut short");
      break;
    }
    input.append(buf.data(), static_cast<std::size_t>(n));
    input.erase(0, parser.put(boost::asio::buffer(input), ec));
    if (ec && ec != beast_http::error::need_more) {
      return make_error(Code::invalid, what + ": not an HTTP answer: " + ec.message());
    }
  }
  auto& message = parser.get();
  const auto type = message[beast_http::field::content_type];
  return Response{message.result_int(), std::string(type.data(), type.size()),
                  std::move(message.body())};
}

}  // namespace margay::http
