// SPDX-License-Identifier: Apache-2.0
// Output of `get` in calicoctl's formats: table, wide, yaml, json, name; and boxed tables. Pure.
#pragma once

#include <ctime>
#include <string>
#include <vector>

#include "base/result.h"
#include "ctl/columns.h"

namespace margay::ctl {

enum class Format { table, wide, yaml, json, name, columns };
struct Output {
  Format format = Format::table;
  std::vector<std::string> headings;  // of custom-columns
};
// "", "wide", "yaml", "json", "name", "custom-columns=A,B"
[[nodiscard]] Result<Output> parse_output(std::string_view text);

// Left aligned, columns at least five wide and three apart, an empty line at the end.
[[nodiscard]] std::string plain_table(const std::vector<std::vector<std::string>>& rows);
// +---+ borders; the first row is the header, in the middle of its columns.
[[nodiscard]] std::string boxed_table(const std::vector<std::vector<std::string>>& rows);

// The time of day, or the date when it was another day (as BIRD and calicoctl print it).
[[nodiscard]] std::string since(std::time_t then);
// A BGP peer's, with its port where that is not 179.
[[nodiscard]] std::string peer_address(const Json& peer);

struct Listed {
  model::Kind kind;
  std::vector<Json> objects;
  bool is_list = false;          // asked for the kind, not by name: printed as <Kind>List
  std::string resource_version;  // of the list
};
[[nodiscard]] Result<std::string> print_objects(const std::vector<Listed>& lists,
                                                const Output& output, bool with_namespace,
                                                const ColumnContext& context);

}  // namespace margay::ctl
