// SPDX-License-Identifier: Apache-2.0
// Resources of the files that -f names: YAML, JSON, lists, directories, standard input.
#pragma once

#include <string>
#include <vector>

#include "ctl/columns.h"
#include "ctl/options.h"
#include "model/key.h"

namespace margay::ctl {

struct FileResource {
  model::Key key;
  Json object;
};

// In file order. Namespaced kinds without a namespace get -n's, or "default".
[[nodiscard]] Result<std::vector<FileResource>> read_resources(const Invocation& call);

}  // namespace margay::ctl
