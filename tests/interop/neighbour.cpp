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

// A process that keeps a fresh namespace.
int hold_namespace() {
  int ready[2];
  EXPECT_EQ(pipe2(ready, O_CLOEXEC), 0);
  const int holder = spawn([&] {
    if (unshare(CLONE_NEWNET) != 0) _exit(1);
    (void)!::write(ready[1], "x", 1);
    pause();
  });
  close(ready[1]);
  char byte = 0;
  EXPECT_EQ(::read(ready[0], &byte, 1), 1);
  close(ready[0]);
  return holder;
}

std::string inside(int holder) { return "nsenter -t " + std::to_string(holder) + " -n "; }

// Between `near` and `far` it forwards, and takes what either side sends to the other's addresses.
void make_router(int holder) {
  const std::string in = inside(holder);
  run(in + "ip link set lo up");  // without any address all others are broadcast addresses
  run(in +
      "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 "
      "net.ipv6.conf.all.proxy_ndp=1");
  for (const std::string side : {"near", "far"}) {
    run(in + "sysctl -qw net.ipv4.conf." + side + ".proxy_arp=1 net.ipv4.neigh." + side +
        ".proxy_delay=0 net.ipv6.conf." + side + ".proxy_ndp=1 net.ipv6.neigh." + side +
        ".proxy_delay=0");
    run(in + "ip link set " + side + " up");
  }
  run(in + "ip route add 10.99.0.0/24 dev near");
  run(in + "ip route add 10.99.0.2/32 dev far");
  run(in + "ip -6 route add fd99::/64 dev near");
  run(in + "ip -6 route add fd99::2/128 dev far");
  run(in + "ip -6 neigh add proxy fd99::2 dev near");
  run(in + "ip -6 neigh add proxy fd99::1 dev far");
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

Neighbour::Neighbour(Place place) {
  (void)chmod(dir_.path().c_str(), 0755);  // some daemons give up their privileges
  holder_ = hold_namespace();
  if (place == Place::beside) {
    join(holder_, "theirs");
  } else {
    router_ = hold_namespace();
    run(inside(router_) + "ip link add far type veth peer name theirs netns " +
        std::to_string(holder_));
    join(router_, "near");
    make_router(router_);
  }
  const std::string in = inside(holder_);
  run(in + "ip link set lo up");
  run(in + "ip addr add 10.99.0.2/24 dev theirs");
  run(in + "ip addr add fd99::2/64 dev theirs nodad");
  run(in + "ip link set theirs up");
}

void Neighbour::join(int near, const std::string& their_end) {
  run("ip link add ours type veth peer name " + their_end + " netns " + std::to_string(near));
  for (const char* n : {"1", "3", "4"}) {
    run(std::string("ip addr add 10.99.0.") + n + "/24 dev ours");
    run(std::string("ip addr add fd99::") + n + "/64 dev ours nodad");
  }
  run("ip link set ours up");
}

Neighbour::~Neighbour() {
  for (const int pid : processes_) end(pid);
  end(holder_);
  if (router_ >= 0) end(router_);
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
