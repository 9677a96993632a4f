// SPDX-License-Identifier: Apache-2.0
// margayctl: asks and prints.
#include <iostream>
#include <map>

#include "ctl/commands.h"

int main(int argc, char** argv) {
  using namespace margay;
  const std::map<std::string, Result<void> (*)(const ctl::Invocation&)> commands = {
      {"apply", ctl::run_apply},
      {"create", ctl::run_apply},
      {"replace", ctl::run_apply},
      {"validate", ctl::run_apply},
      {"delete", ctl::run_delete},
      {"get", ctl::run_get},
      {"patch", ctl::run_patch},
      {"label", ctl::run_label},
      {"node status", ctl::run_node_status},
      {"show", ctl::run_show},
      {"bgp neighbors", ctl::run_bgp_neighbors},
      {"bgp routes", ctl::run_bgp_routes},
      {"version", ctl::run_version}};
  const auto call = ctl::parse_invocation(argc, argv);
  if (!call.ok()) {
    std::cerr << "Error: " << call.error().message() << "\n";
    return 1;
  }
  if (call->command == "help") {
    std::cout << ctl::usage();
    return 0;
  }
  const auto result = commands.at(call->command)(*call);
  std::cout.flush();
  if (result.ok()) return 0;
  std::cerr << "Error: " << result.error().message() << "\n";
  return 1;
}
