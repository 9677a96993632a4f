// SPDX-License-Identifier: Apache-2.0
// Where updates of resources enter the agent. Only valid ones go on to calculation, BGP intent and
// configuration; while an object's stored version is invalid, the last valid one that was given
// stays in force. Where there was none (a new object, or this process is younger than the fault) an
// invalid policy goes to calculation, which denies what it selects if that can still be read, and
// any other invalid object is absent. Of a valid one a part may be without effect. So what the
// receivers decide follows from their inputs alone. No I/O; one thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "agent/calc/graph.h"
#include "agent/config/resources.h"
#include "agent/sync/source.h"
#include "bgp/intent/intent.h"
#include "model/key.h"

namespace margay::agent {

class Border {
 public:
  // All outlive this object.
  struct Receivers {
    calc::Graph& graph;
    bgp::Intent& intent;
    config::Resources& configuration;
  };
  // `node`: our own name.
  Border(Receivers receivers, std::string node);

  enum class Effect { kept, denies, absent, partly };
  struct Invalid {
    Effect effect = Effect::absent;
    std::string reason;
    friend bool operator==(const Invalid&, const Invalid&) = default;
  };
  // The first view is complete. Up to here no version is an earlier one: what the first view passes
  // through on its way (a server may begin with a snapshot that is not its newest) is chance, and a
  // restart must not depend on it.
  void set_in_sync() { in_sync_ = true; }
  // What is wrong with the update, if anything is, and what is in force because of it.
  std::optional<Invalid> take(const model::Key& key, const sync::Update& update);
  // Whether configuration has been given anything since the last call.
  [[nodiscard]] bool take_configuration_changed() { return std::exchange(configuration_, false); }

  // Every object that is not in effect as it is stored.
  [[nodiscard]] std::map<model::Key, Invalid> invalid() const;
  // How many there are and the first of each sort, for a status line; empty: none.
  [[nodiscard]] std::string summary() const;
  [[nodiscard]] std::size_t kept() const { return kept_.size(); }  // of which an earlier version is
  [[nodiscard]] std::size_t never_valid() const;                   // of which nothing is
  [[nodiscard]] std::size_t partly() const;                        // of which only a part is

 private:
  [[nodiscard]] Result<void> offer(const model::Key& key, const std::string& json);
  [[nodiscard]] Invalid refuse(const model::Key& key, const std::string& json, std::string reason);
  void remove(const model::Key& key);

  Receivers to_;
  std::string node_;
  bool in_sync_ = false;
  bool configuration_ = false;
  std::map<model::Key, std::string> kept_;    // the stored version's fault
  std::map<model::Key, std::string> absent_;  // those that calculation does not report itself
};

[[nodiscard]] std::string_view to_string(Border::Effect effect);

}  // namespace margay::agent
