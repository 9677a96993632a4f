// SPDX-License-Identifier: Apache-2.0
// A machine beside ours: a network namespace of its own, joined by a veth to the (also fresh)
// namespace of the test, with a folder for files and the programs that run in it. Everything goes
// when the object does, and with the process at the latest.
#pragma once

#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

namespace margay::test {

// Puts the calling process into a fresh network namespace, once; false: not allowed to.
[[nodiscard]] bool enter_own_namespace();
// Runs a command of the shell; asserts that it succeeds.
void run(const std::string& command);
[[nodiscard]] std::string output_of(const std::string& command);

// Our end has 10.99.0.1, .3 and .4 of a /24 and the same numbers of fd99::/64, the neighbour's has
// 10.99.0.2 and fd99::2. The same with a router in between, which answers for either side.
class Neighbour {
 public:
  enum class Place { beside, behind_router };
  explicit Neighbour(Place place = Place::beside);
  ~Neighbour();
  Neighbour(const Neighbour&) = delete;
  Neighbour& operator=(const Neighbour&) = delete;

  // A file of the folder: its path, and writing it.
  [[nodiscard]] std::string path(const std::string& name) const { return dir_ / name; }
  void write(const std::string& name, const std::string& content) const;
  [[nodiscard]] std::string read(const std::string& name) const;
  // Starts a program over there; what it prints goes to the file `log`. Returns its process.
  int start(const std::vector<std::string>& command);
  void kill(int& process);  // SIGKILL, and waits for its end; -1 afterwards
  // What a command prints that runs over there.
  [[nodiscard]] std::string ask(const std::string& command) const;

 private:
  void join(int near, const std::string& their_end);

  int holder_ = -1;  // keeps the namespace
  int router_ = -1;  // keeps that of the router, if there is one
  std::vector<int> processes_;
  TempDir dir_;
};

}  // namespace margay::test
