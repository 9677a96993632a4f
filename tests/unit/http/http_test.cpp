// SPDX-License-Identifier: Apache-2.0
#include "base/http/http.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/fd.h"
#include "base/loop/asio_loop.h"
#include "tests/support/temp_dir.h"

namespace margay::http {
namespace {

using namespace std::chrono_literals;

class HttpTest : public testing::Test {
 protected:
  HttpTest() { path_ = dir_ / "sock"; }
  ~HttpTest() override {
    loop_.join();
    server_.reset();
  }
  void serve(Handler h) {
    auto s = listen_unix(loop_, path_, 0600, std::move(h));
    ASSERT_TRUE(s.ok()) << s.error().message();
    server_ = std::move(s).value();
    loop_.run_in_thread();
  }
  // Sends raw bytes to a TCP server and returns everything it answers until it closes.
  static std::string raw(std::uint16_t port, std::string_view bytes) {
    const Fd fd(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
    EXPECT_EQ(send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    std::string out;
    char buf[4096];
    for (ssize_t n = 0; (n = recv(fd.get(), buf, sizeof buf, 0)) > 0;)
      out.append(buf, static_cast<std::size_t>(n));
    return out;
  }

  AsioLoop loop_{"http"};
  TempDir dir_;
  std::string path_;
  std::unique_ptr<Server> server_;
};

TEST_F(HttpTest, carries_method_path_query_body_and_the_peers_uid) {
  serve([](const Request& r, const Respond& respond) {
    respond({201, "text/x",
             r.method + " " + r.path + " " + r.query + " " + r.body + " " +
                 std::to_string(r.peer_uid.value_or(99))});
  });
  const auto r = request_unix(path_, "POST", "/a/b?c=d", "body", 5s);
  ASSERT_TRUE(r.ok()) << r.error().message();
  EXPECT_EQ(r->status, 201U);
  EXPECT_EQ(r->content_type, "text/x");
  EXPECT_EQ(r->body, "POST /a/b c=d body " + std::to_string(getuid()));
}

TEST_F(HttpTest, carries_bodies_larger_than_socket_buffers) {
  const std::string big(3'000'000, 'x');
  serve([&](const Request& r, const Respond& respond) {
    respond({200, "text/x", r.body + r.body});
  });
  const auto r = request_unix(path_, "POST", "/", big, 20s);
  ASSERT_TRUE(r.ok()) << r.error().message();
  EXPECT_EQ(r->body, big + big);
}

TEST_F(HttpTest, a_handler_may_answer_later_and_one_that_never_answers_ends_the_connection) {
  EventLoop::Timer timer;
  serve([&](const Request& r, Respond respond) {
    if (r.path == "/later")
      timer = loop_.after(1ms, [respond] { respond({200, "text/x", "late"}); });
  });
  EXPECT_EQ(request_unix(path_, "GET", "/later", "", 5s)->body, "late");
  const auto forgotten = request_unix(path_, "GET", "/never", "", 5s);
  ASSERT_FALSE(forgotten.ok());
  EXPECT_EQ(forgotten.error().code, Code::unavailable);
}

TEST_F(HttpTest, the_socket_file_has_its_mode_and_goes_with_the_server) {
  serve([](const Request&, const Respond& respond) { respond({}); });
  struct stat st {};
  ASSERT_EQ(stat(path_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600U);
  const auto second = listen_unix(loop_, path_, 0600, [](const Request&, const Respond&) {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, Code::exists);
  loop_.join();
  server_.reset();
  EXPECT_NE(stat(path_.c_str(), &st), 0);
}

TEST_F(HttpTest, malformed_and_oversized_requests_get_400_and_pipelined_ones_their_turn) {
  auto s = listen_tcp(loop_, "127.0.0.1", 0, [](const Request& r, const Respond& respond) {
    respond({200, "text/x", "[" + r.path + "]"});
  });
  ASSERT_TRUE(s.ok()) << s.error().message();
  server_ = std::move(s).value();
  loop_.run_in_thread();
  EXPECT_NE(raw(server_->port(), "nonsense\r\n\r\n").find(" 400 "), std::string::npos);
  EXPECT_NE(
      raw(server_->port(), "GET /" + std::string(40'000, 'a') + " HTTP/1.1\r\n\r\n").find(" 400 "),
      std::string::npos);
  const std::string two = raw(
      server_->port(),
      "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_LT(two.find("[/1]"), two.find("[/2]"));
  EXPECT_NE(two.find("[/2]"), std::string::npos);
}

TEST(HttpListen, without_a_host_both_families_are_served) {
  AsioLoop loop("t");
  const auto s = listen_tcp(loop, "", 0, [](const Request&, const Respond&) {});
  ASSERT_TRUE(s.ok()) << s.error().message();
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons((*s)->port());
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = v4.sin_port;
  v6.sin6_addr = in6addr_loopback;
  const Fd first(socket(AF_INET, SOCK_STREAM, 0)), second(socket(AF_INET6, SOCK_STREAM, 0));
  EXPECT_EQ(connect(first.get(), reinterpret_cast<sockaddr*>(&v4), sizeof v4), 0);
  EXPECT_EQ(connect(second.get(), reinterpret_cast<sockaddr*>(&v6), sizeof v6), 0);
}

TEST(HttpListen, a_host_that_is_no_address_is_named_in_the_error) {
  AsioLoop loop("t");
  const auto s = listen_tcp(loop, "not an address", 1, [](const Request&, const Respond&) {});
  ASSERT_FALSE(s.ok());
  EXPECT_NE(s.error().message().find("not an address"), std::string::npos);
}

}  // namespace
}  // namespace margay::http
