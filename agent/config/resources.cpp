// SPDX-License-Identifier: Apache-2.0
#include "agent/config/resources.h"

#include "model/selector.h"

namespace margay::config {
namespace {

Texts texts_of(const model::FelixConfiguration& resource) {
  return {resource.parameters.begin(), resource.parameters.end()};
}

}  // namespace

Result<void> check(const model::FelixConfiguration& resource) {
  for (const auto& [field, text] : resource.parameters) {
    const Parameter* parameter = find_by_field(field);
    if (parameter == nullptr || parameter->effect == Effect::refused) continue;
    MARGAY_TRY(const std::string ignored, canonical(*parameter, text));
  }
  return {};
}

void Resources::update(const std::string& name, model::FelixConfiguration resource) {
  all_[name] = std::move(resource);
}

void Resources::remove(const std::string& name) { all_.erase(name); }

void Resources::set_node_labels(model::Labels labels) { labels_ = std::move(labels); }

Texts Resources::parameters_of(const std::string& name) const {
  const auto it = all_.find(name);
  return it == all_.end() ? Texts{} : texts_of(it->second);
}

Texts Resources::selected() const {
  const model::FelixConfiguration* best = nullptr;
  for (const auto& [name, resource] : all_) {
    if (resource.node_selector.empty()) continue;
    const auto selector = model::Selector::parse(resource.node_selector);
    if (!selector.ok() || !selector->matches(labels_)) continue;
    const bool older =
        best == nullptr || resource.metadata.creation_timestamp < best->metadata.creation_timestamp;
    if (older) best = &resource;  // the map's order settles ties
  }
  return best == nullptr ? Texts{} : texts_of(*best);
}

void Resources::apply_to(Layers& layers) const {
  layers.set(Source::global_resource, parameters_of("default"));
  layers.set(Source::selected_resource, selected());
  layers.set(Source::node_resource, parameters_of("node." + node_));
}

}  // namespace margay::config
