// SPDX-License-Identifier: Apache-2.0
#include "tests/interop/bird.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace margay::test {
namespace {

// A child that dies with us.
template <typename F>
int spawn(F&& body) {
  const int pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    body();
    _exit(127);
  }
  return pid;
}

void end(int& pid) {
  if (pid < 0) return;
  ::kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  pid = -1;
}

}  // namespace

bool enter_own_namespace() {
  static const bool entered = [] {
    if (unshare(CLONE_NEWNET) != 0) return false;
    run("ip link set lo up");
    return true;
  }();
  return entered;
}

void run(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }

std::string output_of(const std::string& command) {
  std::string out;
  FILE* pipe = popen(command.c_str(), "r");
  std::array<char, 4096> buffer{};
  while (fgets(buffer.data(), buffer.size(), pipe) != nullptr) out += buffer.data();
  pclose(pipe);
  return out;
}

Bird::Bird(const std::string& config) {
  std::string dir = "/tmp/margay-bird-XXXXXX";
  dir_ = mkdtemp(dir.data());
  int ready[2];
  EXPECT_EQ(pipe2(ready, O_CLOEXEC), 0);
  holder_ = spawn([&] {
    if (unshare(CLONE_NEWNET) != 0) _exit(1);
    (void)!write(ready[1], "x", 1);
    pause();
  });
  close(ready[1]);
  char byte = 0;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  const std::string inside = "nsenter -t " + std::to_string(holder_) + " -n ";
  run("ip link add ours type veth peer name theirs netns " + std::to_string(holder_));
  run("ip addr add 10.99.0.1/24 dev ours");
  run("ip addr add fd99::1/64 dev ours nodad");
  run("ip link set ours up");
  run(inside + "ip link set lo up");
  run(inside + "ip addr add 10.99.0.2/24 dev theirs");
  run(inside + "ip addr add fd99::2/64 dev theirs nodad");
  run(inside + "ip link set theirs up");
  configure(config);
  start(Start::afresh);
}

Bird::~Bird() {
  kill();
  end(holder_);
  // The pair goes with either end; the namespace's may linger for a moment.
  (void)!std::system("ip link del ours 2>/dev/null");
  (void)!std::system(("rm -rf " + dir_).c_str());
}

void Bird::configure(const std::string& config) {
  std::ofstream(dir_ + "/bird.conf") << config;
  if (pid_ >= 0) (void)ask("configure");
}

void Bird::start(Start how) {
  const std::string ns = std::to_string(holder_), conf = dir_ + "/bird.conf",
                    sock = dir_ + "/bird.ctl", log = dir_ + "/log";
  pid_ = spawn([&] {
    const int fd = ::open(log.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0644);
    dup2(fd, 1);
    dup2(fd, 2);
    execlp("nsenter", "nsenter", "-t", ns.c_str(), "-n", "bird", "-f", "-c", conf.c_str(), "-s",
           sock.c_str(), how == Start::recover ? "-R" : nullptr, nullptr);
  });
}

void Bird::kill() { end(pid_); }

std::string Bird::ask(const std::string& command) const {
  return output_of("birdc -s " + dir_ + "/bird.ctl '" + command + "' 2>&1");
}

}  // namespace margay::test
