// SPDX-License-Identifier: Apache-2.0
// A real BIRD 2 beside us.
#pragma once

#include <string>

#include "tests/interop/neighbour.h"

namespace margay::test {

class Bird {
 public:
  explicit Bird(const std::string& config);

  // recover: tells its peers that it kept its forwarding state (RFC 4724, F bit).
  enum class Start { afresh, recover };
  void start(Start how);  // again, after kill()
  void kill() { machine_.kill(pid_); }
  // `birdc ...`
  [[nodiscard]] std::string ask(const std::string& command) const;
  void configure(const std::string& config);
  [[nodiscard]] std::string log() const { return machine_.read("log"); }

 private:
  Neighbour machine_;
  int pid_ = -1;
};

}  // namespace margay::test
