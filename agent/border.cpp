// SPDX-License-Identifier: Apache-2.0
#include "agent/border.h"

#include <algorithm>
#include <utility>

#include "model/codec.h"

namespace margay::agent {
std::string_view to_string(Border::Effect effect) {
  switch (effect) {
    case Border::Effect::kept:
      return "last valid version";
    case Border::Effect::denies:
      return "denial of what it selects";
    case Border::Effect::absent:
      return "nothing";
    case Border::Effect::partly:
      return "the rest of it";
  }
  return "";
}

namespace {

using InForce = calc::Problem::InForce;

Border::Effect effect_of(InForce in_force) {
  switch (in_force) {
    case InForce::nothing:
      return Border::Effect::absent;
    case InForce::denial:
      return Border::Effect::denies;
    case InForce::rest:
      return Border::Effect::partly;
  }
  return Border::Effect::absent;
}

}  // namespace

Border::Border(Receivers receivers, std::string node) : to_(receivers), node_(std::move(node)) {}

std::optional<Border::Invalid> Border::take(const model::Key& key, const sync::Update& update) {
  if (update.deleted) {
    remove(key);
    return {};
  }
  const auto& problems = to_.graph.problems();
  const auto problem = problems.find(key);
  const bool in_force = in_sync_ && update.known && !absent_.contains(key) &&
                        (problem == problems.end() || problem->second.in_force == InForce::rest);
  auto offered = offer(key, update.value);
  if (!offered.ok() && in_force) {
    kept_[key] = offered.error().context;
    return Invalid{Effect::kept, std::move(offered).error().context};
  }
  kept_.erase(key);
  absent_.erase(key);
  if (!offered.ok()) return refuse(key, update.value, std::move(offered).error().context);
  const auto now = problems.find(key);
  if (now == problems.end() || now->second.in_force != InForce::rest) return {};
  return Invalid{Effect::partly, now->second.reason};
}

// Nothing is changed by an invalid value: a kind of two receivers is judged by its decoding, which
// is the same in both, and then by the first alone.
Result<void> Border::offer(const model::Key& key, const std::string& json) {
  if (key.kind == model::Kind::felix_configuration) {
    MARGAY_TRY(auto resource, model::decode<model::FelixConfiguration>(json));
    MARGAY_CHECK(config::check(resource));
    to_.configuration.update(key.name, std::move(resource));
    configuration_ = true;
    return {};
  }
  MARGAY_CHECK(to_.graph.offer(key, json));
  if (bgp::Intent::takes(key.kind)) MARGAY_CHECK(to_.intent.offer(key, json));
  if (key.kind == model::Kind::node && key.name == node_) {
    MARGAY_TRY(auto node, model::decode<model::Node>(json));
    to_.configuration.set_node_labels(std::move(node.metadata.labels));
    configuration_ = true;
  }
  return {};
}

// An invalid value with nothing valid before it.
Border::Invalid Border::refuse(const model::Key& key, const std::string& json, std::string reason) {
  remove(key);
  to_.graph.update(key, json);  // of a kind of its own: denies, or is reported as absent
  const auto& problems = to_.graph.problems();
  if (const auto it = problems.find(key); it != problems.end()) {
    return {effect_of(it->second.in_force), std::move(reason)};
  }
  if (key.kind == model::Kind::felix_configuration) {
    // Of one that can be read, only the parameters that are wrong are absent.
    auto resource = model::decode<model::FelixConfiguration>(json);
    if (resource.ok()) to_.configuration.update(key.name, std::move(resource).value());
  }
  absent_[key] = reason;
  return {Effect::absent, std::move(reason)};
}

void Border::remove(const model::Key& key) {
  kept_.erase(key);
  absent_.erase(key);
  to_.graph.remove(key);
  if (bgp::Intent::takes(key.kind)) to_.intent.remove(key);
  const bool own_node = key.kind == model::Kind::node && key.name == node_;
  if (own_node) to_.configuration.set_node_labels({});
  if (key.kind == model::Kind::felix_configuration) to_.configuration.remove(key.name);
  configuration_ |= own_node || key.kind == model::Kind::felix_configuration;
}

std::string Border::summary() const {
  std::string out;
  const auto say = [&out](std::size_t count, std::string_view what, const model::Key& key,
                          const std::string& reason) {
    const std::string name = model::describe(key);
    out += (out.empty() ? "" : "; ") + std::to_string(count) + std::string(what) +
           (reason.starts_with(name) ? "" : name + ": ") + reason;
  };
  if (!kept_.empty()) {
    say(kept_.size(), " invalid, last valid version in force, first ", kept_.begin()->first,
        kept_.begin()->second);
  }
  const auto& problems = to_.graph.problems();
  const auto first = [&problems](bool partly) {
    return std::find_if(problems.begin(), problems.end(), [partly](const auto& p) {
      return (p.second.in_force == InForce::rest) == partly;
    });
  };
  if (const auto it = first(false); it != problems.end()) {
    say(never_valid(), " invalid, none in force, first ", it->first, it->second.reason);
  } else if (!absent_.empty()) {
    say(never_valid(), " invalid, none in force, first ", absent_.begin()->first,
        absent_.begin()->second);
  }
  if (const auto it = first(true); it != problems.end()) {
    say(partly(), " in force but for a part, first ", it->first, it->second.reason);
  }
  return out;
}

std::size_t Border::partly() const {
  const auto& problems = to_.graph.problems();
  return static_cast<std::size_t>(
      std::count_if(problems.begin(), problems.end(),
                    [](const auto& p) { return p.second.in_force == InForce::rest; }));
}

std::size_t Border::never_valid() const {
  return absent_.size() + to_.graph.problems().size() - partly();
}

std::map<model::Key, Border::Invalid> Border::invalid() const {
  std::map<model::Key, Invalid> out;
  for (const auto& [key, reason] : absent_) out[key] = {Effect::absent, reason};
  for (const auto& [key, problem] : to_.graph.problems()) {
    out[key] = {effect_of(problem.in_force), problem.reason};
  }
  for (const auto& [key, reason] : kept_) out[key] = {Effect::kept, reason};
  return out;
}

}  // namespace margay::agent
