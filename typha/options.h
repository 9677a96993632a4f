// SPDX-License-Identifier: Apache-2.0
// margay-typha's options: flags over environment (Typha's names, in any case) over defaults, from
// one table. A wrong value is an Error that names the option and what is allowed. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "typha/server.h"

namespace margay::typha {

struct Options {
  std::string datastore;  // path of the SQLite file
  ServerOptions server;
  std::string health_host = "localhost";
  std::uint16_t health_port = 9098;  // 0: none
  std::string metrics_host = "localhost";
  std::uint16_t metrics_port = 9093;  // 0: none
  log::Level log_level = log::Level::info;
  bool show_version = false;
  bool show_help = false;
};

using Environment = std::vector<std::pair<std::string, std::string>>;

[[nodiscard]] Result<Options> parse_options(const std::vector<std::string>& args,
                                            const Environment& environment);
[[nodiscard]] std::string usage();

}  // namespace margay::typha
