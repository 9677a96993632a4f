// SPDX-License-Identifier: Apache-2.0
#include "tests/interop/neighbour.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

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

void end(int pid) {
  ::kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
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

Neighbour::Neighbour() {
  (void)chmod(dir_.path().c_str(), 0755);  // some daemons give up their privileges
  int ready[2];
  EXPECT_EQ(pipe2(ready, O_CLOEXEC), 0);
  holder_ = spawn([&] {
    if (unshare(CLONE_NEWNET) != 0) _exit(1);
    (void)!::write(ready[1], "x", 1);
    pause();
  });
  close(ready[1]);
  char byte = 0;
  EXPECT_EQ(::read(ready[0], &byte, 1), 1);
  close(ready[0]);
  const std::string inside = "nsenter -t " + std::to_string(holder_) + " -n ";
  run("ip link add ours type veth peer name theirs netns " + std::to_string(holder_));
  for (const char* n : {"1", "3", "4"}) {
    run(std::string("ip addr add 10.99.0.") + n + "/24 dev ours");
    run(std::string("ip addr add fd99::") + n + "/64 dev ours nodad");
  }
  run("ip link set ours up");
  run(inside + "ip link set lo up");
  run(inside + "ip addr add 10.99.0.2/24 dev theirs");
  run(inside + "ip addr add fd99::2/64 dev theirs nodad");
  run(inside + "ip link set theirs up");
}

Neighbour::~Neighbour() {
  for (const int pid : processes_) end(pid);
  end(holder_);
  // The pair goes with either end; the namespace's may linger for a moment.
  (void)!std::system("ip link del ours 2>/dev/null");
}

void Neighbour::write(const std::string& name, const std::string& content) const {
  std::ofstream(path(name)) << content;
}

std::string Neighbour::read(const std::string& name) const {
  std::ifstream in(path(name));
  return {std::istreambuf_iterator<char>(in), {}};
}

int Neighbour::start(const std::vector<std::string>& command) {
  std::vector<std::string> all = {"nsenter", "-t", std::to_string(holder_), "-n"};
  all.insert(all.end(), command.begin(), command.end());
  std::vector<char*> argv;
  for (auto& word : all) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string log = path("log");
  const int pid = spawn([&] {
    const int fd = ::open(log.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0644);
    dup2(fd, 1);
    dup2(fd, 2);
    execvp("nsenter", argv.data());
  });
  processes_.push_back(pid);
  return pid;
}

void Neighbour::kill(int& process) {
  if (process < 0) return;
  end(process);
  std::erase(processes_, process);
  process = -1;
}

std::string Neighbour::ask(const std::string& command) const {
  return output_of("nsenter -t " + std::to_string(holder_) + " -n " + command + " 2>&1");
}

}  // namespace margay::test
