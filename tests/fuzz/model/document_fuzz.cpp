// SPDX-License-Identifier: Apache-2.0
// Documents: any text ends in resources or an error; a resource that was read can be completed,
// printed as YAML, and read back as the same resource.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "model/document.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace margay::model;
  const auto docs = parse_documents(std::string(data, data + size));
  if (!docs.ok()) return 0;
  for (const auto& d : *docs) {
    const auto full = with_defaults(d.key, d.json, {"u", "t"});
    const std::string json = full.ok() ? *full : d.json;
    const auto yaml = to_yaml(json);
    if (!yaml.ok() || !to_pretty_json(json).ok()) std::abort();
    const auto again = parse_documents(*yaml);
    if (!again.ok() || again->size() != 1 || again->front().key != d.key) std::abort();
    if (*to_yaml(again->front().json) != *yaml) std::abort();
  }
  return 0;
}
