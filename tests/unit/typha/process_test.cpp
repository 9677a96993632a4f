// SPDX-License-Identifier: Apache-2.0
// margay-typha as its service manager sees it: ready, refused, ended.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <sstream>

#include "base/fd.h"
#include "tests/support/temp_dir.h"

namespace margay::typha {
namespace {

using ::testing::HasSubstr;

class ProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    notify_ = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un a{};
    a.sun_family = AF_UNIX;
    const auto path = dir_ / "notify";
    ASSERT_LT(path.size(), sizeof a.sun_path);
    path.copy(a.sun_path, path.size());
    ASSERT_EQ(::bind(notify_.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a), 0);
    const timeval limit{20, 0};
    ASSERT_EQ(::setsockopt(notify_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  }
  void TearDown() override {
    for (const pid_t p : running_) {
      ::kill(p, SIGKILL);
      ::waitpid(p, nullptr, 0);
    }
  }

  pid_t start(std::vector<std::string> args, const std::string& log) {
    args.insert(args.begin(), MARGAY_TYPHA_PROGRAM);
    for (const char* more : {"--health-port=0", "--metrics-port=0"}) args.emplace_back(more);
    std::vector<char*> argv;
    for (auto& a : args) argv.push_back(a.data());
    argv.push_back(nullptr);
    const auto notify = "NOTIFY_SOCKET=" + (dir_ / "notify");
    const auto log_path = dir_ / log;
    const pid_t child = ::fork();
    if (child == 0) {
      const int fd = ::open(log_path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
      ::dup2(fd, STDERR_FILENO);
      ::putenv(const_cast<char*>(notify.c_str()));
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    running_.push_back(child);
    return child;
  }
  std::vector<std::string> usual() {
    return {"--datastore", "sqlite://" + (dir_ / "s.db"), "--insecure", "--listen",
            "unix:" + (dir_ / "typha.sock")};
  }
  int wait(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    std::erase(running_, child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  std::string notified() {
    std::array<char, 500> text{};
    const auto n = ::recv(notify_.get(), text.data(), text.size(), 0);
    return {text.data(), n > 0 ? static_cast<std::size_t>(n) : 0};
  }
  std::string read(const std::string& log) {
    std::ostringstream out;
    out << std::ifstream(dir_ / log).rdbuf();
    return out.str();
  }

  TempDir dir_;
  Fd notify_;
  std::vector<pid_t> running_;
};

TEST_F(ProcessTest, says_that_it_is_ready_and_ends_at_once_when_told) {
  const auto child = start(usual(), "log");
  EXPECT_EQ(notified(), "READY=1") << read("log");
  const auto told = std::chrono::steady_clock::now();
  ::kill(child, SIGTERM);
  EXPECT_EQ(wait(child), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - told, std::chrono::seconds(5));
  EXPECT_EQ(notified(), "STOPPING=1");
}

TEST_F(ProcessTest, a_second_one_on_the_same_file_is_refused_naming_the_first) {
  const auto first = start(usual(), "first");
  ASSERT_EQ(notified(), "READY=1") << read("first");
  const auto second = start(usual(), "second");
  EXPECT_EQ(wait(second), 1);
  EXPECT_THAT(read("second"), HasSubstr("margay-typha (process " + std::to_string(first) + ")"));
  // Killed, it leaves the file to the next one.
  ::kill(first, SIGKILL);
  EXPECT_EQ(wait(first), -SIGKILL);
  start(usual(), "third");
  EXPECT_EQ(notified(), "READY=1") << read("third");
}

TEST_F(ProcessTest, wrong_options_and_files_end_it) {
  auto open = usual();
  open.back() = "0.0.0.0:0";
  EXPECT_EQ(wait(start(open, "open")), 2);
  EXPECT_THAT(read("open"), HasSubstr("--listen"));
  auto tls =
      std::vector<std::string>{usual()[0], usual()[1],   "--ca-file", "/no/ca",      "--cert-file",
                               "/no/crt",  "--key-file", "/no/key",   "--client-cn", "x"};
  EXPECT_EQ(wait(start(tls, "tls")), 1);
  EXPECT_THAT(read("tls"), HasSubstr("/no/ca"));
  std::ofstream(dir_ / "s.db") << std::string(5000, 'x');
  EXPECT_EQ(wait(start(usual(), "file")), 1);
  EXPECT_THAT(read("file"), HasSubstr("damaged or no Margay store"));
}

}  // namespace
}  // namespace margay::typha
