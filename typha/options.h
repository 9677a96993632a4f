// SPDX-License-Identifier: Apache-2.0
// margay-typha's options: flags over environment (Typha's names, in any case) over defaults, from
// one table. A wrong value is an Error that names the option and what is allowed. Pure.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "typha/server.h"

namespace margay::typha {

struct Options {
  std::string datastore;    // path of the SQLite file that this process owns; or else
  std::string upstream;     // the margay-typhas of which this one is a further instance,
  std::string upstream_cn;  // and the name that their certificates have
  bool restored = false;    // the file is an older copy, put there on purpose
  std::chrono::milliseconds ping_interval{10'000};
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
