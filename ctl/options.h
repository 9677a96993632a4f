// SPDX-License-Identifier: Apache-2.0
// The command line of margayctl: a command, its words, and flags known to that command.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace margay::ctl {

struct Invocation {
  std::string command;                                    // "get", "node status"
  std::vector<std::string> words;                         // what is no flag
  std::map<std::string, std::vector<std::string>> flags;  // long name -> values ("" for a switch)

  [[nodiscard]] bool has(const std::string& flag) const { return flags.contains(flag); }
  // The last value given, or `absent`.
  [[nodiscard]] std::string value(const std::string& flag, std::string_view absent = "") const;
};

// Errors name the word or flag that is wrong.
[[nodiscard]] Result<Invocation> parse_invocation(int argc, const char* const* argv);
[[nodiscard]] std::string usage();

}  // namespace margay::ctl
