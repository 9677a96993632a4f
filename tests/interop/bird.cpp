// SPDX-License-Identifier: Apache-2.0
#include "tests/interop/bird.h"

namespace margay::test {

Bird::Bird(const std::string& config) {
  configure(config);
  start(Start::afresh);
}

void Bird::configure(const std::string& config) {
  machine_.write("bird.conf", config);
  if (pid_ >= 0) (void)ask("configure");
}

void Bird::start(Start how) {
  std::vector<std::string> command = {
      "bird", "-f", "-c", machine_.path("bird.conf"), "-s", machine_.path("bird.ctl")};
  if (how == Start::recover) command.emplace_back("-R");
  pid_ = machine_.start(command);
}

std::string Bird::ask(const std::string& command) const {
  return machine_.ask("birdc -s " + machine_.path("bird.ctl") + " '" + command + "'");
}

}  // namespace margay::test
