// SPDX-License-Identifier: Apache-2.0
// What `get` prints of each kind (spec ctl.md 5): one table of columns a kind, over the resource's
// JSON. Pure.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/key.h"

namespace margay::ctl {

using Json = nlohmann::ordered_json;

// What a column may need beside the object itself.
struct ColumnContext {
  std::string default_as_number = "64512";  // of the cluster
};

enum class Width { narrow, wide, both };

struct Column {
  std::string_view heading;
  Width width;
  std::function<std::string(const Json& object, const ColumnContext&)> value;
};

// In printing order, without NAMESPACE.
[[nodiscard]] const std::vector<Column>& columns(model::Kind kind);

}  // namespace margay::ctl
