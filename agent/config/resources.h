// SPDX-License-Identifier: Apache-2.0
// FelixConfiguration resources -> the resource layers of the configuration: `default`,
// `node.<name>`, and of those whose nodeSelector selects this node the oldest (then the lowest
// name). Pure.
#pragma once

#include <map>
#include <string>

#include "agent/config/config.h"
#include "model/resources.h"

namespace margay::config {

// Whether every parameter's value is legal; the first that is not, otherwise. Parameters that are
// unknown or without effect are not judged.
[[nodiscard]] Result<void> check(const model::FelixConfiguration& resource);

class Resources {
 public:
  explicit Resources(std::string node) : node_(std::move(node)) {}
  void update(const std::string& name, model::FelixConfiguration resource);
  void remove(const std::string& name);
  void set_node_labels(model::Labels labels);
  void apply_to(Layers& layers) const;

 private:
  [[nodiscard]] Texts parameters_of(const std::string& name) const;
  [[nodiscard]] Texts selected() const;
  std::string node_;
  model::Labels labels_;
  std::map<std::string, model::FelixConfiguration> all_;
};

}  // namespace margay::config
