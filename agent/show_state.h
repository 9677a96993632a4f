// SPDX-License-Identifier: Apache-2.0
// What every subsystem that is shown begins with. Inner header of agent/show.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace margay::agent::show {

using Json = nlohmann::ordered_json;

// `want` and `have` have the same keys.
inline Json state(Json want, Json have, bool pending, std::string last_error) {
  return {{"want", std::move(want)},
          {"have", std::move(have)},
          {"pending", pending},
          {"lastError", std::move(last_error)}};
}

}  // namespace margay::agent::show
