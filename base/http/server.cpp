// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <cstring>
#include <list>
#include <sstream>

#include "base/fd.h"
#include "base/http/http.h"

namespace margay::http {
namespace {

namespace beast_http = boost::beast::http;
using namespace std::chrono_literals;

constexpr std::size_t kMaxHeader = 16 * 1024;
constexpr std::size_t kMaxBody = 4 * 1024 * 1024;
constexpr std::size_t kMaxConnections = 64;
constexpr auto kIdleLimit = 30s;

// One connection: reads a request, hands it on, writes the response, waits for the next.
class Connection {
 public:
  Connection(EventLoop& loop, Fd fd, const Handler& handler, std::function<void()> on_closed)
      : loop_(loop), fd_(std::move(fd)), handler_(handler), on_closed_(std::move(on_closed)) {
    int domain = 0;
    struct ucred cred {};
    socklen_t len = sizeof domain;
    getsockopt(fd_.get(), SOL_SOCKET, SO_DOMAIN, &domain, &len);
    len = sizeof cred;
    if (domain == AF_UNIX && getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0) {
      peer_uid_ = cred.uid;
    }
    start_request();
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

 private:
  using Parser = beast_http::request_parser<beast_http::string_body>;

  void start_request() {
    parser_ = std::make_unique<Parser>();
    parser_->header_limit(kMaxHeader);
    parser_->body_limit(kMaxBody);
    parser_->eager(true);
    idle_ = loop_.after(kIdleLimit, [this] { close(); });
    reader_ = loop_.readable(fd_.get(), [this] { on_readable(); });
    if (!input_.empty()) parse();
  }

  void on_readable() {
    std::array<char, 16 * 1024> buf;
    const ssize_t n = read(fd_.get(), buf.data(), buf.size());
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return close();
    input_.append(buf.data(), static_cast<std::size_t>(n));
    parse();
  }

  void parse() {
    boost::system::error_code ec;
    const std::size_t used = parser_->put(boost::asio::buffer(input_), ec);
    input_.erase(0, used);
    if (ec == beast_http::error::need_more) return;
    if (ec) return reply({400, "text/plain; charset=utf-8", ec.message() + "\n"}, false);
    if (parser_->is_done()) dispatch();
  }

  void dispatch() {
    reader_.reset();  // one request at a time; the next waits in input_ or the socket
    const auto& message = parser_->get();
    const std::string_view target(message.target().data(), message.target().size());
    Request request;
    request.method = std::string(message.method_string());
    request.path = std::string(target.substr(0, target.find('?')));
    if (const auto q = target.find('?'); q != std::string_view::npos)
      request.query = target.substr(q + 1);
    request.body = message.body();
    request.peer_uid = peer_uid_;
    const bool keep_alive = message.keep_alive();
    const std::weak_ptr<bool> alive = alive_;
    auto sent = std::make_shared<Ticket>(*this, alive);
    handler_(request, [this, alive, keep_alive, sent](Response r) {
      if (alive.expired() || sent->answered) return;
      sent->answered = true;
      reply(std::move(r), keep_alive);
    });
  }

  // Closes the connection when a handler forgets to answer.
  struct Ticket {
    Ticket(Connection& c, std::weak_ptr<bool> a) : connection(c), alive(std::move(a)) {}
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    ~Ticket() {
      if (!answered && !alive.expired()) connection.close();
    }
    Connection& connection;
    std::weak_ptr<bool> alive;
    bool answered = false;
  };

  void reply(Response r, bool keep_alive) {
    reader_.reset();
    beast_http::response<beast_http::string_body> message;
    message.version(11);
    message.result(r.status);
    message.set(beast_http::field::content_type, r.content_type);
    message.keep_alive(keep_alive);
    message.body() = std::move(r.body);
    message.prepare_payload();
    std::ostringstream out;
    out << message;
    output_ = std::move(out).str();
    written_ = 0;
    close_after_ = !keep_alive;
    idle_ = loop_.after(kIdleLimit, [this] { close(); });
    writer_ = loop_.writable(fd_.get(), [this] { on_writable(); });
  }

  void on_writable() {
    const ssize_t n =
        send(fd_.get(), output_.data() + written_, output_.size() - written_, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) return close();
    written_ += static_cast<std::size_t>(n);
    if (written_ < output_.size()) return;
    writer_.reset();
    output_.clear();
    if (close_after_) return close();
    start_request();
  }

  // Deferred: the owner destroys this object, and a handler of it may be on the stack.
  void close() {
    idle_.reset();
    reader_.reset();
    writer_.reset();
    if (auto f = std::exchange(on_closed_, nullptr)) loop_.post(std::move(f));
  }

  EventLoop& loop_;
  Fd fd_;
  const Handler& handler_;
  std::function<void()> on_closed_;
  std::optional<std::uint32_t> peer_uid_;
  std::unique_ptr<Parser> parser_;
  std::string input_, output_;
  std::size_t written_ = 0;
  bool close_after_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  EventLoop::Timer idle_;
  EventLoop::Watch reader_, writer_;
};

class SocketServer : public Server {
 public:
  SocketServer(EventLoop& loop, Fd fd, std::uint16_t port, std::string unlink_path, Handler handler)
      : loop_(loop),
        fd_(std::move(fd)),
        port_(port),
        path_(std::move(unlink_path)),
        handler_(std::move(handler)) {
    acceptor_ = loop_.readable(fd_.get(), [this] { accept_one(); });
  }
  ~SocketServer() override {
    if (!path_.empty()) unlink(path_.c_str());
  }
  [[nodiscard]] std::uint16_t port() const override { return port_; }

 private:
  void accept_one() {
    Fd fd(accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd || connections_.size() >= kMaxConnections) return;
    connections_.emplace_front();
    const auto it = connections_.begin();
    const std::weak_ptr<bool> alive = alive_;
    *it = std::make_unique<Connection>(loop_, std::move(fd), handler_, [this, it, alive] {
      if (!alive.expired()) connections_.erase(it);
    });
  }

  EventLoop& loop_;
  Fd fd_;
  std::uint16_t port_;
  std::string path_;
  Handler handler_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  EventLoop::Watch acceptor_;
  std::list<std::unique_ptr<Connection>> connections_;
};

Result<Fd> bound_socket(const sockaddr* addr, socklen_t len, const std::string& what) {
  Fd fd(socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return sys_error(errno, what + ": socket");
  const int on = 1, off = 0;
  // "::" is every address of both families, whatever net.ipv6.bindv6only says.
  if (addr->sa_family == AF_INET6)
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (addr->sa_family != AF_UNIX) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd.get(), addr, len) != 0) return sys_error(errno, what + ": bind");
  if (listen(fd.get(), 64) != 0) return sys_error(errno, what + ": listen");
  return fd;
}

bool has_ipv6() { return static_cast<bool>(Fd(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0))); }

bool somebody_listens(const sockaddr_un& addr) {
  const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd && connect(fd.get(), reinterpret_cast<const sockaddr*>(&addr), sizeof addr) == 0;
}

}  // namespace

Result<std::unique_ptr<Server>> listen_tcp(EventLoop& loop, std::string_view host,
                                           std::uint16_t port, Handler handler) {
  // RFC 6761, 6.3: always the loopback address; a minimal system has no /etc/hosts that says so.
  const std::string name(host == "localhost" ? "127.0.0.1" : host);
  const std::string what =
      "listen on " + (host.empty() ? "*" : std::string(host)) + ":" + std::to_string(port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV | AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (const int rc = getaddrinfo(name.empty() ? nullptr : name.c_str(),
                                 std::to_string(port).c_str(), &hints, &found);
      rc != 0) {
    return make_error(Code::invalid, what + ": " + gai_strerror(rc) + "; give an IP address");
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> guard(found, freeaddrinfo);
  const addrinfo* chosen = found;
  if (name.empty() && has_ipv6()) {
    while (chosen->ai_next != nullptr && chosen->ai_family != AF_INET6) chosen = chosen->ai_next;
  }
  MARGAY_TRY(Fd fd, bound_socket(chosen->ai_addr, chosen->ai_addrlen, what));
  sockaddr_storage bound{};
  socklen_t len = sizeof bound;
  getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &len);
  const std::uint16_t actual =
      ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                        : reinterpret_cast<const sockaddr_in&>(bound).sin_port);
  return std::unique_ptr<Server>(
      std::make_unique<SocketServer>(loop, std::move(fd), actual, "", std::move(handler)));
}

Result<std::unique_ptr<Server>> listen_unix(EventLoop& loop, std::string_view path, unsigned mode,
                                            Handler handler) {
  sockaddr_un addr{};
  addr.sun_family = AF_UNIX;
  const std::string what = "listen on " + std::string(path);
  if (path.empty() || path.size() >= sizeof addr.sun_path) {
    return make_error(Code::invalid, what + ": a socket path has 1 to 107 characters");
  }
  std::memcpy(addr.sun_path, path.data(), path.size());
  if (somebody_listens(addr))
    return make_error(Code::exists, what + ": another process listens there");
  unlink(addr.sun_path);
  const mode_t before = umask(0777 & ~mode);
  auto fd = bound_socket(reinterpret_cast<const sockaddr*>(&addr), sizeof addr, what);
  umask(before);
  if (!fd) return std::move(fd).error();
  return std::unique_ptr<Server>(std::make_unique<SocketServer>(
      loop, std::move(fd).value(), std::uint16_t{0}, std::string(path), std::move(handler)));
}

}  // namespace margay::http
