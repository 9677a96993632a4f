// SPDX-License-Identifier: Apache-2.0
// The reference's nodes, pools and routes, as plainly as the rest of it (reference.h).
#pragma once

#include "tests/unit/calc/reference.h"

namespace margay::calc {

template <typename T>
std::vector<std::pair<model::Key, T>> all_of(const Resources& resources) {
  std::vector<std::pair<model::Key, T>> out;
  for (const auto& [key, value] : resources) {
    if (const auto* v = std::get_if<T>(&value)) out.emplace_back(key, *v);
  }
  return out;
}

// Whether the endpoint is calculated with at all: not without an interface, nor with spoofed
// sources that the options do not allow.
[[nodiscard]] bool in_use(const model::WorkloadEndpoint& wep, const Options& options);

// Fills the view's nodes, VTEPs, service ranges, pools, encapsulations and routes.
void reference_routes(const Options& options, const Resources& resources, View& view);

}  // namespace margay::calc
