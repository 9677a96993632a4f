// SPDX-License-Identifier: Apache-2.0
#include "base/net/dial.h"

#include <gmock/gmock.h>
#include <sys/un.h>

#include <optional>

#include "base/net/tcp.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"

namespace margay::net {
namespace {

using namespace std::chrono_literals;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class DialTest : public ::testing::Test {
 protected:
  Result<Fd> dial(const std::string& to, std::size_t first = 0, Clock::duration patience = 20s) {
    std::optional<Result<Fd>> out;
    const Dial d(loop_, to, first, patience, [&](Result<Fd> fd) { out = std::move(fd); });
    EXPECT_FALSE(out);  // never from inside the constructor
    EXPECT_TRUE(run_until(loop_, [&] { return out.has_value(); }));
    return std::move(*out);
  }
  static std::string why(const Result<Fd>& r) { return r.ok() ? "connected" : r.error().message(); }
  static std::string port_of(const Fd& listener) {
    return std::to_string(local_endpoint(listener.get()).port);
  }
  AsioLoop loop_{"test"};
};

TEST_F(DialTest, reaches_an_address_a_name_and_a_socket_file) {
  const auto v4 = tcp_listen(*Ip::parse("127.0.0.1"), 0);
  const auto v6 = tcp_listen(*Ip::parse("::1"), 0);
  ASSERT_TRUE(v4.ok() && v6.ok());
  EXPECT_EQ(why(dial("127.0.0.1:" + port_of(*v4))), "connected");
  EXPECT_EQ(why(dial("[::1]:" + port_of(*v6))), "connected");
  // Whichever of its addresses is tried first.
  for (const std::size_t first : {0U, 1U, 2U}) {
    EXPECT_EQ(why(dial("localhost:" + port_of(*v4), first)), "connected");
  }
  const TempDir dir;
  const std::string path = dir / "socket";
  const Fd listener(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), a.sun_path);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  EXPECT_EQ(why(dial("unix:" + path)), "connected");
}

TEST_F(DialTest, says_whom_it_could_not_reach_and_why) {
  auto gone = tcp_listen(*Ip::parse("127.0.0.1"), 0);
  ASSERT_TRUE(gone.ok());
  const std::string port = port_of(*gone);
  gone->reset();
  const auto refused = dial("127.0.0.1:" + port);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::unavailable);
  EXPECT_EQ(why(refused), "127.0.0.1:" + port + ": Connection refused");
  EXPECT_THAT(why(dial("unix:/no/such/socket")), HasSubstr("No such file"));
  EXPECT_THAT(why(dial("unix:/" + std::string(200, 'x'))), HasSubstr("107"));
  EXPECT_THAT(why(dial("no colon")), HasSubstr("host:port"));
  EXPECT_THAT(why(dial("no-such-name.invalid:1")), StartsWith("no-such-name.invalid:1: "));
}

// A listener with a full queue answers nobody.
TEST_F(DialTest, gives_up_on_who_does_not_answer) {
  const auto listener = tcp_listen(*Ip::parse("127.0.0.1"), 0);
  ASSERT_TRUE(listener.ok());
  ASSERT_EQ(::listen(listener->get(), 0), 0);
  const std::string to = "127.0.0.1:" + port_of(*listener);
  std::vector<Fd> waiting;
  for (int i = 0; i < 10; ++i) {
    auto r = dial(to, 0, 100ms);
    if (!r.ok()) {
      EXPECT_THAT(why(r), HasSubstr("timed out"));
      return;
    }
    waiting.push_back(std::move(*r));
  }
  FAIL() << "the queue took all";
}

TEST_F(DialTest, ends_at_any_moment) {
  for (const char* to : {"127.0.0.1:1", "localhost:1", "no-such-name.invalid:1"}) {
    auto d = std::make_unique<Dial>(loop_, to, 0, 20s, [](Result<Fd>) { FAIL(); });
    bool turned = false;
    loop_.post([&] {
      d.reset();
      turned = true;
    });
    EXPECT_TRUE(run_until(loop_, [&] { return turned; }));
  }
}

}  // namespace
}  // namespace margay::net
