// SPDX-License-Identifier: Apache-2.0
// A real BIRD 2 in a network namespace of its own, joined by a veth to the (also fresh) namespace
// of the test. Everything goes when the object does, and with the process at the latest.
#pragma once

#include <string>

namespace margay::test {

// Puts the calling process into a fresh network namespace, once; false: not allowed to.
[[nodiscard]] bool enter_own_namespace();
// Runs a command of the shell; asserts that it succeeds.
void run(const std::string& command);
[[nodiscard]] std::string output_of(const std::string& command);

// Our end has 10.99.0.1/24 and fd99::1/64, BIRD's 10.99.0.2 and fd99::2.
class Bird {
 public:
  explicit Bird(const std::string& config);
  ~Bird();
  Bird(const Bird&) = delete;
  Bird& operator=(const Bird&) = delete;

  // recover: tells its peers that it kept its forwarding state (RFC 4724, F bit).
  enum class Start { afresh, recover };
  void start(Start how);  // again, after kill()
  void kill();            // SIGKILL
  // `birdc ...`
  [[nodiscard]] std::string ask(const std::string& command) const;
  void configure(const std::string& config);

 private:
  int holder_ = -1;  // keeps the namespace
  int pid_ = -1;
  std::string dir_;
};

}  // namespace margay::test
