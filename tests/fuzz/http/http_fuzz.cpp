// SPDX-License-Identifier: Apache-2.0
// Requests as a client may send them: the server answers or closes, each time, and serves the next.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "base/fd.h"
#include "base/http/http.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"

using namespace margay;

namespace {

struct World {
  TempDir dir;
  AsioLoop loop{"fuzz"};
  std::string path = dir / "http.sock";
  std::unique_ptr<http::Server> server;

  World() {
    auto made =
        http::listen_unix(loop, path, 0600, [](const http::Request& r, http::Respond respond) {
          if (r.path != "/drop") respond({200, "text/plain", r.method + r.query + r.body});
        });
    MARGAY_ASSERT(made.ok());
    server = std::move(made).value();
  }
};

Fd connect_to(const std::string& path) {
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un addr{};
  addr.sun_family = AF_UNIX;
  std::memcpy(addr.sun_path, path.data(), path.size());
  MARGAY_ASSERT(connect(fd.get(), reinterpret_cast<const sockaddr*>(&addr), sizeof addr) == 0);
  return fd;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world;
  const Fd client = connect_to(world.path);
  if (size > 64 * 1024) size = 64 * 1024;  // what the socket takes at once
  if (size > 0 && send(client.get(), data, size, MSG_NOSIGNAL) < 0) return 0;
  shutdown(client.get(), SHUT_WR);
  // The end of the stream ends the connection, after what was asked before it is answered.
  const bool ended = run_until(world.loop, [&] {
    char answer[4096];
    return read(client.get(), answer, sizeof answer) == 0;
  });
  MARGAY_ASSERT(ended);
  return 0;
}
